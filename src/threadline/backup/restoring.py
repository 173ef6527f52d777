"""A backup becomes a data folder again: an empty one, or a new one."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from threadline.backup.manifest import BackupError, Manifest
from threadline.backup.mark import MARK
from threadline.backup.packing import unpack
from threadline.backup.rows import table_of
from threadline.backup.targets import Target
from threadline.private import make_folder, sync_folder, write_durably

# Other commands look for it: it comes last.
LAST = "control.db"
BACKUP_ID = "backup-id"
# Given a folder for what it fetches, and what is to be called with the bytes of each that it read.
Pour = Callable[[Path, Callable[[int], None]], None]


def check_empty(folder: Path) -> None:
    """Raises `BackupError` for a folder with anything in it but a restore that was interrupted."""
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise BackupError(f"{folder} is a file; name a folder with --to.") from None
    if names and MARK not in names:
        raise BackupError(
            f"{folder} is not empty, and nothing is restored over what is there. Name a new folder"
            " with --to."
        )


def restore(
    target: Target,
    manifest: Manifest,
    folder: Path,
    identities: Sequence[Any],
    progressed: Callable[[int, int], None] = lambda done, total: None,
    pour: Pour | None = None,
) -> None:
    """Make it the folder that was backed up. `pour`: has rows put into a store, where there are
    any. Killed at any moment, the same again does it; until then nobody takes the folder for
    restored. Raises `BackupError`, `OSError`, and what `pour` does."""
    check_empty(folder)
    make_folder(folder)
    with _alone(folder):
        _clear(folder)
        inside = folder / MARK
        make_folder(inside)
        write_durably(inside / BACKUP_ID, manifest.backup_id)
        data = inside / "data"
        make_folder(data)
        done, total = 0, manifest.unpacked

        def read(size: int) -> None:
            nonlocal done
            done += size
            progressed(done, total)

        for name, blob in manifest.blobs.items():
            if not table_of(name):
                unpack(target, name, blob, identities, data)
                read(blob.unpacked)
        os.sync()  # one call for what may be thousands of files
        for path in sorted(data.iterdir(), key=lambda path: path.name == LAST):
            path.rename(folder / path.name)
        sync_folder(folder)
        if pour:
            pour(inside, read)
        shutil.rmtree(inside)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raises `BackupError` where somebody restores into it now."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupError(
            f"Another restore into {folder} is running; wait for it to finish."
        ) from None
    finally:
        os.close(opened)


def _clear(folder: Path) -> None:
    """What an interrupted restore left: all that is here is its own, as it began in an empty
    folder."""
    if not (folder / MARK).exists():
        return
    for path in folder.iterdir():
        if path.name == MARK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.rmtree(folder / MARK)
