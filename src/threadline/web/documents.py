"""The documentation as it is written, for whoever reads Markdown: agents, mostly."""

from functools import cache
from pathlib import Path

# In a wheel it lies beside the code; in a clone, and what is installed from one, at its top.
FOLDERS = (Path(__file__).parents[1] / "docs", Path(__file__).parents[3] / "docs")
SKILLS = "skills/"


@cache
def documents() -> dict[str, Path]:
    """All pages by name, without `.md`: `quickstart`, `skills/query`."""
    for folder in FOLDERS:
        if folder.is_dir():
            return {
                path.relative_to(folder).with_suffix("").as_posix(): path
                for path in sorted(folder.rglob("*.md"))
            }
    return {}


def title(page: str) -> str:
    """Its heading."""
    with documents()[page].open(encoding="utf-8") as file:
        headings = (line[2:].strip() for line in file if line.startswith("# "))
        return next(headings, page)
