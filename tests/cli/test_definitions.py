"""Segments, goals and annotations from the command line; a project's settings as a file in git."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.test_commands import fails, ok, run
from tests.support import Json, Project, Server
from threadline.contract.definitions import (
    Annotation,
    Board,
    BoardTile,
    Definitions,
    GoalDefinition,
    Insight,
    Segment,
)
from threadline.control import Control
from threadline.control.snapshot import Project as Settings
from threadline.runtime.project_changes import differences, merged
from threadline.runtime.project_yaml import read, write

RULES = """\
# Ours; the order counts.
- id: podcast
  when:
    params: {utm_source: "pod-*"}
  source: podcast
  medium: audio
"""


@pytest.fixture
def data(folder: Path) -> tuple[str, ...]:
    """Options that name a folder with the one project shop."""
    return made(folder)


def made(folder: Path) -> tuple[str, ...]:
    where = ("--data", str(folder))
    ok("project", "create", "shop", "--origin", "https://shop.example", *where)
    return where


def listed(kind: str, data: tuple[str, ...]) -> list[Json]:
    rows: list[Json] = json.loads(ok(kind, "list", "--json", *data))
    return rows


def test_set_list_and_delete(data: tuple[str, ...]) -> None:
    for kind in ("segment", "goal", "annotation"):
        assert f"None yet; `threadline {kind} set" in ok(kind, "list", *data)
    said = ok("goal", "set", "sale", "purchase{plan=pro}", "--value-property", "value", *data)
    assert said == "Goal sale: purchase{plan=pro}. Questions take it as goal:sale.\n"
    assert ok("segment", "set", "Our buyers", "did==goal:sale", *data).startswith("Segment Our b")
    assert "sale" in ok("goal", "list", *data)
    assert "did==goal:sale" in ok("segment", "list", *data)
    assert listed("segment", data) == [{"name": "Our buyers", "filters": "did==goal:sale"}]
    (goal,) = listed("goal", data)
    assert (goal["event"], goal["value_property"]) == ("purchase{plan=pro}", "value")
    assert "is used by segment Our buyers" in fails("goal", "delete", "sale", *data)
    assert ok("segment", "delete", "Our buyers", *data) == "Segment Our buyers is deleted.\n"
    assert ok("goal", "delete", "sale", *data) == "Goal sale is deleted.\n"
    assert listed("segment", data) == listed("goal", data) == []
    assert "no segment 'x'" in fails("segment", "delete", "x", *data)


def test_annotations_are_kept_once(data: tuple[str, ...]) -> None:
    link = "https://shop.example/blog"
    ok("annotation", "set", "2026-05-01", "New prices", "--link", link, *data)
    ok("annotation", "set", "2026-05-01T00:30+02:00", "Sent mail", *data)
    ok("annotation", "set", "20260501", "New prices", *data)
    mail, prices = listed("annotation", data)
    assert (mail["at"], mail["text"]) == ("2026-04-30T22:30:00.000Z", "Sent mail")
    assert (prices["at"], prices["text"], prices["link"]) == ("2026-05-01", "New prices", link)
    ok("annotation", "set", "2026-05-02", "Newer", "--id", mail["annotation_id"], *data)
    assert [row["text"] for row in listed("annotation", data)] == ["New prices", "Newer"]
    ok("annotation", "delete", mail["annotation_id"], *data)
    assert len(listed("annotation", data)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segment", "set", "x", "sorce==a"], "filters: there is no dimension 'sorce'; did"),
        (["segment", "set", "x", "source==a"], "did you mean first.source?"),
        (["segment", "set", "x", "segment==y"], "there is no segment 'y'; the project has no"),
        (["segment", "set", "a|b", "known==true"], "name: the name of a segment holds none of"),
        (["segment", "set", "x" * 101, "known==true"], "100"),
        (["segment", "set", "x", "y" * 4001], "4000"),
        (["segment", "set", "x", "known==true", "--project", "z"], "There is no project 'z'"),
        (["goal", "set", "x", "a{b"], "event: 'a{b' is not an event"),
        (["goal", "set", "x", "a", "--filters", "did==b"], "a goal takes conditions on events"),
        (["goal", "set", "x", "a", "--currency-property", "c"], "needs value_property"),
        (["annotation", "set", "May 1", "x"], "at: write ISO 8601"),
        (["annotation", "set", "2026-05-01", ""], "text"),
        (["annotation", "set", "2026-05-01", "x", "--link", "blog"], "link: write an address"),
        (["annotation", "delete", "x"], "There is no annotation 'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_one_line(
    data: tuple[str, ...], arguments: list[str], said: str
) -> None:
    assert said in fails(*arguments, *data)


def test_beside_a_running_server(server: Server, project: Project) -> None:
    own = ("--data", str(server.folder), "--project", project.project_id)
    project.track("purchase", user_id="ann")
    project.track("visit", user_id="ben")
    ok("segment", "set", "buyers", "did==purchase", *own)
    assert project.ask("/v1/segments")["rows"] == listed("segment", own)
    (row,) = project.ask("/v1/users", filters="segment==buyers")["rows"]
    assert row["user_id"] == "ann"
    asked = ok("ask", "users", "filters=segment==buyers", "--json", *own)
    assert [row["user_id"] for row in json.loads(asked)["rows"]] == ["ann"]
    shown = ok("sql", "--show", "/v1/users?filters=segment%3D%3Dbuyers", *own)
    assert "did_filter_" in shown
    project.change("PUT", "/v1/goals/sale", {"event": "purchase"})
    assert [goal["name"] for goal in listed("goal", own)] == ["sale"]


def test_without_a_server_questions_know_the_names(data: tuple[str, ...]) -> None:
    ok("segment", "set", "buyers", "did==purchase", *data)
    assert json.loads(ok("ask", "users", "filters=segment==buyers", "--json", *data))["rows"] == []
    assert "did you mean buyers?" in fails("ask", "users", "filters=segment==buyrs", *data)


# -- a project's settings as a file -------------------------------------------------------------


@pytest.fixture
def filled(data: tuple[str, ...], tmp_path: Path) -> tuple[str, ...]:
    return filled_in(data, tmp_path)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The same for tests that leave it as it is, and say so."""
    folder = tmp_path_factory.mktemp("unchanged")
    return filled_in(made(folder / "data"), folder)


