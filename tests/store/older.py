"""A data folder that a server of schema 12 left when it was killed, and what that version answered
from it. `schema_12/make.py` made both.

`schema_13` to `schema_15` have the same folder as the last code of each of these schemas left it
(commits 8088c9c, ea12def and 37b9a65), which was started on that of schema 12 and stopped. Their
`control.db` has schema 5, 6 and 8. No version with any of these schemas was ever released."""

import gzip
import json
import tarfile
from pathlib import Path

from tests.support import Json

HERE = Path(__file__).parent
FILES = HERE / "schema_12"
EXPECTED: Json = json.loads(gzip.decompress((FILES / "answers.json.gz").read_bytes()))


def unpack(into: Path, schema: int = 12) -> Path:
    """The folder of this schema, anew."""
    with tarfile.open(HERE / f"schema_{schema}" / "data.tar.xz") as packed:
        packed.extractall(into, filter="data")
    return into / "data"
