"""What a program's values become, and that none of them ever raises into it."""

import collections
import dataclasses
import enum
import json
import logging
import os
import subprocess
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest

from tests.client.moody import Moody
from tests.support import ROOT, Project, ids
from threadline import Client, testing


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    pass


@dataclasses.dataclass
class Order:
    sku: str = "a"
    color: Color = Color.RED


@dataclasses.dataclass(slots=True, frozen=True)
class Slim:
    n: int = 1


class Point(NamedTuple):
    x: int
    y: int


@attrs.define
class Parcel:
    weight: float = 1.5


class Struct(msgspec.Struct):
    n: int = 1


class Model(pydantic.BaseModel):
    name: str = "ada"
    when: datetime = datetime(2026, 1, 2, tzinfo=UTC)


class Scalar:
    """As the scalars of numerical libraries are."""

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


class LineItem:
    """A method called as one of a library's, that is something else."""

    def item(self, number: int) -> int:
        return number

    def __str__(self) -> str:
        return "line 1"


class Raising:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__


MOMENT = datetime(2026, 1, 2, 3, tzinfo=UTC)
MEANT: list[tuple[object, object]] = [
    # numpy, pandas, polars
    (np.int64(5), 5),
    (np.float32(1.5), 1.5),
    (np.float64("nan"), None),
    (np.longdouble(2), 2.0),
    (np.bool_(True), True),
    (np.str_("a"), "a"),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (np.array([1.5, np.nan]), [1.5, None]),
    (np.array(7), 7),
    (np.array(["a"]), ["a"]),
    (np.datetime64("2026-01-02T03:00:00", "ns"), "2026-01-02T03:00:00.000000000"),
    (np.datetime64("NaT"), None),
    (np.timedelta64(1500, "ms"), 1.5),
    (np.array(["2026-01-02"], dtype="datetime64[ns]"), ["2026-01-02T00:00:00.000000000"]),
    (np.ma.masked, None),
    (pd.NA, None),
    (pd.NaT, None),
    (pd.Timestamp(MOMENT), MOMENT.isoformat()),
    (pd.Timedelta(minutes=1), 60.0),
    (pd.Series([1, 2]), [1, 2]),
    (pd.Series([MOMENT]), [MOMENT.isoformat()]),
    (pd.DataFrame({"a": [1]}), {"a": {"0": 1}}),
    (pl.Series([1, 2]), [1, 2]),
    (Scalar(5), 5),
    (Scalar(True), True),
    # the standard library
    (Color.RED, "red"),
    (Color.PAIR, [1, 2]),
    (Level.HIGH, 3),
    (Word("a"), "a"),
    (Order(), {"sku": "a", "color": "red"}),
    (Slim(), {"n": 1}),
    (Point(1, 2), {"x": 1, "y": 2}),
    (Parcel(), {"weight": 1.5}),
    (Struct(), {"n": 1}),
    (Model(), {"name": "ada", "when": "2026-01-02T00:00:00+00:00"}),
    (b"abc", "abc"),
    (bytearray("ü".encode()), "ü"),
    (memoryview(b"abc"), "abc"),
    (b"\xff\xfe", "//4="),
    ({2, 1}, [1, 2]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({1, "a", None}, ["a", 1, None]),
    ({Slim(2), Slim(1)}, [{"n": 1}, {"n": 2}]),
    (timedelta(days=1), 86400.0),
    (Decimal("1.10"), "1.10"),
    (Decimal("NaN"), None),
    (Decimal("-Infinity"), None),
    (float("inf"), None),
    (float("nan"), None),
    (Fraction(1, 2), 0.5),
    (collections.deque([1, 2]), [1, 2]),
    (collections.UserDict(a=1), {"a": 1}),
    (collections.UserList([1]), [1]),
    (collections.UserString("a"), "a"),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.values(), [1]),
    ({"a": 1}.items(), [["a", 1]]),
    (range(3), [0, 1, 2]),
    ((1, (2,)), [1, [2]]),
    (MOMENT, "2026-01-02T03:00:00+00:00"),
    (datetime(2026, 1, 2), "2026-01-02T00:00:00"),
    (date(2026, 1, 2), "2026-01-02"),
    (time(3, 4), "03:04:00"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Path("/a/b"), "/a/b"),
    (ValueError("odd"), "odd"),
    (LineItem(), "line 1"),
    (1 + 2j, "(1+2j)"),
    # names
    ({1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
    ({Color.RED: 1, b"b": 2, date(2026, 1, 2): 3}, {"red": 1, "b": 2, "2026-01-02": 3}),
    ({("a", 1): 1}, {'["a", 1]': 1}),
    # half characters
    ("Sale \ud83d", "Sale \ufffd"),
    ("\ude00 \ud83d\ude00", "\ufffd \U0001f600"),
    ({"\ud83d": ["\ud83d"]}, {"\ufffd": ["\ufffd"]}),
]


@pytest.mark.parametrize(("given", "meant"), MEANT, ids=lambda value: type(value).__name__)
def test_values_are_what_they_mean(given: object, meant: object) -> None:
    with testing.record() as recorder:
        recorder.track("alone", {"v": given})
        recorder.track("inside", {"v": [{"in": given}]})
    alone, inside = (event["properties"]["v"] for event in recorder.recorded)
    assert (alone, inside) == (meant, [{"in": meant}])
    assert [type(alone), recorder.dropped] == [type(meant), 0]


def test_the_server_gets_them(project: Project) -> None:
    with Client(project.keys["sk"], project.url) as client:
        client.track("half \ud83d", {"v": "Sale \ud83d", "n": float("nan"), "m": {1, 2}})
        client.track("whole", Order())  # type: ignore[arg-type]
    stored = {row["event_name"]: json.loads(row["properties"]) for row in project.stored()}
    assert stored == {
        "half \ufffd": {"v": "Sale \ufffd", "n": None, "m": [1, 2]},
        "whole": {"sku": "a", "color": "red"},
    }


def test_values_are_those_of_the_call() -> None:
    items: list[dict[str, str]] = [{"sku": "a"}]
    array = np.array([1])
    raw = bytearray(b"a")
    order = Order()
    with Moody() as moody, Client("sk", moody.url, flush_interval_s=3600) as client:
        client.track("x", {"items": items, "array": array, "raw": raw, "order": order})
        items[0]["sku"] = "b"
        items.clear()
        array[0], raw[0], order.sku = 2, 0x62, "b"
        flat = {"n": 1}
        client.track("y", flat)
        flat["n"] = 2
        assert client.flush()
        x, y = moody.events
    assert x["properties"] == {
        "items": [{"sku": "a"}],
        "array": [1],
        "raw": "a",
        "order": {"sku": "a", "color": "red"},
    }
    assert y["properties"] == {"n": 1}


def test_what_can_be_read_once_is_not_read(caplog: pytest.LogCaptureFixture) -> None:
    parts: Iterator[int] = iter([1, 2])
    with testing.record() as recorder:
        recorder.track("x", {"parts": parts, "n": 1, "more": (part for part in "ab")})
        recorder.track("x", {"parts": parts})
    assert recorder.recorded[0]["properties"] == {"parts": None, "n": 1, "more": None}
    assert list(parts) == [1, 2]
    assert caplog.text.count("list_iterator can be read only once") == 1


def circle() -> object:
    one: list[object] = []
    one += [one, {"again": one}]
    return one


HOPELESS: dict[str, Callable[[], object]] = {
    "raises": lambda: Raising(RuntimeError("session is gone")),
    "raises an error that raises": lambda: Raising(
        type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})()
    ),
    "recursion": lambda: Raising(RecursionError()),
    "circle": circle,
    "deep": lambda: json.loads("[" * 100 + "]" * 100),
    "long": lambda: range(10**12),
    "wide": lambda: np.zeros(10**7),
    "large": lambda: ["x" * 10**6],
    "a number without end": lambda: 10**5000,
    "bytes": lambda: b"x" * 10**6,
}


