"""The log's file: opened once, for who writes in transactions and for who looks on."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from threadline.ingest import dead_letters, log_file, receipts
from threadline.ingest.log_file import open_db
from threadline.ingest.receipts import Forgetting, Receipt
from threadline.sqlite import transaction


def own_id_key(log_id: str) -> int:
    """What a log alone hashes event_ids with. Its id is random and stays in this file: nobody
    outside can know the key."""
    return int(log_id.replace("-", ""), 16) % 2**64


class OpenedLog:
    """Whoever looks on waits for nobody, and nobody waits for them."""

    def __init__(self, folder: Path, id_key: int | None) -> None:
        """`id_key`: as of `Log`. Raises `LogError`, or `SchemaTooNew`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.Lock()  # one transaction at a time
        with log_file.damage_explained(folder):
            self._db = open_db(folder)
            log_file.prepare(self._db)
            (log_id,) = self._db.execute("SELECT log_id FROM block").fetchone()
        self.log_id = str(log_id)
        self.shares_id_key = id_key is not None
        self.id_key = own_id_key(self.log_id) if id_key is None else id_key
        self._reading = threading.Lock()
        self._reader = sqlite3.connect(
            f"{(folder / 'log.db').resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )

    def close(self) -> None:
        with self._reading:
            self._reader.close()
        self._db.close()

    def count_dead_letters(self) -> int:
        """Those there are now."""
        with self._reading:
            return dead_letters.count(self._reader)

    def count_unfinished_forgets(self) -> int:
        """Requests to forget that are not carried out yet."""
        with self._reading:
            return receipts.count_unfinished(self._reader)

    def count_forgets_on_disk(self) -> int:
        """Those that no answer shows any more, but the disk still does."""
        with self._reading:
            return receipts.count_on_disk(self._reader)

    @property
    def moved_ms(self) -> int:
        """The latest time at which anything went to the store, since 1970; 0: never."""
        with self._reading:
            (moved_ms,) = self._reader.execute("SELECT moved_ms FROM progress").fetchone()
        return int(moved_ms)

    def move(self, at_ms: int) -> None:
        """The store has what came until then."""
        with self._transaction():
            self._db.execute("UPDATE progress SET moved_ms = max(moved_ms, ?)", (at_ms,))

    def forgettings(self) -> list[Forgetting]:
        """What the store has been told to delete and this log has not struck off yet."""
        with self._reading:
            return receipts.under_way(self._reader)

    def forgotten(self, seqs: Sequence[int]) -> None:
        """The store has nothing any more of those that were forgotten in these blocks."""
        with self._transaction():
            receipts.gone(self._db, seqs)

    def erase(self, seqs: Sequence[int]) -> None:
        """Nor has this file. Raises `sqlite3.Error`."""
        self._erase_free_pages()
        with self._transaction():
            receipts.erased(self._db, seqs)

    def _erase_free_pages(self) -> None:
        """Appending waits meanwhile: better do it when the log `is_small`. Raises
        `sqlite3.Error`."""
        with self._lock:
            log_file.erase_free_pages(self._db)

    def receipts(self) -> list[Receipt]:
        """All requests to forget, oldest first."""
        with self._reading:
            return receipts.listed(self._reader)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Its file, for a look that waits for nobody."""
        with self._reading:
            yield self._reader

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, transaction(self._db):
            yield
