"""Input and output schemas of tools, made from the structs that routes take and answer."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from threadline.contract.policies import PARTITIONS, POLICIES
from threadline.questions.question import Question
from threadline.runtime.schemas import IN_DEFS, Json, component, schema, without_null

# Most questions take these, and each tool that an agent is shown costs it attention.
SHORT = {
    "stitch": "Whose are events from before somebody was known, on a device with several users? "
    "Best left out.",
    "as_of": "ISO 8601. The answer as it would have been given then.",
    "from": "Inclusive. ISO 8601, or relative: 7d, 4w, 12mo, today, yesterday, mtd, ytd, all.",
    "to": "Exclusive. ISO 8601, or relative, as `from`. Default: now.",
    "tz": "IANA name, as Europe/Berlin: when days begin. Default: the project's.",
    "compare": "Adds `previous` and `change` to each row: `previous_period`, `previous_year`, or "
    "`A..B`.",
}
# What structs leave to the name of a field, and an agent should not have to guess.
MEANT = {
    "alias_of": "The id of the user who it is the same person as, and which stays.",
    "anonymous_id": "The id of a device, as the browser SDK keeps it.",
    "campaign": "Exactly this utm_campaign, such as spring.",
    "event_id": "An id of your own: an event with one that came before counts once.",
    "medium": "Exactly this medium, such as paid or organic.",
    "order": "asc: the earliest first; desc: the latest first.",
    "path": "The path of the page, such as /pricing. Default: that of url.",
    "referrer": "The address of the page that led there.",
    "session_id": "Your own id of the session. Default: made of the device and the time.",
    "source": "Exactly this source, such as google.",
    "text": "What happened, in a few words.",
    "url": "The whole address of the page, with its parameters.",
    "user_id": "The id that your database has for the user; never an e-mail address.",
}
# Answers are always JSON here.
NOT_HERE = frozenset({"format"})
CURSOR = {
    "type": "string",
    "description": "`next_cursor` of the answer before, with the same arguments: what follows.",
}


def input_of_question(question: Question) -> Json:
    """Its parameters by name, those of the path included. `cursor` is there in any case: answers
    that are too large for a conversation go on by it."""
    choices = {"stitch": [*(PARTITIONS if question.counts_people else POLICIES)]}
    found = component(question.params, IN_DEFS)
    properties = {
        name: _parameter(name, part, choices, question.notes)
        for name, part in found["properties"].items()
        if name not in NOT_HERE
    }
    properties.setdefault("cursor", dict(CURSOR))
    return _object(properties, found.get("required", []))


def input_of_body(body: type, leave_out: Collection[str] = (), **more: Json) -> Json:
    """The fields of a body; `more`: arguments beside them."""
    found = component(body, IN_DEFS)
    properties = {
        name: _described(name, without_null(dict(part)))
        for name, part in found["properties"].items()
        if name not in leave_out
    }
    return _object({**properties, **more}, found.get("required", []))


def input_of_params(params: type, only: Collection[str] = (), **more: Json) -> Json:
    """Parameters of a route that is no question of the registry; `only` these of them, and `more`
    arguments beside them."""
    found = component(params, IN_DEFS)
    wanted = only or found["properties"]
    properties = {
        name: _parameter(name, part, {}, {})
        for name, part in found["properties"].items()
        if name in wanted
    }
    required = [name for name in found.get("required", []) if name in wanted]
    return _object({**properties, **more}, required)


def output_of(answer: object, loose: Collection[str] = ()) -> Json:
    """The schema of an answer. `loose`: structs of which some columns may be left out."""
    components: Json = {}
    root = schema(answer, components, IN_DEFS)
    if "$ref" in root:
        root = components.pop(str(root["$ref"]).rpartition("/")[2])
    for name in loose:
        components[name].pop("required", None)
    return {**root, "$defs": components} if components else root


def _described(name: str, part: Json) -> Json:
    return part if part.get("description") else {**part, "description": MEANT.get(name, "")}


def _parameter(
    name: str, part: Json, choices: Mapping[str, Sequence[str]], notes: Mapping[str, str]
) -> Json:
    found = _described(name, without_null(dict(part)))
    # Relative times are taken, too, as the description says.
    found.pop("format", None)
    if name == "tz":  # a client that fills defaults in would leave the project's out
        found.pop("default", None)
    found.pop("items", None)  # several are written by commas, as the description says
    if name in choices:
        found["enum"] = [*choices[name]]
    said = [SHORT.get(name, str(found["description"])), notes.get(name, "")]
    text = " ".join(filter(None, said)).replace(", percent-encoded", "")
    return {**found, "description": text}


def _object(properties: Json, required: list[str]) -> Json:
    made: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        made["required"] = list(required)
    return {**made, "additionalProperties": False}
