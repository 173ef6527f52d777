"""What browsers load: the SDK's script and its add-ons, as `browser/build.mjs` made them."""

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BUILT = Path(__file__).parent / "built"
MEDIA_TYPES = {".js": "text/javascript", ".map": "application/json"}


class Asset(NamedTuple):
    """A file to serve. `packed`: the same, gzipped."""

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
        if media_type := MEDIA_TYPES.get(path.suffix):
            body = path.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            packed = gzip.compress(body, mtime=0)
            yield path.relative_to(folder).as_posix(), Asset(body, packed, media_type, etag)
