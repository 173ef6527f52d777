"""Who people are that a question counted: by the number of a person, as `person_events` has it, the
user id, or of a visitor who is nobody's the anonymous id."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from threadline.questions.context import Context

# Persons are hashes: of users, of their ids; of who is nobody's, of the visitor.
USERS = """
SELECT DISTINCT toString(sipHash64('user', user_id)) AS id, user_id
FROM tagged_touches
WHERE sipHash64('user', user_id) IN {who:Array(UInt64)}"""
VISITORS = """
SELECT toString(e.visitor) AS id, any(e.anonymous_id) AS anonymous_id
FROM counted_events AS e
WHERE e.visitor IN {who:Array(UInt64)}
GROUP BY e.visitor"""

# Per account the relation is of accounts.
ACCOUNTS = """
SELECT toString(person) AS id, account_id
FROM account_facts
WHERE person IN {who:Array(UInt64)}"""


class Person(NamedTuple):
    """One of the two; neither, if they were forgotten just now. Of a question per account the id of
    one, and neither of the two."""

    user_id: str | None = None
    anonymous_id: str | None = None
    account_id: str | msgspec.UnsetType | None = msgspec.UNSET


def people(context: Context, persons: Sequence[int]) -> list[Person]:
    """Who these are, in their order."""
    if not persons:
        return []
    values = {"who": persons}
    if context.per_account:
        names = {int(row["id"]): row["account_id"] for row in context.ask(ACCOUNTS, values)}
        return [Person(account_id=names.get(person)) for person in persons]
    users, visitors = context.reading.query_all(
        context.query(USERS, values), context.query(VISITORS, values)
    )
    found = {int(row["id"]): Person(anonymous_id=row["anonymous_id"]) for row in visitors}
    found |= {int(row["id"]): Person(user_id=row["user_id"]) for row in users}
    return [found.get(person, Person()) for person in persons]
