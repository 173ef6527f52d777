"""Rows as a table for people: as wide as the terminal, and what does not fit is named."""

import shutil
import sys
from collections.abc import Sequence
from unicodedata import east_asian_width

GAP = "  "
# One long text must not push all other columns out.
MAX_CELL = 60
MIN_CELL = 8


def terminal_width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def as_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> tuple[str, list[str]]:
    """The table, and the names of columns there was no room for."""
    cells = [[_shown(cell) for cell in row] for row in [names, *rows]]
    widths = [min(MAX_CELL, max(map(_width, column))) for column in zip(*cells, strict=True)]
    fitting = len(widths)
    if width is not None:
        # Long texts give way first, then the last columns go.
        while sum(widths) + len(GAP) * (len(widths) - 1) > width and max(widths) > MIN_CELL:
            widths[widths.index(max(widths))] -= 1
        while fitting > 1 and sum(widths[:fitting]) + len(GAP) * (fitting - 1) > width:
            fitting -= 1
    lines = [GAP.join(map(_padded, row[:fitting], widths)).rstrip() for row in cells]
    lines.insert(1, GAP.join("─" * size for size in widths[:fitting]))
    return "\n".join(lines), list(names[fitting:])


def _shown(text: str) -> str:
    """On one line, and nothing that a terminal would carry out."""
    return "".join(char if char.isprintable() else "␣" for char in text)


def _width(text: str) -> int:
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, size: int) -> str:
    if _width(text) > size:
        while _width(text) > size - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (size - _width(text))
