"""A backup's manifest: what it is of, and which blobs make it. It is written last, so what has none
is no backup."""

import re
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_hex

import msgspec

# Of files, and of rows; a Threadline that does not know the second one says so.
FORMAT, FORMAT_OF_ROWS = 1, 2
EMBEDDED, SERVER = "embedded", "server"
ENDING = ".json"
UNFINISHED = ".unfinished"
BACKUPS = "backups/"
BLOBS = "blobs/"
BACKUP_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")


class BackupError(Exception):
    """A backup cannot be made, read or restored; the message says what to do."""


class Blob(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of the target. `size`, `sha256`: as it lies there. `unpacked`: bytes of what is in
    it. `rows`, `hash`: of rows whose table's do not merge, as `store.moving.digest` has them."""

    size: int
    sha256: str
    unpacked: int
    rows: int = 0
    hash: int = 0


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What was held fast. `at_ms`: since 1970. `engine`: `EMBEDDED` or `SERVER`. `log`: a hash of
    the log's id. `written`, `acked`: its numbers of the last record that the store has, and of the
    last that was acknowledged. `schemas`: by the file's name, and `store` where that is a server's.
    `rows`: of tables whose rows only get more; `answers`: a digest of what some questions answered
    then, by project and question."""

    at_ms: int
    version: str
    engine: str
    log: str
    written: int
    acked: int
    waiting: int
    schemas: dict[str, int]
    rows: dict[str, int] = {}
    answers: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One backup. `blobs`: by their names in the target. `recipients`: whom they are encrypted to;
    none: they are not. `added`: bytes that came into the target with this one."""

    backup_id: str
    moment: Moment
    blobs: dict[str, Blob]
    recipients: list[str] = []
    added: int = 0
    finished: bool = True
    format: int = FORMAT
    digest: str = ""

    @property
    def is_of_rows(self) -> bool:
        """Whether the events lay on a server: then they are here as rows, else as files."""
        return self.format == FORMAT_OF_ROWS

    @property
    def stored(self) -> int:
        """Bytes of its blobs in the target, shared ones included."""
        return sum(blob.size for blob in self.blobs.values())

    @property
    def unpacked(self) -> int:
        return sum(blob.unpacked for blob in self.blobs.values())

    def sealed(self) -> bytes:
        """As it is written, with a digest of itself."""
        digest = _digest(self)
        return msgspec.json.format(
            msgspec.json.encode(msgspec.structs.replace(self, digest=digest))
        )


def new_id(at_ms: int) -> str:
    """By its moment, so that ids sort by time."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%dT%H%M%SZ}-{token_hex(2)}"


def read(name: str, raw: bytes) -> Manifest:
    """Raises `BackupError` for one that was damaged, or is of a newer version."""
    try:
        if msgspec.json.decode(raw).get("format", 0) > FORMAT_OF_ROWS:
            raise BackupError(f"{name} was made by a newer Threadline; restore it with that one.")
        found = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, AttributeError) as error:
        raise BackupError(f"{name} is damaged: {error}. Take another backup.") from None
    if found.digest != _digest(found):
        raise BackupError(f"{name} is damaged: it is not what was written. Take another backup.")
    return found


def _digest(manifest: Manifest) -> str:
    plain = msgspec.structs.replace(manifest, digest="")
    return sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()
