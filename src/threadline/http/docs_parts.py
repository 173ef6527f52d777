"""What the API reference says of a route, however it is written: as a page or as Markdown."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

Json = dict[str, Any]

KEYS = """Every route but those under Server, Browser and Dashboard takes a key, as
`Authorization: Bearer KEY`. `threadline project create NAME` prints three: `pk` for pages (from the
project's origins), `sk` for servers, `rk` for reading. The examples have this server's address in
`$HOST`, keys in `$SK` and `$RK`, and in `$SESSION` the cookie of somebody who is signed in to the
dashboard."""

# What examples say where something has to be said.
EXAMPLES = {
    "conversion": "signup",
    "steps": "$pageview,signup".replace("$", "%24"),
    "start": "signup",
    "event": "signup",
}
LINES = " \\\n  "  # as the shell goes on in the next line
ASKED = {"/v1/identity/explain": "anonymous_id=u_abc&at=2026-05-02"}
BODIES = {
    "/v1/track": '{"event": "signup", "anonymous_id": "u_abc", "user_id": "user_42"}',
    "/v1/batch": '{"events": [{"event": "signup", "anonymous_id": "u_abc"}]}',
    "/v1/identify": '{"anonymous_id": "u_abc", "user_id": "user_42", "traits": {"plan": "pro"}}',
    "/v1/forget": '{"user_id": "user_42"}',
    "/v1/page": '{"anonymousId": "u_abc", "properties": {"url": "https://shop.example/"}}',
    "/v1/screen": '{"anonymousId": "u_abc", "name": "Home"}',
    "/v1/group": '{"userId": "user_42", "groupId": "acme"}',
    "/v1/alias": '{"previousId": "u_abc", "userId": "user_42"}',
    "/v1/identity/links": '{"anonymous_id": "u_abc", "user_id": "user_42"}',
    "/v1/identity/accounts": '{"user_id": "user_42", "account_id": "acme"}',
    "/v1/identity/aliases": '{"user_id": "old-7", "alias_of": "user_42"}',
    "/v1/segments/{name}": '{"filters": "first.medium==paid;did==signup"}',
    "/v1/goals/{name}": '{"event": "purchase{plan=pro}", "value_property": "value"}',
    "/v1/annotations": '{"at": "2026-05-01", "text": "New prices"}',
    "/v1/annotations/{annotation_id}": '{"at": "2026-05-01", "text": "New prices"}',
    "/v1/insights/{name}": '{"question": "stats", "params": {"interval": "day", "from": "30d"}}',
    "/v1/boards/{name}": '{"insights": [{"insight": "Signups", "width": 6}]}',
    "/v1/identity/preview": '{"unlink": {"anonymous_id": "u_abc", "user_id": "user_42"}}',
    "/v1/rules": '{"rules": "…"}',
    "/v1/rules/test": '{"url": "https://shop.example/?utm_source=pod-7"}',
    "/v1/reclassify": '{"dry_run": true, "since": "2026-05-01"}',
    "/v1/projects": '{"name": "shop", "origins": ["https://shop.example"]}',
    "/v1/projects/{project_id}": '{"stitch": "next", "visit_timeout_minutes": 45}',
    "/v1/keys": '{"kind": "rk", "name": "dashboard"}',
    "/v1/keys/{label}/rotate": '{"keep_for": "24h"}',
    "/v1/auth/password": '{"email": "ada@shop.example", "password": "…"}',
    "/v1/auth/link": '{"token": "…"}',
    "/v1/auth/setup": '{"token": "…", "email": "ada@shop.example", "password": "…"}',
    "/v1/auth/sign-out": '{"everywhere": true}',
    "/v1/members": '{"email": "bo@shop.example", "role": "editor"}',
    "/v1/members/{member_id}": '{"role": "viewer"}',
    "/v1/share-links": '{"page": "overview", "name": "For the board", "query": "from=30d"}',
}
IN_PATH = {
    "project_id": "prj_0123456789ab",
    "label": "rk_live_0123456789",
    "user_id": "user_42",
    "account_id": "acme",
    "name": "outbound.js",
    "annotation_id": "note_1",
    "session_id": "ses_0123456789ab",
    "member_id": "mem_0123456789ab",
    "share_id": "shr_0123456789ab",
}
NAMES = {
    "/v1/segments/{name}": "paid",
    "/v1/goals/{name}": "sale",
    "/v1/insights/{name}": "Signups",
    "/v1/boards/{name}": "Week",
}


class Section(NamedTuple):
    """A route."""

    path: str
    method: str
    operation: Json


class Field(NamedTuple):
    """`kind`: a schema in a few words: `string, 1 to 128`, `list of EventRow, optional`."""

    name: str
    kind: str
    text: str


def by_tag(document: Json) -> dict[str, list[Section]]:
    """All routes, under their headings, in the order in which to read them."""
    tags: dict[str, list[Section]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(operation["tags"][0], []).append(Section(path, method, operation))
    order = sorted(tags, key=lambda tag: (tag == "Server", tag != "Ingest", tag))
    return {tag: tags[tag] for tag in order}


def example(section: Section) -> str:
    """The shortest request that the route answers, to paste."""
    path, method, operation = section
    by = {name for way in operation.get("security", []) for name in way}
    key = "$RK" if method == "get" and "rk" in operation.get("description", "") else "$SK"
    query = "&".join(
        f"{at['name']}={EXAMPLES.get(at['name'], '…')}"
        for at in operation["parameters"]
        if at["in"] == "query" and at["required"]
    )
    query = query or ASKED.get(path, "")
    address = re.sub(r"\{(\w+)\}", lambda part: _in_path(path, part[1]), path)
    verb = "" if method == "get" else f"-X {method.upper()} "
    parts = [f'curl {verb}"$HOST{address}{"?" + query if query else ""}"']
    if "key" in by:
        parts.append(f'-H "Authorization: Bearer {key}"')
    elif by:
        parts.append('-b "threadline_session=$SESSION"')
        parts += [] if method == "get" else ['-H "Origin: $HOST"']
    if "requestBody" in operation:
        parts.append("-H 'Content-Type: application/json'")
        parts.append(f"-d '{BODIES.get(path, '{…}')}'")
    return LINES.join(parts)


def _in_path(path: str, part: str) -> str:
    return NAMES.get(path) or IN_PATH[part]


def parameters(operation: Json) -> list[Field]:
    return [_field(at["name"], at["schema"], at["required"], at) for at in operation["parameters"]]


def responses(operation: Json, *, errors: bool) -> Iterator[tuple[str, Json]]:
    """Those that are errors, or those that are not, by status."""
    for status, response in operation["responses"].items():
        if (status >= "400") == errors:
            yield status, response


def codes(description: str) -> list[str]:
    """The lines that an error's description lists."""
    return [line.removeprefix("- ") for line in description.splitlines()]


def forms(document: Json, content: Json) -> list[list[Field]]:
    """The fields of each shape that a body or an answer may have."""
    json = content.get("application/json") or next(iter(content.values()))
    schema = json["schema"]
    shapes = [_resolve(document, shape) for shape in schema.get("anyOf", [schema])]
    return [_fields(document, shape) for shape in shapes]


def _fields(document: Json, schema: Json) -> list[Field]:
    required = schema.get("required", [])
    return [
        _field(name, part, name in required, _resolve(document, part))
        for name, part in schema.get("properties", {}).items()
    ]


def _field(name: str, schema: Json, required: bool, described: Json) -> Field:
    parts = [schema, *schema.get("anyOf", []), described]
    text = next((part["description"] for part in parts if "description" in part), "")
    return Field(name, f"{_kind(schema)}{'' if required else ', optional'}", text)


def _kind(schema: Json) -> str:
    """A schema in a few words: `string, 1 to 128`, `list of EventRow`, `any, first or next`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    words = str(schema.get("format", schema.get("type", "any JSON")))
    low = schema.get("minLength", schema.get("minimum"))
    high = schema.get("maxLength", schema.get("maximum"))
    if high is not None:
        words += f", {low or 0} to {high}"
    if schema.get("default") not in (None, "", {}):
        words += f", default {msgspec.json.encode(schema['default']).decode()}"
    return words


def _resolve(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    name = str(schema["$ref"]).rpartition("/")[2]
    return dict(document["components"]["schemas"][name])
