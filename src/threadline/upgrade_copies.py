"""Copies of what an upgrade is about to change, so that there is a way back.

Made once an upgrade, before its first migration, in the data folder: `before-upgrade/NAME/` holds
`control.db`, `log.db`, the pepper, the settings and, where the embedded engine's tables change, its
files as hard links, which take no room until tables are written anew. NAME says which schemas they
have, and when it was. After a kill the same copy goes on to count, until a server has started.
"""

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from threadline.private import make_file, make_folder

FOLDER = "before-upgrade"
FILES = {"control.db": "control", "log.db": "log"}
BESIDE = ("pepper", "threadline.toml")
STORE = "store"
# In a copy as long as its upgrade has not come to its end.
UNFINISHED = "unfinished"
KEPT_DAYS = 14
DAY_S = 86_400
# What a part of a table has, whose files never change.
OF_PART = "checksums.txt"
TEMPORARY = ("tmp", "delete_tmp_", "moving")


def keep(folder: Path) -> Path:
    """The copy of this data folder for the upgrade that is about to begin, or has begun. Raises
    `OSError` and `sqlite3.Error` where it cannot be made: nothing is changed then."""
    copies = folder / FOLDER
    make_folder(copies)
    with _alone(copies):
        for copy in _all(copies):
            if (copy / UNFINISHED).exists():
                _refresh(folder, copy)
                return copy
        made = copies / "being-made"
        shutil.rmtree(made, ignore_errors=True)
        make_folder(made)
        for name in FILES:
            _copy_database(folder / name, made / name)
        schemas = [f"{of}{schema_of(made / name)}" for name, of in FILES.items()]
        for name in BESIDE:
            if (folder / name).is_file():
                make_file(made / name)
                shutil.copyfile(folder / name, made / name)
        make_file(made / UNFINISHED)
        os.sync()
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return made.rename(copies / "-".join([*schemas, at]))


def keep_store(store: Path, schema: int) -> Path | None:
    """The same with the files of an embedded engine, which is not to merge meanwhile. `schema`: of
    its tables. None where they lie outside of a data folder."""
    if not any((store.parent / name).exists() for name in ("control.db", "pepper")):
        return None
    copy = keep(store.parent)
    with _alone(copy.parent):
        if not (copy / STORE).exists():
            part = copy / "store.being-made"
            shutil.rmtree(part, ignore_errors=True)
            _link_tree(store, part)
            make_file(copy / f"store-has-schema-{schema}")
            os.sync()
            part.rename(copy / STORE)
    return copy


def finish(folder: Path) -> Path | None:
    """The upgrade has come to its end; the copy that it leaves, if it made one just now."""
    found = None
    for copy in _all(folder / FOLDER):
        with suppress(FileNotFoundError):
            (copy / UNFINISHED).unlink()
            found = copy
    return found


def prune(folder: Path, now_s: float) -> list[Path]:
    """Remove copies that are older than `KEPT_DAYS`: those."""
    old = [
        copy
        for copy in _all(folder / FOLDER)
        if copy.stat().st_mtime < now_s - KEPT_DAYS * DAY_S and not (copy / UNFINISHED).exists()
    ]
    for copy in old:
        shutil.rmtree(copy)
    return old


def size(folder: Path) -> int:
    """Bytes that a copy takes at once: hard links take none."""
    names = [f"{name}{end}" for name in FILES for end in ("", "-wal")]
    return sum((folder / name).stat().st_size for name in names if (folder / name).exists())


def _all(copies: Path) -> list[Path]:
    """Oldest first; none of those that were not made to the end."""
    if not copies.is_dir():
        return []
    there = [each for each in copies.iterdir() if each.is_dir() and each.name != "being-made"]
    return sorted(there, key=lambda copy: copy.name.rpartition("-")[2])


def schema_of(path: Path) -> int:
    """The number of a file's schema; 0 where it has none, or is not there."""
    if not path.exists():
        return 0
    with closing(_reading(path)) as db:
        try:
            (number,) = db.execute("SELECT max(number) FROM schema_migrations").fetchone()
        except sqlite3.OperationalError:
            return 0
        return int(number or 0)


def _refresh(folder: Path, copy: Path) -> None:
    """What is not migrated yet: an older Threadline may have gone on after the copy was begun."""
    for name in FILES:
        if schema_of(folder / name) == schema_of(copy / name):
            fresh = copy / f"{name}.being-made"
            fresh.unlink(missing_ok=True)
            _copy_database(folder / name, fresh)
            if fresh.exists():
                fresh.replace(copy / name)


def _copy_database(path: Path, target: Path) -> None:
    """As it is at one moment, whoever writes meanwhile."""
    if path.exists():
        make_file(target)
        with closing(_reading(path)) as db, closing(sqlite3.connect(target)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # all of it in one file


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _link_tree(source: Path, target: Path) -> None:
    """Files of parts as hard links; all others, some of which are written to, as copies."""
    make_folder(target)
    with os.scandir(source) as entries:
        names = {entry.name: entry for entry in entries}
    for name, entry in names.items():
        # What goes away meanwhile was of a part that has been merged before.
        with suppress(FileNotFoundError):
            if entry.is_symlink():
                (target / name).symlink_to(os.readlink(entry))
            elif entry.is_dir():
                if not name.startswith(TEMPORARY):
                    _link_tree(Path(entry.path), target / name)
            elif OF_PART in names and not name.endswith(".txt"):
                _link(entry.path, target / name)
            else:
                shutil.copy2(entry.path, target / name)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


@contextmanager
def _alone(copies: Path) -> Iterator[None]:
    """One process makes a copy at a time."""
    path = copies / "lock"
    make_file(path)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
