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

from threadline.store.states import STATES

OWN = re.compile(r"^(?:WITH |\), )(\w+) AS \(\n(.*?)\n(?=\))", re.MULTILINE | re.DOTALL)
ALONE = re.compile(r"^( *)\$(\w+)$", re.MULTILINE)
BOUND = re.compile(r"\{(\w+):")
NAMED = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")
# Other relations are rows of a table, of which fewer are read where they are asked for.
IS_WORK = re.compile(r"\b(?:GROUP BY|JOIN|OVER)\b")
# A SELECT in the place of a value is answered while a statement is planned, when what is read once
# may be empty yet.
IS_VALUE = re.compile(r"(?<!AS )(?<!IN )(?<!FROM )(?<!JOIN )(?<!view)\(\s*SELECT\b")
# What comes out of a relation, and parts of tuples, which have no names in what was read once.
COLUMNS = re.compile(r"^SELECT\b(.*?)\bFROM\b", re.MULTILINE | re.DOTALL)
TUPLES = {
    each.name for state in STATES for each in state.values if re.match(r"Tuple\(\w+ ", each.type)
}
HAS_NAMED_PARTS = re.compile(rf"(?:^|[,.])\s*\*|\b(?:{'|'.join(sorted(TUPLES))})\b")


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


def read_once(sql: str) -> str:
    """The statement, in which relations that are work are read once where they are needed more
    often, by name or because others are that name them.

    The engine makes one as often as it is named, also within others, and on a cluster asks all
    shards each time: what one machine reads ten times in a moment takes a cluster half a minute.
    """
    relations, asked = defined(sql)
    if any(map(IS_VALUE.search, [*relations.values(), asked])):
        return sql
    times = dict.fromkeys(relations, 0)

    def count(text: str, of: int) -> None:
        for name in NAMED.findall(text):
            if name in times:
                times[name] += of

    count(asked, 1)
    once = set[str]()
    for name, body in reversed(relations.items()):  # each behind what it stands on
        has_named_parts = any(map(HAS_NAMED_PARTS.search, COLUMNS.findall(body)))
        if times[name] > 1 and IS_WORK.search(body) and not has_named_parts:
            once.add(name)
        count(body, 1 if name in once else times[name])
    return OWN.sub(lambda found: _materialized(found) if found[1] in once else found[0], sql)


def _materialized(found: re.Match[str]) -> str:
    return found[0].replace(" AS (", " AS MATERIALIZED (", 1)


def defined(sql: str) -> tuple[dict[str, str], str]:
    """The relations that a statement defines, and what it asks of them: from the first line on that
    is a bracket, of which there may be more."""
    sql = dedent(sql).strip("\n")
    definitions, _, asked = sql.partition("\n)\n") if sql.startswith("WITH ") else ("", "", sql)
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
