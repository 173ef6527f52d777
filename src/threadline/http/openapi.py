"""The OpenAPI 3.1 document, made from what each route says of itself."""

import re
from collections.abc import Iterable

from threadline import __version__
from threadline.contract.errors import ApiError
from threadline.contract.replies import Error, Success
from threadline.control import KINDS, ROLES
from threadline.http.cookies import SESSION
from threadline.http.doc import Doc
from threadline.http.routing import Route
from threadline.http.sessions import IN_HEADER, IN_QUERY
from threadline.runtime.schemas import IN_OPENAPI, Json, component, without_null
from threadline.runtime.schemas import schema as schema_of

JSON = "application/json"


def document(routes: Iterable[Route], root_path: str = "") -> Json:
    """Every route that carries a `Doc`: parameters, bodies, answers, errors. `root_path`: below
    which they are."""
    documented = [(route.path, route.method, route.doc) for route in routes if route.doc]
    paths: dict[str, Json] = {}
    components: Json = {}
    for path, method, doc in sorted(documented, key=lambda entry: entry[0]):
        paths.setdefault(path, {})[method.lower()] = _operation(path, method, doc, components)
    components["Error"] = component(Error)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Threadline",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Send events, say who visitors are, ask where people came from.",
        },
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "; ".join(f"{kind}: {use}" for kind, use in KINDS.items()),
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": SESSION,
                    "description": "The session cookie of a member of the dashboard. The project "
                    "is named by the "
                    f"header {IN_HEADER}, or by the parameter {IN_QUERY} in an address.",
                },
            },
        },
    }


def _operation(path: str, method: str, doc: Doc, components: Json) -> Json:
    operation: Json = {
        "operationId": "_".join(re.findall(r"\w+", f"{method.lower()} {path}")),
        "summary": doc.summary,
        "tags": [doc.tag],
        "parameters": [*_path_params(doc), *_query_params(doc)],
        "responses": {
            str(doc.status): {
                "description": _first_line(doc.answer),
                "content": _answer_content(doc, components),
            },
            **_error_responses(doc),
        },
    }
    if doc.keys or doc.least_role:
        operation["security"] = [
            *([{"key": []}] if doc.keys else []),
            *([{"session": []}] if doc.least_role else []),
        ]
        operation["description"] = _who(doc)
    if doc.body:
        description = f"{_first_line(doc.body)} May be packed with gzip or zstd."
        schema = schema_of(doc.body, components)
        if doc.segment:
            schema = {"anyOf": [schema, schema_of(doc.segment, components)]}
            description += " Or in the Segment spec's shape (docs/segment.md)."
            _add_segment_answer(operation["responses"], components)
        operation["requestBody"] = {
            "required": True,
            "description": description,
            "content": {JSON: {"schema": schema}},
        }
    return operation


def _who(doc: Doc) -> str:
    """Who may ask."""
    scope = f" with the scope `{doc.scope}`" if doc.scope else ""
    keys = f"Key: {' or '.join(doc.keys)}{scope}." if doc.keys else ""
    role = f"Member: {' or '.join(ROLES[ROLES.index(doc.least_role) :])}." if doc.least_role else ""
    return f"{keys} {role}".strip()


def _add_segment_answer(responses: Json, components: Json) -> None:
    """Where both answer with 200, either may come."""
    content = responses.get("200", {}).get("content", {JSON: {}})
    schemas = [content[JSON].get("schema"), schema_of(Success, components)]
    content[JSON]["schema"] = {"anyOf": [schema for schema in schemas if schema]}
    responses.setdefault("200", {"description": _first_line(Success), "content": content})


def _answer_content(doc: Doc, components: Json) -> Json:
    content: Json = {JSON: {"schema": schema_of(doc.answer, components)}}
    for media_type in doc.media_types:
        content.setdefault(media_type, {"schema": {"type": "string"}})
    return {name: content[name] for name in doc.media_types}


def _path_params(doc: Doc) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, text in doc.path_params.items()
    ]


def _query_params(doc: Doc) -> list[Json]:
    if not doc.params:
        return []
    schema = component(doc.params)
    required = schema.get("required", [])
    return [
        _query_param(name, _narrowed(part, name, doc), name in required)
        for name, part in schema["properties"].items()
        if name not in doc.path_params
    ]


def _narrowed(schema: Json, name: str, doc: Doc) -> Json:
    """The parameter as it is of this route."""
    narrowed = without_null(schema)
    if name in doc.choices:
        narrowed["enum"] = list(doc.choices[name])
    if name in doc.notes:
        narrowed["description"] = f"{narrowed['description']} {doc.notes[name]}"
    return narrowed


def _query_param(name: str, schema: Json, required: bool) -> Json:
    parameter = {"name": name, "in": "query", "required": required}
    if description := schema.pop("description", None):
        parameter["description"] = description
    if schema.get("type") == "array":
        # Values by commas, in one parameter; its default is text, too.
        parameter |= {"style": "form", "explode": False}
        schema.pop("default", None)
    return {**parameter, "schema": schema}


def _error_responses(doc: Doc) -> Json:
    by_status: dict[int, list[type[ApiError]]] = {}
    for error in doc.all_errors():
        by_status.setdefault(error.status, []).append(error)
    return {str(status): _error_response(errors) for status, errors in sorted(by_status.items())}


def _error_response(errors: list[type[ApiError]]) -> Json:
    described = "\n".join(f"- `{error.code}`: {_first_line(error)}" for error in errors)
    response: Json = {
        "description": described,
        "content": {
            JSON: {
                "schema": {
                    "allOf": [{"$ref": IN_OPENAPI.format(name="Error")}],
                    "properties": {"error": {"enum": sorted(error.code for error in errors)}},
                }
            }
        },
    }
    if errors[0].status in (429, 503):
        response["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
        }
    return response


def _first_line(kind: object) -> str:
    return " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())
