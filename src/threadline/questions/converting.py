"""Who did a conversion: for shares of the people that a question is about."""

from collections.abc import Mapping
from textwrap import indent
from typing import NamedTuple

from threadline.identity.compose import where
from threadline.questions.context import Context
from threadline.questions.intervals import Kind, bucket
from threadline.questions.named_events import read_event

SQL = """\
, conversions AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp$bucket
    FROM counted_events AS e
    $where
), converters AS (
$owned
)"""


NOTHING: Mapping[str, object] = {}


class Converting(NamedTuple):
    """`relations`: what stands behind a statement's own. `condition`: that a person `p` did it, in
    a series in the same `bucket`. `values`: what all of it binds."""

    relations: str = ""
    condition: str = ""
    values: Mapping[str, object] = NOTHING


def converting(
    context: Context, conversion: str, within: list[str], kind: Kind | None
) -> Converting:
    """The conversion is an event or `goal:NAME`; `within`: conditions on when. Raises
    `InvalidParams`."""
    values: dict[str, object] = {}
    done = read_event(context, conversion, "conversion", values).condition
    by = ["person", *(["bucket"] if kind else [])]
    relations = SQL.replace("$bucket", f", {bucket(kind, 'e.timestamp')} AS bucket" if kind else "")
    relations = relations.replace("$where", indent(where([*within, done]), "    ").strip())
    relations = relations.replace("$owned", indent(context.owned("conversions"), "    "))
    who = f"({', '.join(f'p.{name}' for name in by)})" if kind else "p.person"
    condition = f"{who} IN (SELECT {', '.join(by)} FROM converters)"
    return Converting(relations, condition, values)


def named_events(context: Context, text: str | None, parameter: str) -> list[str | None]:
    """The event that a parameter names."""
    return [None if text is None else read_event(context, text, parameter, {}).event]
