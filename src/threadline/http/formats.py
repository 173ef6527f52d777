"""Rows as CSV and NDJSON, for spreadsheets and pipes."""

import csv
import io

import msgspec

from threadline.questions.users import User


def user_ndjson(rows: list[User]) -> bytes:
    """One JSON object a line."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def user_csv(rows: list[User]) -> bytes:
    """RFC 4180, a header line first; nested columns as `first_touch.source`."""
    text = io.StringIO()
    table = csv.writer(text)
    flat = [_flatten(msgspec.to_builtins(row)) for row in rows]
    if flat:
        table.writerow(flat[0])
        table.writerows(row.values() for row in flat)
    return text.getvalue().encode()


def _flatten(row: dict[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": part for inner, part in value.items()}
        else:
            flat[name] = value
    return flat
