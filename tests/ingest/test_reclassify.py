"""Stored events get their sources anew: what would change, what changes, and that nothing else
does."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.test_commands import fails, ok, run
from tests.clickhouse_cluster import ClickHouse
from tests.dying import Dying, Killed, listed, unsynced_store, wrong
from tests.support import Json, Project, Server, row_values
from tests.width import wide
from threadline.classify import Site, read_site
from threadline.cli.main import COMMANDS, create_cli
from threadline.identity.states import rebuild
from threadline.ingest import reclassify, row, source_changes
from threadline.ingest.recovery import finish_rebuilds
from threadline.settings import Settings
from threadline.store import RECLASSIFY, Statements, Store, store_url, unfinished

RULES = """
- id: partner
  when: {referrer: partner.example}
  source: partner
  medium: affiliate
"""
# The states that say where somebody came from.
FOLLOWING = ["half_hours", "visitor_touches", "user_touches", "traffic_sources"]
VISITS = [
    ("2026-04-30T10:00:00Z", "ada", "https://partner.example/a", ""),
    ("2026-05-01T10:00:00Z", "ada", "", "?utm_source=mail&utm_term=shoes&utm_content=blue"),
    ("2026-05-02T10:00:00Z", "bob", "https://blog.example/", ""),
    ("2026-05-02T11:00:00Z", "bob", "https://partner.example/b", "?gclid=1"),
    ("2026-05-03T10:00:00Z", "cleo", "https://partner.example/c", ""),
]


@pytest.fixture(params=["embedded", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environments of both kinds of store."""
    if request.param == "embedded":
        yield {}
        return
    with ClickHouse(tmp_path / "clickhouse") as clickhouse:
        clickhouse.start()
        yield {"THREADLINE_STORE": clickhouse.url("shop")}


def fill(project: Project) -> None:
    events: list[Json] = []
    for number, (at, device, referrer, query) in enumerate(VISITS):
        url = f"https://shop.example/{number}{query}"
        events.append({"event": "look", "timestamp": at, "anonymous_id": device})
        events[-1] |= {"url": url, "referrer": referrer, "event_id": f"e{number}"}
    for device in ("ada", "bob", "cleo"):
        events.append({"event": "signup", "timestamp": "2026-05-09T10:00:00Z", "user_id": device})
        events[-1] |= {"anonymous_id": device, "event_id": f"s{device}"}
    project.batch(events)


def sources(project: Project) -> dict[str, str]:
    rows = project.stored(event="look")
    return {row["event_id"]: f"{row['source']} {row['source_rule_id']}" for row in rows}


def first_touches(project: Project) -> dict[str, str]:
    rows = project.ask("/v1/users", stitch="next")["rows"]
    return {row["user_id"]: row["first_touch"]["source"] for row in rows}