@pytest.mark.parametrize("kind", HOPELESS)
@pytest.mark.parametrize("how", ["memory", "sync", "spool"])
def test_what_cannot_be_sent_costs_itself_only(
    kind: str, how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"sync": {"sync": True}, "spool": {"spool": tmp_path / "spool"}}
    lost: list[dict[str, Any]] = []
    with (
        Moody() as moody,
        Client(
            "sk",
            moody.url,
            flush_interval_s=3600,
            on_error=lambda _, events: lost.extend(events),
            **options.get(how, {}),
        ) as client,
    ):
        client.track("before")
        client.track("bad", {"v": HOPELESS[kind]()})
        client.identify("u", {"v": HOPELESS[kind]()})
        client.page("bad", {"v": HOPELESS[kind]()})
        client.batch([{"event": "in"}, {"event": "bad", "properties": {"v": HOPELESS[kind]()}}])
        client.track("after")
        assert client.flush()
        assert [event["event"] for event in moody.events] == ["before", "in", "after"]
        assert (client.dropped, len(lost)) == (4, 4)
    assert caplog.text.count("1 events lost") == 4


@pytest.mark.parametrize("name", ["event", "user_id", "anonymous_id", "event_id", "url"])
@pytest.mark.parametrize(
    "value",
    [None, "", 5, 5.0, True, b"b", [], {}, object(), MOMENT, pd.NA, np.array([1, 2]), "\ud800"],
    ids=lambda value: type(value).__name__,
)
def test_any_field_may_be_anything(name: str, value: object) -> None:
    given = {"event": "x", name: value}
    with testing.record() as recorder:
        recorder.batch([given])
        recorder.identify(value)  # type: ignore[arg-type]
        recorder.page(value, value)  # type: ignore[arg-type]
        recorder.track(value, value, timestamp=value)  # type: ignore[arg-type]
        recorder.batch(value)  # type: ignore[arg-type]
    for event in recorder.recorded:
        for field in ("event", "event_id", "user_id", "anonymous_id", "url"):
            assert isinstance(event.get(field, "none"), str)
            assert event.get(field, "none") != ""


