"""What is said of conversions and their credit, of funnels, cohorts and paths."""

from collections.abc import Callable, Mapping
from itertools import pairwise

from threadline.contract.words import counted
from threadline.mcp.api import Json
from threadline.mcp.words import (
    SHOWN,
    group,
    leads_on,
    listed,
    more,
    name,
    number,
    seconds,
    sentence,
    share,
    some,
)


def _time_to_conversion(found: Json, arguments: Json) -> str:
    rows = [row for row in found["rows"] if row["persons"]]
    if not rows:
        return f"Nobody did {name(found['conversion'])}."
    shown = listed(
        [
            f"{group(row)}: {counted(row['persons'], 'person', 'people')}, half of them within "
            f"{seconds(row['p50'])}, nine of ten within {seconds(row['p90'])}"
            for row in rows[:SHOWN]
        ]
    )
    return f"From first touch to {name(found['conversion'])}: {shown}{more(rows)}."


def _attribution(found: Json, arguments: Json) -> str:
    total, rows = found["total"], found["rows"]
    many = total["conversions"]
    plural = "" if many == 1 else "s"
    what = f"{number(many)} {name(found['conversion'])} conversion{plural}"
    if "value" in total:
        currency = arguments.get("currency") if isinstance(total["value"], int | float) else ""
        what += f", worth {number(total['value'])}{f' {name(currency)}' if currency else ''}"
    if not rows:
        return f"{what}; there is nothing to credit."
    models = [*total.get("models", {})]
    if {"first_touch", "last_touch"} <= {*models}:
        return f"{what}; {_brought_and_closed(rows)}."
    several = [f"by {model} {_best(rows, model)}" for model in models]
    said = "; ".join(several) or f"by {name(found['model'])} {_best(rows, '')}"
    return f"{what}; {said}."


def _brought_and_closed(rows: list[Json]) -> str:
    best = sorted(rows, key=lambda row: -float(row["models"]["first_touch"]["conversions"]))
    return "; ".join(
        f"{group(row, 'previous', 'change')} brought "
        f"{number(row['models']['first_touch']['conversions'])} by first touch and closed "
        f"{number(row['models']['last_touch']['conversions'])} by last"
        for row in best[:SHOWN]
    )


def _best(rows: list[Json], model: str) -> str:
    def credited(row: Json) -> float:
        conversions: float = (row["models"][model] if model else row)["conversions"]
        return conversions

    best = sorted(rows, key=credited, reverse=True)[:SHOWN]
    return listed(
        [f"{group(row, 'previous', 'change')} is credited {number(credited(row))}" for row in best]
    )


def _why(found: Json, arguments: Json) -> str:
    conversion, touches = found["conversion"], found["touches"]
    shown = "; ".join(
        f"{name(each['source'])}/{name(each['medium'])} {seconds(each['seconds_before'])} before"
        for each in touches[:5]
    )
    return (
        f"{name(found['user_id'])} did {name(conversion['event'])} at {conversion['timestamp']} "
        f"after {counted(len(touches), 'touch', 'touches')}{': ' if shown else ''}{shown}."
    )


def _funnel(found: Json, arguments: Json) -> str:
    said = []
    for row in found["rows"][:SHOWN]:
        steps = row["steps"]
        way = ", ".join(f"{name(step['step'])} {step['persons']:,}" for step in steps)
        lost = [
            (before["persons"] - after["persons"], before["step"], after["step"])
            for before, after in pairwise(steps)
        ]
        worst = max(lost) if lost else None
        drop = (
            f" Most are lost between {name(worst[1])} and {name(worst[2])}: {worst[0]:,}."
            if worst and worst[0]
            else ""
        )
        whom = group({key: value for key, value in row.items() if key != "steps"})
        begin = "" if whom == "all" else f"{whom}: "
        said.append(f"{begin}{way}; {share(steps[-1]['share'])} get to the end.{drop}")
    if len(found["rows"]) > SHOWN:
        said.append(f"And {counted(len(found['rows']) - SHOWN, 'more group')}.")
    return sentence(said) or "Nobody did the first step."


def _funnel_people(found: Json, arguments: Json) -> str:
    step = name(found["step"])
    where = f"who did not get to {step}" if arguments.get("dropped") else f"at step {step}"
    return f"{some(found, 'person', 'people')} {where}{_who(found)}"


def _retention(found: Json, arguments: Json) -> str:
    rows = [row for row in found["rows"] if row["persons"]]
    if not rows:
        return "Nobody began in this time."
    begun = sum(row["persons"] for row in rows)
    after = [row for row in rows if len(row["retained"]) > 1]
    said = ""
    if after:
        back = sum(row["retained"][1] for row in after) / sum(row["persons"] for row in after)
        begun_before = sum(row["persons"] for row in after)
        where = "it or later" if arguments.get("mode") == "unbounded" else "it"
        said = f" Of the {begun_before:,} whose next {found['interval']} has begun, {share(back)} "
        said += f"were back in {where} so far."
    return f"{counted(begun, 'person', 'people')} in {counted(len(rows), 'cohort')}.{said}"


def _retention_people(found: Json, arguments: Json) -> str:
    did = "came back" if found["returned"] else "did not come back"
    people = counted(found["persons"], "person", "people")
    return f"{people} of the cohort {name(found['cohort'])} {did} in interval {found['period']}."


def _paths(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = "; ".join(
        f"{' → '.join(map(name, row['path'])) or 'nothing more'} ({row['persons']:,})"
        for row in rows[:SHOWN]
    )
    people = counted(found["persons"], "person", "people")
    reached = (
        f"; {found['reached']:,} of them got to {name(found['end'])}" if "end" in found else ""
    )
    said = f"{people} did {name(found['event'])}{reached}."
    return f"{said} Most often: {shown}{more(rows)}." if rows else said


def _paths_people(found: Json, arguments: Json) -> str:
    people = counted(found["persons"], "person", "people")
    return f"{people} on that way{_who(found)}"


def _who(found: Json) -> str:
    """The first of the people, and where the others are."""
    rows = found["rows"]
    who = listed([name(row["user_id"] or row["anonymous_id"]) for row in rows[:SHOWN]])
    return f"{': ' if rows else ''}{who}{more(rows)}.{leads_on(found)}"


SUMMARIES: Mapping[str, Callable[[Json, Json], str]] = {
    "time_to_conversion": _time_to_conversion,
    "attribution": _attribution,
    "why": _why,
    "funnel": _funnel,
    "funnel_people": _funnel_people,
    "retention": _retention,
    "retention_people": _retention_people,
    "paths": _paths,
    "paths_people": _paths_people,
}
