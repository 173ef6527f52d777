"""Answers to SQL as text: with numbers as the engine wrote them."""

import csv
import io
import json
from typing import Any

from threadline.contract.cells import escaped
from threadline.runtime.sql import Number


def as_json(value: Any) -> str:
    """A value as JSON."""
    if isinstance(value, Number):
        return value
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{as_json(n)}:{as_json(v)}" for n, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> str:
    """A value in a cell: nothing of what is absent, text without quotes."""
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else as_json(value)


def as_csv(names: list[str], rows: list[list[Any]]) -> str:
    """RFC 4180, a header line first. No text in it is a formula to a spreadsheet."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([names, *([_cell(value) for value in row] for row in rows)])
    return table.getvalue()


def _cell(value: Any) -> str:
    text = plain(value)
    return text if isinstance(value, Number) else escaped(text)
