"""`/docs/api.md`: the same as `/docs/api/`, for programs that read Markdown."""

from collections.abc import Iterator

from threadline.http.docs_parts import (
    KEYS,
    Field,
    Json,
    Section,
    by_tag,
    codes,
    example,
    forms,
    parameters,
    responses,
)


def text(document: Json) -> bytes:
    """The whole reference as Markdown."""
    info, root = document["info"], document["servers"][0]["url"].rstrip("/")
    about = (
        f"{info['description']} Version {info['version']}; the same as [OpenAPI 3.1]"
        f"({root}/openapi.json). What it is for: [the documentation]({root}/docs/index.md)."
    )
    parts = ["# Threadline API", about, KEYS]
    for tag, sections in by_tag(document).items():
        parts.append(f"## {tag}")
        parts += (part for section in sections for part in _section(document, section))
    return ("\n\n".join(filter(None, parts)) + "\n").encode()


def _section(document: Json, section: Section) -> Iterator[str]:
    path, method, operation = section
    yield f"### {method.upper()} {path}"
    yield f"{operation['summary']}. {operation.get('description', '')}".strip()
    yield f"```sh\n{example(section)}\n```"
    if found := parameters(operation):
        yield f"Parameters:\n\n{_list(found)}"
    if body := operation.get("requestBody"):
        yield f"Body: {body['description']}"
        yield _forms(document, body["content"])
    for status, response in responses(operation, errors=False):
        yield f"Answer {status} ({', '.join(response['content'])}): {response['description']}"
        yield _forms(document, response["content"])
    lines = [
        f"- {status} {line}"
        for status, response in responses(operation, errors=True)
        for line in codes(response["description"])
    ]
    yield "Errors:\n\n" + "\n".join(lines) if lines else ""


def _forms(document: Json, content: Json) -> str:
    return "\n\nor\n\n".join(filter(None, map(_list, forms(document, content))))


def _list(fields: list[Field]) -> str:
    return "\n".join(
        f"- `{each.name}` ({each.kind})" + (f": {' '.join(each.text.split())}" if each.text else "")
        for each in fields
    )
