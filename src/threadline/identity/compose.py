"""Statements out of named relations: each is written once, and a statement names those it needs.

A statement, or a relation, is a text for `string.Template`. Values are bound as `{name:Type}` and
never become text; what stands for structure (columns, conditions, limits) is a slot, `$name`.

Relations are named behind FROM and JOIN only: behind IN a name may mean a column, even one of the
statement around it, so there it is `IN (SELECT … FROM name)`.

A statement may define relations of its own. Their first lines are `WITH name AS (` and
`), name AS (`, at the beginning of a line, and everything within is indented.
"""

import re
from collections.abc import Iterable, Mapping
from string import Template
from textwrap import dedent, indent

OWN = re.compile(r"^(?:WITH |\), )(\w+) AS \(\n(.*?)\n(?=\))", re.MULTILINE | re.DOTALL)
ALONE = re.compile(r"^( *)\$(\w+)$", re.MULTILINE)
BOUND = re.compile(r"\{(\w+):")
NAMED = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")


def fill(sql: str, slots: Mapping[str, object]) -> str:
    """The text with its slots filled. One that stands alone on a line keeps that line's indentation
    in all of its own, or takes the line with it. Raises `KeyError` for one that is not given."""
    text = dedent(sql).strip("\n")
    alone = {
        name: indent(str(slots[name]), before).removeprefix(before)
        for before, name in ALONE.findall(text)
    }
    filled = Template(text).substitute({**slots, **alone})
    return "\n".join(line for line in filled.split("\n") if line.strip())


def compose(sql: str, relations: Mapping[str, str]) -> str:
    """The statement with a WITH clause of all `relations` that it, or one of these, names: each
    once, before what stands on it. Its own definitions stand among them, and win over others of
    their name."""
    own, asked = defined(sql)
    known = {**relations, **own}
    needed: dict[str, str] = {}

    def need(text: str) -> None:
        for name in NAMED.findall(text):
            if name in known and name not in needed:
                need(known[name])
                needed[name] = known[name]

    need(asked)
    if not needed:
        return asked
    definitions = "\n), ".join(
        f"{name} AS (\n{indent(body, '    ')}" for name, body in needed.items()
    )
    return f"WITH {definitions}\n)\n{asked}"


def defined(sql: str) -> tuple[dict[str, str], str]:
    """The relations that a statement defines, and what it asks of them."""
    sql = dedent(sql).strip("\n")
    definitions, _, asked = sql.rpartition("\n)\n") if sql.startswith("WITH ") else ("", "", sql)
    return {name: dedent(body) for name, body in OWN.findall(f"{definitions}\n)")}, asked


def all_of(parts: Iterable[str]) -> str:
    """All of them; of none, TRUE."""
    return " AND ".join(parts) or "TRUE"


def where(parts: Iterable[str]) -> str:
    """`WHERE` all of them; of none, nothing. What is needless among conditions makes reading
    slower."""
    joined = "\n    AND ".join(parts)
    return f"WHERE {joined}" if joined else ""


def bound(sql: str, values: Mapping[str, object]) -> dict[str, object]:
    """Those of the values that the statement binds."""
    named = set(BOUND.findall(sql))
    return {name: value for name, value in values.items() if name in named}
