"""An answer in one paragraph of plain words, for a model that reads the numbers only if it has to.

A function a tool; what all answers may say of themselves, such as warnings, is added to each."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from threadline.mcp.api import Answered, Json
from threadline.mcp.words import (
    change,
    counted,
    day,
    group,
    listed,
    name,
    number,
    seconds,
    sentence,
    share,
    touch,
)

SHOWN = 3
OF_TIME = ("bucket", "time", "partial")
OF_VALUE = (*OF_TIME, "value", "previous", "change")


def summary(tool: str, arguments: Json, answered: Answered) -> str:
    """The paragraph."""
    found = answered.found
    said = SUMMARIES.get(tool, _anything)(found, arguments)
    stale = "A moment's newest events may be missing." if answered.stale else ""
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


def _more(rows: Sequence[object], shown: int = SHOWN) -> str:
    return f", and {len(rows) - shown:,} more" if len(rows) > shown else ""


def _some(found: Json, one: str, more: str = "") -> str:
    """How many rows there are, as far as that is known: a page is not all."""
    rows = counted(len(found["rows"]), one, more)
    return f"The first {rows}" if found.get("next_cursor") else rows


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
    more = " There are more; next_cursor leads on." if found.get("next_cursor") else ""
    return (
        f"{counted(len(rows), 'event')} from {rows[-1]['timestamp']} to {rows[0]['timestamp']}: "
        f"{said}{_more(most)}.{more}"
    )


def _schema(found: Json, arguments: Json) -> str:
    if values := found.get("values"):
        rows = values["rows"]
        shown = listed([f"{name(row.get('value'))} ({number(row['count'])})" for row in rows[:5]])
        return f"{counted(len(rows), 'value')} of {name(values['of'])}: {shown}."
    events, traits = found.get("events") or [], found.get("traits") or []
    if not events:
        asked = arguments.get("search") or arguments.get("event")
        return (
            "Nothing that was recorded has such a name." if asked else "Nothing was recorded yet."
        )
    shown = listed([f"{name(each['event'])} ({each['count']:,})" for each in events[:6]])
    of = listed([name(each["name"]) for each in traits[:6]])
    more = _more(events, 6)
    return sentence(
        [
            f"{counted(len(events), 'event name')}: {shown}{more}.",
            f"Traits of users: {of}." * bool(of),
        ]
    )


def _users(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No users match."
    first = [
        f"{name(row['user_id'])}, first by {name(row['first_touch']['source'])}/"
        f"{name(row['first_touch']['medium'])}"
        for row in rows[:SHOWN]
        if "first_touch" in row and "user_id" in row
    ]
    more = " There are more; next_cursor leads on." if found.get("next_cursor") else ""
    return sentence([f"{counted(len(rows), 'user')}.", f"{'; '.join(first)}." * bool(first), more])


def _first_touch(found: Json, arguments: Json) -> str:
    devices = counted(len(found["devices"]), "device")
    traits = listed([f"{name(key)} {name(value)}" for key, value in found["traits"].items()][:5])
    return sentence(
        [
            f"{name(found['user_id'])} first came by {touch(found['first_touch'])}, and is known "
            f"since {found['known_since']}.",
            f"The last touch was {touch(found['last_touch'])}.",
            f"Seen on {devices}.",
            f"Traits: {traits}." if traits else "",
        ]
    )


def _journey(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No events in this part of the journey."
    steps = " → ".join(
        name(row["path"] if row["event_name"] == "$pageview" and row["path"] else row["event_name"])
        for row in rows[:8]
    )
    more = " There are more; next_cursor leads on." if found.get("next_cursor") else ""
    return (
        f"{counted(len(rows), 'event')}, known since {found['known_since']}: {steps}"
        f"{' → …' if len(rows) > 8 else ''}.{more}"
    )


def _accounts(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = listed(
        [f"{name(row['account_id'])} ({counted(row['people'], 'person', 'people')})"
         for row in rows[:SHOWN]]
    )  # fmt: skip
    return f"{_some(found, 'account')}: {shown}{_more(rows)}." if rows else "No accounts."


def _account(found: Json, arguments: Json) -> str:
    return (
        f"{name(found['account_id'])} has {counted(found['people'], 'person', 'people')} and "
        f"{counted(found['events'], 'event')}, first seen {day(found['first_seen'])}, last "
        f"{day(found['last_seen'])}. It first came by {touch(found['first_touch'])}."
    )


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
    return f"{what}: {shown}{_more(rows, SHOWN + 2)}."


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
    values = [row for row in rows if isinstance(row["value"], int | float)]
    if not values:
        return f"{what}: {counted(len(rows), 'interval')} from {rows[0]['bucket']}."
    high = max(values, key=lambda row: float(row["value"]))
    low = min(values, key=lambda row: float(row["value"]))
    has_groups = any(group(row, *OF_VALUE) != "all" for row in rows)

    def said(row: Json) -> str:
        of = f" of {group(row, *OF_VALUE)}" if has_groups else ""
        return f"{shows(row['value'])}{of} at {row['bucket']}"

    running = " (that interval is not over)" if rows[-1].get("partial") else ""
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
        f"{said}{_more(rows, SHOWN + 2)}. {counted(others, 'other number')} as usual."
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
    return f"{shown}{_more(rows)}." if rows else "Nothing came in this time."


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
    return f"From first touch to {name(found['conversion'])}: {shown}{_more(rows)}."


def _attribution(found: Json, arguments: Json) -> str:
    total, rows = found["total"], found["rows"]
    what = f"{number(total['conversions'])} {name(found['conversion'])} conversions"
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
    rows = found["rows"]
    who = listed([name(row["user_id"] or row["anonymous_id"]) for row in rows[:SHOWN]])
    more = " There are more; next_cursor leads on." if found.get("next_cursor") else ""
    step = name(found["step"])
    where = f"who did not get to {step}" if arguments.get("dropped") else f"at step {step}"
    return (
        f"{_some(found, 'person', 'people')} {where}{': ' if rows else ''}{who}{_more(rows)}.{more}"
    )


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
    return f"{said} Most often: {shown}{_more(rows)}." if rows else said


def _paths_people(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    who = listed([name(row["user_id"] or row["anonymous_id"]) for row in rows[:SHOWN]])
    more = " There are more; next_cursor leads on." if found.get("next_cursor") else ""
    people = counted(found["persons"], "person", "people")
    return f"{people} on that way{': ' if rows else ''}{who}{_more(rows)}.{more}"


def _identity_stats(found: Json, arguments: Json) -> str:
    return (
        f"{counted(found['persons'], 'person', 'people')}, {found['users']:,} of them known users "
        f"({share(found['known_share'])}), with {number(found['devices_per_user'])} devices each "
        f"on average; {counted(found['shared_devices'], 'shared device')}; it takes "
        f"{seconds(found['median_seconds_to_known'])} (median) until somebody is known."
    )


def _shared_devices(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No device was seen with more than one user."
    most = rows[0]
    return (
        f"{_some(found, 'device')} with more than one user; the busiest, "
        f"{name(most['anonymous_id'])}, with {counted(len(most['users']), 'user')} and "
        f"{counted(most['events'], 'event')}."
    )


def _suspicious(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No user is on unusually many devices, and no device has unusually many users."
    shown = listed(
        [
            f"{row['kind']} {name(row['id'])} with {row['count']:,} "
            f"{'devices' if row['kind'] == 'user' else 'users'}"
            for row in rows[:SHOWN]
        ]
    )
    return f"Unusual: {shown}{_more(rows)}."


def _likely_duplicates(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No two users have the same e-mail address."
    shown = "; ".join(
        f"{name(row['email'])}: {listed([name(user['user_id']) for user in row['users'][:4]])}"
        for row in rows[:SHOWN]
    )
    return f"{_some(found, 'address', 'addresses')} of several users: {shown}{_more(rows)}."


def _explain(found: Json, arguments: Json) -> str:
    said = "; ".join(
        f"{policy}: {listed([*map(name, owner['owners'])]) or 'nobody'}, {owner['because']}"
        for policy, owner in found["policies"].items()
    )
    return f"At {found['at']} on {name(found['anonymous_id'])}, by policy: {said}."


def _segments(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = "; ".join(f"{name(row['name'])}: {name(row['filters'])}" for row in rows[:5])
    return f"{counted(len(rows), 'segment')}. {shown}{_more(rows, 5)}." if rows else "No segments."


def _goals(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = "; ".join(f"goal:{name(row['name'])} is {name(row['event'])}" for row in rows[:5])
    return f"{counted(len(rows), 'goal')}. {shown}{_more(rows, 5)}." if rows else "No goals."


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
    return f"{_some(found, 'project')}: {shown}{_more(rows, 10)}." if rows else "No projects."


def _compare_projects(found: Json, arguments: Json) -> str:
    shows = _shows(found)
    shown = listed(
        [
            f"{name(row['name'])} {row.get('error') or shows(row['value'])}{_compared(row, shows)}"
            for row in found["rows"][:10]
        ]
    )
    return f"{_counted_thing(found, arguments)}: {shown}{_more(found['rows'], 10)}."


SUMMARIES: Mapping[str, Callable[[Json, Json], str]] = {
    "query_events": _events,
    "schema": _schema,
    "users": _users,
    "first_touch": _first_touch,
    "user_journey": _journey,
    "accounts": _accounts,
    "account": _account,
    "get_stats": _stats,
    "what_changed": _changes,
    "top_sources": _sources,
    "visits": _visits,
    "time_to_conversion": _time_to_conversion,
    "attribution": _attribution,
    "why": _why,
    "funnel": _funnel,
    "funnel_people": _funnel_people,
    "retention": _retention,
    "retention_people": _retention_people,
    "paths": _paths,
    "paths_people": _paths_people,
    "identity_stats": _identity_stats,
    "shared_devices": _shared_devices,
    "suspicious": _suspicious,
    "likely_duplicates": _likely_duplicates,
    "explain_identity": _explain,
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
    "compare_projects": _compare_projects,
}
