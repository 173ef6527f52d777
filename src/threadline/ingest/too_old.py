"""Which events are too old, and what people would see of it before they go."""

from typing import NamedTuple

import msgspec

from threadline.contract.times import DAY_MS, EARLIEST_MS
from threadline.control.keeping import Keeping
from threadline.identity.resolution import PROJECT
from threadline.store import Statements, bound_ms

LATEST = "{latest:DateTime64(3, 'UTC')}"


def older(at: str) -> str:
    """The condition of a deletion. The engine notes times down in a way that it cannot always read
    again, numbers as they are. Nor may a part of a tuple stand there with a dot: until the rows are
    masked, whoever reads that part would get an error."""
    return f"toUnixTimestamp64Milli({at}) < {{latest_ms:Int64}}"


def going(at: str = "") -> str:
    """The condition on events; `at`: what stands before their columns."""
    return (
        f"toUnixTimestamp64Milli({at}timestamp) < transform("
        f"toString({at}event_name), {{names:Array(String)}}, {{cuts:Array(Int64)}}, {{cut:Int64}})"
    )


# The first half lets the engine skip months.
GOING = f"e.timestamp < {LATEST} AND {going('e.')}"
# What a person would see of it before it goes.
WHAT_GOES = f"""
    SELECT toString(e.event_name) AS event, toYYYYMM(e.timestamp) AS month, count() AS events,
        uniqExact(if(e.user_hash = 0, e.visitor, e.user_hash)) AS persons,
        min(e.timestamp) AS first, max(e.timestamp) AS last
    FROM events AS e
    WHERE e.{PROJECT} AND {GOING}
    GROUP BY event, month
    ORDER BY event, month"""
# Of the people whose events go: who has none left, and who another first one.
WHO_GOES = f"""
    SELECT count() AS people, countIf(stays = 0) AS gone
    FROM (
        SELECT if(e.user_hash = 0, e.visitor, e.user_hash) AS person,
            max(NOT ({GOING})) AS stays
        FROM events AS e
        WHERE e.{PROJECT}
        GROUP BY person
        HAVING min(NOT ({GOING})) = 0
    )"""


class Cuts(msgspec.Struct, frozen=True):
    """What goes: events before `cut_ms`, those of `by_event` before their own. `first_touch`: links
    and first touches stay."""

    project_id: str
    cut_ms: int
    by_event: dict[str, int]
    first_touch: bool

    @classmethod
    def of(cls, project_id: str, keeping: Keeping, today: int) -> "Cuts":
        """`today`: the day, counted from 1970 (UTC). That many whole days before it stay."""
        return cls(
            project_id,
            cut_ms(keeping.days, today),
            {name: cut_ms(days, today) for name, days in keeping.by_event},
            keeping.first_touch,
        )

    @property
    def latest_ms(self) -> int:
        """Nothing goes that is not before this."""
        return max(self.cut_ms, *self.by_event.values()) if self.by_event else self.cut_ms

    @property
    def bound(self) -> dict[str, object]:
        return {
            "project_id": self.project_id,
            "latest": bound_ms(self.latest_ms),
            "latest_ms": self.latest_ms,
            "names": list(self.by_event) or [""],
            "cuts": list(self.by_event.values()) or [self.cut_ms],
            "cut": self.cut_ms,
        }


def cut_ms(days: int | None, today: int) -> int:
    """Before which time events go that are kept for so many days; None: before all times."""
    return EARLIEST_MS if days is None else max(EARLIEST_MS, (today - days) * DAY_MS)


class Going(NamedTuple):
    """Events of one name and month that are to go."""

    event: str
    month: int
    events: int
    persons: int
    first: str
    last: str


def what_goes(store: Statements, cuts: Cuts) -> list[Going]:
    """By name of the event and month. Raises `StoreError`."""
    return [
        Going(
            row["event"],
            int(row["month"]),
            int(row["events"]),
            int(row["persons"]),
            _iso(row["first"]),
            _iso(row["last"]),
        )
        for row in store.query(WHAT_GOES, cuts.bound)
    ]


class People(NamedTuple):
    """Whose events go. `gone`: of them, who has no other."""

    people: int
    gone: int


def who_goes(store: Statements, cuts: Cuts) -> People:
    """Raises `StoreError`."""
    (found,) = store.query(WHO_GOES, cuts.bound)
    return People(int(found["people"]), int(found["gone"]))


def _iso(at: object) -> str:
    return str(at).replace(" ", "T")
