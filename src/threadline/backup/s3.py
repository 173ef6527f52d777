"""A bucket of S3, or of what speaks like it. Who we are, and where it is, is said by the variables
that every tool for S3 reads: AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL and so on."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from threadline.backup.manifest import BackupError


class S3Target:
    """What is written goes to a temporary file first: an object is there as a whole or not."""

    def __init__(self, where: str) -> None:
        self.where = where
        bucket, _, prefix = where.removeprefix("s3://").partition("/")
        if not bucket:
            raise BackupError(f"{where}: write s3://BUCKET/PREFIX.")
        try:
            self._store = S3Store(bucket, prefix=prefix.strip("/") or None)
        except BaseError as error:
            raise self._failed(error) from None

    def sizes(self, prefix: str) -> dict[str, int]:
        try:
            listed = obstore.list(self._store, prefix.strip("/"))
            return {str(each["path"]): int(each["size"]) for some in listed for each in some}
        except BaseError as error:
            raise self._failed(error) from None

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        try:
            opened = obstore.open_reader(self._store, name)
        except (BaseError, FileNotFoundError) as error:
            raise self._failed(error) from None
        yield cast(BinaryIO, _Reader(opened, self._failed))

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        with TemporaryFile() as file:
            yield cast(BinaryIO, file)
            file.seek(0)
            try:
                obstore.put(self._store, name, cast(Any, file))
            except BaseError as error:
                raise self._failed(error) from None

    def delete(self, name: str) -> None:
        try:
            obstore.delete(self._store, name)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise self._failed(error) from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody can hold a bucket: the job of a data folder is one at a time anyway."""
        yield

    def _failed(self, error: Exception) -> BackupError:
        said = " ".join(str(error).split("\n\nDebug")[0].split())
        return BackupError(f"{self.where} does not answer as it should: {said}")


class _Reader:
    """Bytes of what is read."""

    def __init__(self, opened: Any, failed: Any) -> None:
        self._opened = opened
        self._failed = failed

    def read(self, size: int = -1) -> bytes:
        try:
            return bytes(self._opened.read(None if size < 0 else size))
        except (BaseError, OSError) as error:
            raise self._failed(error) from None
