"""What the documentation points to is there: pages, headings, files, tests, packages."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:src|tests|docs|benchmarks|examples|browser)/[\w./-]+")
TEST = re.compile(r"test_\w+")
# Of what is in no package index, and would be somebody else's if it were.
INSTALLS = re.compile(
    r"(?:pip3? install|uv add|uv pip install|pipx install|poetry add)[^\n]*?[ \"']"
    r"threadline(?:\[\w+\])?(?=[\s\"'`,;)]|$)(?! @)"
    r"|(?:npm (?:install|i|add)|yarn add|pnpm add)[^\n]* @threadline/"
)
# What is made, or a checkout does not have.
MADE = {"src/threadline/web/built", "browser/dist", "browser/node_modules", "benchmarks/out"}

DOCUMENTS = [
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "browser/*.md", "benchmarks/*.md")
    for path in sorted(ROOT.glob(pattern))
]


def anchors(text: str) -> set[str]:
    """Of all headings, as GitHub makes them."""
    plain = (re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading) for heading in HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def dead_links(document: Path) -> Iterator[str]:
    for target in LINK.findall(CODE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        if not path.exists() or (anchor and anchor not in anchors(CODE.sub("", path.read_text()))):
            yield target


def there(name: str) -> bool:
    path = name.rstrip("/.")
    return (ROOT / path).exists() or any(path.startswith(made) for made in MADE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    assert list(dead_links(ROOT / document)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_are_there(document: str) -> None:
    quoted = QUOTED.findall((ROOT / document).read_text())
    named = {name.partition("::")[0] for name in quoted if PATH.fullmatch(name)}
    assert sorted(name for name in named if not there(name)) == []


def test_tests_that_are_named_are_there() -> None:
    quoted = {name for text in _texts().values() for name in QUOTED.findall(text)}
    named = {name for name in quoted if TEST.fullmatch(name)}
    sources = "\n".join(path.read_text() for path in ROOT.glob("tests/**/*.py"))
    assert named
    assert sorted(name for name in named if f"def {name}(" not in sources) == []


def test_nobody_is_told_to_install_what_is_not_published() -> None:
    told = {name: INSTALLS.findall(text) for name, text in _texts().items()}
    assert {name: found for name, found in told.items() if found} == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pip install threadline", True),
        ("(`pip install threadline`)", True),
        ("pip install 'threadline[server]'", True),
        ("pip install flask threadline && x", True),
        ("npm install @threadline/browser", True),
        ("npm i --save @threadline/browser", True),
        ("pip install '.[server]'", False),
        ('pip install "threadline @ git+https://HOST/PATH.git"', False),
        ("npm install ../threadline/browser", False),
    ],
)
def test_such_lines_are_found(text: str, told: bool) -> None:
    assert bool(INSTALLS.search(text)) == told


def test_dead_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# It `is` here, now\n\n```\n# not here\n```\n")
    (tmp_path / "a.md").write_text(
        "# A\n[a](#a) [b](b.md) [c](b.md#it-is-here-now) [d](https://x.example) [e](c.md)\n"
        "[f](b.md#not-here) [g](#b)\n"
    )
    assert list(dead_links(tmp_path / "a.md")) == ["c.md", "b.md#not-here", "#b"]


def _texts() -> dict[str, str]:
    programs = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("src/**/*.py"))]
    return {name: (ROOT / name).read_text() for name in [*DOCUMENTS, *programs]}
