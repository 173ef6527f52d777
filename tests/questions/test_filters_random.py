"""Random filters on random stories, asked of every question that takes them over HTTP: always the
numbers of an oracle that knows the grammar alone."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity.steps import Decision, iso
from tests.questions import oracle as counting
from tests.questions.filters_oracle import Condition, Narrowed, World, grouped
from tests.questions.filters_steps import COUNTRY, Stored, Told, filters_of, live, stories
from tests.support import Json, Project, Server
from tests.visits import oracle as visits
from tests.width import EXAMPLES
from threadline.contract.policies import PARTITIONS, POLICIES


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("narrow")
    with Server(folder, THREADLINE_COUNTRY_HEADER=COUNTRY) as server:
        yield server
        assert server.stop() == 0


class Asked(NamedTuple):
    """A project, what is asked of it, and what the oracle knows. `on`: the parameters."""

    project: Project
    narrowed: Narrowed
    on: Json

    def ask(self, path: str, **params: Any) -> Json:
        return self.project.ask(path, **{**self.on, **params})


def stats(asked: Asked) -> None:
    events = asked.narrowed.events()

    def value(metric: str, **params: Any) -> Any:
        rows = asked.ask("/v1/stats", metric=metric, **params)["rows"]
        return rows[0]["value"] if rows else 0

    assert value("count") == len(events)
    assert value("persons") == len({name for name, _ in events})
    assert value("uniques") == len({event["device"] for _, event in events})
    assert value("sum", property="value") == sum(
        int(event["properties"].get("value", 0)) for _, event in events
    )
    rows = asked.ask("/v1/stats", group_by="event_name", limit=1000)["rows"]
    by_name = grouped(events, lambda event: event["event"])
    assert {row["event_name"]: row["value"] for row in rows} == {
        name: len(found) for name, found in by_name.items()
    }
    rows = asked.ask("/v1/stats", metric="persons", group_by="event_name", limit=1000)["rows"]
    assert {row["event_name"]: row["value"] for row in rows} == {
        name: len({who for who, _ in found}) for name, found in by_name.items()
    }


def part(asked: Asked) -> None:
    """Of a part of the time, and of one event."""
    narrowed = asked.narrowed
    start, end = narrowed.world.now - dt.timedelta(days=5), narrowed.world.now
    events = [
        (name, event)
        for name, event in narrowed.events(start, end)
        if event["event"] == "$pageview"
    ]
    for metric, expected in {
        "count": len(events),
        "persons": len({name for name, _ in events}),
    }.items():
        answer = asked.ask(
            "/v1/stats", metric=metric, event="$pageview", from_=iso(start), to=iso(end)
        )
        assert (answer["rows"][0]["value"] if answer["rows"] else 0) == expected, metric


def of_visits(asked: Asked) -> None:
    answer = asked.ask("/v1/visits", group_by="source,entry_path", limit=1000)
    expected = visits.count_visits(
        asked.narrowed.visiting(),
        lambda visit: (visit.source[0], visit.entry_path or None),
        None,
        None,
    )
    found = {(row["source"], row["entry_path"]): row for row in answer["rows"]}
    assert {key: row["visits"] for key, row in found.items()} == {
        key: row["visits"] for key, row in expected.items()
    }
    for key, numbers in expected.items():
        shown = {name: found[key][name] for name in numbers}
        assert shown == pytest.approx(numbers), key


def users(asked: Asked) -> None:
    answer = asked.ask("/v1/users", limit=1000)
    assert {row["user_id"]: row["devices"] for row in answer["rows"]} == {
        person.user_id: person.devices
        for person in asked.narrowed.people.values()
        if person.user_id
    }


def attribution(asked: Asked) -> None:
    models = ["last_non_direct", "first_touch", "linear"]
    for conversion in ("signup", "$pageview"):
        answer = asked.ask("/v1/attribution", conversion=conversion, model=",".join(models))
        expected = visits.attribution(
            asked.narrowed.converting(conversion),
            conversion,
            models,
            None,
            lambda touch, names, person: (names[0], names[1]),
            None,
            None,
        )
        assert {
            (row["source"], row["medium"]): [
                (row["models"][model]["conversions"], row["models"][model]["persons"])
                for model in models
            ]
            for row in answer["rows"]
        } == {
            key: [
                (pytest.approx(row.conversions[model]), len(row.persons[model])) for model in models
            ]
            for key, row in expected.items()
            if any(row.conversions[model] > 0 for model in models)
        }
        assert answer["total"]["conversions"] == sum(
            event["event"] == conversion for _, event in asked.narrowed.events()
        )


def funnel(asked: Asked) -> None:
    steps = ["$pageview", "signup", "purchase"]
    answer = asked.ask("/v1/funnel", steps=",".join(steps), window="1d")
    counts, medians = counting.funnel(asked.narrowed.events(), steps, dt.timedelta(days=1), None)
    (row,) = answer["rows"]
    assert [step["persons"] for step in row["steps"]] == counts
    assert [step["median_seconds"] for step in row["steps"]] == medians


def retention(asked: Asked) -> None:
    for cohort, event in (("first_seen", None), ("known", "$pageview"), ("signup", "signup")):
        answer = asked.ask("/v1/retention", interval="day", periods=4, cohort=cohort, event=event)
        expected = counting.retention(asked.narrowed.events(), cohort, event, 4)
        found = {dt.date.fromisoformat(row["cohort"][:10]): row for row in answer["rows"]}
        assert {day: (row["persons"], row["retained"]) for day, row in found.items()} == {
            day: (size, kept[: len(found[day]["retained"])] if day in found else kept)
            for day, (size, kept) in expected.items()
        }


def time_to_conversion(asked: Asked) -> None:
    for conversion in ("signup", "$pageview"):
        rows = asked.ask("/v1/time-to-conversion", conversion=conversion)["rows"]
        taken = asked.narrowed.seconds_to(conversion)
        shown = [(row["persons"], row["mean_seconds"]) for row in rows]
        if taken:
            assert shown == [(len(taken), pytest.approx(sum(taken) / len(taken)))]
        else:
            assert sum(persons for persons, _ in shown) == 0


def sources(asked: Asked) -> None:
    expected: dict[Any, Counter[str]] = {}
    who: dict[Any, set[str]] = {}
    for name, person in asked.narrowed.people.items():
        for visit in person.seen.visits:
            count = expected.setdefault(visit.source[:2], Counter())
            count.update(events=len(visit.events), visits=1)
            who.setdefault(visit.source[:2], set()).add(name)
        for event in person.events:
            if not event["on_page"]:
                key = (event["source"], event["medium"])
                expected.setdefault(key, Counter()).update(events=1)
                who.setdefault(key, set()).add(name)
    answer = asked.ask("/v1/sources", limit=200)
    assert {
        (row["source"], row["medium"]): (row["events"], row["visits"], row["persons"])
        for row in answer["rows"]
    } == {key: (n["events"], n["visits"], len(who[key])) for key, n in expected.items()}


def paths(asked: Asked) -> None:
    done = [
        (name, event) for name, event in asked.narrowed.events() if event["event"] != "$identify"
    ]
    for direction in ("before", "after"):
        answer = asked.ask(
            "/v1/paths", event="signup", direction=direction, by="event", window="2h", limit=200
        )
        ways, _ = counting.paths(
            done, "signup", direction, 3, dt.timedelta(hours=2), lambda name: 0
        )
        assert {tuple(row["path"]): row["persons"] for row in answer["rows"]} == ways
        assert answer["persons"] == ways.total()


# Each question with the scopes of filters that it takes.
QUESTIONS: dict[Callable[[Asked], None], tuple[str, ...]] = {
    stats: ("event", "visit", "person"),
    part: ("event", "visit", "person"),
    of_visits: ("event", "visit", "person"),
    users: ("person",),
    attribution: ("event", "visit", "person"),
    funnel: ("event", "visit", "person"),
    retention: ("person",),
    time_to_conversion: ("event", "person"),
    sources: ("person",),
    paths: ("person",),
}
# What is asked of some people, not of all: any policy will do.
OF_USERS = (users, time_to_conversion)


class Wanted(NamedTuple):
    question: Callable[[Asked], None]
    conditions: list[Condition]
    stitch: str
    back: int
    generous: bool


@st.composite
def questions(draw: st.DrawFn) -> Wanted:
    question = draw(st.sampled_from(list(QUESTIONS)))
    return Wanted(
        question,
        draw(filters_of(*QUESTIONS[question])),
        draw(st.sampled_from(POLICIES if question in OF_USERS else PARTITIONS)),
        draw(st.sampled_from([0, 0, 1, 2])),
        draw(st.booleans()),
    )


@settings(max_examples=EXAMPLES)
@given(steps=stories(), wanted=st.lists(questions(), min_size=1, max_size=12))
def test_every_narrowed_answer_is_the_oracles(
    narrow: Server, steps: list[list[Told] | Decision], wanted: list[Wanted]
) -> None:
    """Now, and as it would have been given before the last steps."""
    project = Project(narrow)
    history = live(project, steps)
    stored = Stored(narrow, project)
    for each in wanted:
        at, sent, decided = history[max(0, len(history) - 1 - each.back)]
        now = at if each.back else dt.datetime.now(dt.UTC)
        world = World(stored.cut, stored.known(sent), each.stitch, decided, now)
        filters = ";".join(condition.text(each.generous) for condition in each.conditions)
        on = {"filters": filters, "stitch": each.stitch, "as_of": iso(at) if each.back else None}
        if each.stitch == "any" and any(c.dimension.startswith("last.") for c in each.conditions):
            # Visits, and so touches, are of one owner each.
            assert project.get("/v1/users", "rk", **on).status == 400
            continue
        each.question(Asked(project, Narrowed(world, each.conditions), on))
