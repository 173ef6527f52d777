"""Forgetting: all of one person, nothing of anybody else."""

import re
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from tests.cli.test_commands import ok
from tests.dying import wrong
from tests.ingest.leftovers import traces, until_erased
from tests.support import Json, Project, Server, ids, row_values, until
from tests.width import wide
from threadline.ingest import dead_letters, erase, receipts, row
from threadline.ingest.dead_letters import RefusedEvent
from threadline.ingest.dedup import Dedup
from threadline.ingest.forget import DELETED, delete, find
from threadline.ingest.log import ForgetRequest, Log, open_db
from threadline.runtime.socket_store import SocketStore
from threadline.store import REBUILD, Store, begin, store_url


def send(project: Project, *events: tuple[str, str | None, str | None]) -> None:
    project.batch(
        [
            {
                "event": "x",
                "event_id": event_id,
                "anonymous_id": device,
                "user_id": user,
                "timestamp": f"2026-05-01T10:{number:02}:00Z",
            }
            for number, (event_id, device, user) in enumerate(events)
        ]
    )


def forget(project: Project, **whom: str) -> Json:
    reply = project.post("/v1/forget", whom)
    assert reply.status == 200
    assert reply.json["ok"] is True
    assert reply.json["queued"] is True
    return reply.json


def persons(project: Project) -> int:
    (row,) = project.ask("/v1/stats", metric="persons")["rows"]
    return int(row["value"])


def test_a_user_goes_with_all_devices_only_they_had(project: Project) -> None:
    send(
        project,
        ("e1", "own", None),
        ("e2", "own", "ada"),
        ("e3", None, "ada"),
        ("e4", "kiosk", None),
        ("e5", "kiosk", "ada"),
        ("e6", "kiosk", "bob"),
        ("e7", "stranger", None),
    )
    assert persons(project) == 3
    forget(project, user_id="ada")
    assert sorted(ids(project.stored())) == ["e4", "e6", "e7"]
    assert persons(project) == 2
    assert project.get("/v1/users/ada").status == 404
    assert [row["user_id"] for row in project.ask("/v1/users")["rows"]] == ["bob"]
    bob = project.ask("/v1/users/bob")
    assert bob["shared_devices"] == [], "ada is nowhere, not even as a reason"
    assert ids(project.journey("bob")) == ["e4", "e6"]


def test_a_campaign_that_only_they_came_by_goes_with_them(server: Server) -> None:
    project = Project(server)
    for device, user in (("own", "ada"), ("other", "bob")):
        for campaign in ("spring", f"for-{user}"):
            project.track(
                "x",
                anonymous_id=device,
                user_id=user,
                url=f"https://shop.example/?utm_source=mail&utm_campaign={campaign}",
            )
    forget(project, user_id="ada")
    assert persons(project) == 1
    until_erased(project)
    kept = SocketStore(server.folder).query(
        "SELECT DISTINCT campaign FROM traffic_sources"
        " WHERE project_id = {of:String} ORDER BY campaign",
        {"of": project.project_id},
    )
    assert [row["campaign"] for row in kept] == ["for-bob", "spring"]