def filled_in(data: tuple[str, ...], tmp_path: Path) -> tuple[str, ...]:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    ok("rules", "set", str(rules), *data)
    ok("project", "set", "shop", "--add-origin", "https://*.shop.example",
       "--subdomains", "separate", "--visit-timeout", "45",
       "--timezone", "Europe/Berlin", *data)  # fmt: skip
    ok("goal", "set", "sale", "purchase{plan=pro}", "--description", "Someone pays", *data)
    ok("segment", "set", "buyers", "did==goal:sale", *data)
    ok("segment", "set", "Käufer: neu", "segment==buyers;devices>1", *data)
    ok("annotation", "set", "2026-05-01", "New prices: all", "--id", "prices", *data)
    file = tmp_path / "boards.yaml"
    file.write_text(f"name: shop\n{EXPORTED[EXPORTED.index('insights:') :]}")
    ok("project", "import", str(file), "--yes", *data)
    return data


EXPORTED = """\
# Settings of a project of Threadline, without its keys.
# `threadline project import FILE` says what they would change, and with --yes changes it.
name: shop
stitch: null
visit_timeout_minutes: 45
timezone: Europe/Berlin
subdomains: separate
keep_days: null
keep_days_by_event: {}
keep_first_touch: false
origins:
  - https://*.shop.example
  - https://shop.example
rules: |
  # Ours; the order counts.
  - id: podcast
    when:
      params: {utm_source: "pod-*"}
    source: podcast
    medium: audio
segments:
  'Käufer: neu': segment==buyers;devices>1
  buyers: did==goal:sale
goals:
  sale:
    event: purchase{plan=pro}
    description: Someone pays
annotations:
  - annotation_id: prices
    at: '2026-05-01'
    text: 'New prices: all'
insights:
  Sales:
    question: stats
    params:
      event: goal:sale
      from: 30d
    chart: line
boards:
  Week:
    insights:
      - insight: Sales
        width: 12
    description: Every Monday
"""


def test_the_file_holds_all_settings_and_no_key(filled: tuple[str, ...], tmp_path: Path) -> None:
    assert ok("project", "export", "shop", *filled) == EXPORTED
    assert ok("project", "export", *filled) == EXPORTED, "it is the only one"
    file = tmp_path / "shop.yaml"
    ok("project", "export", "shop", "--output", str(file), *filled)
    assert file.read_text() == EXPORTED
    for more in ([], ["--yes"], ["--yes", "--prune"]):
        assert ok("project", "import", str(file), *more, *filled) == "shop is as the file says.\n"


