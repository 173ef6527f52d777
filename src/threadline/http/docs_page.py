"""`/docs/api/`: the OpenAPI document as one readable page, without scripts and without a CDN."""

import re
from html import escape
from typing import Any

import msgspec

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #9a4513; }
@media (prefers-color-scheme: dark) { :root { --accent: #f0a268; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto 6rem;
  padding: 0 1.25rem; }
h1 { margin-bottom: 0; } h2 { margin: 3rem 0 .5rem; border-bottom: 1px solid var(--line); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; } a { color: var(--accent); }
section { border: 1px solid var(--line); border-radius: 8px; margin: 1rem 0;
  padding: .25rem 1.25rem 1rem; overflow-wrap: anywhere;
  content-visibility: auto; contain-intrinsic-size: auto 60rem; }
h3 { font-size: 1.05rem; margin: .9rem 0 .2rem; }
.method { display: inline-block; min-width: 3.2rem; font: 700 .8rem ui-monospace, monospace;
  color: var(--accent); }
code, pre { font: .88rem/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .7rem 1rem; border-radius: 6px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
td { border-top: 1px solid var(--line); padding: .35rem .8rem .35rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; width: 1%; }
@media (max-width: 40rem) {
  td, td:first-child { display: block; width: auto; white-space: normal; padding-right: 0; }
  td + td { border-top: 0; padding-top: 0; }
}
.kind { opacity: .65; font-size: .88rem; }
h4 { margin: 1rem 0 .2rem; font-size: .85rem; letter-spacing: .04em; text-transform: uppercase;
  opacity: .65; }
"""

Json = dict[str, Any]

KEYS = """<p>Every route but those under <a href="#Server">Server</a>,
<a href="#Browser">Browser</a> and <a href="#Dashboard">Dashboard</a> takes a key, as
<code>Authorization: Bearer KEY</code>.
<code>threadline project create NAME</code> prints three: <code>pk</code> for pages (from the
project's origins), <code>sk</code> for servers, <code>rk</code> for reading. The examples have this
server's address in <code>$HOST</code>, keys in <code>$SK</code> and <code>$RK</code>, and in
<code>$SESSION</code> the cookie of somebody who is signed in to the dashboard.</p>"""

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


def page(document: Json) -> bytes:
    """The whole reference as HTML."""
    tags: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            section = _section(document, path, method, operation)
            tags.setdefault(operation["tags"][0], []).append(section)
    order = sorted(tags, key=lambda tag: (tag == "Server", tag != "Ingest", tag))
    body = "".join(f'<h2 id="{tag}">{tag}</h2>{"".join(tags[tag])}' for tag in order)
    links = "".join(f'<a href="#{tag}">{tag}</a>' for tag in order)
    info = document["info"]
    root = document["servers"][0]["url"].rstrip("/")
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="description" content="Every route of Threadline: what it takes and answers.">'
        f"<title>Threadline API</title><style>{STYLE}</style>"
        f"<h1>Threadline API</h1><p>{escape(info['description'])} Version {info['version']};"
        f' the same as <a href="{root}/openapi.json">OpenAPI 3.1</a>. What it is for:'
        f' <a href="{root}/docs/">the documentation</a>.</p>'
        f"{KEYS}"
        f"<nav>{links}</nav>{body}</html>"
    )
    return html.encode()


def _section(document: Json, path: str, method: str, operation: Json) -> str:
    return (
        f'<section id="{operation["operationId"]}">'
        f'<h3><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h3>'
        f"<div>{escape(operation['summary'])}. {_text(operation.get('description', ''))}</div>"
        f"{_example(path, method, operation)}"
        f"{_parameters(operation)}{_body(document, operation)}{_answers(document, operation)}"
        "</section>"
    )


def _example(path: str, method: str, operation: Json) -> str:
    """The shortest request that the route answers, to paste."""
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
    return f"<pre>{escape(LINES.join(parts))}</pre>"


def _in_path(path: str, part: str) -> str:
    return NAMES.get(path) or IN_PATH[part]


def _parameters(operation: Json) -> str:
    rows = [
        _field(parameter["name"], parameter["schema"], parameter["required"], parameter)
        for parameter in operation["parameters"]
    ]
    return f"<h4>Parameters</h4><table>{''.join(rows)}</table>" if rows else ""


def _body(document: Json, operation: Json) -> str:
    if "requestBody" not in operation:
        return ""
    body = operation["requestBody"]
    shapes = _shapes(document, body["content"]["application/json"]["schema"])
    fields = "<p>or</p>".join(_fields(document, shape) for shape in shapes)
    return f"<h4>Body</h4><p>{_text(body['description'])}</p>{fields}"


def _answers(document: Json, operation: Json) -> str:
    responses = operation["responses"].items()
    answers = "".join(
        _answer(document, status, response) for status, response in responses if status < "400"
    )
    errors = "".join(
        f"<tr><td>{status}</td><td>{_codes(response['description'])}</td></tr>"
        for status, response in responses
        if status >= "400"
    )
    return f"{answers}<h4>Errors</h4><table>{errors}</table>"


def _answer(document: Json, status: str, response: Json) -> str:
    kinds = ", ".join(response["content"])
    schema = next(iter(response["content"].values()))["schema"]
    fields = "<p>or</p>".join(_fields(document, shape) for shape in _shapes(document, schema))
    return (
        f"<h4>Answer {status} <span class=kind>{escape(kinds)}</span></h4>"
        f"<p>{_text(response['description'])}</p>{fields}"
    )


def _shapes(document: Json, schema: Json) -> list[Json]:
    return [_resolve(document, shape) for shape in schema.get("anyOf", [schema])]


def _codes(description: str) -> str:
    lines = (line.removeprefix("- ").replace(":", "", 1) for line in description.splitlines())
    return "<br>".join(_text(line) for line in lines)


def _text(description: str) -> str:
    """The one piece of Markdown that descriptions use: `code` between backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(description))


def _fields(document: Json, schema: Json) -> str:
    required = schema.get("required", [])
    rows = [
        _field(name, part, name in required, _resolve(document, part))
        for name, part in schema.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _field(name: str, schema: Json, required: bool, described: Json) -> str:
    parts = [schema, *schema.get("anyOf", []), described]
    text = next((part["description"] for part in parts if "description" in part), "")
    kind = f"{_kind(schema)}{'' if required else ', optional'}"
    return (
        f"<tr><td><code>{escape(name)}</code><br><span class=kind>{escape(kind)}</span></td>"
        f"<td>{_text(text)}</td></tr>"
    )


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
