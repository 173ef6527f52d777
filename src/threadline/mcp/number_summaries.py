"""What is said of metrics, of what is out of the usual, and of where people came from."""

from collections.abc import Callable, Mapping

from threadline.contract.words import counted
from threadline.mcp.api import Json
from threadline.mcp.words import (
    SHOWN,
    change,
    day,
    group,
    listed,
    more,
    name,
    number,
    seconds,
    share,
)

OF_TIME = ("bucket", "time", "partial")
OF_VALUE = (*OF_TIME, "value", "previous", "change")


def _stats(found: Json, arguments: Json) -> str:
    rows, what = found["rows"], _counted_thing(found, arguments)
    shows = _shows(found)
    if not rows:
        return f"{what}: nothing."
    if "bucket" in rows[0]:
        is_page = bool(found.get("next_cursor") or arguments.get("cursor"))
        return _series(f"{what}, on this page" if is_page else what, rows, shows)
    if len(rows) == 1 and group(rows[0], *OF_VALUE) == "all":
        return f"{what}: {shows(rows[0]['value'])}{_compared(rows[0], shows)}."
    shown = listed(
        [
            f"{group(row, *OF_VALUE)} {shows(row['value'])}{_compared(row, shows)}"
            for row in rows[: SHOWN + 2]
        ]
    )
    return f"{what}: {shown}{more(rows, SHOWN + 2)}."


def _counted_thing(found: Json, arguments: Json) -> str:
    metric = name(found["metric"])
    what = f"{metric} of {name(arguments['event'])}" if arguments.get("event") else metric
    is_all = str(arguments.get("include_bots", "")).lower() in ("true", "1")
    return what if is_all else f"{what} without bots"


def _shows(found: Json) -> Callable[[object], str]:
    """How a value of this metric is written: what is mostly far below one is lost in decimals."""
    if found["metric"] != "conversion_rate":
        return number
    return lambda value: number(value) if value is None else share(value)


def _series(what: str, rows: list[Json], shows: Callable[[object], str]) -> str:
    # What is there in part is neither high nor low for that.
    values = [row for row in rows if isinstance(row["value"], int | float)]
    values = [row for row in values if not row.get("partial")] or values
    if not values:
        return f"{what}: {counted(len(rows), 'interval')} from {rows[0]['bucket']}."
    high = max(values, key=lambda row: float(row["value"]))
    low = min(values, key=lambda row: float(row["value"]))
    has_groups = any(group(row, *OF_VALUE) != "all" for row in rows)

    def said(row: Json) -> str:
        of = f" of {group(row, *OF_VALUE)}" if has_groups else ""
        return f"{shows(row['value'])}{of} at {row['bucket']}"

    running = " (of a part of that interval)" if rows[-1].get("partial") else ""
    last = "" if has_groups else f", last {shows(rows[-1]['value'])}{running}"
    return (
        f"{what}: {counted(len(rows), 'row')} from {rows[0]['bucket']} to {rows[-1]['bucket']}; "
        f"highest {said(high)}, lowest {said(low)}{last}."
    )


def _compared(row: Json, shows: Callable[[object], str] = number) -> str:
    if "previous" not in row:
        return ""
    by = change(row.get("change"))
    return f" ({f'{by} ' if by else ''}from {shows(row['previous'])})"


def _changes(found: Json, arguments: Json) -> str:
    week, rows = found["week"], found["rows"]
    zone = found.get("tz") or arguments.get("tz")
    when = f"In the seven days from {day(week['from'], zone)} to {day(week['to'], zone)}"
    if not found["weeks"]:
        return f"{when} nothing can be out of the usual: there are no weeks before to compare with."
    if not found["looked_at"]:
        return f"{when} nothing could be compared."
    others = len(found["looked_at"]) - len(rows)
    if not rows:
        return f"{when} nothing was out of the usual: {counted(others, 'number')} looked at."
    said = "; ".join(_move(row) for row in rows[: SHOWN + 2])
    return (
        f"{when}, compared with {counted(found['weeks'], 'week')} before: "
        f"{said}{more(rows, SHOWN + 2)}. {counted(others, 'other number')} as usual."
    )


def _move(row: Json) -> str:
    by = change(row["change_share"])
    said = (
        f"{name(row['metric'])} {number(row['value'])}, usually {number(row['usual'])} "
        f"({number(row['low'])} to {number(row['high'])}){f', {by}' if by else ''}"
    )
    if carried := row["carried_by"]:
        said += (
            f"; {carried['dimension']} {name(carried['value'])} carries {share(carried['share'])} "
            f"of the move ({number(carried['average'])} to {number(carried['now'])})"
        )
    elif row["breakdowns"]:
        said += "; no single group carries it"
    return said


def _sources(found: Json, arguments: Json) -> str:
    numbers = ("previous", "change")
    rows = found["rows"]
    shown = listed(
        [
            f"{group(row, *numbers)} {counted(row['persons'], 'person', 'people')}, "
            f"{counted(row['events'], 'event')}"
            for row in rows[:SHOWN]
        ]
    )
    return f"{shown}{more(rows)}." if rows else "Nothing came in this time."


def _visits(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No visits."
    is_page = found.get("next_cursor") or arguments.get("cursor")
    others = 0 if is_page else (found.get("other") or {}).get("visits", 0)
    total = sum(row["visits"] for row in rows) + others
    first = rows[0]
    about = ""
    if len(rows) > 1 or others:
        of_first = group(first, *OF_TIME[1:], "previous", "change")
        about = f" in {counted(len(rows), 'row')}{' and all others' if others else ''}"
        about += f"; the first, {of_first}, {first['visits']:,}"
    visits = f"{counted(total, 'visit')}{' on this page' if is_page else ''}"
    return (
        f"{visits}{about}: {number(first['page_views_per_visit'])} pages a visit, "
        f"{seconds(first['mean_seconds'])} long on average, {share(first['bounce_share'])} bounced."
    )


def _compare_projects(found: Json, arguments: Json) -> str:
    shows = _shows(found)
    shown = listed(
        [
            f"{name(row['name'])} {row.get('error') or shows(row['value'])}{_compared(row, shows)}"
            for row in found["rows"][:10]
        ]
    )
    return f"{_counted_thing(found, arguments)}: {shown}{more(found['rows'], 10)}."


SUMMARIES: Mapping[str, Callable[[Json, Json], str]] = {
    "get_stats": _stats,
    "compare_projects": _compare_projects,
    "what_changed": _changes,
    "top_sources": _sources,
    "visits": _visits,
}
