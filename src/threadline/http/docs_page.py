"""`/docs/api/`: the OpenAPI document as one readable page, without scripts and without a CDN."""

import re
from html import escape

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


def page(document: Json) -> bytes:
    """The whole reference as HTML."""
    tags = {
        tag: "".join(_section(document, section) for section in sections)
        for tag, sections in by_tag(document).items()
    }
    body = "".join(f'<h2 id="{tag}">{tag}</h2>{sections}' for tag, sections in tags.items())
    links = "".join(f'<a href="#{tag}">{tag}</a>' for tag in tags)
    info = document["info"]
    root = document["servers"][0]["url"].rstrip("/")
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="description" content="Every route of Threadline: what it takes and answers.">'
        f"<title>Threadline API</title><style>{STYLE}</style>"
        f"<h1>Threadline API</h1><p>{escape(info['description'])} Version {info['version']};"
        f' the same as <a href="{root}/openapi.json">OpenAPI 3.1</a>. For programs that'
        f' read: <a href="{root}/docs/api.md">Markdown</a>. What it is for:'
        f' <a href="{root}/docs/">the documentation</a>.</p>'
        f"<p>{_text(KEYS)}</p>"
        f"<nav>{links}</nav>{body}</html>"
    )
    return html.encode()


def _section(document: Json, section: Section) -> str:
    path, method, operation = section
    return (
        f'<section id="{operation["operationId"]}">'
        f'<h3><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h3>'
        f"<div>{escape(operation['summary'])}. {_text(operation.get('description', ''))}</div>"
        f"<pre>{escape(example(section))}</pre>"
        f"{_parameters(operation)}{_body(document, operation)}{_answers(document, operation)}"
        "</section>"
    )


def _parameters(operation: Json) -> str:
    found = parameters(operation)
    return f"<h4>Parameters</h4>{_table(found)}" if found else ""


def _body(document: Json, operation: Json) -> str:
    if "requestBody" not in operation:
        return ""
    body = operation["requestBody"]
    fields = "<p>or</p>".join(map(_table, forms(document, body["content"])))
    return f"<h4>Body</h4><p>{_text(body['description'])}</p>{fields}"


def _answers(document: Json, operation: Json) -> str:
    answers = "".join(
        _answer(document, status, response)
        for status, response in responses(operation, errors=False)
    )
    errors = "".join(
        f"<tr><td>{status}</td><td>{_codes(response['description'])}</td></tr>"
        for status, response in responses(operation, errors=True)
    )
    return f"{answers}<h4>Errors</h4><table>{errors}</table>"


def _answer(document: Json, status: str, response: Json) -> str:
    kinds = ", ".join(response["content"])
    fields = "<p>or</p>".join(map(_table, forms(document, response["content"])))
    return (
        f"<h4>Answer {status} <span class=kind>{escape(kinds)}</span></h4>"
        f"<p>{_text(response['description'])}</p>{fields}"
    )


def _codes(description: str) -> str:
    return "<br>".join(_text(line.replace(":", "", 1)) for line in codes(description))


def _text(description: str) -> str:
    """The one piece of Markdown that descriptions use: `code` between backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(description))


def _table(fields: list[Field]) -> str:
    rows = [
        f"<tr><td><code>{escape(each.name)}</code><br>"
        f"<span class=kind>{escape(each.kind)}</span></td><td>{_text(each.text)}</td></tr>"
        for each in fields
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""