def test_ids_become_text() -> None:
    with testing.record() as recorder:
        for given in (42, 42.0, np.int64(42), np.float64(42), Decimal(42), "42"):
            recorder.track("x", user_id=given)  # type: ignore[arg-type]
        recorder.track("x", user_id="", anonymous_id="", event_id="")
    *known, nobody = recorder.recorded
    assert {event["user_id"] for event in known} == {"42"}
    assert nobody.keys() == {"event", "event_id", "timestamp"}
    assert nobody["event_id"]


def test_a_batch_takes_what_it_can_and_says_what_not(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Any] = [
        {"event": "x", "plan": "pro", "userId": "u", "distinct_id": "d", 5: 6},
        {"event": "y", "user_id": "u", "plan": "free"},
        "no event",
        None,
        {"properties": {"n": 1}},
    ]
    with testing.record() as recorder, caplog.at_level(logging.WARNING, "threadline"):
        assert len(recorder.batch(events)) == 3
    assert recorder.names() == ["x", "y"]
    assert recorder.recorded[1]["user_id"] == "u"
    (line,) = [line for line in caplog.messages if "ignored" in line]
    assert line == (
        "batch ignored unknown fields: 'plan' (put it into properties), 'userId' (did you mean"
        " user_id?), 'distinct_id' (did you mean user_id or anonymous_id?), 5 (put it into"
        " properties)"
    )
    assert recorder.dropped == 3
    assert "an event has to be a dictionary, not a str" in caplog.text
    assert "it has no name" in caplog.text


def test_names_that_no_event_has_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with testing.record() as recorder:
        recorder.track("x", plan="pro", user_ID="u")
        recorder.identify("u", plan="pro", event="x")
        recorder.page("Home", event="x", properties_=1)
    assert recorder.names() == ["x", "$identify", "$pageview"]
    assert "'user_ID' (did you mean user_id?)" in caplog.text
    assert "$identify ignored the fields event and properties" in caplog.text


def test_a_generator_of_events_that_fails_is_said(caplog: pytest.LogCaptureFixture) -> None:
    def rows() -> Iterator[dict[str, object]]:
        yield {"event": "x"}
        raise OSError("the file is gone")

    with testing.record() as recorder:
        assert len(recorder.batch(rows())) == 1
        assert recorder.batch(None) == []  # type: ignore[arg-type]
    assert recorder.names() == ["x"]
    assert "batch stopped after 1 events: the file is gone" in caplog.text


NEW_YORK = "America/New_York"
SHOWN = """
import sys, datetime, json, logging
from decimal import Decimal
import threadline.testing
logging.basicConfig(stream=sys.stderr)
with threadline.testing.record() as recorder:
    for given in {given}:
        recorder.track("x", timestamp=given)
print(json.dumps([event["timestamp"] for event in recorder.recorded]))
"""


def stamps(given: str) -> tuple[list[str], str]:
    """What timestamps become on a machine in New York, and what is said of it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TZ": NEW_YORK}
    script = SHOWN.format(given=given)
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout), done.stderr


def test_objects_without_a_zone_are_the_machines_and_text_is_utc() -> None:
    naive = "datetime.datetime(2026, 5, 1, 10), datetime.datetime(2026, 1, 1, 10)"
    found, said = stamps(f"[{naive}, datetime.date(2026, 5, 1)]")
    assert found == [f"2026-{at}:00:00+00:00" for at in ("05-01T14", "01-01T15", "05-01T04")]
    assert said.count("was taken as the machine's time (EDT)") == 1
    found, said = stamps("['2026-05-01T10:00:00', '2026-05-01', '2026-05-01 10:00:00']")
    assert found == [f"2026-05-01T{at}:00:00+00:00" for at in ("10", "00", "10")]
    assert said.count("was taken as UTC") == 1


def test_times_that_say_all_are_taken_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    east = timezone(timedelta(hours=2))
    same = [
        datetime(2026, 5, 1, 12, tzinfo=east),
        "2026-05-01T10:00:00Z",
        " 2026-05-01T12:00:00+02:00 ",
        "20260501T100000Z",
        pd.Timestamp("2026-05-01T10:00:00Z"),
        1777629600,
        1777629600.0,
        1777629600_000,
        np.float64(1777629600),
        Decimal(1777629600),
        np.datetime64("2026-05-01T10:00:00", "ns"),
    ]
    with testing.record() as recorder, caplog.at_level(logging.WARNING, "threadline"):
        for given in same:
            recorder.track("x", timestamp=given)
    assert {event["timestamp"] for event in recorder.recorded} == {"2026-05-01T10:00:00+00:00"}
    assert (len(recorder.recorded), caplog.text) == (len(same), "")


def test_times_that_are_none(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    with Client(project.keys["sk"], project.url) as client:
        for number, given in enumerate((pd.NaT, float("nan"), pd.NA)):
            client.track("now", timestamp=given, event_id=f"now {number}")
        for given in ({}, [1], 1e300, datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))):
            client.track("never", timestamp=given)  # type: ignore[arg-type]
        client.track("refused", timestamp="yesterday")
        assert client.flush()
        assert client.dropped == 5
    assert set(ids(project.stored())) == {"now 0", "now 1", "now 2"}
    assert "a timestamp cannot be of the type NaTType" in caplog.text
