"""Dimensions: by what events, visits and people can be filtered and grouped. One table for both.

event    of each event `e`, as it was stored
visit    of the visit in which it happened: columns of `visits` AS `v`
person   of whom it belongs to: columns of a relation with a row for a `person`
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from threadline.questions.near import nearest

Scope = Literal["event", "visit", "person"]
Kind = Literal["text", "number", "boolean", "property"]


@dataclass(frozen=True)
class Dimension:
    """`sql`: its value; of a person over the rows of `relation`, which is one of `narrowing`. Of
    what is absent it is an empty text. `family`: where it has a key of the user's, what stands
    before that (`properties.`)."""

    scope: Scope
    sql: str
    kind: Kind = "text"
    relation: str = ""


def _of_events(*names: str) -> dict[str, Dimension]:
    return {name: Dimension("event", f"e.{name}") for name in names}


def _of_touch(relation: str, prefix: str) -> dict[str, Dimension]:
    names = ("source", "medium", "campaign", "channel", "path", "country")
    return {f"{prefix}.{name}": Dimension("person", name, relation=relation) for name in names}


SOURCE_PARTS = ("source", "medium", "campaign", "channel")
IS_BOUNCE = "(v.page_views = 1 AND v.actions = 0 AND v.ended - v.started < 10000)"

DIMENSIONS: Mapping[str, Dimension] = {
    "event": Dimension("event", "e.event_name"),
    **_of_events("event_name", "path", "url", "referrer"),
    "host": Dimension("event", "domain(e.url)"),
    **_of_events("source", "medium", "campaign", "channel", "term", "content"),
    "confidence": Dimension("event", "e.source_confidence"),
    "rule": Dimension("event", "e.source_rule_id"),
    **_of_events("country", "device_type", "browser", "os"),
    **{f"visit.{name}": Dimension("visit", f"n.{name}") for name in SOURCE_PARTS},
    "visit.entry_path": Dimension("visit", "v.entry_path"),
    "visit.exit_path": Dimension("visit", "v.exit_path"),
    "visit.bounce": Dimension("visit", IS_BOUNCE, "boolean"),
    **_of_touch("first_facts", "first"),
    **_of_touch("last_facts", "last"),
    "known": Dimension("person", "known", "boolean", "person_facts"),
    "user_id": Dimension("person", "user_id", relation="person_facts"),
    "devices": Dimension("person", "devices", "number", "person_facts"),
    "account": Dimension("person", "account_id", relation="account_facts"),
}

# What has a key of the user's behind it, such as `properties.plan`.
PROPERTIES, TRAITS = "properties.", "traits."
KEYED: Mapping[str, Scope] = {PROPERTIES: "event", TRAITS: "person"}
MAX_GUESSED = 200
# What only filters have.
DID, SEGMENT = "did", "segment"

# Of a JSON object `$json` the value under a key, as text; empty where there is none.
JSON_TEXT = (
    "multiIf(JSONType({json}, {key}) = 'String', JSONExtractString({json}, {key}), "
    "JSONType({json}, {key}) IN ('Null', ''), '', JSONExtractRaw({json}, {key}))"
)


def json_text(json: str, key: str) -> str:
    """SQL for the value under a bound key of the object, as text."""
    return JSON_TEXT.format(json=json, key=key)


def json_value_text(value: str) -> str:
    """SQL for a value as it stands in JSON, as the same text."""
    text = f"if(startsWith({value}, '\"'), JSONExtractString({value}), {value})"
    return f"if({value} = 'null', '', {text})"


def key_of(name: str) -> str | None:
    """`plan` of `properties.plan`; None for what has no key."""
    return next((name[len(prefix) :] for prefix in KEYED if name.startswith(prefix)), None)


def scope_of(name: str) -> Scope | None:
    """Whose dimension it is; None where there is none of this name."""
    if name in (DID, SEGMENT):
        return "person"
    if name in DIMENSIONS:
        return DIMENSIONS[name].scope
    return next(
        (scope for prefix, scope in KEYED.items() if key_of(name) and name.startswith(prefix)), None
    )


# What others call properties and traits: `trait:plan`, `property.plan`.
OTHERWISE = re.compile(r"\s*(prop|trait|user|person)[a-z]*[.:/ ]+(\S.*)", re.IGNORECASE)


def nearest_dimension(name: str, known: Iterable[str]) -> str | None:
    """The one of these that was probably meant; `properties.KEY` or `traits.KEY` with the key."""
    there = list(known)
    if match := OTHERWISE.fullmatch(name[:MAX_GUESSED]):
        prefix = PROPERTIES if match[1].lower() == "prop" else TRAITS
        if f"{prefix}KEY" in there:
            return f"{prefix}{match[2]}"
    return nearest(name, there)


NAMES = (*DIMENSIONS, "properties.KEY", "traits.KEY", DID, SEGMENT)
