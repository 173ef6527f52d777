"""Whole projects out and in again, and imports that are taken back."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.backup.test_backup import answers, same, told
from tests.cli.test_commands import CLEAN, fails, ok, run
from tests.cli.test_import_export import stored_in
from tests.support import Json, Project, Server
from threadline.runtime.socket_store import SocketStore

STORED = "events unlinks account_unlinks alias_decisions aliases".split()


def history(first: int, many: int) -> list[Json]:
    """Events of a year; some devices become known, some have several users."""
    return [
        {
            "event": "signup" if number % 7 == 0 else "$pageview",
            "event_id": f"h{number}",
            "timestamp": f"2025-{1 + number % 12:02}-{1 + number % 28:02}T10:{number % 60:02}:00Z",
            "anonymous_id": f"d{number % 31}",
            "user_id": f"u{number % 13}" if number % 7 == 0 else None,
            "url": f"https://shop.example/?utm_source=s{number % 3}",
        }
        for number in range(first, first + many)
    ]


def write(path: Path, events: list[Json]) -> Path:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def test_a_project_answers_everything_as_before_where_it_comes_to(
    folder: Path, tmp_path: Path
) -> None:
    out, rates = tmp_path / "shop.zip", tmp_path / "rates.csv"
    with Server(folder) as server:
        project = told(server)
        project.track("$pageview", user_agent="Googlebot/2.1", anonymous_id="bot")
        project.track(
            "$pageview", anonymous_id="e", url="https://a.example/?utm_term=t&utm_content=c"
        )
        project.track("signup", anonymous_id="undefined", user_id="user_44")
        rates.write_text("Date,USD\n2026-05-04,1.2\n")
        where = ("--data", str(folder))
        ok("rates", "import", str(rates), *where)
        ok("segment", "set", "known", "known==true", *where)
        ok("annotation", "set", "2026-05-01", "opened", *where)
        before, events = answers(project), raw(folder)
        ok("export", "-o", str(out), "--all", "--keys", *where)
        assert "ends in .zip" in fails("export", "--keys", *where)
        assert "leave out --event" in fails("export", "-o", str(out), "--event", "x", *where)
        assert server.stop() == 0

    # In another folder, without a server.
    other = tmp_path / "other"
    said = ok("import", str(out), "--dry-run", "--data", str(other))
    assert f"({project.project_id}): 12 events" in said
    assert not (other / "control.db").exists()
    done = run("import", str(out), "--data", str(other))
    assert done.returncode == 0, done.stderr
    assert "12 events came in, 0 were there" in done.stderr
    assert "keys work here as they did there" in done.stderr
    with Server(other) as server:
        assert raw(other) == events
        there = project.again(server)
        same(answers(there), before)
        # The same again, into the running server, changes nothing.
        done = run("import", str(out), "--data", str(other))
        assert "0 events came in, 12 were there" in done.stderr
        assert raw(other) == events
        same(answers(there), before)
        assert server.stop() == 0


def raw(folder: Path) -> bytes:
    """Every stored column of every event, and what was decided."""
    store = SocketStore(folder)
    return b"".join(
        store.query_bytes(f"SELECT * FROM {table} ORDER BY ALL", {}) for table in STORED
    )


def test_order_and_repetition_of_imports_do_not_matter_and_each_can_be_undone(
    folder: Path, tmp_path: Path
) -> None:
    events = history(0, 700)
    random.Random(25).shuffle(events)
    old, new = events[:400], events[300:]  # a hundred are in both
    files = [write(tmp_path / "old.ndjson", old), write(tmp_path / "new.ndjson", new)]
    with Server(folder) as server:
        first, second = Project(server), Project(server)

        def imported(project: Project, path: Path) -> Json:
            where = ("--data", str(folder), "--project", project.project_id)
            (notes,) = json.loads(ok("import", str(path), *where, "--json"))
            of: Json = notes
            return of

        def asked(project: Project) -> list[Any]:
            return [
                project.stored(),
                project.ask("/v1/stats", metric="persons", group_by="source"),
                project.ask("/v1/sources"),
                project.ask("/v1/users"),
                project.ask("/v1/identity/stats"),
            ]

        for path in files:
            imported(first, path)
        told = asked(first)
        for path in reversed(files):
            brought = imported(second, path)
        assert (brought["accepted"], brought["known"]) == (300, 100)
        # The same lines under another name, and long after any window for duplicates.
        forget_ids(folder)
        again = write(tmp_path / "again.ndjson", old)
        assert (imported(second, again)["accepted"], imported(first, again)["known"]) == (0, 400)
        assert asked(second) == told

        # Taken back: exactly what this import brought.
        assert len(json.loads(ok("import", "list", "--data", str(folder), "--json"))) == 6
        assert "import list" in fails("import", "undo", "imp-0", "--data", str(folder))
        said = ok("import", "undo", brought["import_id"], "--data", str(folder))
        assert "300 events" in said
        assert {row["event_id"] for row in second.stored()} == {each["event_id"] for each in new}
        assert asked(first) == told
        ok("doctor", "--verify-identity", "--data", str(folder))
        # And in again: nobody takes them for duplicates.
        assert imported(second, files[0])["accepted"] == 300
        assert asked(second) == told
        assert server.stop() == 0


def forget_ids(folder: Path) -> None:
    SocketStore(folder).execute("TRUNCATE TABLE event_ids")


def test_what_is_not_known_of_other_tools_is_named(folder: Path, tmp_path: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    path = tmp_path / "posthog.ndjson"
    line = {"uuid": "1", "event": "x", "distinct_id": "d", "timestamp": "2026-05-01T10:00:00Z"}
    late = {"event": "y", "distinct_id": "d", "timestamp": "2026-05-01T10:00:00Z", "later": 1}
    write(path, [*({**line, "uuid": str(n)} for n in range(600)), late])
    where = ("--data", str(folder))
    mapped = ("--map", "distinct_id=anonymous_id", "--map", "uuid=event_id")
    said = fails("import", str(path), "--map", "distinct_id=anonymous_id", *where)
    assert "not known here: uuid." in said
    assert (
        "an export of PostHog" in run("import", str(path), "--dry-run", "--no-ids", *where).stdout
    )
    # Also of a file whose columns have all been given names.
    tried = ok("import", str(path), "--dry-run", *mapped, "--json", *where)
    assert [each["tool"] for each in json.loads(tried)] == ["PostHog"]
    done = run("import", str(path), *mapped, *where)
    assert done.returncode == 1
    assert "600 events accepted" in done.stderr
    (rejected,) = map(json.loads, (tmp_path / "posthog.ndjson.rejected").read_text().splitlines())
    assert rejected["reason"] == (
        "it has fields that are not known here: later; --ignore later leaves them out"
    )


def test_a_history_whose_times_and_ids_lie_deeper_is_not_stored_as_of_now(
    folder: Path, tmp_path: Path
) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    where = ("--data", str(folder))
    said = {"time": 1777640000, "distinct_id": "d7", "$insert_id": "m1", "plan": "pro"}
    path = write(tmp_path / "mixpanel.ndjson", [{"event": "signup", "properties": said}])
    for more in ((), ("--now",), ("--no-ids",), ("--dry-run",)):
        refused = fails("import", str(path), *more, *where)
        assert "in its properties, as time, distinct_id." in refused
        assert "an export of Mixpanel" in refused
    meant = run("import", str(path), "--now", "--no-ids", *where)
    assert "1 event accepted" in meant.stderr
    # An event of a server's own, which has a time among what it says.
    path = write(tmp_path / "own.ndjson", [{"event": "run", "properties": {"time": 3}}])
    ok("import", str(path), *where)


def test_an_undo_says_what_it_does_not_find_and_that_it_was_done(
    folder: Path, tmp_path: Path
) -> None:
    where = ("--data", str(folder))
    ok("project", "create", "shop", *where)
    path = write(tmp_path / "old.ndjson", history(0, 100))
    (notes,) = json.loads(ok("import", str(path), *where, "--json"))
    id_ = notes["import_id"]
    theirs = {each["anonymous_id"] for each in history(0, 100) if each["user_id"] == "u0"}
    before = events_of(folder)
    ok("forget", "u0", "--anonymise", *where)
    after = events_of(folder)
    changed = before - after
    assert len(changed) == len(after - before) >= len(theirs) > 0
    said = ok("import", "undo", id_, *where)
    assert f"{100 - len(changed)} events of" in said
    assert f"\n{len(changed)} others that it brought were not found" in said
    assert "made anonymous stay" in said
    assert "the same event_id" in said
    assert events_of(folder) == after - before
    assert f"{id_} was undone already, at 2" in fails("import", "undo", id_, *where)
    assert "There is no import imp-0" in fails("import", "undo", "imp-0", *where)

    # In again, and out: all of it is found.
    (notes,) = json.loads(ok("import", str(path), *where, "--json"))
    said = ok("import", "undo", notes["import_id"], *where)
    assert "100 events of" in said
    assert "not found" not in said
    assert events_of(folder) == after - before


def test_an_undo_that_is_done_in_two_goes_says_what_went(folder: Path, tmp_path: Path) -> None:
    where = ("--data", str(folder))
    ok("project", "create", "shop", *where)
    path = write(tmp_path / "old.ndjson", history(0, 20))
    (notes,) = json.loads(ok("import", str(path), *where, "--json"))
    ended = subprocess.run(
        [sys.executable, "-c", STOPPED, "import", "undo", notes["import_id"], *where],
        env=CLEAN,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended.returncode != 0
    assert "Run the same command again to finish" in ended.stderr
    assert events_of(folder) == set()
    assert "20 events of" in (said := ok("import", "undo", notes["import_id"], *where))
    assert "not found" not in said


# Ctrl-C when the events are gone, and what follows from them is not made anew yet.
STOPPED = """
from threadline.cli import main, undoing
def stopped(*given):
    raise KeyboardInterrupt
undoing.rebuild_states = stopped
main.main()
"""


def test_an_undo_takes_what_was_sent_once_more(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "old.ndjson", history(0, 20))
    with Server(folder) as server:
        project = Project(server)
        where = ("--data", str(folder), "--project", project.project_id)
        (notes,) = json.loads(ok("import", str(path), *where, "--json"))
        forget_ids(folder)
        project.track("signup", event_id="h7", anonymous_id="d7", user_id="u7")
        project.stored()
        said = ok("import", "undo", notes["import_id"], "--data", str(folder))
        assert "under the same event_id, is gone, too" in said
        assert project.stored() == []
        assert server.stop() == 0


def events_of(folder: Path) -> set[str]:
    """Their ids, without a server."""
    return {str(row["event_id"]) for row in stored_in(folder)}
