"""The control plane: projects, origins, keys and salts, in one SQLite file or in PostgreSQL.

The command line writes to it while the server runs; `opened.py` says how both get along.
"""

import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from threadline.contract.errors import InvalidApiKey, KeyKindMismatch, Unavailable
from threadline.contract.times import format_ms
from threadline.control.access import SESSION_MS
from threadline.control.address import IN_FOLDER
from threadline.control.errors import ControlError, log_line
from threadline.control.keys import Key, Token, parse_token, secret_hash
from threadline.control.salting import Salting
from threadline.control.snapshot import Project, Snapshot
from threadline.settings import Settings


class Control(Salting):
    """Opened once by the server, or for a moment by the command line."""

    def __init__(
        self,
        folder: Path,
        create: bool = True,
        only_revoking: bool = False,
        clock: Callable[[], int] | None = None,
        url: str = IN_FOLDER,
    ) -> None:
        """`create`: make the folder and the tables where there are none. `only_revoking`: do
        without the pepper if it is lost. `clock`: tells milliseconds since 1970. `url`: as
        THREADLINE_CONTROL names it; commands and the server open it by `of`.

        Raises `ControlError`, or `SchemaError`.
        """
        super().__init__(folder, create, only_revoking, clock or (lambda: _now_ms()), url)
        # Held for a moment by whoever counts or reads what was counted; nobody waits inside it.
        self._counting = threading.Lock()
        self._used: dict[str, int] = {}
        self._sessions_used, self._shares_used = {}, {}
        self._placeholder_ids: Counter[str] = Counter()
        try:
            # What hashes of event_ids are made with, by every log; None: each has its own key.
            self.event_id_key = self._db.event_id_key()
        except BaseException:
            super().close()
            raise

    @classmethod
    def of(cls, settings: Settings, create: bool = True, only_revoking: bool = False) -> Self:
        """As these settings name it. Raises `ControlError`, or `SchemaError`."""
        return cls(Path(settings.data), create, only_revoking, url=settings.control)

    def close(self) -> None:
        """Save what is in memory only, then close."""
        try:
            self.save_uses()
            if self._spare_salts:
                self.destroy_old_salts()
        except ControlError as error:
            log_line("uses_not_saved", error=str(error))
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- asked by the server; none of these waits for a lock that anybody holds for long -----

    def authenticate(self, text: str) -> tuple[Key, Project]:
        """The key and the project behind a bearer token.

        Raises `MalformedApiKey`, `InvalidApiKey`, `KeyKindMismatch`, and `Unavailable` where a key
        is not known that may have been made just now.
        """
        token = parse_token(text)
        snapshot = self.look()
        key = self._matching(token, snapshot)
        if not key:  # it may have been made a moment ago
            newest = self.look_once_more()
            if newest is None:
                raise Unavailable("This key is not known, and keys cannot be read now; try again.")
            snapshot = newest
            key = self._matching(token, snapshot)
        if not key or key.revoked_ms is not None or key.env != token.env:
            raise InvalidApiKey("This key does not exist or was revoked.")
        if key.kind != token.kind:
            raise KeyKindMismatch(f"This key was issued as {key.kind}, not as {token.kind}.")
        now_ms = self._now_ms()
        if key.expires_ms is not None and now_ms >= key.expires_ms:
            raise InvalidApiKey(
                f"This key expired at {format_ms(key.expires_ms)}; use the one that replaced it."
            )
        self._used[key.prefix] = now_ms
        return key, snapshot.projects_by_id[key.project_id]

    def _matching(self, token: Token, snapshot: Snapshot) -> Key | None:
        key = snapshot.keys.get(token.prefix)
        # The same work for an unknown prefix, so that the clock does not tell which exist.
        expected = key.secret_hash if key else bytes(32)
        matches = hmac.compare_digest(secret_hash(self.pepper, token.secret), expected)
        return key if matches else None

    def origins(self) -> frozenset[str]:
        """The origins of all projects."""
        return self.look().origins

    def count_placeholder_ids(self, project_id: str, ids: int = 1) -> None:
        """So many more ids of this project were none."""
        with self._counting:
            self._placeholder_ids[project_id] += ids

    def placeholder_ids(self, project_id: str) -> int:
        """How many ids of this project were none, ever."""
        self.look()
        with self._counting:
            saved = self._snapshot.placeholder_ids.get(project_id, 0)
            return saved + self._placeholder_ids[project_id]

    # -- housekeeping: once a minute, on a thread of its own --------------------------------

    def housekeeping(self) -> None:
        """Destroy old salts; delete keys of commands that were killed, sessions and links that have
        ended; save what was counted.

        Raises `ControlError`; what was not done is done the next time.
        """
        self.destroy_old_salts()
        self.delete_passed_keys()
        self.save_uses()
        self.delete_ended_sessions()

    def save_uses(self) -> None:
        """Write down when keys, sessions and share links were last used, and what was counted.
        Raises `ControlError`; then nothing of it is lost, and the next call saves it."""
        used, self._used = self._used, {}
        sessions, self._sessions_used = self._sessions_used, {}
        shares, self._shares_used = self._shares_used, {}
        with self._counting:
            counted = dict(self._placeholder_ids)
        if not (used or sessions or shares or counted):
            return
        try:
            self._save(used, sessions, shares, counted)
        except BaseException:
            for lost, kept in (
                (used, self._used),
                (sessions, self._sessions_used),
                (shares, self._shares_used),
            ):
                for name, used_ms in lost.items():
                    kept.setdefault(name, used_ms)
            raise

    def _save(
        self,
        used: dict[str, int],
        sessions: dict[str, int],
        shares: dict[str, int],
        counted: dict[str, int],
    ) -> None:
        with ExitStack() as held:
            with self._write() as db:
                for table, name, times in (
                    ("keys", "prefix", used),
                    ("sessions", "session_id", sessions),
                    ("share_links", "share_id", shares),
                ):
                    db.executemany(
                        f"UPDATE {table} SET last_used_ms = ?"
                        f" WHERE {name} = ? AND coalesce(last_used_ms, 0) < ?",
                        [(used_ms, each, used_ms) for each, used_ms in times.items()],
                    )
                if sessions:
                    db.execute(
                        "UPDATE members SET last_seen_ms = used.last_ms"
                        " FROM (SELECT member_id, max(last_used_ms) AS last_ms FROM sessions"
                        " GROUP BY member_id) AS used"
                        " WHERE used.member_id = members.member_id"
                        " AND coalesce(last_seen_ms, 0) < used.last_ms"
                    )
                db.executemany(
                    # A project that was deleted meanwhile has none.
                    "INSERT INTO placeholder_ids SELECT project_id, ? FROM projects"
                    " WHERE project_id = ? ON CONFLICT (project_id)"
                    " DO UPDATE SET refused = placeholder_ids.refused + excluded.refused",
                    [(ids, project_id) for project_id, ids in counted.items()],
                )
                # Nobody sees the new sums before ours are taken off.
                held.enter_context(self._reading)
            fresh = self._read_if_changed()
            with self._counting:
                self._publish(fresh)
                self._placeholder_ids.subtract(counted)
                self._placeholder_ids = +self._placeholder_ids

    def strike_off(self, project_id: str) -> None:
        """Nothing is stored any more of a project that was deleted. What was in the file of it is
        overwritten, also in the write-ahead file, as soon as nobody reads that."""
        with self._write() as db:
            db.execute("DELETE FROM deleted_projects WHERE project_id = ?", (project_id,))
        self._look_now()
        self._erase_from_wal()

    def delete_passed_keys(self) -> None:
        """Those of commands that were killed before they could do it."""
        now_ms = self._now_ms()
        gone = [
            (key.prefix,)
            for key in self._look_now().keys.values()
            if key.temporary and key.state(now_ms) == "expired"
        ]
        if gone:
            with self._write() as db:
                db.executemany("DELETE FROM keys WHERE prefix = ?", gone)

    def delete_ended_sessions(self) -> None:
        """Those that nobody used for long, and links that nobody opened in time."""
        now_ms, snapshot = self._now_ms(), self._look_now()
        times = [session.expires_ms for session in snapshot.sessions.values()]
        if snapshot.links_expire_ms is not None:
            times.append(snapshot.links_expire_ms)
        if min(times, default=now_ms + 1) > now_ms:
            return
        with self._write() as db:
            db.execute("DELETE FROM sessions WHERE last_used_ms <= ?", (now_ms - SESSION_MS,))
            db.execute("DELETE FROM one_time_links WHERE expires_ms <= ?", (now_ms,))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
