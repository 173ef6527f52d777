"""Every block of the documentation is run, as its reader would."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks_of
from tests.docs.reader import Reader, commands, requests
from tests.support import ROOT
from threadline.settings_files import SettingsError

DOCUMENTS = [
    str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
]
BLOCKS = {name: blocks_of(ROOT / name, name) for name in DOCUMENTS}

# Their reader has the clone, and no server yet.
FROM_NOTHING = ("README.md", "docs/quickstart.md")

# All that is not run, and why: a mark in a document has to be here, too, so that they stay few.
NOT_RUN = [
    ("README.md", "make installs and builds for minutes; the project's CI runs it"),
    ("README.md", "pip downloads the engine; the tests have it already"),
    ("docs/backup.md", "/mnt/backups is another disk"),
    ("docs/backup.md", "age-keygen is another program"),
    ("docs/backup.md", "needs a ClickHouse server"),
    ("docs/browser.md", "needs a project of npm beside the clone"),
    ("docs/browser.md", "needs nginx"),
    ("docs/dashboard-access.md", "needs a server"),
    ("docs/dashboard-access.md", "serves until it is stopped"),
    ("docs/deploying.md", "needs Docker"),
    ("docs/deploying.md", "needs nginx"),
    ("docs/deploying.md", "needs root"),
    ("docs/deploying.md", "needs systemd"),
    ("docs/import-export.md", "there is no such import in the folder of the tests"),
    ("docs/jobs.md", "there is no such job in the folder of the tests"),
    ("docs/upgrading.md", "needs root to install"),
    ("docs/upgrading.md", "needs root to go back"),
    ("docs/upgrading.md", "tests/store/test_upgrade.py runs it in a folder that was upgraded"),
    ("docs/operating.md", "needs a ClickHouse server"),
    ("docs/python.md", "pip would install into the environment that runs the tests"),
    ("docs/proxies.md", "needs Caddy"),
    ("docs/proxies.md", "needs nginx"),
    ("docs/quickstart.md", "pip downloads the engine; the tests have it already"),
    ("docs/quickstart.md", "serves until it is stopped"),
    ("docs/scaling.md", "needs a PostgreSQL server"),
    ("docs/scaling.md", "needs nginx, and two nodes"),
    *[("docs/scaling.md", "needs two clusters")] * 2,
    *[("docs/setup-go.md", "needs Go")] * 2,
    *[("docs/setup-laravel.md", "needs PHP")] * 4,
    *[("docs/setup-rails.md", "needs Ruby")] * 3,
    *[("docs/setup-wordpress.md", "needs PHP")] * 2,
]


# These begin with nothing or with another log, or what they do others would see: a second project,
# settings of the project, a file of settings, somebody who is forgotten. All others depend on
# nothing that is left behind, so one reader goes through all of them.
ALONE = [
    *FROM_NOTHING,
    *(
        f"docs/{name}.md"
        for name in (
            *("deploying", "identity", "keys", "operating", "questions", "recipes", "retention"),
            *("settings", "sources", "visits"),
        )
    ),
]
TOGETHER = [name for name in DOCUMENTS if BLOCKS[name] and name not in ALONE]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with Reader(tmp_path_factory.mktemp("reader"), begun=True) as reader:
        yield reader


@pytest.mark.parametrize("document", TOGETHER)
def test_what_a_document_says_works_after_others(document: str, reader: Reader) -> None:
    for block in BLOCKS[document]:
        if block.why_not is None:
            reader.run(block)


@pytest.mark.parametrize("document", ALONE)
def test_what_a_document_says_works(document: str, tmp_path: Path) -> None:
    blocks = [block for block in BLOCKS[document] if block.why_not is None]
    demo = document == "docs/recipes.md"
    with Reader(tmp_path, begun=document not in FROM_NOTHING, demo=demo) as reader:
        for block in blocks:
            reader.run(block)


def test_what_is_not_run_is_known() -> None:
    marked = [block for blocks in BLOCKS.values() for block in blocks if block.why_not is not None]
    assert sorted((block.document, block.why_not) for block in marked) == sorted(NOT_RUN)


DOCUMENT = """
Words.

    $ threadline project list
    nothing

- an item
    goes on

<!-- not run: needs root -->

    sudo true

For example, `events.csv`:

```csv
event
```

<!-- not run: -->
```sh
true
```

    ???
"""


def test_blocks_are_found_as_they_are_marked(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(DOCUMENT)
    assert blocks_of(tmp_path / "a.md", "a.md") == [
        Block("a.md", 4, "console", "$ threadline project list\nnothing"),
        Block("a.md", 12, "shell", "sudo true", "needs root"),
        Block("a.md", 17, "csv", "event", None, "events.csv"),
        Block("a.md", 22, "shell", "true", ""),
        Block("a.md", 25, "", "???"),
    ]


def test_a_block_of_no_known_kind_fails(tmp_path: Path) -> None:
    reader = Reader(tmp_path, begun=False)
    with pytest.raises(AssertionError, match=r"^a\.md:1: of no kind"):
        reader.run(Block("a.md", 1, "", "???"))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("shell", "true\nfalse\ntrue"),
        ("shell", "false | true"),
        ("shell", "threadline nonsense"),
        ("shell", 'echo "$NEVER_SET"'),
        ("console", "$ echo one\ntwo"),
        ("python", "import threadline\nthreadline.nonsense()"),
        ("python", "import logging\nlogging.warning('lost')"),
        ("mjs", "import './nowhere.mjs'"),
        ("mjs", "console.warn('lost')"),
        ("html", "no element"),
        ("script", "const a = ;"),
        ("json", '{"cut": …}'),
        ("csv", "a,b"),
        ("yaml", "- when: {}"),
        ("toml", "prot = 1"),
        ("ini", "[Service]\nUser=nobody"),
        ("env", "THREADLINE_PROT=1"),
        ("text", "curl localhost"),
    ],
)
def test_what_does_not_work_fails(kind: str, text: str, tmp_path: Path) -> None:
    reader = Reader(tmp_path, begun=False)
    with pytest.raises((AssertionError, ValueError, KeyError, SettingsError)):
        reader.run(Block("a.md", 1, kind, text))


def test_variables_outlive_their_block(tmp_path: Path) -> None:
    reader = Reader(tmp_path, begun=False)
    reader.run(Block("a.md", 1, "shell", "export SK='a b'"))
    reader.run(Block("a.md", 2, "console", "$ echo $SK \\\n  c\na … c"))


def test_requests_and_commands_are_told_apart() -> None:
    text = 'PUT /v1/a  {"b": "}"}  it is\nDELETE /v1/c\n{"d":\n 1}\nGET /v1/e'
    assert [tuple(request) for request in requests(text)] == [
        ("PUT", "/v1/a", '{"b": "}"}'),
        ("DELETE", "/v1/c", '{"d":\n 1}'),
        ("GET", "/v1/e", None),
    ]
    assert list(commands("$ a \\\n  b\nc\n\n$ d")) == [("a \\\n  b", "c\n"), ("d", "")]
