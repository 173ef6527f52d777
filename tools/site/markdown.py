"""What differs between a page in the repository and the same page on the site."""

import re
from pathlib import PurePosixPath

from tools.site import nav

LINK = re.compile(r"\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
TO_A_PAGE = re.compile(r"\]\(((?:[\w-]+/)?[\w-]+\.md)")


def inside(name: str, text: str) -> str:
    """The page with links out of `docs` as words: what they point to is in the repository only."""
    folder = PurePosixPath("docs", name).parent

    def without(found: re.Match[str]) -> str:
        words, target, _ = found.groups()
        path = _normal(folder / target)
        if path.startswith("docs/"):
            return found[0]
        return f"`{path}`" if words == path else f"{words} (`{path}` in the repository)"

    return LINK.sub(without, text)


def _normal(path: PurePosixPath) -> str:
    """Without `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def toctrees() -> str:
    """What MyST makes the navigation of."""
    trees = []
    for heading, pages in nav.headings():
        names = "\n".join(page.name for page in pages)
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{names}\n```\n")
    return "\n".join(trees)


def listing() -> str:
    """All pages but those of decisions, as `docs/index.md` has them."""
    parts = []
    for heading, pages in nav.headings():
        if heading == nav.FOLDERS["decisions"]:
            continue
        lines = [
            f"- [{page.title}]({page.name}.md)" + (f": {page.about}" if page.about else "")
            for page in pages
        ]
        parts.append(f"## {heading}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def llms() -> str:
    """`/llms.txt`: all pages with their addresses, for programs that read. They begin where the
    file is, whatever a server has before its paths."""
    parts = [
        "# Threadline\n",
        "> Self-hosted product and marketing analytics that ties anonymous visitors to known"
        " users.\n",
        "Every page below is Markdown. All of them in one file: [llms-full.txt](llms-full.txt). "
        "Every route with its fields: [api.md](docs/api.md), and [openapi.json](openapi.json).\n",
    ]
    for heading, pages in nav.headings():
        # What may be left out where there is little room.
        optional = heading == nav.FOLDERS["decisions"]
        parts.append(f"## {'Optional' if optional else heading}\n")
        for page in pages:
            about = f": {page.about}" if page.about else ""
            parts.append(f"- [{page.title}](docs/{page.name}.md){about}")
        parts.append("")
    return "\n".join(parts)


def llms_full() -> str:
    """`/llms-full.txt`: all pages but decisions, one after the other. It lies beside their folder,
    so links between them begin with that."""
    parts = []
    for heading, pages in nav.headings():
        if heading != nav.FOLDERS["decisions"]:
            for page in pages:
                text = inside(page.name, nav.source(page.name).read_text())
                text = TO_A_PAGE.sub(r"](docs/\1", text)
                parts.append(f"<!-- docs/{page.name}.md -->\n\n{text.strip()}\n")
    return "\n".join(parts)
