"""What is left of somebody on the disk: every file of a folder, every compressed block unpacked,
every way in which an id may be written."""

import base64
import struct
from collections.abc import Iterator
from pathlib import Path

import lz4.block  # type: ignore[import-untyped]
import numpy as np
import zstandard

from tests.support import Project, until

CHECKSUM_BYTES, HEADER_BYTES = 16, 9
PLAIN, LZ4, ZSTD, SEVERAL = 0x02, 0x82, 0x90, 0x91
LARGEST = 1 << 28


def traces(folder: Path, *secrets: str) -> list[str]:
    """Which of them is where, and how it is written there."""
    spellings = {secret: dict(_spellings(secret)) for secret in secrets}
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        raw = path.read_bytes()
        # Base64 and hex in any case.
        for content in (raw, b"".join(_unpacked(raw)), str(path).encode()):
            for secret, ways in spellings.items():
                found += [
                    f"{secret} as {way} in {path.relative_to(folder)}"
                    for way, spelled in ways.items()
                    if spelled in content
                ]
    return found


def _spellings(secret: str) -> Iterator[tuple[str, bytes]]:
    raw = secret.encode()
    yield "text", raw
    yield "UTF-16 LE", secret.encode("utf-16-le")
    yield "UTF-16 BE", secret.encode("utf-16-be")
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "quoted", "".join(f"%{byte:02X}" for byte in raw).encode()
    for shift in range(3):
        # Whatever stands before it: the characters that only the id decides.
        coded = base64.b64encode(bytes(shift) + raw)
        yield f"base64 {shift}", coded[-(-shift * 4 // 3) : len(raw) * 4 // 3 - 1]


def _unpacked(raw: bytes) -> Iterator[bytes]:
    """What ClickHouse compressed: blocks one behind the other, wherever they begin."""
    end = 0
    methods = np.isin(np.frombuffer(raw, dtype=np.uint8), (PLAIN, LZ4, ZSTD, SEVERAL))
    for found in np.flatnonzero(methods).tolist():
        if found - CHECKSUM_BYTES < end or found + HEADER_BYTES > len(raw):
            continue
        if block := _block(raw, found):
            size, content = block
            end = found + size
            yield content


def _block(raw: bytes, at: int) -> tuple[int, bytes] | None:
    method, packed, plain = struct.unpack_from("<BII", raw, at)
    if not (HEADER_BYTES < packed <= len(raw) - at and 0 < plain < LARGEST):
        return None
    body = raw[at + HEADER_BYTES : at + packed]
    try:
        if method == PLAIN:
            return packed, body
        if method == LZ4:
            return packed, lz4.block.decompress(body, uncompressed_size=plain)
        if method == ZSTD:
            return packed, zstandard.ZstdDecompressor().decompress(body, max_output_size=plain)
        if method == SEVERAL:  # codecs by number, then what the last of them made
            inner = _block(body, 1 + body[0])
            return inner and (packed, inner[1])
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, struct.error):
        pass
    return None


def until_erased(project: Project) -> None:
    """Until nothing is left of anybody who was to be forgotten."""

    def is_erased() -> bool:
        text = project.get("/metrics").body.decode()
        return "forgets_pending 0.0" in text and "forgets_on_disk 0.0" in text

    until(is_erased, patience_s=60)