def test_another_project_becomes_the_same(
    filled: tuple[str, ...], tmp_path: Path, folder: Path
) -> None:
    other = ("--data", str(tmp_path / "other"))
    file = tmp_path / "shop.yaml"
    file.write_text(EXPORTED)
    ok("project", "create", "blog", *other)
    assert "`threadline project create shop` makes it" in fails(
        "project", "import", str(file), *other
    )
    said = ok("project", "import", str(file), "--project", "blog", *other).splitlines()
    assert said == [
        "~ name: blog → shop",
        "~ visit_timeout_minutes: 30 → 45",
        "~ timezone: not set → Europe/Berlin",
        "~ subdomains: same → separate",
        "+ origin https://*.shop.example",
        "+ origin https://shop.example",
        "~ rules",
        *(f"    + {line}" for line in RULES.splitlines()),
        "+ segment Käufer: neu: segment==buyers;devices>1",
        "+ segment buyers: did==goal:sale",
        "+ goal sale: purchase{plan=pro}, description Someone pays",
        "+ annotation prices: 2026-05-01, text New prices: all",
        "+ insight Sales: stats, params event=goal:sale&from=30d, chart line",
        "+ board Week: Sales (12), description Every Monday",
        "Nothing was changed; --yes applies it.",
    ]
    assert ok("project", "list", *other).split()[1] == "blog"
    assert "shop: 13 changes made." in ok(
        "project", "import", str(file), "--project", "blog", "--yes", *other
    )
    assert ok("project", "export", "shop", *other) == EXPORTED


