"""What browsers load: the SDK's script and its add-ons, as `browser/build.mjs` made them, and the
dashboard, as Vite did."""

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BUILT = Path(__file__).parent / "built"
DASHBOARD = Path(__file__).parent / "dashboard"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
# Packed by themselves.
PACKED = (".ico", ".png", ".woff2")


class Asset(NamedTuple):
    """A file to serve. `packed`: the same, gzipped; empty where that saves nothing."""

    body: bytes
    packed: bytes
    media_type: str
    etag: str


def read_assets(folder: Path = BUILT) -> dict[str, Asset]:
    """All of them, by their path below the folder: `a.js`, `addons/forms.js`. None if nothing was
    built."""
    return dict(_read(folder))


def _read(folder: Path) -> Iterator[tuple[str, Asset]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in MEDIA_TYPES:
            yield path.relative_to(folder).as_posix(), asset(path.read_bytes(), path.suffix)


def asset(body: bytes, suffix: str) -> Asset:
    """A file to serve with this content. `suffix`: of its name, one of `MEDIA_TYPES`."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    packed = b"" if suffix in PACKED else gzip.compress(body, mtime=0)
    return Asset(body, packed, MEDIA_TYPES[suffix], etag)
