"""`per=account`: questions that count people count accounts instead.

What such a question names as relations of people are relations of accounts then, with an account's
number in the place of a person's; its own SQL stays as it is. People who belong to no account are
left out, and the answer says how many.

Relations, besides those of `identity.accounts`: `account_…`, what a question gets in the place of …

    account_person_events, account_first_events, account_in_order, account_visits, account_touches
    account_first_facts   (person, source, medium, campaign, channel, path, country)
    account_changes       (visitor, half_hour)  half hours in which an event may count for another
                                                account than the next, also because the device
                                                changes hands; of these the events are read
    asked_people          (person)              who passes the filters
    account_stretches     as `stretches`, but of those half hours a row for each event
"""

from collections.abc import Mapping
from textwrap import indent
from typing import Annotated, Literal

import msgspec

from threadline.identity.accounts import BEGINNING
from threadline.identity.compose import fill
from threadline.identity.relations import COUNTED, STRETCHES
from threadline.identity.resolution import HALF_HOUR, SEVERAL, TOUCH, Resolution
from threadline.identity.visits import changing_hands
from threadline.questions.facts import Facts, with_names
from threadline.questions.filters import refused
from threadline.store.states import HALF_HOUR_MS, state

Per = Annotated[
    Literal["person", "account"],
    msgspec.Meta(
        description="`account`: accounts are counted instead of persons everywhere, and people "
        "who belong to no account are left out."
    ),
]

BEFORE = "account_"
# What a question gets of accounts where it names it.
OF_ACCOUNTS = (
    *("person_events", "person_stretches", "first_events", "in_order", "visits", "touches"),
    *("first_facts", "account_facts", "stretches"),
)
# What is known of persons alone.
OF_PERSONS = ("last_facts", "person_facts")

# An event of a person with several accounts is in the interval that began last.
EVENTS = f"""
SELECT if(m.account != {SEVERAL}, m.account, c.account) AS person, e.* EXCEPT (person)
FROM $relation AS e
INNER JOIN account_members AS m ON m.person = e.person
ASOF LEFT JOIN account_intervals AS c
    ON c.person = if(m.account = {SEVERAL}, e.person, 0) AND e.timestamp >= c.since"""

OF_SEVERAL = f"SELECT person FROM account_members WHERE account = {SEVERAL}"
# Where people with several accounts may have been.
WHERE_SEVERAL = f"""(
    r.visitor IN (SELECT visitor FROM user_links WHERE user_hash IN ({OF_SEVERAL}))
    OR $seen IN ({OF_SEVERAL})
)"""
CHANGES = f"""
SELECT r.visitor AS visitor, r.half_hour AS half_hour
FROM stretches AS r
WHERE r.half_hour IN (
        SELECT toUInt32(intDiv(toUnixTimestamp64Milli(since), {HALF_HOUR_MS}))
        FROM account_intervals
        WHERE since > {BEGINNING}
    )
    AND {WHERE_SEVERAL}"""
# Or somebody else's.
OWNER_CHANGES = """
UNION DISTINCT
SELECT visitor, half_hour
FROM changing_half_hours"""
CHANGING = f"{HALF_HOUR} IN (SELECT visitor, half_hour FROM account_changes)"
SPLIT = """
SELECT *
FROM stretches
WHERE (visitor, half_hour) NOT IN (SELECT visitor, half_hour FROM account_changes)
UNION ALL
$changing"""

# Of people with one account all that they did is the account's; of others it is looked up.
FIRST_EVENTS = f"""
SELECT person, min(first_touch) AS first_touch
FROM (
    SELECT m.account AS person, f.first_touch AS first_touch
    FROM first_events AS f
    INNER JOIN account_members AS m ON m.person = f.person
    WHERE m.account != {SEVERAL}
    UNION ALL
    SELECT person, touch AS first_touch
    FROM account_several_events
)
GROUP BY person"""
SEVERALS_TOUCHES = f"""
SELECT r.visitor AS visitor, r.user_hash AS user_hash, r.timestamp AS timestamp,
    {TOUCH.replace("e.", "r.")} AS touch
FROM counted_events AS r
WHERE {WHERE_SEVERAL}"""
SEVERALS_EVENTS = f"""
SELECT *
FROM (
    $owned
)
WHERE person IN ({OF_SEVERAL})
    $asked_for"""
