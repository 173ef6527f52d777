"""Metrics of stats: what each counts, what it needs for that, and what it is of nothing."""

from dataclasses import dataclass

from threadline.questions.filters import refused
from threadline.questions.finished import Figure, people, summed
from threadline.questions.stats_figures import FIGURES
from threadline.questions.stats_shapes import StatsParams

# An event that came with a user and without a device lies where the user does, so the user counts
# once, however many ids were generated for it.
DEVICE = "e.visitor"


@dataclass(frozen=True)
class Metric:
    """`value`: SQL over `figures`, and the columns that these need of events `e`, and where these
    come from. `empty`: what it is of no events. `of_visits`: it needs the visit in which each
    happened."""

    value: str
    columns: tuple[str, ...] = ()
    relation: str = "considered"
    empty: int | None = 0
    of_visits: bool = False


METRICS = {
    "count": Metric("$events"),
    "uniques": Metric("$devices", (f"{DEVICE} AS device",)),
    "persons": Metric("$persons", relation="person_events"),
    "visits": Metric("$visits", of_visits=True),
    "per_person": Metric("$events / nullIf($persons, 0)", relation="person_events", empty=None),
    "conversion_rate": Metric(
        "$converted / nullIf($persons, 0)", relation="person_events", empty=None
    ),
}
# Metrics of which the rest of the groups has a sum.
SUMMABLE = ("count", "sum")


def figures(exact: bool, converted: str) -> dict[str, Figure]:
    """What metrics are made of, over events `p` and visits `v`. `converted`: a condition."""
    uniq = "uniqExact" if exact else "uniqCombined64"
    visit = "(p.person, p.on_device, v.started)"
    return {
        "events": summed("events", "count()"),
        "devices": summed("devices", f"{uniq}(p.device)"),
        "visits": summed("visits", f"{uniq}If({visit}, p.on_page)"),
        "persons": people("persons", "p.", uniq),
        "converted": people("converted", "p.", uniq, converted),
    }


def empty_value(params: StatsParams) -> float | None:
    """What the metric is where nothing happened."""
    if params.metric == "sum":
        return 0.0
    if is_figure(params):
        return None
    return METRICS[params.metric].empty


def is_figure(params: StatsParams) -> bool:
    """Whether it is of the numbers in a property, and no sum."""
    return params.metric in FIGURES and (params.metric != "per_person" or bool(params.property))


def check_per(params: StatsParams) -> None:
    """Raises `InvalidParams` for metrics that do not count people, of accounts."""
    if params.per == "person":
        return
    if is_figure(params) or params.metric == "sum":
        counts = False
    else:
        counts = METRICS[params.metric].relation == "person_events"
    if not counts:
        message = "accounts are counted instead of persons; choose metric=persons,"
        raise refused("per", f"{message} conversion_rate, or per_person without a property")
