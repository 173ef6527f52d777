"""Files and folders that nobody but their owner may read, whatever the umask."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, cast

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def make_folder(folder: Path) -> None:
    """Make the folder if it is missing, for its owner alone. One that is there stays as it is.
    Raises `OSError`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    except FileExistsError:
        said = "This is a file. Name a folder, or one that is not there yet"
        raise NotADirectoryError(errno.ENOTDIR, said, str(folder)) from None


def make_file(path: Path) -> None:
    """Make the file, empty, if it is missing; from one of ours take what others may do.

    One that is there is not opened: closing it again would take away the locks that SQLite holds
    on it in this process (POSIX has them belong to the file, not to the opening).
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    except FileExistsError:
        status = path.stat()
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            path.chmod(FILE_MODE)


def write_durably(path: Path, text: str) -> None:
    """The file holds the old text or the new, also after a power cut; never a part of one.

    Two writers at the same time have to be kept apart by the caller.
    """
    temporary = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, FILE_MODE), "w") as file:
        os.fchmod(file.fileno(), FILE_MODE)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


@contextmanager
def named_when_whole(path: Path, prefix: str) -> Iterator[IO[bytes]]:
    """A file to write into, which is on the disk and has its name once the block ends without an
    error, and is gone else. `prefix`: of its name until then, in the same folder."""
    with NamedTemporaryFile(dir=path.parent, prefix=prefix, delete=False) as file:
        try:
            yield cast(IO[bytes], file)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def sync_folder(folder: Path) -> None:
    """A renamed file is safe only when the folder's own entry is on the disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
