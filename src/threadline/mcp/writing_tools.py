"""Tools that change something. What cannot be taken back at once is shown before it is done:
without `apply` they only say what they would do."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from threadline.client.wire import in_path
from threadline.contract.bodies import Alias, Event, Identify, Link
from threadline.contract.definitions import Annotation, Definitions, Segment
from threadline.contract.errors import ApiError
from threadline.contract.replies import Notice, Ok, Tracked
from threadline.mcp.api import (
    EXPLAINED,
    WRITERS,
    Answered,
    Json,
    RouteRefused,
    Session,
    checked,
    invalid,
)
from threadline.mcp.more_tools import json_body
from threadline.mcp.schemas import input_of_body, output_of
from threadline.mcp.tools import Tool, get, near
from threadline.mcp.words import one_line
from threadline.questions import annotations, definitions
from threadline.questions.near import did_you_mean

APPLY = {
    "type": "boolean",
    "default": False,
    "description": "False: only show what it would change. True: do it, after the person you work "
    "for has seen that.",
}
DONE = "Done."
NOTHING_YET = Definitions()
NOTHING = "Nothing would change"
NOT_DONE = "Nothing was changed. Call again with apply=true to do it."


T = TypeVar("T")


class Change(msgspec.Struct, omit_defaults=True):
    """`applied`: whether it was done. `preview`: what it would change, in numbers; `result`: what
    the API answered. `summary` says it in a sentence."""

    applied: bool
    summary: str
    preview: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    result: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


def writing_tools() -> list[Tool]:
    """For keys that may write."""
    return [
        Tool(
            name="track_event",
            title="Record an event",
            when="Records one event, as a server would. For trying out tracking, or to note that "
            "something happened; give event_id, so that doing it twice counts once. Not for tests "
            "on a project with real numbers: events stay.",
            input=input_of_body(Event),
            output=output_of(Tracked),
            call=_track,
            keys=WRITERS,
            reads=False,
            repeats=False,
        ),
        Tool(
            name="identify",
            title="Say who a visitor is",
            when="Ties a device (anonymous_id) to a user (user_id), with traits. What was done on "
            "that device before counts for the user from then on; unlink takes that back.",
            input=input_of_body(Identify),
            output=output_of(Ok),
            call=partial(_post, "/v1/identify"),
            keys=WRITERS,
            reads=False,
        ),
        Tool(
            name="unlink",
            title="Untie a user from a device",
            when="Takes back that a user was seen on a device: what was done there without signing "
            "in does not count for them any more. Shows what would change until apply is true.",
            input=input_of_body(Link, apply=APPLY),
            output=output_of(Change),
            call=partial(_decide, "unlink", "DELETE", "/v1/identity/links"),
            keys=WRITERS,
            reads=False,
            destroys=True,
        ),
        Tool(
            name="alias",
            title="Declare two users one person",
            when="Declares user_id the same person as alias_of: their events and devices count "
            "together. Shows what would change until apply is true.",
            input=input_of_body(Alias, apply=APPLY),
            output=output_of(Change),
            call=partial(_decide, "alias", "PUT", "/v1/identity/aliases"),
            keys=WRITERS,
            reads=False,
            destroys=True,
        ),
        Tool(
            name="create_annotation",
            title="Add a dated note",
            when="Adds a note, such as a release or the start of a campaign, that comes with every "
            "series over its time. Shows it, and the notes there are, until apply is true.",
            input=input_of_body(Annotation, ["annotation_id"], apply=APPLY),
            output=output_of(Change),
            call=_annotate,
            keys=WRITERS,
            reads=False,
        ),
        Tool(
            name="create_segment",
            title="Give people a name",
            when="Keeps filters on people under a name, for segment==NAME in every question. Shows "
            "how many people pass them, and what is there under that name, until apply is true.",
            input=_segment_input(),
            output=output_of(Change),
            call=_define_segment,
            keys=WRITERS,
            reads=False,
            destroys=True,
        ),
    ]


def _segment_input() -> Json:
    made = input_of_body(Segment, apply=APPLY)
    made["properties"]["name"].pop("default", None)
    return {**made, "required": ["name", "filters"]}


async def _post(path: str, session: Session, arguments: Json) -> Answered:
    reply = checked(await session.own.call("POST", path, body=json_body(_given(arguments))))
    return Answered(reply.json())


async def _track(session: Session, arguments: Json) -> Answered:
    answered = await _post("/v1/track", session, arguments)
    if not (arguments.get("anonymous_id") or arguments.get("user_id")):
        asked = {"event": str(arguments.get("event")), "limit": "100", "include_bots": "true"}
        stored = (await get(session.own, "/v1/query", asked)).found["rows"]
        event_id = answered.found["event_id"]
        made = [row["anonymous_id"] for row in stored if row["event_id"] == event_id]
        of = f" {made[0]!r}" if made else ""
        message = (
            f"Neither anonymous_id nor user_id was given, so the event is of a device{of} that the "
            "server made up; give one of them to count it for somebody."
        )
        said = Notice(0, "anonymous_id", "generated_id", message)
        given = [*(answered.found.get("warnings") or []), msgspec.to_builtins(said)]
        answered.found["warnings"] = given
    return answered


async def _decide(
    decision: str, method: str, path: str, session: Session, arguments: Json
) -> Answered:
    body, apply = _split(arguments)
    seen = await session.own.call("POST", "/v1/identity/preview", body=json_body({decision: body}))
    preview = checked(seen).json()
    if not apply and not preview["changes"]:
        why = [str(preview["summary"])]
        why += [] if why[0].startswith(NOTHING) else [f"{NOTHING}."]
        why += await _unheard_of(session, body)
        summary = one_line(" ".join(why))
        return Answered({"applied": False, "summary": summary, "preview": preview}, seen.stale)
    if not apply:
        return _shown(preview, str(preview["summary"]), seen.stale)
    result = checked(await session.own.call(method, path, body=json_body(body))).json()
    said = str(preview["summary"]) if result["changed"] else "It was so already."
    return _applied(result, said)


async def _unheard_of(session: Session, body: Json) -> list[str]:
    """Which ids in a decision there are not, with the one that was probably meant."""
    said, devices = [], list[str]()
    for field in ("user_id", "alias_of"):
        if not (user := body.get(field)):
            continue
        try:
            profile = await get(session.own, f"/v1/users/{in_path(str(user))}", {})
            devices += [each["anonymous_id"] for each in profile.found["devices"]]
        except RouteRefused:
            said.append(_no_such("user", user, await near(session.own, "user_id", str(user))))
    device = body.get("anonymous_id")
    if device and device not in devices:
        said.append(_no_such("device of this user", device, did_you_mean(str(device), devices)))
    return said


def _no_such(what: str, name: object, hint: str) -> str:
    return f"There is no {what} {name!r}{f'; {hint}' if hint else '.'}"


async def _annotate(session: Session, arguments: Json) -> Answered:
    body, apply = _split(arguments)
    there = (await get(session.own, "/v1/annotations", {})).found["rows"]
    if not apply:
        _is_taken(Annotation, body, lambda note: annotations.add_annotation(NOTHING_YET, note))
        same_day = [note for note in there if note["at"][:10] == body["at"][:10]]
        said = f"It would note at {body['at']}: {body['text']}."
        if same_day:
            said += f" There are notes on that day already: {len(same_day)}."
        return _shown({"annotation": body, "same_day": same_day}, said)
    reply = checked(await session.own.call("POST", "/v1/annotations", body=json_body(body)))
    return _applied(reply.json(), "The note is kept.")


async def _define_segment(session: Session, arguments: Json) -> Answered:
    body, apply = _split(arguments)
    name, filters = body.get("name"), body.get("filters")
    if not isinstance(name, str) or not name:
        raise invalid("name", "required")
    if not isinstance(filters, str) or not filters:
        raise invalid("filters", "required")
    path = f"/v1/segments/{in_path(name)}"
    if apply:
        reply = checked(await session.own.call("PUT", path, body=json_body({"filters": filters})))
        return _applied(reply.json(), f"The segment {name} is kept.")
    counted = await get(session.own, "/v1/stats", {"metric": "persons", "filters": filters})
    there = (await get(session.own, "/v1/segments", {})).found["rows"]
    kept = Definitions({each["name"]: msgspec.convert(each, Segment) for each in there})
    _is_taken(Segment, body, lambda segment: definitions.put_segment(kept, segment))
    persons = counted.found["rows"][0]["value"] if counted.found["rows"] else 0
    replaces = await _segment(session, path)
    said = f"{persons:,} people pass these filters now."
    if replaces:
        said += f" A segment of this name is there, and would be replaced: {replaces['filters']}."
    preview: Json = {"persons": persons, "filters": filters, "replaces": replaces}
    if warnings := counted.found.get("warnings"):
        preview["warnings"] = warnings
        said = " ".join([said, *(str(each["message"]) for each in warnings)])
    return _shown(preview, said, counted.stale)


def _is_taken(kind: type[T], body: Json, check: Callable[[T], object]) -> None:
    """Raises `RouteRefused` for what would be refused when it is done: nobody is promised it."""
    try:
        check(msgspec.convert(body, kind))
    except msgspec.ValidationError as error:
        raise invalid(kind.__name__.lower(), str(error)) from None
    except ApiError as error:
        raise RouteRefused(error.status, error.code, error.details, EXPLAINED) from None


async def _segment(session: Session, path: str) -> Json | None:
    try:
        return (await get(session.own, path, {})).found
    except RouteRefused as error:
        if error.status == 404:
            return None
        raise


def _given(arguments: Json) -> Json:
    return {name: value for name, value in arguments.items() if value is not None}


def _split(arguments: Json) -> tuple[Json, bool]:
    """The body, and whether it is to be done. Raises `RouteRefused`."""
    body = _given(arguments)
    apply = body.pop("apply", False)
    if not isinstance(apply, bool):
        raise invalid("apply", "write true or false")
    return body, apply


def _shown(preview: Json, said: str, stale: bool = False) -> Answered:
    found = {"applied": False, "summary": f"{one_line(said)} {NOT_DONE}", "preview": preview}
    return Answered(found, stale)


def _applied(result: Json, said: str) -> Answered:
    return Answered({"applied": True, "summary": f"{DONE} {one_line(said)}", "result": result})
