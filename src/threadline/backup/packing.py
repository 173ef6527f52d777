"""What is backed up as blobs: packed with zstd, encrypted with age where somebody is named. Files
as tar, rows of a server as they come (`rows`).

A part of the engine never changes once it is written, so it is a blob of its own whose name says
what is in it: a later backup finds it there. Names come from the part's own checksums, so what is
there already is not even read.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple, cast

import zstandard

from threadline.backup.manifest import BLOBS, BackupError, Blob
from threadline.backup.snapshot import STORE, files_of
from threadline.backup.targets import Target

LEVEL = 3
CHUNK = 1024 * 1024
# Parts that are smaller go together: a file for each would cost more than to send them again.
SMALL_BYTES = 64 * 1024
# Of these the content counts for a part's name; of the others only the size, for the checksums that
# are in one of these cover them.
TOLD_BYTES = 16 * 1024
CHECKSUMS = "checksums.txt"
REST = "rest"
PACKED, ENCRYPTED = ".zst", ".age"


class Piece(NamedTuple):
    """What becomes one blob. `size`: bytes, unpacked. `opened`: to read them. `counted`: how many
    rows are in it, and their hash, where that is known."""

    name: str
    size: int
    opened: Callable[[], AbstractContextManager[BinaryIO]]
    counted: Callable[[], tuple[int, int]] = lambda: (0, 0)


def pieces(snapshot: Path, recipients: Sequence[str]) -> list[Piece]:
    """All files of a snapshot, those of no part last."""
    parts: dict[str, list[tuple[str, Path]]] = {}
    rest: list[tuple[str, Path]] = []
    for name, path in files_of(snapshot):
        part = _part_of(name)
        if part:
            parts.setdefault(part, []).append((name, path))
        else:
            rest.append((name, path))
    found = []
    for _, files in sorted(parts.items()):
        size = _size(files)
        if size < SMALL_BYTES:
            rest += files
        else:
            found.append(_of_files(_name("part", recipients, files, TOLD_BYTES), files))
    rest.sort()
    return [*found, _of_files(_name(REST, recipients, rest, None), rest)]


def _of_files(name: str, files: list[tuple[str, Path]]) -> Piece:
    def opened() -> AbstractContextManager[BinaryIO]:
        return closing(cast(BinaryIO, _Chunks(_tar(files))))

    return Piece(name, _size(files), opened)


def pack(target: Target, piece: Piece, recipients: Sequence[str]) -> Blob:
    """Write it. Raises `OSError`, and what reading it raises."""
    with piece.opened() as unpacked, target.write(piece.name) as file:
        packed = zstandard.ZstdCompressor(level=LEVEL).stream_reader(unpacked, closefd=False)
        writing = _Hashing(file)
        if recipients:
            from threadline.backup.encryption import encrypt  # needed by few

            encrypt(packed, writing, recipients)
        else:
            copyfileobj(packed, cast(BinaryIO, writing), CHUNK)
    return Blob(writing.size, writing.digest.hexdigest(), piece.size, *piece.counted())


def verify(target: Target, name: str, blob: Blob) -> None:
    """Read it back. Raises `BackupError` where it is not what was written."""
    digest, size = hashlib.sha256(), 0
    with target.read(name) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    if (size, digest.hexdigest()) != (blob.size, blob.sha256):
        as_many = f"as many bytes, {size:,}, but others"
        found = as_many if size == blob.size else f"{size:,} of {blob.size:,} bytes"
        raise BackupError(f"{target.where}: {name} is not what was written ({found}).")


def unpack(target: Target, name: str, blob: Blob, identities: Sequence[Any], into: Path) -> None:
    """Its files, in this folder. Raises `BackupError` where it cannot be read."""
    with fetched(target, name, blob, identities, into) as packed:
        unpacked = zstandard.ZstdDecompressor().stream_reader(packed)
        try:
            with tarfile.open(fileobj=unpacked, mode="r|") as tar:
                tar.extractall(into, filter="data")
        except (tarfile.TarError, zstandard.ZstdError) as error:
            raise BackupError(f"{target.where}: {name} cannot be unpacked: {error}.") from None


@contextmanager
def fetched(
    target: Target, name: str, blob: Blob, identities: Sequence[Any], beside: Path
) -> Iterator[BinaryIO]:
    """It, packed and not encrypted, in a file of this folder that nobody sees. Raises `BackupError`
    where it is not what was written."""
    with TemporaryFile(dir=beside) as packed:
        digest = hashlib.sha256()
        with target.read(name) as file:
            reading = _HashingReader(file, digest)
            if name.endswith(ENCRYPTED):
                from threadline.backup.encryption import decrypt

                decrypt(name, reading, packed, identities)
            else:
                copyfileobj(cast(BinaryIO, reading), packed, CHUNK)
            while reading.read(CHUNK):
                pass
        if digest.hexdigest() != blob.sha256:
            raise BackupError(
                f"{target.where}: {name} is not what was written. `threadline backup check --all`"
                " says which backups are whole; name one of them with --at."
            )
        packed.seek(0)
        yield cast(BinaryIO, packed)


def _part_of(name: str) -> str:
    """`store/store/1ab/UUID/PART` of a file in a part's folder; else nothing."""
    pieces = name.split("/")
    if len(pieces) < 6 or pieces[0] != STORE:
        return ""
    return "" if pieces[4] in ("detached", "deduplication_logs") else "/".join(pieces[:5])


def _name(
    kind: str, recipients: Sequence[str], files: list[tuple[str, Path]], told: int | None
) -> str:
    digest = hashlib.sha256("\0".join(sorted(recipients)).encode())
    for name, path in files:
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            size = path.stat().st_size
            if told is None or size <= told or path.name == CHECKSUMS:
                content = _content_digest(path)
            digest.update(b"%d\0" % size)
        digest.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    return blob_name(kind, digest.hexdigest(), f".tar{PACKED}", recipients)


def blob_name(kind: str, key: str, ending: str, recipients: Sequence[str]) -> str:
    """`key`: hexadecimal digits that say what is in it."""
    encrypted = ENCRYPTED if recipients else ""
    return f"{BLOBS}{key[:2]}/{kind}-{key[:40]}{ending}{encrypted}"


def _content_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _size(files: list[tuple[str, Path]]) -> int:
    return sum(path.stat().st_size for _, path in files if path.is_file() and not path.is_symlink())


def _tar(files: list[tuple[str, Path]]) -> Iterator[bytes]:
    """The same bytes of the same files: whose they were, and when, does not matter."""
    for name, path in files:
        entry = tarfile.TarInfo(name)
        entry.mode = 0o600
        if path.is_symlink():
            entry.type, entry.linkname = tarfile.SYMTYPE, os.fspath(path.readlink())
        elif path.is_dir():
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
        else:
            entry.size = path.stat().st_size
        yield entry.tobuf(tarfile.PAX_FORMAT)
        if entry.size:
            yield from _content(path, entry.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise OSError(0, "is shorter than it was a moment ago", str(path))
    yield bytes(-size % tarfile.BLOCKSIZE)


class _Chunks(io.RawIOBase):
    """What comes piece by piece, as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        size = min(len(target), len(self._left))
        target[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


class _Hashing:
    """Passes on what is written, and knows its digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> int:
        self.digest.update(chunk)
        self.size += len(chunk)
        self._file.write(chunk)
        return len(chunk)

    def flush(self) -> None:
        self._file.flush()


class _HashingReader:
    """The same of what is read."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self._file = file
        self._digest = digest

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._digest.update(chunk)
        return chunk
