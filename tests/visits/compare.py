"""Every question about visits, touches and credit, against the oracle."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.identity import oracle as identity
from tests.identity import steps as identity_steps
from tests.identity.steps import iso
from tests.support import Json, Project
from tests.visits import oracle
from threadline.contract.policies import POLICIES

SOURCE_GROUPS = ("source", "medium", "campaign", "channel")
BERLIN = ZoneInfo("Europe/Berlin")
VISIT_GROUPS: dict[str, Callable[[oracle.Visit], tuple[object, ...]]] = {
    "": lambda visit: (),
    "source,medium,campaign,channel": lambda visit: absent(visit.source),
    "source": lambda visit: visit.source[:1],
    "entry_path,exit_path": lambda visit: absent((visit.entry_path, visit.exit_path)),
    "channel,entry_path": lambda visit: absent((visit.source[3], visit.entry_path)),
}


def absent(values: tuple[str, ...]) -> tuple[str | None, ...]:
    """As answers say what is not there."""
    return tuple(value or None for value in values)


def bucket(interval: str, at: dt.datetime) -> str:
    """The start of the hour or day in Berlin, as an instant."""
    if interval == "hour":  # whose clocks differ from UTC's by whole hours
        return iso(at.replace(minute=0, second=0, microsecond=0))
    return iso(dt.datetime.combine(at.astimezone(BERLIN), dt.time(), BERLIN).astimezone(dt.UTC))


@dataclass
class Asked:
    """One project under one policy, and what the oracle knows of it. `log`: what counts."""

    project: Project
    world: oracle.World
    log: list[oracle.Event]
    policy: str
    decided: identity.Decisions = identity.NONE
    as_of: str | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def __post_init__(self) -> None:
        self.people = self.world.people(self.log, self.policy, self.decided)

    @property
    def on(self) -> Json:
        """The same as parameters."""
        return {
            "stitch": self.policy,
            "as_of": self.as_of,
            "from": iso(self.start) if self.start else None,
            "to": iso(self.end) if self.end else None,
        }

    def within(self, event: oracle.Event) -> bool:
        after = self.start is None or event["t"] >= self.start
        return after and (self.end is None or event["t"] < self.end)

    def visits(self, group_by: str, interval: str | None = None) -> None:
        params = {
            "group_by": group_by or None,
            "interval": interval,
            "tz": "Europe/Berlin",
            "limit": 1000,
        }
        on = self.on
        if interval and self.end is None:
            # A series without an end ends with now.
            last = max((event["t"] for event in self.log), default=identity_steps.START)
            on["to"] = iso(last + dt.timedelta(hours=1))
        answer = self.project.ask("/v1/visits", **params, **on)
        if not group_by:
            assert self.project.ask("/v1/sessions", **params, **on) == answer
        assert answer["visit_timeout_minutes"] == self.world.timeout / dt.timedelta(minutes=1)
        named = group_by.split(",") if group_by else []
        rows = [row for row in answer["rows"] if row["visits"]]
        found = {(row.get("bucket"), *(row[name] for name in named)): row for row in rows}

        def group(visit: oracle.Visit) -> tuple[object, ...]:
            begun = bucket(interval, visit.start) if interval else None
            return (begun, *VISIT_GROUPS[group_by](visit))

        expected = oracle.count_visits(self.people, group, self.start, self.end)
        assert len(found) == len(rows)
        assert {key: row["visits"] for key, row in found.items()} == {
            key: row["visits"] for key, row in expected.items()
        }
        for key, numbers in expected.items():
            shown = {name: found[key][name] for name in numbers}
            assert shown == pytest.approx(numbers), key

    def attribution(
        self,
        group_by: str,
        models: list[str],
        lookback_days: int | None,
        conversion: str = "signup",
    ) -> None:
        answer = self.project.ask(
            "/v1/attribution",
            conversion=conversion,
            group_by=group_by or None,
            model=",".join(models),
            lookback_days=lookback_days,
            value_property="value",
            **self.on,
        )
        by_id = {event["id"]: event for event in self.log}
        named = group_by.split(",") if group_by else []

        def column(
            name: str, touch: oracle.Touch | None, names: oracle.Names, person: oracle.Person
        ) -> str:
            if name in SOURCE_GROUPS:
                return names[SOURCE_GROUPS.index(name)]
            if name == "first_country":
                return str(person.first_event["country"])
            if names == oracle.OUTSIDE:
                return names[0]
            return str(by_id[min(touch.events)]["path"]) if touch else ""

        def group(
            touch: oracle.Touch | None, names: oracle.Names, person: oracle.Person
        ) -> tuple[str | None, ...]:
            return absent(tuple(column(name, touch, names, person) for name in named))

        lookback = dt.timedelta(days=lookback_days) if lookback_days else None
        expected = oracle.attribution(
            self.people, conversion, models, lookback, group, self.start, self.end
        )
        # What none of these models credits is left out.
        expected = {
            key: row
            for key, row in expected.items()
            if any(row.conversions[model] > 0 for model in models)
        }
        found = {tuple(row[name] for name in named): row for row in answer["rows"]}
        assert found.keys() == expected.keys()
        for key, row in expected.items():
            self._credited(found[key], row, models)
        total = answer["total"]
        assert total["conversions"] == sum(
            event["event"] == conversion and self.within(event) for event in self.log
        )
        for model in models if len(models) > 1 else ():
            parts = sum(row["models"][model]["conversions"] for row in answer["rows"])
            assert parts == pytest.approx(total["conversions"])

    def _credited(self, found: Json, row: oracle.Row, models: list[str]) -> None:
        shown = found["models"] if len(models) > 1 else {models[0]: found}
        for model in models:
            assert shown[model]["conversions"] == pytest.approx(row.conversions[model]), model
            assert shown[model]["value"] == pytest.approx(row.value[model]), model
            assert shown[model]["persons"] == len(row.persons[model]), model
        assert found["conversions"] == shown[models[0]]["conversions"]
        assert found["touches"] == len(row.lags)
        if row.lags:
            quarters = (("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p90", 0.9))
            lags = {name: oracle.quantile(row.lags, q) for name, q in quarters}
            assert found["lag_seconds"] == pytest.approx(lags)
        else:
            assert found["lag_seconds"] is None
        assert found["influenced"] == len(row.influenced)

    def sources(self, breakdown: str) -> None:
        named = breakdown.split("_")
        answer = self.project.ask("/v1/sources", breakdown=breakdown, limit=200, **self.on)
        assert answer["source_scope"] == "visit"
        expected: dict[Any, dict[str, Any]] = {}

        def row(names: oracle.Names) -> dict[str, Any]:
            key = absent(tuple(names[SOURCE_GROUPS.index(name)] for name in named))
            empty = {"events": 0, "visits": 0, "persons": set(), "uniques": set(), "paid": 0}
            return expected.setdefault(key, empty)

        def add(names: oracle.Names, name: str, event: oracle.Event, events: int) -> None:
            to = row(names)
            to["events"] += events
            to["paid"] += events * (names[1] == "paid")
            to["persons"].add(name)
            to["uniques"].add(event["device"])

        for name, person in self.people.items():
            for visit in person.visits:
                if self.within(visit.events[0]):
                    add(visit.source, name, visit.events[0], len(visit.events))
                    row(visit.source)["visits"] += 1
            for event in person.events:
                if not event["on_page"] and self.within(event):
                    add(oracle.names(event), name, event, 1)
        found = {
            tuple(row[name] for name in named): (
                row["events"],
                row["visits"],
                row["persons"],
                row["uniques"],
                row["paid_share"],
            )
            for row in answer["rows"]
        }
        assert found == {
            key: (
                row["events"],
                row["visits"],
                len(row["persons"]),
                len(row["uniques"]),
                pytest.approx(row["paid"] / row["events"]),
            )
            for key, row in expected.items()
        }

    def persons(self, group_by: str) -> None:
        """`/v1/stats` by whose source is asked for; `source` alone is the visit's."""
        answer = self.project.ask(
            "/v1/stats", metric="persons", group_by=group_by, limit=1000, **self.on
        )
        scope, _, part = group_by.replace("event_", "event.").rpartition(".")
        place = SOURCE_GROUPS.index(part)
        if not scope:
            assert answer["source_scope"] == "visit"
        expected: dict[str | None, set[str]] = {}
        for name, person in self.people.items():
            for event in filter(self.within, person.events):
                come = oracle.names(event)
                if scope in ("", "visit"):
                    come = person.source_at(event)
                elif scope == "first":
                    come = oracle.names(person.first_event)
                expected.setdefault(come[place] or None, set()).add(name)
        assert {row[group_by]: row["value"] for row in answer["rows"]} == {
            source: len(names) for source, names in expected.items()
        }

    def of_user(self, user: str, events: list[oracle.Event]) -> None:
        """The first touch and the last of a profile. `events`: what they own."""
        person = self.world.person(events)
        answer = self.project.ask(f"/v1/users/{user}", stitch=self.policy, as_of=self.as_of)
        first, last = person.first_event, answer["last_touch"]
        assert answer["first_touch"]["event_id"] == first["id"]
        assert answer["first_touch"]["source"] == first["source"]
        if person.touches:
            touch = person.touches[-1]
            shown = tuple(last[name] for name in SOURCE_GROUPS)
            assert (last["timestamp"], shown) == (iso(touch.t), absent(touch.names))
            assert last["event_id"] == min(touch.events)
        assert last["source"] != "internal"
        assert last["medium"] != "return"


