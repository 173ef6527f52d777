"""Deleting a project, keeping events for so long only, and making somebody anonymous: what is gone
is in no byte of the folder, and everybody else's answers stay."""

import csv
import io
import json
import signal
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.test_commands import fails, ok
from tests.ingest.leftovers import traces, until_erased
from tests.support import Json, Project, Server, ids, row_values
from threadline.contract.times import DAY_MS
from threadline.control import Control
from threadline.ingest import dead_letters, removal, row
from threadline.ingest.accept import event_id_hash
from threadline.ingest.dead_letters import RefusedEvent
from threadline.ingest.log import open_db
from threadline.store import Store, bound_ms, store_url


def ago(days: float) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S}Z"


def one_person(project: Project, who: str) -> None:
    """Events of all kinds, with ids, an address, an e-mail address and money."""
    identify = {"anonymous_id": f"phone of {who}", "user_id": f"{who}@nowhere.example"}
    url = f"https://shop.example/u/{who}?utm_source=mail&utm_campaign=for-{who}"
    project.track("$pageview", anonymous_id=identify["anonymous_id"], url=url, timestamp=ago(3))
    traits = {"email": f"{who}@nowhere.example", "name": f"Name of {who}"}
    assert project.post("/v1/identify", {**identify, "traits": traits}).status == 200
    bought = {"amount": 20, "currency": "EUR", "note": f"for {who}", "account_id": f"at {who}"}
    project.track("purchase", **identify, properties=bought, event_id=f"order of {who}", url=url)
    project.track("$pageview", anonymous_id="kiosk")
    project.track("purchase", anonymous_id="kiosk", user_id=identify["user_id"])


def secrets(who: str) -> list[str]:
    return [
        f"{who}@nowhere.example",
        f"phone of {who}",
        f"for-{who}",
        f"Name of {who}",
        f"order of {who}",
        f"at {who}",
    ]


ASKED: tuple[tuple[str, dict[str, str]], ...] = (
    ("/v1/stats", {"metric": "count", "group_by": "event_name"}),
    ("/v1/stats", {"metric": "persons", "group_by": "source"}),
    ("/v1/stats", {"metric": "sum", "property": "amount"}),
    ("/v1/users", {}),
    ("/v1/sources", {}),
    ("/v1/schema", {}),
)


def answers(project: Project) -> list[Json]:
    found = [project.ask(path, **params) for path, params in ASKED]
    for answer in found:
        answer.pop("to", None)
    return found


def test_a_deleted_project_is_in_no_byte_and_no_other_answer_changes(folder: Path) -> None:
    with Server(folder) as server:
        gone, stays = Project(server), Project(server)
        for project in (gone, stays):
            one_person(project, "bob7q")
        one_person(gone, "ada7q")
        for path, body in (
            ("/v1/segments/secret-segment", {"filters": "first.source==mail"}),
            ("/v1/goals/secret-goal", {"event": "purchase"}),
        ):
            assert gone.change("PUT", path, body).status in (200, 201)
        pair = {"user_id": "ada7q@nowhere.example", "alias_of": "old-ada7q"}
        assert gone.change("PUT", "/v1/identity/aliases", pair).json["changed"]
        with closing(open_db(folder)) as db:
            letter = row.encode(row_values(project_id=gone.project_id, user_id="letter-ada7q"))
            dead_letters.set_aside(db, RefusedEvent("one", gone.project_id, "e", "x", letter), "no")
        assert gone.post("/v1/forget", {"user_id": "nobody"}).status == 200
        until_erased(gone)
        before = answers(stays)
        with Control(folder) as control:
            hashes = [
                key.secret_hash for key in control.list_keys() if key.project_id == gone.project_id
            ]
            name = control.project(gone.project_id).name
        mine = [*secrets("ada7q"), "old-ada7q", "letter-ada7q", "secret-segment", "secret-goal"]
        mine += [gone.project_id, name]
        found = {trace.split(" as ")[0] for trace in traces(folder, *mine)}
        assert found == set(mine), "it finds them"

        path = f"/v1/projects/{gone.project_id}"
        assert gone.change("DELETE", path, {"name": "another"}).error == "invalid_payload"
        assert gone.change("DELETE", path, {"name": name}, key="rk").status == 403
        assert stays.change("DELETE", path, {"name": name}).status == 404
        deleted = gone.change("DELETE", path, {"name": name})
        assert (deleted.status, deleted.json["project_id"]) == (202, gone.project_id)
        assert gone.post("/v1/track", {"event": "x"}).error == "invalid_api_key"
        assert gone.get("/v1/users").error == "invalid_api_key"
        server.await_line("project_deleted")
        kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert [hashed for hashed in hashes if hashed in kept] == [], "nor a key's digest"
        assert answers(stays) == before
        jobs = stays.ask("/v1/jobs")["rows"]
        assert [job["state"] for job in jobs if job["kind"] == "delete"] == ["done"]
        assert server.stop() == 0
    assert traces(folder, *mine) == []


