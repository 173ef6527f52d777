"""What the documentation takes from the code is what the code says today; nothing is missing."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tools import reference

from tests.support import ROOT, Project
from threadline.cli.main import COMMANDS

MADE = list(reference.documents())


@pytest.mark.parametrize(("path", "text"), MADE, ids=[path.name for path, _ in MADE])
def test_a_page_says_what_the_code_says(path: Path, text: str) -> None:
    assert path.read_text() == text, "make reference"


def test_every_metric_that_a_server_has_is_documented(project: Project) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    answer = project.get("/metrics").body.decode()
    families = [family.name for family in text_string_to_metric_families(answer)]
    own = [name for name in families if name.startswith("threadline_")]
    assert len(own) > 20
    documented = set(re.findall(r"^\| `(threadline_\w+)` \|", page, flags=re.MULTILINE))
    missing = [name for name in own if not {name, f"{name}_total"} & documented]
    assert [name for name in missing if not name.endswith("_created")] == []


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert [name for name in COMMANDS if f"\n### threadline {name}\n" not in page] == []


def test_every_route_is_documented(project: Project) -> None:
    """By its path, in a page of words: the promise of `stability.md` has all of them."""
    pages = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    paths = project.send("GET", "/openapi.json").json["paths"]
    assert [path for path in paths if f"`{path}`" not in pages] == []
