"""Where backups lie: files by name, in a folder or a bucket. A file is there as a whole or not."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from threadline.backup.manifest import BackupError
from threadline.jobs.locks import JobHeld, hold
from threadline.private import make_folder, named_when_whole, sync_folder

LOCK = "lock"
# What a killed process leaves of a file begins so, and counts for nothing.
PART = ".part-"
S3 = "s3://"


class Target(Protocol):
    """Names are relative, with slashes."""

    where: str

    def sizes(self, prefix: str) -> dict[str, int]:
        """The files whose names begin so, with their bytes; empty where there are none."""

    def read(self, name: str) -> AbstractContextManager[BinaryIO]:
        """The file, from where it is kept and not from memory. Raises `BackupError`."""

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A new file, or another in its place: it has its name once the block ends without an
        error, and is on the disk then."""

    def delete(self, name: str) -> None: ...

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else changes what is here as long as the block lasts. Raises `BackupError`."""


class FolderTarget:
    """A folder, perhaps of another disk."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder

    def sizes(self, prefix: str) -> dict[str, int]:
        found = {}
        for folder, _, names in os.walk(self._folder / prefix):
            for name in names:
                path = Path(folder) / name
                if not name.startswith(PART):
                    found[path.relative_to(self._folder).as_posix()] = path.stat().st_size
        return found

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        try:
            file = (self._folder / name).open("rb")
        except FileNotFoundError:
            raise BackupError(f"{self.where} has no {name}.") from None
        with file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            yield file

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        path = self._folder / name
        make_folder(self._folder)
        make_folder(path.parent)
        with named_when_whole(path, PART) as file:
            yield cast(BinaryIO, file)
        for folder in (path.parent, path.parent.parent):
            sync_folder(folder)

    def delete(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        make_folder(self._folder)
        with ExitStack() as held:
            try:
                held.enter_context(hold(self._folder / LOCK))
            except JobHeld:
                raise BackupError(
                    f"Another backup into {self.where} is under way; `threadline jobs` shows how"
                    " far it is."
                ) from None
            self._remove_parts()
            yield

    def _remove_parts(self) -> None:
        """What processes left that were killed: nobody else writes now."""
        for path in self._folder.glob(f"**/{PART}*"):
            path.unlink(missing_ok=True)


def open_target(where: str) -> Target:
    """A folder, or `s3://bucket/prefix`. Raises `BackupError`."""
    for scheme, opened in SCHEMES.items():
        if where.startswith(scheme):
            return opened(where)
    if "://" in where:
        raise BackupError(f"{where}: write a folder, or s3://BUCKET/PREFIX.")
    return FolderTarget(Path(where).expanduser().absolute())


def _s3(where: str) -> Target:
    try:
        from threadline.backup.s3 import S3Target
    except ModuleNotFoundError as error:
        raise BackupError(
            f"Backups to s3:// need {error.name}: install Threadline with its extra `s3`, such as"
            " pip install '.[server,s3]'."
        ) from None
    return S3Target(where)


SCHEMES: dict[str, Callable[[str], Target]] = {S3: _s3}
