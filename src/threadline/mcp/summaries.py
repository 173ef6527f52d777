"""An answer in one paragraph of plain words, for a model that reads the numbers only if it has to.

A function a tool; what all answers may say of themselves, such as warnings, is added to each."""

from collections.abc import Callable, Mapping

from threadline.contract.words import counted
from threadline.mcp import conversion_summaries, number_summaries, user_summaries
from threadline.mcp.api import Answered, Json
from threadline.mcp.words import (
    SHOWN,
    day,
    leads_on,
    listed,
    more,
    name,
    number,
    sentence,
    some,
)


def summary(tool: str, arguments: Json, answered: Answered) -> str:
    """The paragraph."""
    found = answered.found
    said = SUMMARIES.get(tool, _anything)(found, arguments)
    stale = "The newest events may be missing." if answered.stale else ""
    warnings = [str(each["message"]) for each in found.get("warnings") or []]
    return sentence([said, _when(found), *answered.notes, stale, *warnings])


def _when(found: Json) -> str:
    """What relative times came to."""
    since, until = found.get("from"), found.get("to")
    # What is out of the usual has said which seven days it looked at.
    if "week" in found or not (isinstance(since, str) or isinstance(until, str)):
        return ""
    days = f"; days as in {name(found['tz'])}" if "tz" in found else ""
    return f"({f'From {since}' if since else 'From the beginning'} to {until or 'now'}{days}.)"


def _anything(found: Json, arguments: Json) -> str:
    rows = found.get("rows")
    return f"{counted(len(rows), 'row')}." if isinstance(rows, list) else "Done."


def _events(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No stored events match."
    kinds: dict[str, int] = {}
    for row in rows:
        kinds[row["event_name"]] = kinds.get(row["event_name"], 0) + 1
    most = sorted(kinds.items(), key=lambda each: -each[1])
    said = listed([f"{many:,} {name(kind)}" for kind, many in most[:SHOWN]])
    return (
        f"{counted(len(rows), 'event')} from {rows[-1]['timestamp']} to {rows[0]['timestamp']}: "
        f"{said}{more(most)}.{leads_on(found)}"
    )


def _schema(found: Json, arguments: Json) -> str:
    if values := found.get("values"):
        rows = values["rows"]
        shown = listed([f"{name(row.get('value'))} ({number(row['count'])})" for row in rows[:5]])
        return f"{counted(len(rows), 'value')} of {name(values['of'])}: {shown}{more(rows, 5)}."
    events, traits = found.get("events") or [], found.get("traits") or []
    if not events:
        asked = arguments.get("search") or arguments.get("event")
        return (
            "Nothing that was recorded has such a name." if asked else "Nothing was recorded yet."
        )
    shown = listed([f"{name(each['event'])} ({each['count']:,})" for each in events[:6]])
    of = listed([name(each["name"]) for each in traits[:6]])
    return sentence(
        [
            f"{counted(len(events), 'event name')}: {shown}{more(events, 6)}.",
            f"Traits of users: {of}{more(traits, 6)}." * bool(of),
        ]
    )


def _segments(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = "; ".join(f"{name(row['name'])}: {name(row['filters'])}" for row in rows[:5])
    return f"{counted(len(rows), 'segment')}. {shown}{more(rows, 5)}." if rows else "No segments."


def _goals(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = "; ".join(f"goal:{name(row['name'])} is {name(row['event'])}" for row in rows[:5])
    return f"{counted(len(rows), 'goal')}. {shown}{more(rows, 5)}." if rows else "No goals."


def _annotations(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = "; ".join(f"{day(row['at'])} {name(row['text'])}" for row in rows[-5:])
    return f"{counted(len(rows), 'note')}; the latest: {shown}." if rows else "No notes."


def _classify(found: Json, arguments: Json) -> str:
    source = f"{name(found['source'])}/{name(found['medium'])}"
    return f"{source}, by rule {name(found['rule_id'])}: {name(found['because']).rstrip('.')}."


def _track_event(found: Json, arguments: Json) -> str:
    return f"{name(arguments.get('event'))} is recorded, with the id {name(found['event_id'])}."


def _identify(found: Json, arguments: Json) -> str:
    return f"{name(arguments.get('anonymous_id'))} is {name(arguments.get('user_id'))} from now on."


def _change(found: Json, arguments: Json) -> str:
    return str(found["summary"])


def _list_projects(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = listed([f"{name(row['name'])} ({name(row['project_id'])})" for row in rows[:10]])
    return f"{some(found, 'project')}: {shown}{more(rows, 10)}." if rows else "No projects."


SUMMARIES: Mapping[str, Callable[[Json, Json], str]] = {
    **user_summaries.SUMMARIES,
    **number_summaries.SUMMARIES,
    **conversion_summaries.SUMMARIES,
    "query_events": _events,
    "schema": _schema,
    "segments": _segments,
    "goals": _goals,
    "annotations": _annotations,
    "classify": _classify,
    "track_event": _track_event,
    "identify": _identify,
    "unlink": _change,
    "alias": _change,
    "create_annotation": _change,
    "create_segment": _change,
    "list_projects": _list_projects,
}
