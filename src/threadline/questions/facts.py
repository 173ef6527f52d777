"""What is known of everybody, a row a person: for filters, and to group by.

Relations, of all people whatever a question is narrowed to. They stand on `every_first_events`, and
on visits of all times: `all_visits`, `all_touches`, …

    first_facts   (person, source, medium, campaign, channel, path, country)
                  of everybody's first event
    last_facts    the same of the last touch; direct where there never was one
    person_facts  (person, known, user_id, devices)
                  `devices`, and above `path` and `country`, only where they are asked for
    account_facts (person, account_id)
                                      the account that they were seen in last; who never was has
                                      no row
    of_trait_…    (person, value)             one trait, as it was said last; who never said it has
                                              no row
"""

import re
from collections.abc import Collection, Mapping

from threadline.identity.accounts import accounts
from threadline.identity.compose import NAMED, fill
from threadline.identity.resolution import Resolution
from threadline.identity.visits import DIRECT, Wanted
from threadline.questions.dimensions import DIMENSIONS, TRAITS, json_value_text
from threadline.questions.filters import refused
from threadline.questions.traits import said_traits

FIRST_FACTS = """
SELECT f.person AS person, n.source AS source, n.medium AS medium, n.campaign AS campaign,
    n.channel AS channel$details
FROM every_first_events AS f
LEFT ANY JOIN named_sources AS n ON n.traffic_source = f.first_touch.traffic_source
$joined"""
# The states hold no paths and countries; each is fetched from where its event lies.
FIRST_DETAILS = """
LEFT ANY JOIN (
    SELECT e.visitor AS visitor, e.event_id AS event_id, e.path AS path,
        toString(e.country) AS country
    FROM counted_events AS e
    WHERE (e.visitor, e.event_id) IN (
        SELECT first_touch.visitor, first_touch.event_id FROM every_first_events
    )
) AS d ON d.visitor = f.first_touch.visitor AND d.event_id = f.first_touch.event_id"""
DETAILS = ", d.path AS path, d.country AS country"

LAST_FACTS = f"""
SELECT f.person AS person, n.source AS source, n.medium AS medium, n.campaign AS campaign,
    n.channel AS channel$details
FROM every_first_events AS f
LEFT ANY JOIN (
    SELECT person, touches[-1] AS touch FROM all_touches
) AS t ON t.person = f.person
LEFT ANY JOIN named_sources AS n
    ON n.traffic_source = if(t.touch.1 = 0, {DIRECT}, t.touch.2)
$joined"""
LAST_DETAILS = """
LEFT ANY JOIN (
    SELECT e.visitor AS visitor, toUnixTimestamp64Milli(e.timestamp) AS at,
        argMin(e.path, (e.path = '', e.event_id)) AS path,
        argMin(toString(e.country), (e.path = '', e.event_id)) AS country
    FROM counted_events AS e
    WHERE (visitor, at) IN (SELECT touches[-1].3, touches[-1].1 FROM all_touches)
    GROUP BY visitor, at
) AS d ON d.visitor = t.touch.3 AND d.at = t.touch.1"""

PERSON_FACTS = """
SELECT f.person AS person, u.user_id != '' AS known, u.user_id AS user_id$details
FROM every_first_events AS f
LEFT ANY JOIN (
    SELECT sipHash64('user', user_id) AS person, user_id FROM tagged_touches
) AS u ON u.person = f.person
$joined"""
# Whoever is nobody's has the one device that they are.
DEVICES = ", if(known, d.devices, 1) AS devices"
PERSON_DEVICES = """
LEFT ANY JOIN (
    SELECT user_hash AS person, uniqExact(visitor) AS devices FROM user_links GROUP BY user_hash
) AS d ON d.person = f.person"""

TRAIT = f"""
SELECT person, {json_value_text("last_said")} AS value
FROM (
    SELECT person, max(said).value AS last_said FROM said_traits WHERE trait = $key GROUP BY person
)"""

VISIT_COLUMNS = ("page_views", "actions", "arrival", "arrivals")
PATHS = ("entry_path", "exit_path")
OF_VISITS = frozenset(
    "page_stretches person_stretches device_visits in_order visits touches".split()
)
# Of each relation the columns that cost more, as they are selected, and what they are joined from.
TEXTS: Mapping[str, tuple[str, tuple[str, ...], str, str]] = {
    "first_facts": (FIRST_FACTS, ("path", "country"), DETAILS, FIRST_DETAILS),
    "last_facts": (LAST_FACTS, ("path", "country"), DETAILS, LAST_DETAILS),
    "person_facts": (PERSON_FACTS, ("devices",), DEVICES, PERSON_DEVICES),
}


class Facts:
    """Those relations that are needed, and what they bind."""

    def __init__(self, resolution: Resolution, known: Mapping[str, str]) -> None:
        """`known`: the relations of `stitch` on this resolution."""
        self.relations: dict[str, str] = {}
        self.values: dict[str, object] = {}
        self._resolution = resolution
        self._known = known
        self.visits: Wanted | None = None

    def of(self, dimension: str, parameter: str = "filters") -> tuple[str, str]:
        """The relation that has a dimension of people, and its column there. Raises
        `InvalidParams`, which names the parameter, where the policy has none."""
        if dimension.startswith(TRAITS):
            return self._trait(dimension.removeprefix(TRAITS)), "value"
        found = DIMENSIONS[dimension]
        if found.relation == "account_facts":
            self.relations |= accounts(self._resolution, self._known)
            return found.relation, found.sql
        facts, columns, details, joined = TEXTS[found.relation]
        is_detail = found.sql in columns
        if is_detail or found.relation not in self.relations:
            slots = {"details": "", "joined": ""}
            if is_detail:
                slots = {"details": details, "joined": joined.strip()}
            self.relations[found.relation] = fill(facts, slots)
        if found.relation == "last_facts":
            self.need_visits("last touches", parameter)
        return found.relation, found.sql

    def need_visits(self, what: str, parameter: str = "filters", paths: bool = False) -> None:
        """All visits, whatever the question itself needs of them: `visits` says what, for whoever
        has them. `paths`: also where they begin and end, which costs more. Raises
        `InvalidParams`."""
        if self._resolution.policy == "any":
            raise refused(
                parameter,
                f"{what} need a policy under which each event has one owner; choose stitch=next",
            )
        paths = paths or (self.visits is not None and PATHS[0] in self.visits.columns)
        self.visits = Wanted((*VISIT_COLUMNS, *PATHS) if paths else VISIT_COLUMNS)

    def need_traits(self) -> None:
        """What everybody said of themselves."""
        self.relations |= said_traits(self._resolution)

    def _trait(self, trait: str) -> str:
        known = {value: name for name, value in self.values.items()}
        name = known.get(trait, f"trait_{len(known) + 1}")
        relation = f"of_{name}"
        self.need_traits()
        self.relations[relation] = fill(TRAIT, {"key": f"{{{name}:String}}"})
        self.values[name] = trait
        return relation


def of_all(visits: Mapping[str, str]) -> dict[str, str]:
    """Relations of visits by the names that facts have for those of everybody."""
    return {
        f"all_{name}" if name in OF_VISITS else name: with_names(text, OF_VISITS, "all_")
        for name, text in visits.items()
    }


def with_names(text: str, names: Collection[str], before: str) -> str:
    """The text with these relations under other names."""

    def rename(found: re.Match[str]) -> str:
        return found[0].replace(found[1], before + found[1]) if found[1] in names else found[0]

    return NAMED.sub(rename, text)