def test_deleting_goes_on_after_a_kill_and_without_a_server(folder: Path) -> None:
    with Server(folder) as server:
        gone, stays = Project(server), Project(server)
        for project in (gone, stays):
            one_person(project, "ada7q")
        before = answers(stays)
        with Control(folder) as control:
            name = control.project(gone.project_id).name
            control.delete_project(gone.project_id)
        server.stop(signal.SIGKILL)
    with Control(folder) as control:
        assert control.deleted_projects() == [gone.project_id]
    with Server(folder) as server:
        server.await_line("project_deleted")
        assert answers(stays.again(server)) == before
        assert server.stop() == 0
    said = fails("project", "delete", stays.project_id, "--data", str(folder))
    assert "Nothing was deleted" in said
    with Control(folder) as control:
        name = control.project(stays.project_id).name
    ok("project", "delete", stays.project_id, "--yes", name, "--data", str(folder))
    assert traces(folder, gone.project_id, stays.project_id, name, *secrets("ada7q")) == []
    assert ok("project", "list", "--data", str(folder)).startswith("There are no projects yet")


def test_every_table_that_says_something_of_projects_is_thought_of(folder: Path) -> None:
    from threadline.control.deleting import OF_PROJECTS
    from threadline.ingest.removal import TABLES
    from threadline.store import Store, store_url

    with Control(folder), closing(sqlite3.connect(folder / "control.db")) as db:
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        of_projects = {
            table
            for table in tables
            if any(
                column[1] == "project_id" for column in db.execute(f"PRAGMA table_info({table})")
            )
        }
    assert of_projects == {*OF_PROJECTS, "deleted_projects"}
    with Store(store_url("chdb", folder)) as store:
        found = store.query(
            "SELECT DISTINCT table FROM system.columns WHERE database = currentDatabase()"
            " AND name = 'project_id' AND table NOT LIKE '%\\\\_mv'",
            {},
        )
    assert {each["table"] for each in found} == set(TABLES)


