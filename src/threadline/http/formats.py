"""Rows as CSV and NDJSON, for spreadsheets and pipes."""

import csv
import io

import msgspec

from threadline.contract.cells import escaped
from threadline.questions.answers import Touch
from threadline.questions.filters import plain, split
from threadline.questions.users import User


def user_ndjson(rows: list[User]) -> bytes:
    """One JSON object a line."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def user_csv(rows: list[User], columns: str = "") -> bytes:
    """RFC 4180, a header line first; nested columns as `first_touch.source`. `columns`: by commas,
    if they were chosen. No text in it is a formula to a spreadsheet."""
    found = [msgspec.to_builtins(row) for row in rows]
    text = io.StringIO()
    chosen = [plain(name) for name in split(columns, ",") if name.strip()]
    nobody = {name: NOBODY.get(name) for name in chosen or NOBODY}
    table = csv.DictWriter(text, _header(found or [nobody]))
    table.writeheader()
    table.writerows(map(_flatten, found))
    return text.getvalue().encode()


NOBODY = {
    "user_id": "",
    "known_since": "",
    "first_touch": dict.fromkeys(Touch.__struct_fields__),
    "devices": 0,
}


def _header(rows: list[dict[str, object]]) -> list[str]:
    """Column by column all that any of the rows has, such as amounts in several currencies."""
    parts: dict[str, dict[str, None]] = {name: {} for name in rows[0]}
    for row in rows:
        for name, value in row.items():
            parts[name] |= dict.fromkeys(_flatten({name: value}))
    return [name for of_column in parts.values() for name in of_column]


def _flatten(row: dict[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": _cell(part) for inner, part in value.items()}
        else:
            flat[name] = _cell(value)
    return flat


def _cell(value: object) -> object:
    return escaped(value) if isinstance(value, str) else value
