"""What an answer says beside itself: what was cut off, what does not count, what may be a slip."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from threadline.contract.times import DAY_MS, format_day
from threadline.control.keeping import Keeping
from threadline.identity.compose import all_of, bound, fill, where
from threadline.identity.reading import Reading
from threadline.identity.resolution import PROJECT
from threadline.questions.context import Context
from threadline.questions.known_names import Guess, Name, guess, never_came
from threadline.questions.named_values import IDENTIFY
from threadline.questions.near import did_you_mean
from threadline.store import Params


class AnswerWarning(msgspec.Struct):
    """Something to know about an answer. `code` is stable: `truncated`, `unknown_event`,
    `unknown_source`, `unknown_value`, `unknown_property`, `unknown_trait`, `property_condition`,
    `bots_left_out`, `future_events`, `sampled`, `without_account`, `no_accounts`,
    `skipped_values`, `rounded_values`, `unknown_currency`, `no_rate`, `several_currencies`,
    `zeros_left_out`, `little_history`, `older_than_kept`, `unused_parameter`; of
    `POST /v1/sql` also those of a body that is mended, `unknown_field` and `text_mended`.
    `parameter`: the one it is about."""

    code: str
    parameter: str | None
    message: str


Warnings = list[AnswerWarning] | msgspec.UnsetType


class Warned(msgspec.Struct, kw_only=True):
    """`warnings` is there only if there is something to know. `from`, `to`: what these parameters
    came to, where they are given; `previous_from`, `previous_to`: the time of `compare`. `tz`: by
    whose clocks days begin, where the project has a `timezone`."""

    from_: str | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)
    to: str | msgspec.UnsetType = msgspec.UNSET
    tz: str | msgspec.UnsetType = msgspec.UNSET
    previous_from: str | msgspec.UnsetType = msgspec.UNSET
    previous_to: str | msgspec.UnsetType = msgspec.UNSET
    warnings: Warnings = msgspec.UNSET


class Limited(Warned, kw_only=True):
    """`truncated` is there, and true, only if `limit` left something out."""

    truncated: bool | msgspec.UnsetType = msgspec.UNSET


def noted(warnings: Sequence[AnswerWarning]) -> Warnings:
    """As they go out: none at all if there is nothing to know."""
    return list(warnings) or msgspec.UNSET


def left_out(context: Context) -> list[AnswerWarning]:
    """Of an answer per account: how many people are left out, because they belong to none."""
    if not context.about_people:
        return []
    ((found,),) = context.reading.query_all(context.about_people[0])
    persons = found["persons"]
    if not persons:
        return []
    one = persons == 1
    who = "One person who did this belongs" if one else f"{persons} people who did this belong"
    message = f"{who} to no account, and {'is' if one else 'are'} left out."
    return [AnswerWarning("without_account", "per", message)]


def cut_off(limit: int, most: int) -> AnswerWarning:
    """That there are more rows than `limit`, which may be `most`."""
    way_out = "narrow the question" if limit >= most else f"limit may be up to {most}"
    shown = "this row: it is the first" if limit == 1 else f"these {limit} rows: the first"
    message = f"There is more than {shown} of their order; {way_out}."
    return AnswerWarning("truncated", "limit", message)


def older_than_kept(
    keeping: Keeping, from_ms: int, now_ms: int, events: Collection[str]
) -> list[AnswerWarning]:
    """That some of the time from `from_ms` on is longer ago than events are kept. `events`: those
    that are asked about; none: all."""
    today = now_ms // DAY_MS
    asked_days = today - from_ms // DAY_MS
    said = []
    others = not events or any(keeping.days_of(name) == keeping.days for name in events)
    if keeping.days is not None and keeping.days < asked_days and others:
        since = format_day(today - keeping.days)
        said.append(
            f"events are kept for {keeping.days} days, so there are none from before {since}"
        )
    named = [
        f"{name} for {days} days"
        for name, days in keeping.by_event
        if days is not None and days < asked_days and (not events or name in events)
    ]
    if named:
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        said.append(f"events of some names are kept otherwise: {', '.join(named[:5])}{more}")
    if not said:
        return []
    message = "; ".join(said)
    return [AnswerWarning("older_than_kept", "from", f"{message[0].upper()}{message[1:]}.")]


def skipped_values(parameter: str, name: str, skipped: int) -> list[AnswerWarning]:
    """That so many events have something else than a number as the property `name`."""
    if not skipped:
        return []
    events = "One event has" if skipped == 1 else f"{skipped} events have"
    message = f"{events} a {name!r} that is not a number of usable size; it counts as none."
    return [AnswerWarning("skipped_values", parameter, message)]


# Names of properties, of some events: enough to say whether one of this name ever came, and to
# guess which was meant.
PROPERTIES = """
WITH some AS (
    SELECT e.properties AS properties
    FROM counted_events AS e
    $where
    ORDER BY e.properties LIKE {like:String} DESC
    LIMIT 10000
)
SELECT arrayJoin(JSONExtractKeys(properties)) AS name, count() AS events
FROM some
GROUP BY name
ORDER BY name = {wanted:String} DESC, events DESC
LIMIT 1000"""


def unknown_property(
    context: Context, parameter: str, name: str, conditions: Sequence[str], values: Params
) -> list[AnswerWarning]:
    """That none of the events `e` that count and pass these conditions has a property of this name.
    It looks into them, so ask only where there is nothing to add up."""
    quoted = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    asked = {**values, "like": f'%"{quoted}"%', "wanted": name}
    rows = context.ask(PROPERTIES, asked, {"where": where(conditions)})
    came = [row["name"] for row in rows]
    if name in came or not came:
        return []
    hint = did_you_mean(name, came) or f"they have {', '.join(came[:5])}."
    message = f"No such event has a property {name!r}; {hint}"
    return [AnswerWarning("unknown_property", parameter, message)]


# (project, name) that were found once, and need not be looked for again.
_came: set[tuple[str, Name]] = set()
MOST_KEPT = 10_000


def unknown_events(
    context: Context, asked: Mapping[str, Iterable[str | None]]
) -> list[AnswerWarning]:
    """A warning for each event name, by parameter, of which no event ever came to the project,
    bots' included."""
    wanted = [
        (parameter, Name(None, (name,)))
        for parameter, names in asked.items()
        for name in names
        if name is not None
    ]
    return unknown_names(context, wanted)