def test_retention_leaves_no_byte_and_says_what_it_does(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        for number, when in enumerate((40, 39, 3)):
            who = f"{['old', 'older', 'new'][number]}7q"
            project.track(
                "seen", anonymous_id=f"device-{who}", event_id=f"event-{who}", timestamp=ago(when)
            )
            project.track(
                "seen",
                anonymous_id=f"device-{who}",
                user_id=f"{who}@nowhere.example",
                timestamp=ago(when),
                url=f"https://shop.example/?utm_source=x&utm_campaign=c-{who}",
            )
        assert len(project.stored()) == 6
        old = [
            f"{what}old7q{more}"
            for what, more in (
                ("", "@nowhere.example"),
                ("device-", ""),
                ("event-", ""),
                ("c-", ""),
            )
        ]
        old += [text.replace("old7q", "older7q") for text in old]
        change = {"keep_days": 30, "keep_days_by_event": {"other": 5}}
        path = f"/v1/projects/{project.project_id}"
        changed = project.change("PUT", path, change).json
        assert (changed["keep_days"], changed["keep_days_by_event"]) == (30, {"other": 5})
        data = ("--data", str(folder))
        kept = json.loads(ok("retention", "--json", *data))
        assert kept[0]["meaning"].endswith("; first touches go with them")
        assert kept[0]["keep_days"] == 30
        server.await_line("events_expired")
        assert {row["user_id"] for row in project.ask("/v1/users")["rows"]} == {
            "new7q@nowhere.example"
        }
        assert len(project.stored()) == 2
        assert "threadline_events_expired_total 4.0" in project.get("/metrics").body.decode()
        # What comes late is stored, said, and goes with the next run.
        late = project.track("seen", anonymous_id="device-late7q", timestamp=ago(50))
        assert [notice["code"] for notice in late["warnings"]] == ["older_than_kept"]
        assert project.stored(anonymous_id="device-late7q")
        (going,) = json.loads(ok("retention", "--dry-run", "--json", *data))
        assert (going["event"], going["events"], going["persons"]) == ("seen", 1, 1)
        said = ok("retention", "--dry-run", *data)
        assert "of the 1 person whose events go, 1 has no later one, and their links and" in said
        assert going["meaning"] in said.splitlines(), "JSON says what becomes of first touches, too"
        assert project.stored(anonymous_id="device-late7q"), "a dry run deletes nothing"
        said = "1 event deleted, 4 had gone earlier today (UTC)"
        assert said in ok("retention", "run", *data), "not that what was just to go is nowhere"
        (again,) = json.loads(ok("retention", "run", "--json", *data))
        assert (again["events"], again["events_today"]) == (0, 5)
        jobs = json.loads(ok("jobs", "--json", *data))
        assert [job["events"] for job in jobs if job["kind"] == "retention"] == [4, 1, 0]
        assert all(job["started"] and job["took_s"] is not None for job in jobs)
        assert project.stored(anonymous_id="device-late7q") == []
        (warning,) = project.ask("/v1/stats", metric="count", from_=ago(90))["warnings"]
        assert (warning["code"], warning["parameter"]) == ("older_than_kept", "from")
        assert "30 days" in warning["message"]
        assert "warnings" not in project.ask(
            "/v1/stats", metric="count", event="seen", from_=ago(10)
        )
        assert server.stop() == 0
    assert traces(folder, *old, "device-late7q") == []
    assert "retention" in ok("doctor", *data)


def test_a_name_that_is_never_deleted(server: Server) -> None:
    project = Project(server)
    data = ("--data", str(server.folder))
    keep = ("project", "set", project.project_id, "--keep-event")
    for event in ("invoice", "seen"):
        project.track(event, anonymous_id="a", timestamp=ago(50))
    said = "kept for 30 days, invoice for ever"
    assert said in ok(*keep, "invoice=never", "--keep-days", "30", *data)
    (kept,) = json.loads(ok("retention", "--json", "--project", project.project_id, *data))
    assert kept["keep_days_by_event"] == {"invoice": None}
    exported = ok("project", "export", project.project_id, *data)
    assert "keep_days_by_event:\n  invoice: null\n" in exported
    file = server.folder.parent / "shop.yaml"
    file.write_text(exported.replace("invoice: null", "invoice: 5"))
    changes = ok("project", "import", str(file), *data)
    assert "keep_days invoice: never → 5" in changes
    file.write_text(exported.replace("invoice: null", "invoice: never"))
    assert "keep_days" not in ok("project", "import", str(file), *data)

    run = ("retention", "run", "--project", project.project_id, *data)
    ok(*run)
    assert [row["event_name"] for row in project.stored()] == ["invoice"]
    late = project.track("invoice", anonymous_id="a", timestamp=ago(60))
    assert "warnings" not in late
    over_http = {"keep_days_by_event": {"invoice": None, "seen": 5}}
    path = f"/v1/projects/{project.project_id}"
    assert project.change("PUT", path, over_http).json["keep_days_by_event"] == {
        "invoice": None,
        "seen": 5,
    }
    refused = fails(*keep, "invoice=soon", *data)
    assert "--keep-event invoice=soon: 'soon' is not a number of days" in refused
    assert "or never. invoice=default keeps them as long as all others." in refused
    assert "invoice" not in ok(*keep, "invoice=default", *data)
    ok(*run)
    assert project.stored() == []


def test_a_source_outlives_the_events(server: Server) -> None:
    project = Project(server)
    path = f"/v1/projects/{project.project_id}"
    changed = project.change("PUT", path, {"keep_days": 30, "keep_first_touch": True})
    assert changed.json["keep_first_touch"] is True
    # The server looks once a day by itself, which is now, and not while this is going on.
    ok("retention", "run", "--project", project.project_id, "--data", str(server.folder))
    for who, last in (("gone", 40), ("back", 3)):
        url = f"https://shop.example/?utm_source=mail-to-{who}"
        project.track("$pageview", anonymous_id=f"of {who}", url=url, timestamp=ago(50))
        device = {"anonymous_id": f"of {who}", "user_id": who}
        project.track("x", **device, timestamp=ago(49), event_id=f"known {who}")
        project.track("x", **device, timestamp=ago(last))
    before = {row["user_id"]: row for row in project.ask("/v1/users")["rows"]}
    of = ("--project", project.project_id, "--data", str(server.folder))
    dry_run = ("retention", "--dry-run", *of)
    assert "of all stay (keep_first_touch)" in ok(*dry_run)
    for going in json.loads(ok(*dry_run, "--json")):
        assert going["meaning"].endswith("of all stay (keep_first_touch).")
    ok("retention", "run", "--project", project.project_id, "--data", str(server.folder))
    assert len(project.stored()) == 1
    after = {row["user_id"]: row for row in project.ask("/v1/users")["rows"]}
    assert set(after) == {"gone", "back"}
    for who, user in after.items():
        assert user["first_touch"]["source"] == f"mail-to-{who}"
        assert user["first_touch"]["url"] is None, "the event had it"
        assert user["known_since"] == before[who]["known_since"]
        profile = project.ask(f"/v1/users/{who}")
        assert profile["first_touch"] == user["first_touch"]
        assert profile["known_since"] == user["known_since"]
    assert project.ask("/v1/users/back")["last_touch"]["source"] == "direct"
    assert [row["user_id"] for row in project.ask("/v1/users", source="mail-to-gone")["rows"]] == [
        "gone"
    ]
    # Whoever is forgotten is, and whose the device is, is known as before.
    assert project.post("/v1/forget", {"user_id": "gone"}).status == 200
    assert [row["user_id"] for row in project.ask("/v1/users")["rows"]] == ["back"]
    assert project.change("PUT", path, {"keep_first_touch": False}).status == 200
    assert "links and first touches whose events are gone go, too" in ok(*dry_run)
    ok("retention", "run", "--project", project.project_id, "--data", str(server.folder))
    (user,) = project.ask("/v1/users")["rows"]
    assert user["first_touch"]["source"] == "direct"


def test_who_is_made_anonymous_is_in_no_byte_and_sums_stay(folder: Path) -> None:
    def sums(project: Project) -> list[Json]:
        asked = [
            *ASKED[:3],
            ("/v1/stats", {"metric": "visits"}),
            ("/v1/sources", {"breakdown": "source"}),
        ]
        found = [project.ask(path, **params)["rows"] for path, params in asked]
        for each in (each for rows in found for each in rows):
            each.pop("uniques", None)  # on the kiosk they are on a device of their own from now on
        return found

    with Server(folder) as server:
        project = Project(server)
        for who in ("bob7q", "ada7q"):
            one_person(project, who)
        project.track("$pageview", anonymous_id="phone of ada7q", url="https://shop.example/prices")
        project.track("$pageview", anonymous_id="phone of bob7q", url="https://shop.example/prices")
        before = sums(project)
        bob = project.journey("bob7q@nowhere.example")
        mine = secrets("ada7q")
        body = {"user_id": mine[0], "anonymise": True}
        assert project.post("/v1/forget", {"anonymous_id": "x", "anonymise": True}).status == 400
        # Beside one that is forgotten for good.
        project.track("x", user_id="cyrus7q@nowhere.example")
        assert project.post("/v1/forget", {"user_id": "cyrus7q@nowhere.example"}).status == 200
        assert project.post("/v1/forget", body).status == 200
        until_erased(project)
        assert sums(project) == before
        assert project.journey("bob7q@nowhere.example") == bob
        assert project.get(f"/v1/users/{mine[0]}").status == 404
        (somebody,) = [
            row["user_id"]
            for row in project.ask("/v1/users")["rows"]
            if "bob7q" not in row["user_id"]
        ]
        events = project.journey(somebody)
        assert sorted(event["event_name"] for event in events).count("purchase") == 2
        assert {event["path"] for event in events} == {"/prices", "/[removed]", None}
        assert project.ask(f"/v1/users/{somebody}")["traits"] == {}
        assert "made somebody random's" in ok("receipts", "--data", str(folder))
        # A new life.
        project.track("x", user_id=mine[0], event_id="order of ada7q")
        assert ids(project.journey(mine[0])) == ["order of ada7q"]
        before = sums(project)
        assert server.stop() == 0
    with Server(folder) as server:
        ok("forget", "bob7q@nowhere.example", "--anonymise", "--data", str(folder))
        until_erased(project.again(server))
        assert sums(project.again(server)) == before
        assert server.stop() == 0
    assert traces(folder, *secrets("bob7q"), *mine[1:4], "cyrus7q@nowhere.example") == []


def test_a_person_gets_all_that_is_stored_of_them(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        for who in ("bob7q", "ada7q"):
            one_person(project, who)
        user = "ada7q@nowhere.example"
        alias = {"user_id": "old-ada7q", "alias_of": user}
        project.track("x", user_id="old-ada7q", event_id="old one")
        assert project.change("PUT", "/v1/identity/aliases", alias).json["changed"]
        with closing(open_db(folder)) as db:
            body = row.encode(row_values(project_id=project.project_id, user_id=user))
            dead_letters.set_aside(
                db, RefusedEvent("one", project.project_id, "e", "x", body), "no"
            )
        reply = project.get(f"/v1/users/{user}/export", key="sk")
        assert (reply.status, reply.headers["content-type"]) == (200, "application/zip")
        assert project.get(f"/v1/users/{user}/export").status == 403
        assert project.get("/v1/users/nobody/export", key="sk").status == 404
        files = read_zip(reply.body)
        events = json.loads(files["events.json"])
        assert {event["event_id"] for event in events} >= {"order of ada7q", "old one"}
        assert len(events) == 5, "what was done at the kiosk without an id may be anybody's"
        assert set(events[0]) == set(row.COLUMNS)
        rows = list(csv.DictReader(io.StringIO(files["events.csv"])))
        assert [each["event_id"] for each in rows] == [event["event_id"] for event in events]
        devices = json.loads(files["devices.json"])
        assert {(each["anonymous_id"], each["shared_with_others"]) for each in devices} == {
            ("phone of ada7q", False),
            ("kiosk", True),
        }
        assert "kiosk" in files["README.txt"]
        assert len(json.loads(files["alias_decisions.json"])) == 1
        assert [each["reason"] for each in json.loads(files["dead_letters.json"])] == ["no"]
        traits = {each["trait"]: each["value"] for each in json.loads(files["traits.json"])}
        assert json.loads(traits["name"]) == "Name of ada7q"
        assert [each["account_id"] for each in json.loads(files["accounts.json"])] == ["at ada7q"]
        assert "bob7q" not in "".join(files.values())
        out = folder.parent / "ada.zip"
        ok("person", "export", user, "--to", str(out), "--data", str(folder))
        assert read_zip(out.read_bytes())["events.json"] == files["events.json"]
        assert server.stop() == 0
    ok("person", "export", "old-ada7q", "--to", str(out), "--data", str(folder))
    assert read_zip(out.read_bytes())["events.csv"] == files["events.csv"]


def read_zip(body: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def ids_told(store: Store, since: str) -> list[list[int]]:
    """Those of the project `gone`, as they are told."""
    told: list[list[int]] = []
    removal.forget_event_ids(store, "gone", 7, since, lambda ids: told.append([*map(int, ids)]))
    return told


def test_ids_are_forgotten_some_at_a_time_where_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(datetime.now(UTC).timestamp() * 1000)
    with Store(store_url("chdb", tmp_path)) as store:
        sent = [("gone", n, now) for n in range(300)] + [("stays", n, now) for n in range(3)]
        old = ("gone", 300, now - 20 * DAY_MS)
        rows = [
            row_values(project_id=p, event_id=f"{n}", anonymous_id=f"a{n}", received_at=at)
            for p, n, at in (*sent, old)
        ]
        body = b"".join(row.encode(each) for each in rows)
        store.insert("events", row.COLUMNS, "MsgPack", body, "1")
        wanted = sorted(event_id_hash(7, "gone", f"{n}") for n in range(300))
        for at_once, times in ((removal.IDS_AT_ONCE, 1), (100, 3)):
            monkeypatch.setattr(removal, "IDS_AT_ONCE", at_once)
            told = ids_told(store, bound_ms(now - DAY_MS))
            assert sorted(each for ids in told for each in ids) == wanted
            assert len(told) == times
