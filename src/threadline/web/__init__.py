"""What browsers load: the SDK's script and its add-ons, as `browser/build.mjs` made them, the
dashboard, as Vite did, the documentation, as `tools/site` did, and what conversations show, as
`dashboard/apps.mjs` did."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

BUILT = Path(__file__).parent / "built"
DASHBOARD = Path(__file__).parent / "dashboard"
DOCS = Path(__file__).parent / "docs"
APPS = Path(__file__).parent / "apps"
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
DOC_TYPES = {**MEDIA_TYPES, ".md": "text/markdown; charset=utf-8"}
# Packed by themselves.
PACKED = ("image/x-icon", "image/png", "font/woff2")


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


def read_doc(name: str, folder: Path = DOCS) -> Asset | None:
    """A file of the documentation, by its path: `index.html`, `keys/index.html`, `keys.md`. Read
    when it is first asked for, as most servers never show most pages. None if there is none."""
    return _read_doc(folder / name) if name in doc_names(folder) else None


@cache
def doc_names(folder: Path = DOCS) -> frozenset[str]:
    """All there are; none if nothing was built."""
    return frozenset(path.relative_to(folder).as_posix() for path in _files(folder, DOC_TYPES))


@cache
def read_app(name: str, folder: Path = APPS) -> str | None:
    """A page that shows the answer of a tool, everything in it. None if it was not built."""
    path = folder / f"{name}.html"
    return path.read_text(encoding="utf-8") if path.exists() else None


@cache
def _read_doc(path: Path) -> Asset:
    return asset(path.read_bytes(), DOC_TYPES[path.suffix])


def _read(folder: Path) -> Iterator[tuple[str, Asset]]:
    for path in _files(folder, MEDIA_TYPES):
        body = path.read_bytes()
        yield path.relative_to(folder).as_posix(), asset(body, MEDIA_TYPES[path.suffix])


def _files(folder: Path, media_types: Mapping[str, str]) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix in media_types)


def asset(body: bytes, media_type: str) -> Asset:
    """A file to serve with this content."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    packed = b"" if media_type in PACKED else gzip.compress(body, mtime=0)
    return Asset(body, packed, media_type, etag)
