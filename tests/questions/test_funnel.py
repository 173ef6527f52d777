"""Funnels: steps of every kind, who is at each, and by what they can be grouped."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import Json, Project, Server, row_values
from threadline.contract.errors import InvalidParams
from threadline.contract.policies import PARTITIONS
from threadline.ingest import row
from threadline.questions import funnel
from threadline.questions.context import Context
from threadline.questions.filters import read_filters
from threadline.questions.funnel_groups import ALLOWED
from threadline.questions.named import Goal, Names
from threadline.store import Store, store_url

FACEBOOK = "/?utm_source=facebook&utm_medium=paid"
# Ann read twice, signed up and bought on two devices; Ben, whom nobody knows, bought unread docs;
# Cy tried it and looked once more.
LOG: list[tuple[str, str, str, str | None, str, Json]] = [
    ("10:00", "$pageview", "phone", None, FACEBOOK, {"plan": "free", "path": "a"}),
    ("10:01", "$pageview", "phone", None, "/pricing", {}),
    ("10:02", "$identify", "phone", "ann", "/pricing", {"team": "red"}),
    ("10:03", "signup", "phone", "ann", "/signup", {"plan": "pro"}),
    ("12:00", "purchase", "laptop", "ann", "/buy", {"plan": "pro", "amount": 20}),
    ("12:01", "$pageview", "laptop", "ann", "/pricing", {}),
    ("10:00", "$pageview", "desk", None, "/docs/x", {}),
    ("10:05", "refund", "desk", None, "/docs/x", {"why": "no"}),
    ("10:06", "purchase", "desk", None, "/buy", {"plan": "free", "amount": "5"}),
    ("10:00", "trial_started", "cafe", "cy", "/", {"plan": None}),
    ("10:09", "$pageview", "cafe", "cy", "/pricing", {"plan": "pro"}),
]


def tell(project: Project) -> Project:
    project.batch(
        [
            {
                "event": event,
                "anonymous_id": device,
                "user_id": user,
                "timestamp": f"2026-05-01T{at}:00Z",
                "url": f"https://shop.example{path}",
                "properties": properties,
            }
            for at, event, device, user, path, properties in LOG
        ]
    )
    return project


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    return tell(Project(server))


def counts(project: Project, steps: str, **params: Any) -> list[int]:
    (row,) = project.ask("/v1/funnel", steps=steps, **params)["rows"]
    return [step["persons"] for step in row["steps"]]


STEPS: list[tuple[str, list[int]]] = [
    # Pages are told apart by path, and by all there is to say of an event.
    ("$pageview{path=/},$pageview{path=/pricing}", [1, 1]),
    ("$pageview{path==/pricing},signup", [2, 1]),
    ("$pageview{path=^/docs/*},purchase", [1, 1]),
    ("$pageview{source=facebook},signup{path=@sign}", [1, 1]),
    ("$pageview{medium!=paid},purchase", [3, 2]),
    # Other names are those of properties; so is `properties.path`.
    ("$pageview,purchase{plan=pro}", [3, 1]),
    ("$pageview,purchase{plan=pro|free}", [3, 2]),
    ("$pageview,purchase{plan=pro;amount>=10}", [3, 1]),
    ("$pageview,purchase{amount<10}", [3, 1]),
    ("$pageview{properties.path=a},signup", [1, 1]),
    ("$pageview{plan=(none)},purchase", [2, 2]),
    ("$pageview,purchase{properties.plan!=pro}", [3, 1]),
    # Several names, the same one again, and one that need not be.
    ("$pageview,signup|trial_started", [3, 1]),
    ("signup|trial_started{plan=pro},purchase", [1, 1]),
    ("$pageview,$pageview", [3, 1]),
    ("$pageview,$pageview,$pageview", [3, 1, 1]),
    ("$pageview,$pageview,$pageview,$pageview", [3, 1, 1, 0]),
    ("$pageview,$pageview,signup", [3, 1, 1]),
    ("$pageview,$pageview{path=/pricing}", [3, 1]),
    ("$pageview,signup?,purchase", [3, 1, 2]),
    ("$pageview,refund?,signup?,purchase", [3, 1, 1, 2]),
    ("$pageview,signup{plan=pro}?", [3, 1]),
]


@pytest.mark.parametrize(("steps", "expected"), STEPS)
def test_steps_take_the_grammar_of_filters(shop: Project, steps: str, expected: list[int]) -> None:
    assert counts(shop, steps) == expected


ORDERS: list[tuple[str, Json, list[int]]] = [
    # Nothing in between but what is said of somebody.
    ("$pageview,signup,purchase", {"order": "strict"}, [3, 1, 1]),
    ("$pageview,purchase", {"order": "strict"}, [3, 0]),
    ("$pageview{path=/},signup", {"order": "strict"}, [1, 0]),
    ("$pageview,signup?,purchase", {"order": "strict"}, [3, 1, 1]),
    ("$pageview,refund?,purchase", {"order": "strict"}, [3, 1, 1]),
    # In any order, each event once.
    ("purchase,signup,$pageview", {"order": "any"}, [3, 2, 1]),
    ("purchase,signup,$pageview", {"order": "any", "window": "1h"}, [3, 2, 0]),
    ("$pageview,$pageview,$pageview,$pageview", {"order": "any"}, [3, 1, 1, 0]),
    ("$pageview,trial_started", {"order": "any"}, [3, 1]),
    ("$pageview,purchase", {"order": "any", "exclude": "refund"}, [3, 1]),
    # What starts it over: with conditions, several, and what is a step as well.
    ("$pageview,purchase", {"exclude": "refund"}, [3, 1]),
    ("$pageview,purchase", {"exclude": "refund{why=yes}"}, [3, 2]),
    ("$pageview,purchase", {"exclude": "refund,signup"}, [3, 0]),
    ("$pageview{path=/},signup", {"exclude": "$pageview"}, [1, 0]),
    ("$pageview,signup", {"exclude": "$pageview"}, [3, 1]),
    ("$pageview,purchase,$pageview", {"window": "119m"}, [3, 2, 0]),
    ("$pageview,purchase,$pageview", {"window": "121m"}, [3, 2, 1]),
]


@pytest.mark.parametrize(("steps", "params", "expected"), ORDERS)
def test_what_may_come_in_between(
    shop: Project, steps: str, params: Json, expected: list[int]
) -> None:
    assert counts(shop, steps, **params) == expected


FILTERS: list[tuple[str, Json, list[int]]] = [
    ("path==/pricing", {}, [2, 0]),
    # What excludes need not pass.
    ("event!=refund", {"exclude": "refund"}, [3, 1]),
    ("properties.plan!=x", {"order": "strict"}, [3, 0]),
    ("first.source==facebook", {}, [1, 1]),
    ("did==refund", {}, [1, 1]),
    ("visit.entry_path==/docs/x", {}, [1, 1]),
    ("visit.source==facebook", {}, [1, 0]),
]


@pytest.mark.parametrize(("filters", "params", "expected"), FILTERS)
def test_filters_narrow_all_steps(
    shop: Project, filters: str, params: Json, expected: list[int]
) -> None:
    assert counts(shop, "$pageview,purchase", filters=filters, **params) == expected


REFUSED: list[tuple[Json, str, str]] = [
    ({"steps": "$pageview"}, "steps", "name 2 to 10 events"),
    ({"steps": "$pageview,,x"}, "steps", "write event names separated by commas"),
    ({"steps": "$pageview,x|"}, "steps", "write event names separated by commas"),
    ({"steps": "$pageview,x{}"}, "steps", "write event names separated by commas"),
    ({"steps": "$pageview,x{a=1"}, "steps", "each { needs its }"),
    ({"steps": "$pageview,x{plan}"}, "steps", "is not a condition"),
    ({"steps": "$pageview,x{plan>a}"}, "steps", "takes a number or a time"),
    ({"steps": "$pageview,x{path=~[}"}, "steps", "cannot be read"),
    ({"steps": "$pageview,x{first.source=a}"}, "steps", "write filters=first.source==a"),
    ({"steps": "$pageview,x{did=a}"}, "steps", "write filters=did==a"),
    ({"steps": "$pageview,x{user_id=a}"}, "steps", "or properties.user_id for a property"),
    ({"steps": "$pageview,x{visit.source=a}"}, "steps", "is about visits"),
    ({"steps": "$pageview,goal:order"}, "steps", "there is no goal 'order'"),
    ({"steps": "$pageview?,x"}, "steps", "the first step is never optional"),
    ({"steps": "x,y?", "order": "any"}, "steps", "no step is optional"),
    ({"steps": "x,x{a=1}", "order": "any"}, "steps", "rule each other out"),
    ({"steps": "x,y", "exclude": "z?"}, "exclude", "what excludes is never optional"),
    ({"steps": "x,y", "exclude": "z{known=true}"}, "exclude", "write filters=known==true"),
    ({"steps": "x,y", "exclude": "z", "order": "strict"}, "exclude", "leave it out"),
    ({"steps": "x,y", "order": "none"}, "order", "sequence"),
]


@pytest.mark.parametrize(("params", "parameter", "said"), REFUSED)
def test_what_cannot_be_asked_is_said(
    shop: Project, params: Json, parameter: str, said: str
) -> None:
    reply = shop.get("/v1/funnel", **params)
    assert (reply.status, reply.error) == (400, "invalid_params")
    assert said in reply.json["details"]["fieldErrors"][parameter][0]


def test_slips_in_steps_are_noticed(shop: Project) -> None:
    warnings = shop.ask("/v1/funnel", steps="$pageview,singup|signin")["warnings"]
    assert [warning["code"] for warning in warnings] == ["unknown_event"] * 2
    assert "did you mean 'signup'?" in warnings[0]["message"]
    (warning,) = shop.ask("/v1/funnel", steps="$pageview,purchase{amuont>1}")["warnings"]
    assert (warning["code"], warning["parameter"]) == ("unknown_property", "steps")
    assert "did you mean 'amount'?" in warning["message"]
    assert "warnings" not in shop.ask("/v1/funnel", steps="$pageview,purchase{amount>99}")


def test_a_step_may_be_a_goal(tmp_path: Path) -> None:
    goals = {
        "large order": Goal("purchase", tuple(read_filters("properties.value>=5;path!=/free"))),
        "lead": Goal("signup"),
    }
    with Store(store_url("chdb", tmp_path)) as store:
        rows = [
            row_values(
                project_id="p",
                event_id=f"{minute}",
                event_name=event,
                anonymous_id=device,
                timestamp=1_777_636_800_000 + minute * 60_000,
                properties=f'{{"value": {minute}}}',
            )
            for minute, (event, device) in enumerate(
                [
                    *(("$pageview", "a"), ("$pageview", "b"), ("signup", "b")),
                    *(("purchase", "a"), ("purchase", "a"), ("purchase", "b")),
                ]
            )
        ]
        body = b"".join(map(row.encode, rows))
        store.insert("events", row.COLUMNS, "MsgPack", body, "p")
        context = Context(store, "p", "next", names=Names(goal=goals.get))

        def asked(steps: str) -> list[tuple[str, int]]:
            (found,) = funnel.ask(context, funnel.FunnelParams(steps=steps)).rows
            return [(step.step, step.persons) for step in found.steps]

        assert asked("$pageview,goal:large order")[1] == ("goal:large order", 1)
        assert asked("$pageview,goal:lead|purchase")[1] == ("goal:lead|purchase", 2)
        assert asked("$pageview,goal:lead,goal:large order{value<6}")[2][1] == 1
        assert asked("$pageview,goal:lead,goal:large order{value<5}")[2][1] == 0
        with pytest.raises(InvalidParams, match="there is no goal 'order'"):
            asked("$pageview,goal:order")


def test_names_may_hold_what_steps_are_written_with(project: Project) -> None:
    names = ["Ready?", "a|b", "goal:x", "x{y}"]
    for minute, name in enumerate(names):
        at = f"2026-05-01T10:0{minute}:00Z"
        project.track(name, anonymous_id="d", timestamp=at, properties={"re": "aa", "o": {"k": 1}})
    (row,) = project.ask("/v1/funnel", steps=r"Ready\?,a\|b,\goal:x,x\{y\}{re=~^a{2}$}")["rows"]
    assert [(step["step"], step["persons"]) for step in row["steps"]] == [
        *((name, 1) for name in names[:3]),
        ("x{y}{re=~^a{2}$}", 1),
    ]
    assert counts(project, r'Ready\?,a\|b{o=\{"k":1\}}') == [1, 1]


def test_times_between_steps_and_of_the_whole(shop: Project) -> None:
    (row,) = shop.ask("/v1/funnel", steps="$pageview,signup?,purchase", percentiles="true")["rows"]
    assert row["steps"][1] == {
        "step": "signup",
        "persons": 1,
        "share": 1 / 3,
        "median_seconds": 120.0,
        "p25_seconds": 120.0,
        "p75_seconds": 120.0,
        "p90_seconds": 120.0,
        "optional": True,
    }
    # From the step before that nobody may leave out: 6 minutes, and 119.
    whole = {
        "median_seconds": 3750.0,
        "p25_seconds": 2055.0,
        "p75_seconds": 5445.0,
        "p90_seconds": pytest.approx(6462.0),
    }
    assert row["total"] == whole
    assert row["steps"][2] == {"step": "purchase", "persons": 2, "share": 2 / 3, **whole}
    (plain,) = shop.ask("/v1/funnel", steps="$pageview,purchase", percentiles="true")["rows"]
    assert (plain["total"], plain["steps"][1]["p90_seconds"]) == (whole, whole["p90_seconds"])
    (nobody,) = shop.ask("/v1/funnel", steps="refund,signup", percentiles="true")["rows"]
    assert set(nobody["total"].values()) == {None}


GROUPS: list[tuple[str, Json, dict[str | None, list[int]]]] = [
    ("source", {}, {"facebook": [1, 1], "direct": [2, 1]}),
    ("first.source", {}, {"facebook": [1, 1], "direct": [2, 1]}),
    ("traits.team", {}, {"red": [1, 1], None: [2, 1]}),
    ("known", {}, {"true": [2, 1], "false": [1, 1]}),
    ("devices", {}, {"2": [1, 1], "1": [2, 1]}),
    ("user_id", {}, {"ann": [1, 1], "cy": [1, 0], None: [1, 1]}),
    # Of the event that was the first step of the way: Ann's last before she bought.
    ("path", {}, {"/pricing": [2, 1], "/docs/x": [1, 1]}),
    ("event_source", {}, {"direct": [3, 2]}),
    ("properties.plan", {}, {"pro": [1, 0], None: [2, 2]}),
    ("visit.source", {}, {"facebook": [1, 1], "direct": [2, 1]}),
    ("visit.entry_path", {}, {"/": [2, 1], "/docs/x": [1, 1]}),
    ("visit.bounce", {}, {"false": [3, 2]}),
    ("path", {"order": "any"}, {"/pricing": [2, 1], "/docs/x": [1, 1]}),
    ("path", {"order": "strict"}, {"/": [1, 0], "/pricing": [1, 0], "/docs/x": [1, 0]}),
]


@pytest.mark.parametrize(("group", "params", "expected"), GROUPS)
def test_groups_are_of_the_person_or_of_the_first_step(
    shop: Project, group: str, params: Json, expected: dict[str | None, list[int]]
) -> None:
    rows = shop.ask("/v1/funnel", steps="$pageview,purchase", group_by=group, **params)["rows"]
    found = {row[group]: [step["persons"] for step in row["steps"]] for row in rows}
    assert found == expected
    # Of each group the same people, one by one.
    for value, (entered, bought) in expected.items():
        asked = {"steps": "$pageview,purchase", "group_by": group, "group": value or "(none)"}
        people = shop.ask("/v1/funnel/people", step=1, **asked, **params)["rows"]
        assert [row[group] for row in people] == [value] * entered
        lost = shop.ask("/v1/funnel/people", step=2, dropped="true", **asked, **params)["rows"]
        assert len(lost) == entered - bought


NAMES = [name.replace("KEY", "plan") for name in ALLOWED]
# Some at once, so that each kind is asked for beside others: every eighth.
BESIDE = [NAMES[start::8] for start in range(8)]


@pytest.mark.parametrize(("nth", "names"), [*enumerate(BESIDE)])
def test_every_dimension_groups_everybody_once(shop: Project, nth: int, names: list[str]) -> None:
    asked = {"steps": "$pageview,purchase", "stitch": PARTITIONS[nth % len(PARTITIONS)]}
    (row,) = shop.ask("/v1/funnel", **asked)["rows"]
    whole = [step["persons"] for step in row["steps"]]
    rows = shop.ask("/v1/funnel", group_by=",".join(names), **asked)["rows"]
    assert [sum(row["steps"][k]["persons"] for row in rows) for k in (0, 1)] == whole
    assert list(rows[0]) == [*names, "steps"]


def test_groups_are_narrowed_as_people_and_visits_are(shop: Project) -> None:
    answer = shop.ask(
        "/v1/funnel",
        steps="$pageview,purchase",
        filters="visit.entry_path==/docs/x;did==refund",
        group_by="visit.entry_path,path,source",
    )
    (row,) = answer["rows"]
    assert (row["visit.entry_path"], row["path"], row["source"]) == ("/docs/x", "/docs/x", "direct")


def test_groups_that_are_left_out_are_summed(shop: Project) -> None:
    asked = {"steps": "$pageview,signup?,purchase", "group_by": "user_id"}
    answer = shop.ask("/v1/funnel", limit=1, **asked)
    assert answer["truncated"] is True
    assert answer["warnings"][0]["code"] == "truncated"
    every = shop.ask("/v1/funnel", **asked)["rows"]
    assert answer["rows"] == every[:1]
    other = answer["other"]["steps"]
    assert [step["persons"] for step in other] == [
        sum(row["steps"][k]["persons"] for row in every[1:]) for k in range(3)
    ]
    assert {step["median_seconds"] for step in other} == {None}
    assert "other" not in shop.ask("/v1/funnel", **asked)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("pth", "did you mean path?"),
        ("did", "Cannot group by 'did'"),
        ("segment", "Cannot group by 'segment'"),
        ("properties.", "Cannot group by 'properties.'"),
    ],
)
def test_what_is_no_group_is_said(shop: Project, group: str, said: str) -> None:
    reply = shop.get("/v1/funnel", steps="a,b", group_by=group)
    assert (reply.status, reply.error) == (400, "invalid_group_by")
    assert said in reply.json["details"]["message"]


def test_people_of_a_step_are_named(shop: Project) -> None:
    rows = shop.ask("/v1/funnel/people", steps="$pageview,purchase", step=2)["rows"]
    assert rows == [
        {
            "user_id": "ann",
            "anonymous_id": None,
            "reached_at": "2026-05-01T12:00:00.000Z",
            "first_source": "facebook",
            "first_medium": "paid",
            "first_campaign": None,
            "first_channel": "Paid Social",
        },
        {
            "user_id": None,
            "anonymous_id": "desk",
            "reached_at": "2026-05-01T10:06:00.000Z",
            "first_source": "direct",
            "first_medium": "direct",
            "first_campaign": None,
            "first_channel": "Direct",
        },
    ]
    (lost,) = shop.ask("/v1/funnel/people", steps="$pageview,purchase", step=2, dropped="true")[
        "rows"
    ]
    assert (lost["user_id"], lost["reached_at"]) == ("cy", "2026-05-01T10:09:00.000Z")
    narrowed = {"steps": "$pageview,purchase", "filters": "first.source==facebook"}
    (ann,) = shop.ask("/v1/funnel/people", step=1, **narrowed)["rows"]
    assert ann["user_id"] == "ann"
    answer = shop.ask("/v1/funnel/people", steps="$pageview,singup", step=2)
    assert (answer["rows"], answer["warnings"][0]["code"]) == ([], "unknown_event")


@pytest.mark.parametrize(
    ("params", "parameter", "said"),
    [
        ({"step": 3}, "step", "the funnel has 2 steps"),
        ({"step": 1, "dropped": "true"}, "step", "nobody drops off before the first step"),
        ({"step": 1, "group": "x"}, "group", "it goes with group_by"),
        (
            {"step": 1, "group_by": "path,source", "group": "x"},
            "group",
            "2 values separated by",
        ),
        ({"step": 0}, "step", "1"),
        ({}, "step", "required"),
    ],
)
def test_people_that_cannot_be_asked_for(
    shop: Project, params: Json, parameter: str, said: str
) -> None:
    reply = shop.get("/v1/funnel/people", steps="a,b", **params)
    assert (reply.status, reply.error) == (400, "invalid_params")
    assert said in reply.json["details"]["fieldErrors"][parameter][0]


def test_people_come_page_by_page(shop: Project) -> None:
    asked: Json = {"steps": "$pageview,purchase", "step": 1}
    every = shop.ask("/v1/funnel/people", **asked)["rows"]
    assert shop.pages("/v1/funnel/people", limit=1, **asked) == every
    assert len(every) == 3
    cursor = shop.ask("/v1/funnel/people", limit=1, **asked)["next_cursor"]
    other = shop.get("/v1/funnel/people", cursor=cursor, **{**asked, "step": 2})
    assert (other.status, other.error) == (400, "invalid_params")
