"""Cells of CSV that a spreadsheet would run as a formula: whoever sends events could write them.

An apostrophe before such a text makes it text for every spreadsheet. Texts that begin like one that
got an apostrophe get one more, so that taking one away gives back exactly what there was.
"""

import re

APOSTROPHE = "'"
# What formulas begin with; tabs and line ends before one are passed over.
# The last four are the wide signs of East Asian keyboards.
RUNS = "'*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]"
_runs = re.compile(RUNS)
_escaped = re.compile(APOSTROPHE + RUNS)


def escaped(text: str) -> str:
    """The text as it may stand in a cell."""
    return APOSTROPHE + text if _runs.match(text) else text


def unescaped(cell: str) -> str:
    """The text that `escaped` was given."""
    return cell[1:] if _escaped.match(cell) else cell


def escaped_sql(column: str) -> str:
    """SQL for `escaped` of a column of text; null stays null."""
    pattern = RUNS.replace("\\", "\\\\").replace("'", "\\'")
    return f"if(match({column}, '^{pattern}'), concat('\\'', {column}), {column})"
