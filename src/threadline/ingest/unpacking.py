"""How a file of events is packed, and what other kinds of files look like."""

import codecs
import gzip
import io
import zlib
from typing import Any, BinaryIO, cast

import zstandard

# A little at a time, because it may unpack to a lot.
PACKED_BYTES = 16 * 1024

# How a file may begin that is something else than its name says.
OTHERWISE = {
    b"\x1f\x8b": "is packed with gzip; give it a name that ends in .gz",
    b"\x28\xb5\x2f\xfd": "is packed with zstd; give it a name that ends in .zst",
    b"PK\x03\x04": "is a ZIP archive or a spreadsheet; unpack it, or save it as CSV",
    b"PAR1": "is Parquet, which is not read; export NDJSON or CSV",
}
# What a broken file, or one that is packed otherwise than its name says, raises when it is read.
DAMAGE = (EOFError, OSError, zlib.error, zstandard.ZstdError)


def is_utf16(beginning: bytes) -> bool:
    """Whether a text begins so, with a mark or without: in ours there are no zeros."""
    return beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 0 in beginning[:4]


class _ZstdFrames(io.RawIOBase):
    """All frames of a zstd file; the library's own reader takes one without an end for whole."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._packed = b""
        self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._plain:
            self._packed = self._packed or self._raw.read(PACKED_BYTES)
            if not self._packed and self._frame:
                raise EOFError("it ends in the middle")
            if not self._packed:
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._plain = self._frame.decompress(self._packed)
            self._packed = b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        view = memoryview(target)
        size = min(len(view), len(self._plain))
        view[:size], self._plain = self._plain[:size], self._plain[size:]
        return size


def unpacked(raw: BinaryIO, packing: str) -> BinaryIO:
    """The bytes behind a packing that a file's name ends in. Reading raises `DAMAGE`."""
    if packing == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if packing == ".zst":
        return cast(BinaryIO, io.BufferedReader(_ZstdFrames(raw)))
    return raw
