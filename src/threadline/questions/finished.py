"""Counting where people are divided among machines (see `identity.shards`): each finishes with
those who are nobody's, who were nowhere else, so of them only numbers travel. Users may have been
on several devices, and these lie anywhere: who they were travels, and is put together.
"""

from collections.abc import Mapping, Sequence
from string import Template
from textwrap import indent
from typing import NamedTuple

from threadline.identity.compose import fill

COUNT = """
SELECT $names$measures
FROM $rows
$group_by"""


class Figure(NamedTuple):
    """An aggregate. `whole`: SQL over rows. `parts`: the columns of `finished f`, which a machine
    makes of its own rows; `together`: SQL over these, of all machines."""

    whole: str
    parts: str
    together: str


def also_nobodys(divided: bool) -> tuple[str, ...]:
    """What rows of visits need besides, to be counted."""
    return ("is_nobodys",) if divided else ()


def summed(name: str, sql: str) -> Figure:
    """Of which all is the sum of what each machine has: events, and devices."""
    return Figure(sql, f"{sql} AS sum_{name}", f"sum(f.sum_{name})")


def mean(name: str, sql: str) -> Figure:
    """Of whole numbers, so that it does not matter what was added first."""
    return Figure(f"avg({sql})", f"avgState({sql}) AS mean_{name}", f"avgMerge(f.mean_{name})")


def people(name: str, of: str = "", uniq: str = "uniqExact", done: str = "") -> Figure:
    """How many people are in rows `of` (`p.`), of which something was `done`."""
    also = f"{done} AND " if done else ""
    person, is_nobodys = f"{of}person", f"{of}is_nobodys"
    return Figure(
        f"{uniq}If({person}, {done})" if done else f"{uniq}({person})",
        f"{uniq}If({person}, {also}{is_nobodys}) AS nobodys_{name},\n"
        f"    {uniq}StateIf({person}, {also}NOT {is_nobodys}) AS users_{name}",
        f"(sum(f.nobodys_{name}) + {uniq}Merge(f.users_{name}))",
    )


def counting(
    divided: bool,
    names: Sequence[str],
    selected: str,
    measures: str,
    figures: Mapping[str, Figure],
    rows: str,
) -> dict[str, object]:
    """The slots of `COUNT`, and `finished`, which stands behind a statement's own relations.

    `divided`: people are (see `Context.is_divided`). `names`: the columns to group by, which are
    `selected`, each with a comma behind it. `measures`: SQL in which `$name` is one of the
    `figures` over `rows`, which is what stands behind FROM.
    """
    group_by = f"GROUP BY {', '.join(names)}" if names else ""
    template = Template(measures)
    named = {name: figures[name] for name in template.get_identifiers()}
    slots: dict[str, object] = {"group_by": group_by, "names": selected, "rows": rows}
    if not divided:
        of_rows = template.substitute({name: each.whole for name, each in named.items()})
        return {**slots, "finished": "", "measures": of_rows}
    parts = ",\n    ".join(each.parts for each in named.values())
    body = indent(fill(COUNT, {**slots, "measures": parts}), "    ")
    return {
        "finished": f", finished AS (\n{body}\n)",
        "names": "".join(f"f.{name} AS {name}, " for name in names),
        "measures": template.substitute({name: each.together for name, each in named.items()}),
        "rows": "finished AS f",
        "group_by": group_by,
    }
