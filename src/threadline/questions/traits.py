"""Traits: what people said of themselves, out of the state of that name.

said_traits (person, trait, said)   of a person and trait the greatest `said` is the last: there
                                    may be several, as long as parts of the state are not merged
"""

from threadline.identity.compose import fill
from threadline.identity.relations import COUNTED
from threadline.identity.resolution import PROJECT, Resolution
from threadline.store.states import relation

STATE = "traits"
# Not with FINAL, which merges all there is, and of a part of a tuple takes the greatest.
SAID_TRAITS = f"""
SELECT $person_hash AS person, r.trait AS trait, r.said AS said
FROM $traits AS r
WHERE r.{PROJECT}
    $people"""


def latest_said(names: str, also: str = "") -> str:
    """SQL: of what `said` has (timestamp, event_id, properties), the calls that said any of these
    `names` last, newest first. `also`: what else tells a name from another."""
    return f"""
SELECT latest.3 AS properties
FROM (
    SELECT max((timestamp, event_id, properties)) AS latest
    FROM said
    ARRAY JOIN {names} AS name
    GROUP BY name{also}
)
GROUP BY latest
ORDER BY latest DESC"""


def said_traits(resolution: Resolution) -> dict[str, str]:
    """The relation above, and what it stands on."""
    then = f"{STATE}_then"
    table = then if resolution.as_of else STATE
    found = {"said_traits": fill(SAID_TRAITS, {**resolution.slots, "traits": table})}
    if resolution.as_of:
        found[then] = relation(STATE, "TRUE", COUNTED)
    return found