def unknown_names(
    context: Context, asked: Sequence[tuple[str, Name]], also_first: bool = True
) -> list[AnswerWarning]:
    """A warning for each name, with the parameter it stands in, that never came to the project. It
    reads a state, so it may be asked with every question. `also_first`: even if nothing of the kind
    ever came."""
    project_id = context.project_id
    wanted = [name for _, name in dict.fromkeys(asked) if (project_id, name) not in _came]
    if not wanted:
        return []
    missing = never_came(context.reading, project_id, wanted)
    if len(_came) > MOST_KEPT:
        _came.clear()
    _came.update((project_id, name) for name in wanted if name not in missing)
    found = []
    for parameter, name in dict.fromkeys(asked):
        if name in missing:
            guessed = guess(context.reading, project_id, name)
            # Where nothing has properties at all, there is no slip to be seen.
            is_said = also_first and (name.key is None or name.events == (IDENTIFY,))
            if guessed.frequent or is_said:
                found.append(_never_came(parameter, name, guessed))
    return found


def _never_came(parameter: str, name: Name, guessed: Guess) -> AnswerWarning:
    if name.key is None:
        code, message = (
            "unknown_event",
            f"No event named {name.events[0]!r} ever came to this project",
        )
        nothing, others = "none of any name did.", "the most frequent is {}."
    elif name.events == (IDENTIFY,):
        code, message = "unknown_trait", f"Nobody has a trait {name.key!r}"
        nothing, others = "nobody has any.", "there are {}."
    else:
        such = "such event" if name.events else "event"
        code, message = "unknown_property", f"No {such} has a property {name.key!r}"
        nothing, others = "", "they have {}."
    frequent = [other for other in guessed.frequent if other][: 1 if name.key is None else 5]
    if guessed.near is not None:
        hint = f"did you mean {guessed.near!r}?"
    elif frequent:
        hint = others.format(", ".join(map(repr, frequent)))
    else:
        hint = nothing
    return AnswerWarning(code, parameter, f"{message}; {hint}")


# Of every source, medium, campaign and channel that anybody came by.
SOURCES = f"""
SELECT groupUniqArray(source) AS source, groupUniqArray(medium) AS medium,
    groupUniqArray(campaign) AS campaign, groupUniqArray(channel) AS channel
FROM traffic_sources
WHERE {PROJECT}"""
# What an event has without any.
PLAIN: Mapping[str, set[str]] = {
    "source": {"direct", "internal"},
    "medium": {"direct", "internal"},
    "campaign": set(),
    "channel": set(),
}


def unknown_sources(context: Context, asked: Mapping[str, str | None]) -> list[AnswerWarning]:
    """A warning for each `source`, `medium` or `campaign` that nobody ever came by. Ask only where
    an answer came out empty."""
    wanted = {name: value for name, value in asked.items() if value is not None}
    if not wanted:
        return []
    came = sources_that_came(context)
    return [
        AnswerWarning("unknown_source", name, nobody_came(name, value, came[name]))
        for name, value in wanted.items()
        if value not in came[name]
    ]


def sources_that_came(context: Context) -> dict[str, list[str]]:
    """The sources, mediums, campaigns and channels that anybody ever came by, by which of these
    they are, in order of the alphabet. It reads a state."""
    (found,) = context.reading.query(SOURCES, {"project_id": context.project_id})
    return {name: sorted(PLAIN[name].union(found[name]) - {""}) for name in PLAIN}


def nobody_came(name: str, value: str, known: Sequence[str]) -> str:
    """That nobody came by this one of them, and which was meant."""
    hint = did_you_mean(value, known) or f"there are {', '.join(known[:5]) or 'none'}."
    return f"Nobody ever came by the {name} {value!r}; {hint}"


BOTS = f"""
SELECT count() AS events
FROM events AS e
WHERE e.{PROJECT} AND e.is_bot AND $conditions"""


def bots_left_out(
    reading: Reading, conditions: Sequence[str], values: Params
) -> list[AnswerWarning]:
    """How many events `e` that pass these conditions were taken for a program's, if any were."""
    sql = fill(BOTS, {"conditions": all_of(conditions)})
    (found,) = reading.query(sql, bound(sql, values))
    if not found["events"]:
        return []
    events = "One event is" if found["events"] == 1 else f"{found['events']} events are"
    message = (
        f"{events} left out, taken for crawlers' or other programs'; include_bots=true counts them."
    )
    return [AnswerWarning("bots_left_out", "include_bots", message)]
