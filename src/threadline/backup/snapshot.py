"""A moment of a data folder, held fast: what may change is copied, what does not gets another link.

While a server has the folder, its writer is held between two blocks, so that the store has exactly
what the log says it has. The engine links its parts into a folder of its own (`FREEZE`), which
takes milliseconds whatever they hold; the SQLite files are read in a transaction that begins in the
same moment and are copied after it, so nobody waits for that.

A snapshot lies in the store's folder, under `shadow/`, where the engine puts what it freezes.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from threadline.backup.manifest import BackupError
from threadline.control.address import is_postgres
from threadline.control.copying import copy_to_file
from threadline.control.errors import ControlError
from threadline.jobs import is_at_work
from threadline.jobs.table import BACKUP
from threadline.private import make_folder
from threadline.store import Store

STORE = "store"
SHADOW = "shadow"
# Letters, digits and _ only: the engine writes others differently.
NAMED = "backup_"
# Beside what the engine put there: the files of the data folder itself.
FILES = "data-folder"
CONTROL = "control.db"
DATABASES = (CONTROL, "log.db")
# They belong to the moment, too. How far imports came is read before the log is: a little behind it
# is made up for by the events' ids, ahead of it is not.
TAKEN = ("imports", "pepper", "pepper.replaced")
# It names ports, folders and stores of this server: it is restored under another name.
SETTINGS_FILE, KEPT_SETTINGS = "threadline.toml", "threadline.toml.restored"
# Of a table's folder: parts are linked, these are copied, and what begins so is nobody's.
COPIED = ("mutation_", "format_version.txt", "deduplication_logs", "txn_version.txt")
LEFT_OUT = ("tmp", "delete_tmp", "detached", "moving")

TABLES = """
    SELECT name, data_paths[1] AS path FROM system.tables
    WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND data_paths != []
    ORDER BY name"""


def store_folder(store_url: str) -> Path:
    """Of an embedded engine."""
    return Path(store_url.removeprefix("chdb://"))


def snapshot_name(job_id: str) -> str:
    """A new one: what an earlier try of the same job left is another."""
    return f"{NAMED}{job_id.rpartition('-')[2]}_{token_hex(4)}"


def snapshot_folder(store: Path, name: str) -> Path:
    return store / SHADOW / name


def take_files(folder: Path, into: Path) -> None:
    """What lies beside the databases. To be called before the log is read."""
    make_folder(into / FILES)
    for name in TAKEN:
        source = folder / name
        with suppress(FileNotFoundError):
            if source.is_dir():
                shutil.copytree(source, into / FILES / name, ignore=shutil.ignore_patterns("*.new"))
            else:
                shutil.copy2(source, into / FILES / name)
    with suppress(FileNotFoundError):
        shutil.copy2(folder / SETTINGS_FILE, into / FILES / KEPT_SETTINGS)


@contextmanager
def pinned(folder: Path, control: str) -> Iterator[dict[str, sqlite3.Connection]]:
    """The SQLite files as they are when the block begins, to be copied by `copy_databases`.
    `control`: as THREADLINE_CONTROL names it; what is in PostgreSQL is taken along as a file, so
    that a backup is whole wherever it is restored."""
    with ExitStack() as opened:
        found = {}
        paths = {name: folder / name for name in DATABASES}
        if is_postgres(control):
            beside = opened.enter_context(TemporaryDirectory(prefix=".control-", dir=folder))
            try:
                paths[CONTROL] = copy_to_file(folder, control, Path(beside))
            except ControlError as error:
                raise BackupError(f"{error} No backup was made.") from error
        for name, path in paths.items():
            db = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            opened.enter_context(closing(db))
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            found[name] = db
        yield found


def copy_databases(dbs: dict[str, sqlite3.Connection], into: Path) -> None:
    """They are files of their owner alone, whole, and without a write-ahead file."""
    make_folder(into / FILES)
    for name, db in dbs.items():
        path = into / FILES / name
        with closing(sqlite3.connect(path, isolation_level=None)) as copied:
            db.backup(copied)
        path.chmod(0o600)


def freeze(store: Store, folder: Path, into: Path) -> list[str]:
    """The engine's tables as they are now; their names. Nothing may be inserted meanwhile."""
    tables = store.look(TABLES, {})
    for table in tables:
        # Before the parts: what is done by then to all of them is noted down nowhere else.
        _copy_small(Path(table["path"]), into / _below(Path(table["path"]), folder))
    for table in tables:
        store.arrange(f"ALTER TABLE {table['name']} FREEZE WITH NAME '{into.name}'")
    _copy_metadata(folder, into)
    return [table["name"] for table in tables]


def link_all(folder: Path, into: Path) -> None:
    """The same of a folder whose engine does not run."""
    make_folder(into)
    for uuid in sorted(folder.glob("store/*/*")):
        here = into / _below(uuid, folder)
        _copy_small(uuid, here)
        for part in uuid.iterdir():
            if part.is_dir() and not part.name.startswith((*LEFT_OUT, *COPIED)):
                shutil.copytree(part, here / part.name, copy_function=os.link)
    _copy_metadata(folder, into)


def _copy_metadata(folder: Path, into: Path) -> None:
    """What tables there are, and where: only of our own database, others are in memory."""
    link = folder / "metadata" / "default"
    for sql in sorted(link.resolve().glob("*.sql")):
        target = into / _below(sql, folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(sql, target)
    for each in (link, *sorted((folder / "data" / "default").glob("*"))):
        target = into / each.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(each.readlink())


def _copy_small(table: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted(table.iterdir()):
        if not path.name.startswith(COPIED):
            continue
        with suppress(FileNotFoundError):  # a deletion that is done by now
            if path.is_dir():
                shutil.copytree(path, into / path.name)
            else:
                shutil.copy2(path, into / path.name)


def _below(path: Path, folder: Path) -> Path:
    return path.resolve().relative_to(folder.resolve())


def files_of(snapshot: Path) -> Iterator[tuple[str, Path]]:
    """Each file, link and empty folder with its name in a data folder."""
    for root, folders, names in os.walk(snapshot):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in sorted([*names, *links]):
            yield _name(snapshot, Path(root) / name), Path(root) / name
        folders[:] = sorted(set(folders) - set(links))
        if not folders and not names and not links:
            yield _name(snapshot, Path(root)), Path(root)


def _name(snapshot: Path, path: Path) -> str:
    name = path.relative_to(snapshot).as_posix()
    inside = f"{FILES}/"
    return name.removeprefix(inside) if name.startswith(inside) else f"{STORE}/{name}"


def remove(snapshot: Path) -> None:
    """What it linked goes from the disk once nothing else has it."""
    shutil.rmtree(snapshot, ignore_errors=True)


def remove_abandoned(folder: Path, store: Path) -> list[str]:
    """Snapshots whose backup was killed: they keep what the engine would delete. Their names."""
    found: Sequence[Path] = sorted((store / SHADOW).glob(f"{NAMED}*"))
    left = [path for path in found if not is_at_work(folder, job_of(path.name))]
    for path in left:
        remove(path)
    return [path.name for path in left]


def job_of(name: str) -> str:
    """The job that made the snapshot of this name."""
    return f"{BACKUP}-{name.removeprefix(NAMED).partition('_')[0]}"
