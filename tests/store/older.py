"""A data folder that a server of schema 12 left when it was killed, and what that version answered
from it. `schema_12/make.py` made both."""

import gzip
import json
import tarfile
from pathlib import Path

from tests.support import Json

FILES = Path(__file__).parent / "schema_12"
EXPECTED: Json = json.loads(gzip.decompress((FILES / "answers.json.gz").read_bytes()))


def unpack(into: Path) -> Path:
    """The folder, anew."""
    with tarfile.open(FILES / "data.tar.xz") as packed:
        packed.extractall(into, filter="data")
    return into / "data"
