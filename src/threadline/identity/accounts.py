"""The accounts that people belong to, such as the companies they work for: joined when asked.

An event that says an account is an observation: whoever it belongs to was seen there then. So the
relation is many-to-many, and follows the policy, unlinks and aliases as all events do. An event
counts for the account of the latest observation of its person at or before it, else of the earliest
after it; of several at the same millisecond, the one with the greatest id.

Relations, besides those of `stitch`. Accounts are numbers that take the place of persons'.

    account_sightings    (visitor, user_hash, timestamp, user_id, account, account_id)
                         events that say an account, as `considered` of `person_events`
    account_observations (person, timestamp, account, account_id)
    account_people       (person, account, account_id, first_seen, last_seen)
    account_members      (person, account)        the one account of a person, or `SEVERAL`
    account_intervals    (person, account, since) of people with several: they follow each other
                         without a gap, and the first has no beginning
    account_facts        (person, account_id)     the latest of everybody
"""

from collections.abc import Mapping

from threadline.identity.compose import fill
from threadline.identity.relations import COUNTED
from threadline.identity.resolution import AS_OF, PROJECT, SEVERAL, Resolution
from threadline.store.states import relation

LINKS = "account_links"
# No event is earlier than this (see contract).
BEGINNING = "toDateTime64('1970-01-01 00:00:00', 3, 'UTC')"

UNLINKED = f"""
SELECT account, user_hash, visitor
FROM account_unlinks
WHERE {PROJECT}
    $then
GROUP BY account, user_hash, visitor
HAVING argMax(unlinked, decided_at)"""
# Whoever they are the same person as has left it, too.
UNLINKED_PEOPLE = """
SELECT $person_hash AS person, r.account AS account
FROM account_unlinked AS r
WHERE r.user_hash != 0"""
SIGHTINGS = f"""
SELECT r.visitor AS visitor, r.user_hash AS user_hash, r.timestamp AS timestamp,
    r.user_id AS user_id, r.account AS account, r.account_id AS account_id
FROM $links AS r
WHERE r.{PROJECT}
    $people
    AND (r.account, if(r.user_hash = 0, r.visitor, 0)) NOT IN (
        SELECT account, visitor FROM account_unlinked WHERE user_hash = 0
    )"""
OBSERVATIONS = """
SELECT person, timestamp, account, account_id
FROM (
    $owned
)
WHERE (person, account) NOT IN (SELECT person, account FROM account_unlinked_people)"""
# Under `any` an event may have several owners, and visitors are nobody.
OF_OWNERS = """
SELECT sipHash64('user', owner) AS person, timestamp, account, account_id
FROM (
    $owned
)"""
PEOPLE = """
SELECT person, account, any(account_id) AS account_id,
    min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM account_observations
GROUP BY person, account"""
MEMBERS = f"""
SELECT person, if(min(account) = max(account), min(account), {SEVERAL}) AS account
FROM account_observations
GROUP BY person"""
INTERVALS = f"""
SELECT person, account, if(previous = 0, {BEGINNING}, timestamp) AS since
FROM (
    SELECT person, timestamp, account,
        lagInFrame(account) OVER (
            PARTITION BY person ORDER BY timestamp ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
        ) AS previous
    FROM (
        SELECT person, timestamp, argMax(account, account_id) AS account
        FROM account_observations
        WHERE person IN (SELECT person FROM account_members WHERE account = {SEVERAL})
        GROUP BY person, timestamp
    )
)
WHERE account != previous"""
FACTS = """
SELECT person, argMax(account_id, (timestamp, account_id)) AS account_id
FROM account_observations
GROUP BY person"""

# Nearly all of the above stand on these, some more than once, and each time they are planned with
# all that says whose an event is: what names them more often reads them out of a table.
OBSERVED = "account_observations"
OBSERVED_LIKE = f"""
SELECT toUInt64(0) AS person, {BEGINNING} AS timestamp, toUInt64(0) AS account, '' AS account_id"""
OBSERVED_ANSWER = f"""
SELECT person, timestamp, account, account_id
FROM {OBSERVED}"""
OBSERVED_TABLE = f"SELECT * FROM {{kept:Identifier}}.{{{OBSERVED}:Identifier}}"

TEXTS: Mapping[str, str] = {
    "account_unlinked": UNLINKED,
    "account_unlinked_people": UNLINKED_PEOPLE,
    "account_sightings": SIGHTINGS,
    "account_people": PEOPLE,
    "account_members": MEMBERS,
    "account_intervals": INTERVALS,
    "account_facts": FACTS,
}


def accounts(resolution: Resolution, known: Mapping[str, str]) -> dict[str, str]:
    """The relations above, on those of `stitch` for this resolution, which are `known`."""
    then = f"{LINKS}_then"
    slots = {
        **resolution.slots,
        "links": then if resolution.as_of else LINKS,
        "then": f"AND decided_at <= {AS_OF}" if resolution.as_of else "",
    }
    if resolution.policy == "any":
        owned = fill(OF_OWNERS, {"owned": known["owned_events"]})
    else:
        owned = known["person_events"]
    owned = owned.replace("FROM considered", "FROM account_sightings")
    found = {name: fill(text, slots) for name, text in TEXTS.items()}
    found["account_observations"] = fill(OBSERVATIONS, {"owned": owned})
    if resolution.as_of:
        found[then] = relation(LINKS, "TRUE", COUNTED)
    return found