def test_what_the_file_does_not_have_stays_unless_pruned(
    filled: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        "name: shop\norigins: [https://new.example]\n"
        "segments:\n  buyers: did==purchase\n  new: known==true\n"
    )
    done = run("project", "import", str(file), *filled)
    assert done.stdout.splitlines()[:-1] == [
        "+ origin https://new.example",
        "~ segment buyers: did==goal:sale → did==purchase",
        "+ segment new: known==true",
    ]
    for kept in ("origin https://shop.example", "segment Käufer: neu"):
        assert f"{kept} is not in the file and stays; --prune deletes it" in done.stderr
    found = json.loads(ok("project", "import", str(file), "--prune", "--yes", "--json", *filled))
    assert found["applied"] is True
    gone = [each["name"] for each in found["differences"] if each["after"] is None]
    assert gone == ["https://*.shop.example", "https://shop.example", "Käufer: neu"]
    assert {row["name"] for row in listed("segment", filled)} == {"buyers", "new"}
    # Sections that the file does not have at all are nobody's to delete.
    assert len(listed("goal", filled)) == len(listed("annotation", filled)) == 1
    assert "separate" in ok("project", "export", "shop", *filled)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nmae: shop", "Line 1: there is no 'nmae'; did you mean name?"),
        ("name: shop\ntokens: []", "Line 2: there is no 'tokens'; known: name, stitch"),
        ("name: shop\nkeep_days: soon", "Line 2: 'soon' is not a number of days"),
        ("name: shop\nkeep_days: 0", "Line 2: Events cannot be kept for 0 days"),
        ("name: shop\nkeep_days: '12345678901'", "cannot be kept for 12345678901 days"),
        ("name: shop\nkeep_days_by_event:\n  x: [1]", "Line 3: expected a text"),
        ("name: shop\nkeep_first_touch: yes", "Line 2: 'yes': choose one of true, false"),
        ("name: shop\nname: shop", "Line 2: name comes twice"),
        ("name: shop\nstitch: lst", "Line 2: 'lst': choose one of any, first"),
        ("name: shop\nvisit_timeout_minutes: 4", "Line 2: write whole minutes from 5 to 240"),
        ("name: shop\ntimezone: berlin", "Line 2: there is no time zone 'berlin'"),
        ("name: shop\nsubdomains: none", "Line 2: 'none': choose one of same, separate"),
        ("name: shop\norigins: [a]", "Line 2: 'a' is not an origin"),
        ("name: shop\norigins:\n  - https://a.example\n  - b", "Line 4: 'b' is not an origin"),
        ("name: shop\nrules: |\n  # ours\n  - id: x\n    whn: {}", "Line 5: there is no 'whn'"),
        ("name: shop\nrules: '- id: x'", "Line 2: in the rules: Line 1: when is missing"),
        ("name: shop\nrules: [a]", "Line 2: write the rules as text"),
        ("name: shop\nsegments:\n  a: known==true\n  b: source==x", "Line 4: segment b: filters"),
        ("name: shop\nsegments:\n  a: segment==b", "Line 3: segment a: filters: there is no"),
        ("name: shop\nsegments:\n  a: segment==b\n  b: segment==a", "in a circle"),
        ("name: shop\nsegments:\n  a: {filters: x}", "Line 3: expected a text"),
        ("name: shop\nsegments: [a]", "Line 2: expected entries"),
        ("name: shop\ngoals:\n  a:\n    evnt: x", "Line 4: there is no 'evnt'; did you"),
        ("name: shop\ngoals:\n  a:\n    value_property: x", "Line 4: event is missing"),
        ("name: shop\ngoals:\n  a:\n    event: x\n    filters: did==y", "Line 4: filters: a goal"),
        ("name: shop\ngoals:\n  'a,b':\n    event: x", "holds none of"),
        ("name: shop\nannotations:\n  - at: May\n    text: x", "Line 3: at: write ISO 8601"),
        ("name: shop\nannotations:\n  - text: x", "Line 3: at is missing"),
        ("name: shop\nannotations:\n  - at: 2026-05-01\n    txt: x", "Line 4: there is no 'txt'"),
        ("name: shop\ninsights:\n  a:\n    question: stat", "Line 4: question: there is no"),
        ("name: shop\ninsights:\n  a:\n    question: funnel", "Line 4: params: funnel needs the"),
        ("name: shop\ninsights:\n  a:\n    question: stats\n    params: [x]", "Line 5: expected e"),
        ("name: shop\nboards:\n  a:\n    insights:\n      - insight: x", "Line 4: board a: insigh"),
        ("name: shop\nboards:\n  a:\n    insights: [x]", "Line 4: expected entries"),
        ("name: shop\nboards:\n  a:\n    insights:\n      - insight: Sales\n        width: 13",
         "Line 5: Expected int <= 12"),
        ("name: [", "Line 1: not YAML"),
        ("- a", "Line 1: expected entries"),
        ("stitch: next", "names no project"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    unchanged: tuple[str, ...], tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    for more in ([], ["--yes"]):
        assert said in fails("project", "import", str(file), *more, *unchanged)
    assert ok("project", "export", "shop", *unchanged) == EXPORTED


def test_a_name_that_is_taken(filled: tuple[str, ...], tmp_path: Path) -> None:
    ok("project", "create", "blog", *filled)
    file = tmp_path / "shop.yaml"
    file.write_text(EXPORTED)
    said = fails("project", "import", str(file), "--project", "blog", "--yes", *filled)
    assert "Take `name` out of" in said
    file.write_text(EXPORTED.replace("name: shop\n", ""))
    ok("project", "import", str(file), "--project", "blog", "--yes", *filled)
    assert ok("project", "export", "blog", *filled) == EXPORTED.replace("name: shop", "name: blog")


def test_an_annotation_without_an_id_is_the_one_that_says_the_same(
    filled: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "notes.yaml"
    file.write_text(
        "name: shop\nannotations:\n  - at: 2026-05-01\n    text: 'New prices: all'\n"
        "  - at: 2026-05-02\n    text: Mail\n"
    )
    said = ok("project", "import", str(file), "--yes", *filled)
    assert "1 change made" in said
    assert ok("project", "import", str(file), "--prune", *filled) == "shop is as the file says.\n"


TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs")), min_size=1
).filter(lambda text: not set(text) & set(";|,{}\\") and text != "(none)")


@given(
    names=st.lists(TEXTS.map(lambda t: t[:40]), max_size=3, unique=True),
    text=TEXTS.map(lambda t: t[:100]),
    stitch=st.sampled_from(["any", "none", None]),
    comment=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20),
)
def test_whatever_is_written_is_read_as_it_was(
    names: list[str], text: str, stitch: str | None, comment: str
) -> None:
    """Names and texts that YAML would take for something else, such as `null`, `yes`, `12`, `#`."""
    origins = frozenset({"https://a.example"})
    project = Settings(
        "p", "shop", stitch, origins, frozenset(), rules=f"# {comment}\n\n# {text}  \n"
    )
    definitions = Definitions(
        {name: Segment(name=name, filters=f"did=={text}") for name in [*names, "null", "1", "yes"]},
        {name: GoalDefinition(name=name, event=text, description=text) for name in names},
        {"1": Annotation(annotation_id="1", at="2026-05-01", text=text)},
        {
            name: Insight(name=name, question="stats", params={"event": text, "from": name})
            for name in ["null", "12", text]
        },
        {
            "yes": Board(
                name="yes",
                insights=[BoardTile("null"), BoardTile(text, 1), BoardTile(part="people")],
            )
        },
    )
    now = (project, definitions)
    written = write(*now)
    assert differences(now, merged(read(written), now, prune=True)) == []
    assert write(*merged(read(written), now, prune=True)) == written


def test_an_import_goes_by_what_is_there_when_it_writes(folder: Path) -> None:
    with Control(folder) as control:
        project, _ = control.create_project("shop", [])
        file = read("segments:\n  a: known==true\n")
        segment = {"b": Segment(name="b", filters="known==false")}
        control.define(project.project_id, lambda before: Definitions(segment))
        _, after = control.change_settings(
            project.project_id, lambda now: merged(file, now, prune=False)
        )
        assert sorted(after.segments) == ["a", "b"]