def test_links_that_are_being_made_anew_hide_no_device(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        seen = row_values(event_id="e1", anonymous_id="phone", user_id="ada")
        store.insert("events", row.COLUMNS, "MsgPack", row.encode(seen), "token")
        asked = [ForgetRequest("r", "p", user_id="ada")]
        (known,) = find(store, 7, asked).shares
        begin(store, REBUILD, ["links"])
        store.execute("TRUNCATE TABLE links")
        (found,) = find(store, 7, asked).shares
        assert found.untagged == known.untagged != []
        assert found.visitors == known.visitors


def test_nothing_shows_them_before_any_part_is_rewritten(folder: Path) -> None:
    """One request behind the other, while the engine cannot do anything in the background."""
    rows = [
        row_values(event_id=f"{who}{number}", anonymous_id=device, user_id=user, source=who)
        for who in ("ada", "bob", "cy")
        for number, (device, user) in enumerate([(who, None), (who, who), ("kiosk", who)])
    ]
    with Store(store_url("chdb", folder)) as store:
        store.insert("events", row.COLUMNS, "MsgPack", b"".join(map(row.encode, rows)), "token")
        for table in DELETED:
            store.execute(f"SYSTEM STOP MERGES {table}")
        for left, who in ((6, "ada"), (3, "bob")):
            found = find(store, 7, [ForgetRequest("r", "p", user_id=who)])
            assert found.events == {"r": 3}
            delete(store, Dedup(store, 7), found.shares)
            assert store.query("SELECT count() AS left FROM events", {}) == [{"left": left}]
            assert find(store, 7, [ForgetRequest("r", "p", user_id=who)]).events == {"r": 0}
            assert wrong(store) <= {"traffic_sources"}, "but for names, which the eraser looks for"
        assert store.deletions(), "else it was no test"
        for table in DELETED:
            store.execute(f"SYSTEM START MERGES {table}")
        until(lambda: not store.deletions())
        store.erase_deleted()
        until(lambda: not store.deletions())
        masked = "SELECT 1 FROM system.parts WHERE active AND has_lightweight_delete"
        assert store.query(masked, {}) == []
        assert wrong(store) <= {"traffic_sources"}


def test_what_was_deleted_is_struck_off_the_notes_a_moment_after_it_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question takes the parts, then what is noted of them: what goes off the notes in between
    is in its answer again. One of 5,000 was so."""
    monkeypatch.setattr(erase, "STRIKE_OFF_S", 3600.0)
    monkeypatch.setattr(erase, "CLOSE_S", 0.0)
    log = Log(folder, 1 << 20, 7)
    with Store(store_url("chdb", folder)) as store, closing(log):
        store.insert("events", row.COLUMNS, "MsgPack", row.encode(row_values()), "token")
        store.delete("events", "TRUE", {})
        eraser = erase.Eraser(log, store, nullcontext)
        erased = eraser.erase()
        until(lambda: not store.deletions() and bool(store.carried_out()))
        store.deletions()
        assert "events" in {each.table for each in store.carried_out()}
        eraser.close()
        assert erased.cancelled()
        monkeypatch.setattr(erase, "STRIKE_OFF_S", 0.1)
        eraser = erase.Eraser(log, store, nullcontext)
        eraser.erase().result()
        assert store.carried_out() == []
        eraser.close()


def test_a_device_goes_and_its_users_keep_the_rest(project: Project) -> None:
    send(
        project,
        ("e1", "phone", None),
        ("e2", "phone", "ada"),
        ("e3", "laptop", None),
        ("e4", "laptop", "ada"),
    )
    assert project.ask("/v1/users/ada")["first_touch"]["event_id"] == "e1"
    forget(project, anonymous_id="phone")
    assert sorted(ids(project.stored())) == ["e3", "e4"]
    assert persons(project) == 1
    ada = project.ask("/v1/users/ada")
    assert ada["first_touch"]["event_id"] == "e3"
    assert ada["known_since"] == "2026-05-01T10:03:00.000Z"
    assert [device["anonymous_id"] for device in ada["devices"]] == ["laptop"]
    assert project.ask("/v1/users")["rows"][0]["first_touch"]["event_id"] == "e3"


def test_a_user_known_from_one_device_only_goes_with_it(project: Project) -> None:
    send(project, ("e1", "phone", None), ("e2", "phone", "ada"))
    forget(project, anonymous_id="phone")
    assert project.stored() == []
    assert project.ask("/v1/users")["rows"] == []
    assert project.get("/v1/users/ada").status == 404


def test_afterwards_the_same_ids_start_a_new_life(project: Project) -> None:
    send(project, ("e1", "phone", None), ("e2", "phone", "ada"))
    forget(project, user_id="ada")
    assert project.stored() == []
    send(project, ("e1", "phone", None), ("e3", "phone", "ada"))
    assert ids(project.journey("ada")) == ["e1", "e3"], "the id of e1 was forgotten, too"


def test_forgetting_is_idempotent_and_leaves_a_receipt(server: Server, project: Project) -> None:
    send(project, ("e1", "phone", "ada"))
    receipts = [forget(project, user_id="ada")["receipt_id"] for _ in range(2)]
    forget(project, user_id="never seen")
    project.stored()
    db = sqlite3.connect(f"file:{server.folder}/log.db?mode=ro", uri=True)
    rows = db.execute(
        "SELECT receipt_id, events, finished_ms > 0, length(id_hash) FROM receipts"
        " WHERE project_id = ? ORDER BY accepted_ms, receipt_id",
        (project.project_id,),
    ).fetchall()
    db.close()
    assert rows[:2] == [(receipts[0], 1, 1, 16), (receipts[1], 0, 1, 16)]
    assert len(rows) == 3
    text = ok("receipts", "--data", str(server.folder))
    assert re.search(rf"{receipts[0]} .* {project.project_id}  done .*, 1 event", text)
    assert "threadline_forgets_pending 0.0" in project.get("/metrics").body.decode()


def test_nothing_of_the_person_stays_in_the_log_file(server: Server, project: Project) -> None:
    secret = "mia.berger@nowhere.example"
    project.track("x", user_id=secret, properties={"note": secret})
    forget(project, user_id=secret)
    assert project.stored() == []
    for name in ("log.db", "log.db-wal"):
        assert secret.encode() not in (server.folder / name).read_bytes()


def test_one_of_the_two_ids_has_to_be_given(project: Project) -> None:
    for body in ({}, {"user_id": "u", "anonymous_id": "a"}, {"user_id": None}):
        reply = project.post("/v1/forget", body)
        assert (reply.status, reply.error) == (400, "invalid_payload")


WHO = {"user": "victim.q7@nowhere.example", "old": "old-victim-q7", "device": "device-victim-q7"}
SECRETS = (*WHO.values(), "mail-of-victim-q7@nowhere.example", "for-victim-q7", "order-victim-q7")


def test_no_byte_of_the_forgotten_stays_in_any_file(folder: Path) -> None:
    """Whatever they were in: events of all kinds, links, unlinks, aliases, names of campaigns, dead
    letters, what is still on its way. Compressed or not, after a restart as well."""
    with Server(folder) as server:
        project = Project(server)
        leave_traces(project)
        assert project.change(
            "PUT", "/v1/identity/aliases", {"user_id": WHO["old"], "alias_of": WHO["user"]}
        ).json["changed"]
        pair = {"anonymous_id": WHO["device"], "user_id": WHO["old"]}
        assert project.change("DELETE", "/v1/identity/links", pair).json["changed"]
        for pair_of in (
            "'of bob', 'bob'",
            f"'{WHO['device']}', 'bob'",
            f"'kiosk', '{WHO['user']}'",
        ):
            SocketStore(folder).execute(
                "INSERT INTO unlinks (project_id, anonymous_id, user_id, unlinked, decided_at)"
                f" VALUES ('{project.project_id}', {pair_of}, TRUE, now64(6))"
            )
        with closing(open_db(folder)) as db:
            for number, values in enumerate(({"user_id": WHO["old"]}, {"user_id": "bob"})):
                body = row.encode(row_values(project_id=project.project_id, **values))
                letter = RefusedEvent(f"letter {number}", project.project_id, "e", "x", body)
                dead_letters.set_aside(db, letter, "no")
            spoiled = f"who can read {WHO['user']}?".encode()
            dead_letters.set_aside(db, RefusedEvent("spoiled", "", "", "1 events", spoiled), "no")
        before = traces(folder, *SECRETS)
        assert {trace.split(" as ")[0] for trace in before} == set(SECRETS), "it finds them"

        leave_traces(project)
        forget(project, user_id=WHO["user"])
        forget(project, anonymous_id=WHO["device"])
        until_erased(project)
        assert ids(project.stored()) == ["bob's"]
        assert traces(folder, *SECRETS) == []
        with closing(open_db(folder)) as db:
            assert [letter.letter_id for letter in dead_letters.listed(db)] == ["letter 1"]
        left = SocketStore(folder).query("SELECT anonymous_id, user_id FROM unlinks", {})
        assert left == [{"anonymous_id": "of bob", "user_id": "bob"}]
        assert server.stop() == 0
        assert not [line for line in server.lines if any(secret in line for secret in SECRETS)]
    assert traces(folder, *SECRETS) == []
    with Server(folder) as server:
        assert ids(project.again(server).stored()) == ["bob's"]
        assert server.stop() == 0
    assert traces(folder, *SECRETS) == []


def leave_traces(project: Project) -> None:
    url = f"https://shop.example/{WHO['user']}?utm_source=mail&utm_campaign=for-victim-q7"
    for number, who in enumerate((WHO["user"], WHO["old"])):
        identify = {"anonymous_id": WHO["device"], "user_id": who}
        traits = {"email": "mail-of-victim-q7@nowhere.example"}
        assert project.post("/v1/identify", {**identify, "traits": traits}).status == 200
        project.track("x", **identify, event_id=f"order-victim-q7-{number}", url=url, referrer=url)
    project.track("x", anonymous_id=WHO["device"], session_id="session-victim-q7")
    project.track("x", user_id=WHO["user"], anonymous_id="kiosk")
    project.track("x", user_id="bob", anonymous_id="kiosk", event_id="bob's")
    assert project.stored()


def test_all_ids_of_the_person_go(server: Server, project: Project) -> None:
    """As the answers show them: who is an alias of whom, both ways and over several steps. Whose
    alias was taken back is somebody else."""
    send(
        project,
        ("e1", "d1", None),
        ("e2", "d1", "old"),
        ("e3", "d2", "older"),
        ("e4", "d3", "now"),
        ("e5", "d4", "beside"),
        ("e6", "d5", "former"),
        ("e7", "kiosk", "old"),
        ("e8", "kiosk", "bob"),
        ("e9", "kiosk", None),
    )
    for user_id, alias_of in (
        ("older", "old"),
        ("old", "now"),
        ("beside", "now"),
        ("former", "now"),
    ):
        body = {"user_id": user_id, "alias_of": alias_of}
        assert project.change("PUT", "/v1/identity/aliases", body).json["changed"]
    taken_back = project.change("DELETE", "/v1/identity/aliases", {"user_id": "former"})
    assert taken_back.json["changed"]
    receipt = forget(project, user_id="old")["receipt_id"]
    assert sorted(ids(project.stored())) == ["e6", "e8", "e9"]
    assert {row["user_id"] for row in project.ask("/v1/users")["rows"]} == {"former", "bob"}
    assert events_of([receipt], server) == [6]
    again = project.change("PUT", "/v1/identity/aliases", {"user_id": "older", "alias_of": "now"})
    assert again.json["changed"], "a new life"


def test_the_others_on_a_device_stay_however_often_somebody_goes(project: Project) -> None:
    """What is left is the same rows each time, which the store must not take for repeats."""
    send(
        project,
        *(
            (f"{who}{number}", "kiosk", who)
            for who in ("bob", "ada", "cy", "di")
            for number in "12"
        ),
        ("e1", "kiosk", None),
    )
    for left, gone in ((3, "ada"), (2, "cy"), (1, "di")):
        forget(project, user_id=gone)
        assert persons(project) == left
        assert len(project.ask("/v1/users")["rows"]) == left
    assert sorted(ids(project.stored())) == ["bob1", "bob2", "e1"]
    assert [row["event_id"] for row in project.journey("bob")] == ["bob1", "bob2", "e1"]
    for device in ("first", "second"):
        send(project, (f"{device} 1", device, "bob"))
        forget(project, anonymous_id=device)
        assert sorted(ids(project.stored())) == ["bob1", "bob2", "e1"]
        assert project.ask("/v1/users")["rows"][0]["first_touch"]["event_id"] == "bob1"


def test_what_is_forgotten_is_what_came_before(server: Server, project: Project) -> None:
    """Requests and events in turns, none waited for: whatever is carried out together, each event
    counts to the life it came in."""
    requests: list[str] = []
    rounds = wide(6, 9)
    for number in range(rounds):
        who = f"u{number % 3}"
        project.track("x", event_id=f"{number} a", anonymous_id=f"d{number % 3}")
        project.track("x", event_id=f"{number} b", anonymous_id=f"d{number % 3}", user_id=who)
        requests.append(forget(project, user_id=who)["receipt_id"])
        project.track("x", event_id=f"{number} c", anonymous_id=f"d{number % 3}", user_id=who)
    assert sorted(ids(project.stored())) == [f"{n} c" for n in range(rounds - 3, rounds)]
    assert events_of(requests, server) == [2] * 3 + [3] * (rounds - 3)
    assert sorted(row["user_id"] for row in project.ask("/v1/users")["rows"]) == ["u0", "u1", "u2"]
    for number in range(3):
        assert ids(project.journey(f"u{number}")) == [f"{rounds - 3 + number} c"]


def events_of(requests: list[str], server: Server) -> list[int | None]:
    """How many events each took, as the receipts say."""
    with closing(open_db(server.folder)) as db:
        counted = {receipt.receipt_id: receipt.events for receipt in receipts.listed(db)}
    return [counted[receipt_id] for receipt_id in requests]


def test_every_table_that_tells_of_people_is_deleted_from(server: Server) -> None:
    """One that is added later has to be thought of."""
    telling = SocketStore(server.folder).query(
        "SELECT DISTINCT table FROM system.columns WHERE database = currentDatabase()"
        " AND match(name, 'user|visitor|anonymous|canonical|alias|event_id|campaign')"
        " AND table NOT LIKE '%\\\\_mv'",
        {},
    )
    assert {row["table"] for row in telling} <= {*erase.TABLES}