def test_new_rules_for_old_events(store: dict[str, str], folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    with Server(folder, **store) as server:
        project, other = Project(server), Project(server)
        data = ("--project", project.project_id, "--data", str(folder))
        fill(project)
        fill(other)
        before = {p: sources(p) for p in (project, other)}
        assert "Nothing to do" in ok("reclassify", *data, **store)
        ok("rules", "set", str(path), *data, **store)

        found = json.loads(ok("reclassify", "--dry-run", "--json", *data, **store))
        assert (found["events"], found["changed"], found["moved"]) == (8, 3, 3)
        assert found["rows"][:2] == [
            {"source": "partner", "medium": "affiliate", "before": 0, "after": 3},
            {"source": "partner.example", "medium": "referral", "before": 2, "after": 0},
        ]
        text = ok("reclassify", "--dry-run", *data, **store)
        assert "3 would get another source, rule or campaign, 3 of them" in text
        assert "Nothing was changed" in text
        assert sources(project) == before[project]

        found = ok("reclassify", "--since", "2026-05-03", *data, **store)
        assert "1 got another source, rule or campaign" in found
        assert sources(project)["e4"] == "partner custom:partner"
        assert sources(project)["e0"] == "partner.example referrer_other"
        assert first_touches(project)["cleo"] == "partner"
        assert first_touches(project)["ada"] == "partner.example"

        assert "2 got another source, rule or campaign" in ok("reclassify", *data, **store)
        after = {**before[project], **dict.fromkeys(("e0", "e3", "e4"), "partner custom:partner")}
        assert sources(project) == after
        assert first_touches(project) == {
            "ada": "partner",
            "bob": "blog.example",
            "cleo": "partner",
        }
        assert "Nothing to do" in ok("reclassify", *data, **store)
        assert sources(other.again()) == before[other]
        assert first_touches(other.again())["ada"] == "partner.example"
        assert server.stop() == 0

    assert "Nothing to do" in ok("reclassify", *data, **store)
    ok("rules", "clear", *data, **store)
    assert "3 got another source, rule or campaign" in ok("reclassify", *data, **store)
    with Server(folder, **store) as server:
        assert sources(project.again(server)) == before[project]
        assert first_touches(project.again(server))["ada"] == "partner.example"


def test_term_and_content_of_old_events_come_along(server: Server, project: Project) -> None:
    fill(project)
    (row,) = [row for row in project.ask("/v1/sources", breakdown="term")["rows"] if row["term"]]
    assert (row["term"], row["events"]) == ("shoes", 1)
    (row, *_) = project.ask("/v1/sources", breakdown="content")["rows"][1:]
    assert row["content"] == "blue"


def test_interrupted_it_goes_on_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the process dies behind the first mutation, once before the first touches are made."""
    with Server(folder) as server:
        project = Project(server)
        fill(project)
        project.stored()
        assert server.stop() == 0
    site = read_site(frozenset(), "same", RULES)
    monkeypatch.setattr(reclassify, "SLICE_VISITS", 1)
    monkeypatch.setattr(reclassify, "MAX_CHANGES", 0)
    rebuilt: list[str] = []

    def again(store: Store, **stop: Any) -> reclassify.Outcome:
        steps = {"progressed": lambda visits: None, "rebuild": rebuilt.extend, **stop}
        return reclassify.reclassify(store, project.project_id, site, 0, True, **steps)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    looked: list[int] = []

    def stop_later(visits: int) -> None:
        looked.append(visits)
        if sum(looked) > 3:
            stop()

    with Store(store_url("chdb", folder)) as store:
        with pytest.raises(KeyboardInterrupt):
            again(store, progressed=stop_later)
        left = reclassify.outdated(store, project.project_id, site, 0)
        assert 0 < left < len(VISITS)
        with pytest.raises(KeyboardInterrupt):
            again(store, rebuild=stop)
    with Store(store_url("chdb", folder)) as store:
        assert reclassify.outdated(store, project.project_id, site, 0) == 0
        assert again(store).events == 0
        assert rebuilt == FOLLOWING, "though nothing was left to name"
        assert again(store).events == 0
        assert len(rebuilt) == len(FOLLOWING)
    with Server(folder) as server:
        found = sources(project.again(server))
        named = [event for event, source in found.items() if source == "partner custom:partner"]
        assert sorted(named) == ["e0", "e3", "e4"]


def test_killed_at_any_statement_it_is_listed_and_leaves_no_state_wrong(folder: Path) -> None:
    """The states follow whatever is in the events when somebody finishes them; the rest of the
    events follows when the same command comes again."""
    sites = [read_site(frozenset(), "same", RULES), read_site(frozenset(), "same", "")]
    named = ["partner", "partner.example"]
    visit = {"url": "https://shop.example/", "referrer": "https://partner.example/a"}
    rows = [row_values(event_id="v", **visit), row_values(event_id="u", user_id="u", **visit)]
    body = b"".join(map(row.encode, rows))

    def named_again(store: Statements, site: Site, rebuild: Callable[[Sequence[str]], None]) -> str:
        reclassify.reclassify(store, "p", site, 0, True, lambda visits: None, rebuild)
        (found,) = store.query("SELECT groupUniqArray(toString(source)) AS found FROM events", {})
        return " ".join(found["found"])

    def killed(tables: Sequence[str]) -> None:
        raise Killed

    with unsynced_store(folder) as store:
        store.insert("events", row.COLUMNS, "MsgPack", body, "1")
        ever_wrong, statements, turn, progress = False, 0, 0, True
        while progress:
            site, source = sites[turn % 2], named[turn % 2]
            dying = Dying(store, statements, folder, lambda store: None)
            with pytest.raises(Killed):
                named_again(dying, site, killed)
            progress = not dying.left
            spoiled = wrong(store, *FOLLOWING)
            ever_wrong = ever_wrong or bool(spoiled)
            assert spoiled <= listed(store), statements
            left = reclassify.outdated(store, "p", site, 0)
            begun = {work.name for work in unfinished(store)}
            assert left == 1 or RECLASSIFY in begun, statements
            finish_rebuilds(store, Settings(data=str(folder)), lambda: False)
            assert (wrong(store, *FOLLOWING), listed(store)) == (set(), set()), statements
            assert named_again(store, site, lambda tables: rebuild(store, tables)) == source
            assert (wrong(store, *FOLLOWING), unfinished(store)) == (set(), [])
            statements += wide(3, 1)
            turn += 1
        assert wrong(store) == set()
        assert statements > 10
        assert ever_wrong, "else nothing was tried"
        sql = "SELECT name FROM system.tables WHERE database = currentDatabase()"
        assert not [row for row in store.query(sql, {}) if row["name"].startswith("reclassified")]


# What older versions stored of an agent, and what the event is to have: device, browser, system,
# whether it is a bot's, and the rule that named its source.
PAGE: Json = {"url": "https://shop.example/"}
OLD: dict[str, tuple[Json, tuple[str, str, str, bool, str]]] = {
    "java": (
        {"device_type": "bot", "browser": "Java", "is_bot": True, "user_id": "ada"},
        ("", "", "", False, "no_page"),
    ),
    "zapier": ({"device_type": "bot", "is_bot": True}, ("", "", "", False, "no_page")),
    "okhttp": ({"browser": "okhttp", "os": "Other"}, ("", "", "", False, "no_page")),
    "nothing": ({}, ("", "", "", False, "no_page")),
    "screen": (
        {"event_name": "$screen", "device_type": "bot", "browser": "Java", "is_bot": True},
        ("", "", "", False, "direct"),
    ),
    "crawler": (
        {"device_type": "bot", "browser": "Googlebot", "is_bot": True, **PAGE},
        ("other", "googlebot", "", True, "direct"),
    ),
    "library": (
        {"browser": "Python Requests", **PAGE},
        ("", "python requests", "", False, "direct"),
    ),
    "phone": (
        {"device_type": "mobile", "browser": "Mobile Safari", "os": "iOS", **PAGE},
        ("mobile", "safari", "ios", False, "direct"),
    ),
    "laptop": (
        {"device_type": "desktop", "browser": "Chrome", "os": "Mac OS X"},
        ("desktop", "chrome", "macos", False, "direct"),
    ),
    "today": (
        {"device_type": "tablet", "browser": "samsung", "os": "android", **PAGE},
        ("tablet", "samsung", "android", False, "direct"),
    ),
}


def test_what_older_versions_made_of_agents(folder: Path) -> None:
    """Events that a server's own agent made a bot's count again, in every state; on no page they
    are no visit. What is called otherwise today gets its word."""
    site = read_site(frozenset(), "same", "")
    direct = {"source": "direct", "medium": "direct", "source_confidence": "low"}
    rows = [
        row_values(
            event_id=name, anonymous_id=name, source_rule_id="direct", **{**direct, **stored}
        )
        for name, (stored, _) in OLD.items()
    ]
    other = row_values(project_id="q", event_id="q", device_type="bot", is_bot=True)
    body = b"".join(map(row.encode, [*rows, other]))
    sql = """SELECT event_id, device_type, browser, os, is_bot, source_rule_id AS rule
        FROM events WHERE project_id = {project:String}"""

    def stored(store: Statements, project: str) -> dict[str, tuple[Any, ...]]:
        found = [tuple(each.values()) for each in store.query(sql, {"project": project})]
        return {each[0]: (*each[1:4], bool(each[4]), each[5]) for each in found}

    def again(store: Statements, write: bool) -> reclassify.Outcome:
        return reclassify.reclassify(
            store, "p", site, 0, write, lambda visits: None, lambda tables: rebuild(store, tables)
        )

    with unsynced_store(folder) as store:
        store.insert("events", row.COLUMNS, "MsgPack", body, "1")
        before = stored(store, "p")
        dry = again(store, write=False)
        assert (dry.events, dry.freed, dry.reworded) == (len(OLD), 3, 8)
        assert stored(store, "p") == before
        assert again(store, write=True)[-2:] == dry[-2:]
        assert stored(store, "p") == {name: wanted for name, (_, wanted) in OLD.items()}
        assert stored(store, "q") == {"q": ("bot", "", "", True, "")}
        assert (wrong(store), unfinished(store)) == (set(), [])
        assert again(store, write=True).events == 0


def test_the_command_says_what_became_of_agents(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        project.track("x", user_id="ada")
        assert server.stop() == 0
    older = {"project_id": project.project_id, "classifier_version": "older"}
    java: Json = {"event_id": "j", "user_id": "bob", "device_type": "bot", "is_bot": True}
    with Store(store_url("chdb", folder)) as store:
        body = row.encode(row_values(**older, **java))
        store.insert("events", row.COLUMNS, "MsgPack", body, "1")
    data = ("--project", project.project_id, "--data", str(folder))
    found = ok("reclassify", "--dry-run", *data)
    assert "for bots' because of the agent of the server that sent them: 1;" in found
    assert "they would count now" in found
    assert "1 event would get another word for device, browser or system" in found
    assert "they count now" in ok("reclassify", *data)
    with Server(folder) as server:
        assert project.again(server).ask("/v1/users/bob")["user_id"] == "bob"


def test_stopped_by_hand_it_says_how_to_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    with Server(folder) as server:
        project = Project(server)
        fill(project)
        project.stored()
        assert server.stop() == 0
    data = ["--project", project.project_id, "--data", str(folder)]
    ok("rules", "set", str(path), *data)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(source_changes, "finish", stop)
        done = CliRunner().invoke(create_cli(COMMANDS), ["reclassify", *data])
    assert done.exit_code == 130
    assert (
        "The same command continues where it stopped (threadline reclassify --project"
        in done.stderr
    )
    found = run("doctor", "--data", str(folder))
    assert found.returncode == 1
    assert f"interrupted: reclassify of {project.project_id} since 2" in found.stdout
    assert "`threadline reclassify` for that project continues where it stopped" in found.stdout
    ok("reclassify", *data)
    assert "nothing was interrupted" in ok("doctor", "--data", str(folder))


def test_what_is_asked_wrongly_is_one_line(server: Server, project: Project) -> None:
    data = ("--project", project.project_id, "--data", str(server.folder))
    assert "--since yesterday: " in fails("reclassify", "--since", "yesterday", *data)
