"""What Sphinx is told. The pages are plain Markdown; all that is about the site is here."""

import html
from typing import Any

from docutils import nodes
from pygments.lexer import Lexer
from pygments.lexers.configs import IniLexer
from pygments.lexers.data import JsonLexer
from pygments.lexers.javascript import JavascriptLexer
from pygments.lexers.special import TextLexer
from pygments.lexers.sql import SqlLexer
from sphinx.application import Sphinx

from tools.site import markdown, nav

project = "Threadline"
html_title = "Threadline"
root_doc = nav.INDEX
extensions = ["myst_parser"]
# As forges do: a heading is linked to by its words.
myst_heading_anchors = 6
# `{{ }}` and `$` are what they are.
myst_enable_extensions: list[str] = []
# A page may begin its headings where it likes, and have templates among its HTML.
suppress_warnings = ["misc.highlighting_failure", "myst.header"]
highlight_language = "none"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
templates_path = ["templates"]
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["threadline.css"]
html_favicon = "../../dashboard/public/icon.svg"
html_use_index = False
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/reference.html",
        "sidebar/scroll-end.html",
    ]
}
# Blocks that the tests run, and Pygments has no name for, or takes for something stricter.
LEXERS: dict[str, type[Lexer]] = {
    "clickhouse": SqlLexer,
    "csv": TextLexer,
    "env": IniLexer,
    "http": TextLexer,
    "mjs": JavascriptLexer,
    "ndjson": JsonLexer,
}
ABOUT = {page.name: page.about or page.title for page in nav.pages()}
ABOUT[nav.INDEX] = "How to set Threadline up, what to send to it, and what to ask."


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """The page as the site has it. The first one carries the navigation. Decisions are read by who
    changes the code: they would stand before what others look for."""
    source[0] = markdown.inside(name, source[0])
    if name.startswith("decisions/"):
        source[0] = f"---\nnosearch: true\n---\n\n{source[0]}"
    if name == nav.INDEX:
        source[0] += "\n" + markdown.toctrees()


def name_sections(app: Sphinx, doctree: nodes.document) -> None:
    """Headings are found by the names that forges give them, too: `#invalid_payload`."""
    for section in doctree.findall(nodes.section):
        slug = section.get("slug")
        if slug and slug not in section["ids"]:
            section["ids"].append(slug)


def describe(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """What a page says of itself to those who list pages, and where it is as Markdown."""
    about = ABOUT.get(name, "")
    context["metatags"] = context.get("metatags", "")
    if about:
        context["metatags"] += f'\n<meta name="description" content="{html.escape(about)}">'
        context["as_markdown"] = f"{context['content_root']}{name}.md"


def setup(app: Sphinx) -> dict[str, Any]:
    for name, lexer in LEXERS.items():
        app.add_lexer(name, lexer)
    app.connect("source-read", read)
    app.connect("doctree-read", name_sections)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
