"""Rows as CSV and NDJSON, for spreadsheets and pipes."""

import csv
import io
import threading
from collections.abc import Generator

import msgspec

from threadline.contract.cells import escaped
from threadline.questions.account_list import AccountRow
from threadline.questions.answers import Touch
from threadline.questions.filters import plain, split
from threadline.questions.users_shapes import User


def user_ndjson(rows: list[User] | list[AccountRow]) -> bytes:
    """One JSON object a line."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


class UserCsv:
    """RFC 4180, a header line first; nested columns as `first_touch.source`. No text in it is a
    formula to a spreadsheet."""

    def __init__(self, rows: list[User], columns: str = "") -> None:
        """`rows`: the header has what these have. `columns`: by commas, if they were chosen."""
        chosen = [plain(name) for name in split(columns, ",") if name.strip()]
        nobody = {name: NOBODY.get(name) for name in chosen or NOBODY}
        self._text = io.StringIO()
        self._table = csv.DictWriter(self._text, _header([*map(_builtins, rows)] or [nobody]))
        self._table.writeheader()

    def lines(self, rows: list[User]) -> bytes:
        """The next lines, the header before the first."""
        self._table.writerows(_flatten(_builtins(row)) for row in rows)
        lines = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return lines


class Lines:
    """Lines made piece by piece, as the part of a file that whoever sends them needs. Closed while
    the next is being made, it ends with that."""

    def __init__(self, pieces: Generator[bytes], source: Generator[object]) -> None:
        """`source`: what the pieces are made of, closed with them."""
        self._pieces, self._source = pieces, source
        self._reading = threading.Lock()
        self._closed = False

    def read(self, size: int) -> bytes:
        """The next piece, of any size."""
        with self._reading:
            piece = b"" if self._closed else next(self._pieces, b"")
        if self._closed:
            self.close()
        return piece

    def close(self) -> None:
        self._closed = True
        if self._reading.acquire(blocking=False):
            self._pieces.close()
            self._source.close()
            self._reading.release()


def _builtins(row: User) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(row)
    return found


def account_csv(rows: list[AccountRow]) -> bytes:
    """The same of accounts."""
    flat = [_flatten(msgspec.to_builtins(row)) for row in rows]
    text = io.StringIO()
    table = csv.DictWriter(text, flat[0] if flat else _flatten(NO_ACCOUNT))
    table.writeheader()
    table.writerows(flat)
    return text.getvalue().encode()


NO_ACCOUNT = {
    **dict.fromkeys(AccountRow.__struct_fields__),
    "first_touch": dict.fromkeys(Touch.__struct_fields__),
}
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
