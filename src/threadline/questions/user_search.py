"""Which users are found by a part of their id, or of what they said of themselves; and which are
the newest.

searched_users (user_id, known_since)   who has the text somewhere, in capitals or not
"""

from collections.abc import Mapping
from typing import NamedTuple

from threadline.identity.compose import fill, where
from threadline.questions.context import Context
from threadline.questions.dimensions import json_value_text

# A text without a backslash stands in JSON as it is, between quotes. Reading the others takes
# longer than all the rest.
TEXT = "if(position($of, char(92)) > 0, $read, trimBoth($of, '\"'))"


def _has_it(value: str) -> str:
    """Whether a value as it stands in JSON has the text."""
    text = TEXT.replace("$read", json_value_text(value)).replace("$of", value)
    return f"{value} != 'null' AND positionCaseInsensitiveUTF8({text}, {{search:String}}) > 0"


# Whoever ever said it is found first: of these few it is looked up what they said last.
RELATIONS: Mapping[str, str] = {
    "ever_said": f"""
SELECT cityHash64(person, trait) AS said_by
FROM said_traits
WHERE {_has_it("said.value")}""",
    "found_people": f"""
SELECT who AS person
FROM (
    SELECT any(person) AS who, max(said).value AS last_said
    FROM said_traits
    WHERE cityHash64(person, trait) IN (SELECT said_by FROM ever_said)
    GROUP BY cityHash64(person, trait)
)
WHERE {_has_it("last_said")}""",
    "searched_users": """
SELECT user_id, min(known_since) AS known_since
FROM tagged_touches
WHERE positionCaseInsensitiveUTF8(user_id, {search:String}) > 0
    OR sipHash64('user', user_id) IN (SELECT person FROM found_people)
GROUP BY user_id""",
}
SEARCHED = """
SELECT user_id
FROM searched_users
$where
ORDER BY known_since DESC, user_id
LIMIT $limit"""


# Of those known last, no more is needed than who they are.
NEWEST = """
SELECT user_id, min(known_since) AS known_since
FROM tagged_touches
GROUP BY user_id
HAVING $behind
ORDER BY known_since DESC, user_id
LIMIT $limit"""


class Searched(NamedTuple):
    """`users`: who is found, at most as many as were asked for, those known last. `is_cut`: there
    are more."""

    users: list[str]
    is_cut: bool


def search(
    context: Context, text: str, most: int, conditions: list[str], values: dict[str, object]
) -> Searched:
    """Users who are found by the text and pass the conditions, which bind `values`. Statements of
    the context may name the relation above from then on."""
    context.facts.need_traits()
    context.facts.relations |= {name: fill(sql, {}) for name, sql in RELATIONS.items()}
    context.facts.values["search"] = text
    rows = context.ask(SEARCHED, values, {"where": where(conditions), "limit": most + 1})
    return Searched([row["user_id"] for row in rows[:most]], len(rows) > most)


def newest(
    context: Context, most: int, conditions: list[str], values: dict[str, object]
) -> list[str]:
    """The users known last who pass the conditions, which bind `values`; at most so many."""
    behind = " AND ".join(conditions) or "TRUE"
    rows = context.ask(NEWEST, values, {"behind": behind, "limit": most})
    return [row["user_id"] for row in rows]
