"""Who people are that a question counted: by the number of a person, as `person_events` has it, the
user id, or of a visitor who is nobody's the anonymous id."""

from collections.abc import Sequence
from typing import NamedTuple

from threadline.questions.context import Context

USERS = """
SELECT DISTINCT sipHash64('user', user_id) AS person, user_id
FROM tagged_touches
WHERE person IN {persons:Array(UInt64)}"""
VISITORS = """
SELECT e.visitor AS person, any(e.anonymous_id) AS anonymous_id
FROM counted_events AS e
WHERE e.visitor IN {persons:Array(UInt64)}
GROUP BY e.visitor"""


class Person(NamedTuple):
    """One of the two; neither, if they were forgotten just now."""

    user_id: str | None = None
    anonymous_id: str | None = None


def people(context: Context, persons: Sequence[int]) -> list[Person]:
    """Who these are, in their order."""
    if not persons:
        return []
    users = {row["person"]: row["user_id"] for row in context.ask(USERS, {"persons": persons})}
    visitors = [person for person in persons if person not in users]
    found = context.ask(VISITORS, {"persons": visitors}) if visitors else []
    anonymous = {row["person"]: row["anonymous_id"] for row in found}
    return [Person(users.get(person), anonymous.get(person)) for person in persons]