def owned(
    log: list[oracle.Event], user: str, policy: str, decided: identity.Decisions
) -> list[oracle.Event]:
    """What a user owns, under any policy."""
    return [event for event in log if user in identity.owners(event, log, policy, decided)]


def why(
    project: Project,
    world: oracle.World,
    log: list[oracle.Event],
    decided: identity.Decisions,
    user: str,
    stitch: str,
    lookback_days: int | None,
    as_of: str | None = None,
    conversion: str = "signup",
) -> Json | None:
    """The reasons of a user's latest conversion are the oracle's; none where there is none."""
    reply = project.get(
        "/v1/attribution/why",
        user_id=user,
        conversion=conversion,
        stitch=stitch,
        lookback_days=lookback_days,
        as_of=as_of,
    )
    mine = [e for e in owned(log, user, stitch, decided) if e["event"] == conversion]
    if not mine:
        assert (reply.status, reply.error) == (404, "not_found")
        return None
    assert reply.status == 200, reply
    answer = reply.json
    event = max(mine, key=lambda event: (event["t"], event["id"]))
    assert answer["conversion"]["event_id"] == event["id"]
    lookback = dt.timedelta(days=lookback_days) if lookback_days else None
    expected: dict[oracle.Touch, dict[str, dict[str, float]]] = {}
    inside: set[oracle.Touch] = set()
    without: dict[str, str] = {}
    for policy in POLICIES:
        events = owned(log, user, policy, decided)
        if event["id"] not in {each["id"] for each in events}:
            continue
        person = world.person(events)
        credited = oracle.credit(person.touches, event["t"], lookback, oracle.MODELS)
        inside |= set(credited.inside)
        if not credited.inside:
            without[policy] = credited.instead[0]
        for touch, shares in credited.shares.items():
            if touch:
                expected.setdefault(touch, {})[policy] = shares
    assert answer["without_touches"] == without
    shown = {
        (touch["timestamp"], touch["event_id"]): (
            tuple(touch[name] for name in SOURCE_GROUPS),
            touch["in_window"],
            touch["credit"],
        )
        for touch in answer["touches"]
    }
    assert len(shown) == len(answer["touches"])
    assert shown == {
        (iso(touch.t), min(touch.events)): (
            absent(touch.names),
            touch in inside,
            {policy: pytest.approx(shares) for policy, shares in credit.items()},
        )
        for touch, credit in expected.items()
    }
    return answer
