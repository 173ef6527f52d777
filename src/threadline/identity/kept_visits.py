"""Visits on devices of one owner, kept in memory: where there are many, putting them in order takes
most of the time of a question about them.

Whose such a device is, all policies say alike (but `any`, which asks no such question, and `none`),
and nothing that happens on another device changes its visits. What is kept (see `large_tables`) is
exact, as all that `kept` has. Until it is, and in small projects always, visits are worked out as
`visits` does.

Relations, beside those of `visits`, which then are of the other devices:

    device_visits     (person, device, started, ended, resumed, events, page_views, actions,
                      arrivals)
    shared_stretches  `stretches` of the other devices, unless somebody was taken from some
    visits            as there, of all devices
"""

from collections.abc import Mapping

from threadline.identity.compose import compose, fill, where
from threadline.identity.large_tables import Large
from threadline.identity.lookups import OWNER
from threadline.identity.parts import CHANGED_HALF_HOURS
from threadline.identity.relations import STRETCHES
from threadline.identity.resolution import PROJECT, SEVERAL, Resolution
from threadline.identity.stitch import relations
from threadline.identity.visits import DIRECT, NEVER, Wanted, visits, visits_of_single_owners
from threadline.store.states import HALF_HOUR_MS

WANTED = Wanted(("events", "page_views", "actions", "arrivals"))
# What a question may want of them.
COLUMNS: Mapping[str, str] = {
    **{name: name for name in WANTED.columns},
    "arrival": f"if(empty(arrivals), ({NEVER}, {DIRECT}), arrivals[1])::Tuple(Int64, UInt64)",
}
TYPES = """
SELECT toUInt64(0) AS person, toUInt64(0) AS device, toInt64(0) AS started, toInt64(0) AS ended,
    toUInt8(0) AS resumed, toUInt32(0) AS events, toUInt32(0) AS page_views, toUInt32(0) AS actions,
    [(toInt64(0), toUInt64(0))] AS arrivals"""
MADE = """
SELECT person, device, started, ended, resumed, events, page_views, actions, arrivals
FROM visits"""
HALF_HOURS = f"""
SELECT count() AS rows
FROM half_hours
WHERE {PROJECT}"""
THESE = "visitor IN {newer_visitors:Array(UInt64)}"
KEPT_HALF_HOURS = "{kept:Identifier}.{shared_half_hours:Identifier}"
VISITS = """
SELECT person, device, started, ended, resumed$columns
FROM device_visits
$within"""


def visits_beside_kept(
    resolution: Resolution, known: Mapping[str, str], timeout_ms: int, wanted: Wanted
) -> dict[str, str]:
    """The relations above, on those of `stitch` for this resolution."""
    within = [f"ended >= toUnixTimestamp64Milli({wanted.since})"] if wanted.since else []
    within += [f"started <= toUnixTimestamp64Milli({wanted.until})"] if wanted.until else []
    columns = "".join(f", {COLUMNS[name]} AS {name}" for name in wanted.columns)
    found = {
        **_visits_of_others(resolution, known, timeout_ms, wanted),
        "device_visits": LARGE.now,
    }
    of_kept = fill(VISITS, {"columns": columns, "within": where(within)})
    has_others = resolution.unlinked or (resolution.kept and resolution.kept.is_shared)
    visits_of_all = f"{found['visits']}\nUNION ALL\n{of_kept}" if has_others else of_kept
    return {**found, "visits": visits_of_all}


def _visits_of_others(
    resolution: Resolution, known: Mapping[str, str], timeout_ms: int, wanted: Wanted
) -> dict[str, str]:
    """Of devices that go from hand to hand, half hours are kept, too."""
    if resolution.unlinked:
        near = f"NOT ({of_one_owner(resolution)})"
        return visits(resolution, known, timeout_ms, wanted, near)
    found = visits(resolution, known, timeout_ms, wanted)
    of_shared = found["page_stretches"].replace("FROM stretches", "FROM shared_stretches")
    half_hours = {**resolution.slots, "half_hours": KEPT_HALF_HOURS}
    return {
        **found,
        "shared_stretches": fill(STRETCHES, half_hours),
        "page_stretches": of_shared,
    }


def of_one_owner(resolution: Resolution) -> str:
    """SQL: all that happens on a device is one person's. Nobody else was seen there, and nobody who
    was is taken from it."""
    assert resolution.kept
    alone = f"{resolution.kept.device('visitor', 'person')} != {SEVERAL}"
    if not resolution.unlinked:
        return alone
    return f"{alone} AND visitor NOT IN {{unlinked_visitors:Array(UInt64)}}"


def may_be_kept(resolution: Resolution, timeout_ms: int, wanted: Wanted) -> bool:
    """Whether what is kept says all that a question wants of visits."""
    told = resolution.kept and resolution.policy in OWNER and timeout_ms >= HALF_HOUR_MS
    return bool(told) and all(name in COLUMNS for name in wanted.columns)


def _made(resolution: Resolution, newer: bool) -> str:
    """It binds `visit_timeout_ms`."""
    known = relations(resolution)
    devices = f"{of_one_owner(resolution)} AND {THESE if newer else 'TRUE'}"
    return compose(MADE, {**known, **visits_of_single_owners(known, WANTED, devices)})


LARGE = Large(
    name="visits",
    like=TYPES,
    key="device",
    rows=HALF_HOURS,
    changed=fill(CHANGED_HALF_HOURS, {"shared": "TRUE"}),
    changed_keys="",
    newer_keys="newer_visitors",
    made=_made,
)
