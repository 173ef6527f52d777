"""What a question is narrowed to: which events, which visits, which people.

Relations that count people are narrowed to the people and visits that are asked for; what they were
before is `every_…`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from threadline.identity.compose import fill, where
from threadline.questions.facts import with_names

# What is narrowed to the people who are asked for, and the column that says who.
OF_PEOPLE: Mapping[str, str] = {
    "person_events": "person",
    "person_stretches": "person",
    "device_visits": "person",
    "first_events": "person",
    "first_touches": "sipHash64('user', user_id)",
    "first_touch_times": "sipHash64('user', user_id)",
}
# Those that visits follow from.
BEFORE_VISITS = ("person_stretches", "device_visits")


# The visit in which an event happened began last before it.
IN_VISITS = """
SELECT p.* EXCEPT (happened_on)
FROM events_of_visits AS p
ASOF INNER JOIN (
    SELECT person, device, fromUnixTimestamp64Milli(started, 'UTC') AS started,
        fromUnixTimestamp64Milli(ended, 'UTC') AS ended
    FROM chosen_visits
) AS c ON c.person = p.person AND c.device = p.happened_on AND p.timestamp >= c.started
WHERE p.timestamp <= c.ended"""


@dataclass(frozen=True)
class Narrowing:
    """`events`: conditions on events `e`. `persons`: on persons, `$who`. `of_visits`: only what
    happened in `chosen_visits` counts. `relations`: what these name. `values`: what they bind."""

    events: Sequence[str] = ()
    persons: Sequence[str] = ()
    of_visits: bool = False
    relations: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        return not (self.events or self.persons or self.of_visits)

    @property
    def of_people(self) -> bool:
        """Whether it matters whose an event is."""
        return bool(self.persons) or self.of_visits

    @property
    def visits(self) -> list[str]:
        """Conditions on visits, by the columns person, device and started, of questions that are
        about visits: such in which such events happened."""
        if not (self.events or self.of_visits):
            return []
        name = "met_visits" if self.events else "chosen_visits"
        return [f"(person, device, started) IN (SELECT person, device, started FROM {name})"]

    def narrowed(self, known: Mapping[str, str], visits: bool = True) -> dict[str, str]:
        """These relations, as far as they are about people only of those who are asked for, and of
        everybody's `visits` where it costs more to ask who that is."""
        # Visits are of the people who are asked for; those of everybody have names of their own.
        others = OF_PEOPLE.keys() - set(BEFORE_VISITS)
        found = {name: with_names(text, others, "every_") for name, text in known.items()}
        for name, person in OF_PEOPLE.items():
            if name not in known or (name in BEFORE_VISITS and not visits):
                continue
            every = found.pop(name)
            narrower = f"SELECT *\nFROM every_{name}"
            if name == "person_events" and self.of_visits:
                every = with_visitor(every)
                found["events_of_visits"] = _where(narrower, self.persons, person)
                narrower = IN_VISITS
            else:
                narrower = _where(narrower, self.persons, person)
            found |= {f"every_{name}": every, name: narrower}
        return {**found, **self.relations}


NOTHING = Narrowing()


def _where(sql: str, conditions: Sequence[str], person: str) -> str:
    """The conditions on a column with persons."""
    parts = [fill(each, {"who": person}) for each in conditions]
    return f"{sql}\n{where(parts)}" if parts else sql


def with_visitor(person_events: str) -> str:
    """The relation with the device of each event beside it."""
    every = "r.* EXCEPT (visitor, user_hash)"
    return person_events.replace(every, f"r.visitor AS happened_on, {every}")