ASKED_FOR = "AND person IN (SELECT person FROM asked_people)"

NAMES = """
SELECT account AS person, any(account_id) AS account_id
FROM account_people
GROUP BY account"""

# Who did what the question is about, and belongs to no account.
COUNTED_PEOPLE = "counted_people"
WITHOUT_ACCOUNT = """
SELECT uniqExact(person) AS persons
FROM $people
WHERE person NOT IN (SELECT person FROM account_members)"""


def relations_of_accounts(
    resolution: Resolution, known: Mapping[str, str], people: Mapping[str, str], narrowed: bool
) -> dict[str, str]:
    """The relations above. `known`: those of people, perhaps `narrowed` to those who are asked
    for; `people`: of everybody."""

    def of(relation: str) -> str:
        return fill(EVENTS, {"relation": relation})

    slots = resolution.slots
    by_next = resolution.policy == "next"
    severals = people["person_events"].replace("FROM considered", "FROM severals_touches")
    by_event = fill(STRETCHES, {**slots, "half_hours": "account_changed_events"})
    found = {
        "asked_people": "SELECT person FROM first_events",
        "account_person_events": of("person_events"),
        **(changing_hands(resolution) if by_next else {}),
        "account_changes": fill(CHANGES, slots) + (OWNER_CHANGES if by_next else ""),
        "account_changed_events": state("half_hours").of_each_event(CHANGING, COUNTED),
        "account_stretches": fill(SPLIT, {"changing": by_event}),
        "severals_touches": fill(SEVERALS_TOUCHES, slots),
        "severals_events": fill(
            SEVERALS_EVENTS, {"owned": severals, "asked_for": ASKED_FOR if narrowed else ""}
        ),
        "account_several_events": of("severals_events"),
        "account_first_events": fill(FIRST_EVENTS, {}),
        "account_account_facts": fill(NAMES, {}),
    }
    if "person_stretches" in known:
        # What people did is cut where they change accounts, before it is put in order.
        found["page_stretches"] = with_names(known["page_stretches"], ["stretches"], BEFORE)
        found["account_person_stretches"] = of("person_stretches")
        for name in ("in_order", "visits", "touches"):
            found[BEFORE + name] = with_names(known[name], OF_ACCOUNTS, BEFORE)
    return found


def facts_of_accounts(sql: str, facts: Facts) -> dict[str, str]:
    """The facts that the statement names, of accounts. Raises `InvalidParams` for those that only
    persons have."""
    for name in (*OF_PERSONS, *(name for name in facts.relations if name.startswith("of_trait"))):
        if sql != with_names(sql, [name], BEFORE):
            raise refused("group_by", "with per=account there are no groups by facts of persons")
    if "first_facts" not in facts.relations:
        return {}
    text = facts.relations["first_facts"]
    return {"account_first_facts": text.replace("every_first_events", "account_first_events")}


def of_accounts(sql: str) -> str:
    """The statement, asked of accounts."""
    return with_names(sql, OF_ACCOUNTS, BEFORE)


def events_of_accounts(person_events: str) -> str:
    """Such a relation, with accounts in the place of persons."""
    return fill(EVENTS, {"relation": f"(\n{indent(person_events, '    ')}\n)"})


def without_account(sql: str) -> str:
    """Of a statement whose own relations say in `considered` what it looks at: how many people did
    that who belong to no account. A question that counts only some of these people says whom in
    `counted_people`."""
    own, _, _ = sql.rpartition("\n)\n")
    people = COUNTED_PEOPLE if f"), {COUNTED_PEOPLE} AS (" in own else "person_events"
    return f"{own}\n){WITHOUT_ACCOUNT.replace('$people', people)}"
