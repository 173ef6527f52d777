"""Writes the OpenAPI document without a running server: the dashboard's types are made from it.

    python -m tools.openapi dashboard/openapi.json

The file is left alone where it says the same already, so that nothing is built again for it.
"""

import sys
from pathlib import Path
from typing import Any, cast

import msgspec

from threadline.http.app import App
from threadline.http.openapi import document


def text() -> bytes:
    """The same document as `GET /openapi.json` of a server, with lines."""
    # Routes are a table: nothing of it needs what answers are made from.
    routes = App(cast(Any, None)).routes
    return msgspec.json.format(msgspec.json.encode(document(routes))) + b"\n"


def main() -> None:
    """To the file that is named, else to standard output."""
    if len(sys.argv) == 1:
        sys.stdout.buffer.write(text())
        return
    path = Path(sys.argv[1])
    if not path.exists() or path.read_bytes() != text():
        path.write_bytes(text())


if __name__ == "__main__":
    main()
