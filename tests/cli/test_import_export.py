"""Files of events in and out again: packed, broken, interrupted."""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest
import zstandard

from tests import forked
from tests.cli.test_commands import fails, ok, run
from tests.support import Json, Project, Server
from tests.width import wide
from threadline.ingest.lines import former_fingerprint
from threadline.store import Row, Store, store_url

EVENTS: list[Json] = [
    {
        "event": "signup" if number % 10 == 9 else "$pageview",
        "event_id": f"e{number:03}",
        "timestamp": f"2026-05-01T10:{number // 60:02}:{number % 60:02}.000Z",
        "anonymous_id": f"d{number // 10}",
        "user_id": f"u{number // 10}" if number % 10 == 9 else None,
        "url": 'https://shop.example/?q="a",b&utm_source=mail',
        "properties": {"plan": "pro", "text": "ü\n,;"},
    }
    for number in range(100)
]


def project_in(folder: Path) -> str:
    made: Json = json.loads(ok("project", "create", "shop", "--data", str(folder), "--json"))
    return str(made["project_id"])


def exported(folder: Path, *options: str) -> list[Json]:
    text = ok("export", "--data", str(folder), *options)
    return sorted(map(json.loads, text.splitlines()), key=lambda row: str(row["event_id"]))


def stored_in(folder: Path) -> list[Row]:
    """What came in: asked of the store itself, for which a command takes four times as long."""
    columns = "event_id, event_name, anonymous_id, user_id"
    with Store(store_url("chdb", folder)) as store:
        return store.query(f"SELECT {columns} FROM events ORDER BY event_id", {})


def write_ndjson(path: Path, events: list[Json]) -> Path:
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode()
    packed = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}.get(path.suffix)
    path.write_bytes(packed(text) if packed else text)
    return path


def write_csv(path: Path, events: list[Json]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [*events[0]])
        table.writeheader()
        for event in events:
            cells = {**event, "user_id": event["user_id"] or ""}
            table.writerow({**cells, "properties": json.dumps(event["properties"])})
    return path


def same_events(rows: list[Json]) -> None:
    assert [row["event_id"] for row in rows] == [event["event_id"] for event in EVENTS]
    for row, event in zip(rows, EVENTS, strict=True):
        assert {name: row[name] for name in event if name != "properties"} == {
            name: value for name, value in event.items() if name != "properties"
        }
        assert json.loads(row["properties"]) == event["properties"]
        assert row["source"] == "mail"


@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonl.gz", "a.ndjson.zst", "a.csv"])
def test_in_and_out_again(folder: Path, tmp_path: Path, name: str) -> None:
    project_in(folder)
    write = write_csv if name.endswith(".csv") else write_ndjson
    path = write(tmp_path / name, EVENTS)
    done = run("import", str(path), "--data", str(folder))
    assert done.returncode == 0, done.stderr
    assert "100 events accepted" in done.stderr
    same_events(exported(folder))
    if path.suffix in (".gz", ".zst"):
        return
    assert "nothing to do" in run("import", str(path), "--data", str(folder)).stderr

    # Out as a file, into another folder, out again.
    again, out = folder / "again", str(tmp_path / f"out{path.suffix}")
    project_in(again)
    ok("export", "--data", str(folder), "--out", out)
    ok("import", out, "--data", str(again))
    same_events(exported(again))


def test_over_a_running_server(server: Server, project: Project, tmp_path: Path) -> None:
    path = write_ndjson(tmp_path / "a.ndjson", EVENTS)
    where = ("--data", str(server.folder), "--project", project.project_id)
    ok("import", str(path), *where)
    text = ok("export", *where, "--event", "signup", "--from", "2026-05-01T10:01:00Z")
    assert len(text.splitlines()) == 4
    reply = project.get("/v1/export", format="parquet")
    assert reply.headers["Content-Type"] == "application/vnd.apache.parquet"
    assert reply.body[:4] == reply.body[-4:] == b"PAR1"
    assert project.get("/v1/export", format="xml").error == "invalid_params"
    assert project.get("/v1/export", key="pk").error == "insufficient_scope"
    assert not list(server.folder.glob("export-*")), "no file stays behind"
    assert "write ISO 8601" in fails("export", *where, "--from", "yesterdays")


def test_bad_lines_go_beside_the_file_with_the_reason(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path = tmp_path / "a.ndjson"
    good = [json.dumps({**event, "event_id": None}).encode() for event in EVENTS[:3]]
    bad = [
        b"not json",
        b'{"event": ""}',
        b'{"event": "x", "timestamp": "2999-01-01T00:00:00Z", "properties": [1]}',
        b'{"event": "\xff"}',
        b'{"event": "x", "properties": "no json"}',
        b'{"event": "' + b"x" * (1 << 20) + b'"}',
        b'{"event": "x"}], "x": [{}',
    ]
    path.write_bytes(b"\n".join([good[0], *bad, b"", good[1], good[2]]))
    done = run("import", str(path), "--data", str(folder), "--json")
    assert done.returncode == 1
    (notes,) = json.loads(done.stdout)
    assert (notes["accepted"], notes["rejected"], notes["lines"]) == (3, 7, 11)
    rejected = [
        json.loads(line) for line in (tmp_path / "a.ndjson.rejected").read_text().splitlines()
    ]
    assert [row["line"] for row in rejected] == list(range(2, 9))
    reasons = [row["reason"] for row in rejected]
    assert "not JSON" in reasons[0]
    assert reasons[1].startswith("event: Expected text of length >= 1")
    assert "at most 24 hours ahead" in reasons[2]
    assert "not UTF-8" in reasons[3]
    assert reasons[4] == "properties: Expected an object, as JSON"
    assert reasons[5] == "the line is over 1 MiB"
    assert len(stored_in(folder)) == 3


def test_a_table_with_bad_rows(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path = tmp_path / "a.csv"
    path.write_bytes(b'event,timestamp\nx,\n"two\nlines",\n,\nx,never\n\xff,\n')
    done = run("import", str(path), "--data", str(folder), "--json")
    (notes,) = json.loads(done.stdout)
    assert (notes["accepted"], notes["rejected"]) == (2, 3)
    text = (tmp_path / "a.csv.rejected").read_text()
    assert [json.loads(line)["line"] for line in text.splitlines()] == [5, 6, 7]
    assert {row["event_name"] for row in stored_in(folder)} == {"x", "two\nlines"}


def test_what_is_no_file_of_events_is_one_line(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    where = ("--data", str(folder))
    assert "No such file" in fails("import", str(tmp_path / "none.csv"), *where)
    (tmp_path / "a.txt").write_text("")
    assert "Give --format" in fails("import", str(tmp_path / "a.txt"), *where)
    (tmp_path / "a.csv").write_text("name\nx\n")
    assert "has to name the columns" in run("import", str(tmp_path / "a.csv"), *where).stderr
    whole = gzip.compress(b'{"event": "x"}\n' * 100)
    (tmp_path / "a.ndjson.gz").write_bytes(whole[:-10])
    assert "cut short or damaged" in run("import", str(tmp_path / "a.ndjson.gz"), *where).stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_it_goes_on_and_counts_nothing_twice(
    folder: Path, tmp_path: Path, how: signal.Signals
) -> None:
    project_in(folder)
    count = wide(12_000, 24_000)
    path = tmp_path / "many.ndjson"
    with path.open("w") as file:
        for number in range(count):
            file.write(f'{{"event": "x", "anonymous_id": "d{number % 99}"}}\n')
    process = forked.start("import", str(path), "--data", str(folder), stderr=PIPE)
    notes = folder / "imports"
    while not any(json.loads(path.read_text())["lines"] for path in notes.glob("*.json")):
        assert process.poll() is None
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how
        assert "stopped after line" in said
        assert "The same command continues" in said
    done = run("import", str(path), "--data", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert "going on after line" in done.stderr
    assert json.loads(done.stdout)[0]["accepted"] == count
    assert len(stored_in(folder)) == count


def imported(folder: Path, path: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return run("import", str(path), "--data", str(folder), *options)


def test_what_is_not_known_is_named_before_anything_goes_in(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path = tmp_path / "a.csv"
    path.write_text("event,distinct_id,timestamp,colour\n$pageview,d1,2026-05-01T10:00:00Z,red\n")
    done = imported(folder, path)
    assert done.returncode == 1
    assert "has no ids: nothing in it is called anonymous_id or user_id." in done.stderr
    assert "Perhaps --map distinct_id=anonymous_id?" in done.stderr
    assert "Unknown here: distinct_id, colour." in done.stderr
    assert stored_in(folder) == []
    mapped = ("--map", "distinct_id=anonymous_id")
    done = imported(folder, path, *mapped)
    assert done.returncode == 1
    assert "not known here: colour. Say what each is, such as --ignore colour" in done.stderr
    assert stored_in(folder) == []
    done = imported(folder, path, *mapped, "--ignore", "colour")
    assert done.returncode == 0, done.stderr
    assert "ignored, as you said: colour" in done.stderr
    assert [row["anonymous_id"] for row in stored_in(folder)] == ["d1"]
    assert "write THEIRS=OURS" in imported(folder, path, "--map", "distinct_id=person").stderr


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("a.csv", "event,anonymous_id\nx,d\n", ""),
        ("a.csv", "event,anonymous_id,time\nx,d,1714557600\n", "Perhaps --map time=timestamp?"),
        ("a.ndjson", '{"event":"x","user_id":"u","time":1}\n', "Perhaps --map time=timestamp?"),
    ],
)
def test_a_history_is_not_stored_as_of_now_unasked(
    folder: Path, tmp_path: Path, name: str, text: str, hint: str
) -> None:
    project_in(folder)
    path = tmp_path / name
    path.write_text(text)
    said = fails("import", str(path), "--data", str(folder))
    assert "has no times: nothing in it is called timestamp." in said
    assert "With --now" in said
    assert hint in said
    done = imported(folder, path, "--now", "--ignore", "time")
    assert done.returncode == 0
    assert "1 of them have no time and are stored as of now" in done.stderr
    assert len(stored_in(folder)) == 1


def test_ids_may_be_missing_when_that_is_meant(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path = tmp_path / "a.csv"
    path.write_text("event,timestamp,note\nx,2026-05-01,y\n")
    assert "With --no-ids" in fails("import", str(path), "--data", str(folder))
    done = imported(folder, path, "--no-ids", "--ignore", "note")
    assert "each event is a visitor of its own" in done.stderr
    assert done.returncode == 0


def test_a_trial_run_imports_nothing(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("event,timestamp,user_id,plan\nx,2026-05-01,u,p\ny,never,u,p\nz,2026-05-01\n")
    project_in(folder)
    before = ok("sql", "SELECT count() FROM events", "--data", str(folder))
    done = imported(folder, path, "--dry-run")
    assert done.returncode == 1
    assert "It would be refused: a.csv has columns that are not known here: plan." in done.stdout
    done = imported(folder, path, "--dry-run", "--ignore", "plan")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"{path}: csv with event, timestamp, user_id"
    assert dict(re.split(r"  +", line) for line in lines[3:-3]) == {
        "events accepted": "1",
        "lines rejected": "2",
        "first event": "2026-05-01T00:00:00.000Z",
        "last event": "2026-05-01T00:00:00.000Z",
        "with a user": "1 (100%)",
        "with an address": "0 (0%)",
        "without a time, stored as of now": "0 (0%)",
        "columns not known": "none",
        "columns ignored, or made anew": "plan",
        "looks like an export of": "–",
    }
    assert lines[-3:] == [
        "    line 3: timestamp: Expected an ISO 8601 time such as 2026-05-01T14:00:00.000Z",
        "    line 4: the row has 2 cells, the header 4 columns",
        "Nothing was imported.",
    ]
    (row,) = json.loads(imported(folder, path, "--dry-run", "--json").stdout)
    assert (row["accepted"], row["rejected"], row["unknown"]) == (1, 2, ["plan"])
    assert ok("sql", "SELECT count() FROM events", "--data", str(folder)) == before
    assert not list(tmp_path.glob("*.rejected"))


def test_empty_repeated_and_several(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path, empty = write_ndjson(tmp_path / "a.ndjson", EVENTS[:2]), tmp_path / "b.csv"
    empty.write_text("")
    done = imported(folder, path, str(empty))
    assert done.returncode == 0
    assert f"{empty} is empty" in done.stderr
    assert "2 events accepted" in done.stderr
    again = imported(folder, path)
    assert again.stderr.count("\n") == 2, "that, and which folder"
    assert f"{path} was imported before; nothing to do." in again.stderr
    ok("project", "create", "other", "--data", str(folder))
    assert "choose with --project: other, shop" in fails("import", str(path), "--data", str(folder))


def test_a_file_that_was_mended_in_its_middle_is_another(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path = tmp_path / "a.csv"
    rows = [f"x,d{number:04},2026-05-01T10:00:00Z" for number in range(6000)]
    head = "event,anonymous_id,timestamp"
    path.write_text("\n".join([head, *rows, ""]))
    assert imported(folder, path, "--dry-run").returncode == 0
    assert "6,000 events accepted" in imported(folder, path).stderr
    rows[3000] = rows[3000].replace("x,d", "y,d")
    path.write_text("\n".join([head, *rows, ""]))
    assert "6,000 events accepted" in imported(folder, path).stderr


def test_what_an_older_version_imported_is_known(folder: Path, tmp_path: Path) -> None:
    project_id = project_in(folder)
    path = write_ndjson(tmp_path / "a.ndjson", EVENTS[:2])
    assert imported(folder, path).returncode == 0
    (notes,) = (folder / "imports").glob("*.json")
    notes.rename(notes.with_name(f"{former_fingerprint(path)}-{project_id}.json"))
    assert "was imported before; nothing to do." in imported(folder, path).stderr


def test_what_is_said_of_columns_is_done_or_refused(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path = tmp_path / "a.csv"
    path.write_text(
        "event,timestamp,anonymous_id,user_id,url\n"
        "x,2026-05-01T10:00:00Z,d1,u1,https://shop.example/\n"
    )
    assert imported(folder, path, "--ignore", "user_id", "--ignore", "url").returncode == 0
    (row,) = exported(folder)
    assert (row["user_id"], row["url"], row["anonymous_id"]) == (None, "", "d1")
    again = imported(folder, path)
    assert again.returncode == 1
    assert "was imported with --ignore url --ignore user_id before." in again.stderr
    assert "threadline import undo imp-" in again.stderr
    both = ("--map", "a=user_id", "--map", "b=user_id")
    assert "user_id is a already; map one of them" in imported(folder, path, *both).stderr
    packed = tmp_path / "all.zip"
    ok("export", "--all", "--out", str(packed), "--data", str(folder))
    assert "are for NDJSON and CSV" in imported(folder, packed, "--ignore", "url").stderr


@pytest.mark.parametrize(("written", "is_bot"), [("TRUE", True), ("0", False), ("maybe", None)])
def test_a_bot_stays_one_through_a_spreadsheet(
    folder: Path, tmp_path: Path, written: str, is_bot: bool | None
) -> None:
    project_in(folder)
    path = tmp_path / "a.csv"
    bot = "Googlebot/2.1 (+http://www.google.com/bot.html)"
    seen = [
        {"event": "x", "anonymous_id": "d", "user_agent": bot, "timestamp": "2026-05-01T10:00Z"}
    ]
    ok("import", str(write_ndjson(tmp_path / "a.ndjson", seen)), "--data", str(folder))
    ok("export", "--include-bots", "--out", str(path), "--data", str(folder))
    assert path.read_text().count(",true") == 1
    path.write_text(path.read_text().replace(",true", f",{written}"))
    other = folder.parent / "other"
    ok("project", "create", "shop", "--data", str(other))
    done = imported(other, path)
    assert done.returncode == (is_bot is None)
    found = [row["is_bot"] for row in exported(other, "--include-bots")]
    assert found == ([] if is_bot is None else [is_bot])


def test_a_pipe_does_not_wait_for_ever(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    os.mkfifo(tmp_path / "pipe.ndjson")
    said = fails("import", str(tmp_path / "pipe.ndjson"), "--data", str(folder))
    assert "write it to one first" in said


NASTY = [
    "'" * quotes + begin + "1+1"
    for quotes in range(3)
    for begin in ("", "=", "+", "-", "@", "\t", "\r", "\n=", " =", '"=', ",=", "ü=")
]


def test_any_text_comes_back_from_csv_and_none_is_a_formula(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    events = [
        {
            "event": text,
            "event_id": f"{number}{text}",
            "timestamp": "2026-05-01T10:00:00.000Z",
            "anonymous_id": text,
            "user_id": text,
            "session_id": text,
            "url": f"https://shop.example/?utm_campaign=%3D{number}",
            "referrer": text,
            "properties": {"text": text},
        }
        for number, text in enumerate(NASTY)
    ]
    ok("import", str(write_ndjson(tmp_path / "a.ndjson", events)), "--data", str(folder))
    out, again = tmp_path / "out.csv", folder / "again"
    done = run("export", "--data", str(folder), "-o", str(out))
    assert f"{out}: {len(NASTY)} events, {out.stat().st_size:,} bytes.\n" in done.stderr
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(cell[:1] not in list("=+-@\t\r\n") for row in rows for cell in row.values())
    project_in(again)
    ok("import", str(out), "--data", str(again))
    names = [name for name in events[0] if name != "url"]
    before, after = exported(folder), exported(again)
    assert [[row[name] for name in names] for row in after] == [
        [row[name] for name in names] for row in before
    ]
    assert {row["user_id"] for row in after} == set(NASTY)


def test_quotes_in_the_tables_of_others_stay(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path = tmp_path / "a.csv"
    path.write_text("event,timestamp,user_id\nx,2026-05-01,'=1\n")
    ok("import", str(path), "--data", str(folder))
    assert [row["user_id"] for row in stored_in(folder)] == ["'=1"]


def test_the_list_of_users_has_no_formulas(project: Project) -> None:
    for number, text in enumerate(["=1+1", "+1", "-1+1", "@SUM(1)", "'=x", "plain"]):
        project.track(
            "x",
            user_id=text,
            anonymous_id=f"d{number}",
            url="https://shop.example/?utm_source=a&utm_campaign=%3DSUM(A1)",
        )
    text = project.get("/v1/users", format="csv").body.decode()
    rows = list(csv.DictReader(text.splitlines()))
    assert {row["user_id"] for row in rows} == {
        "'=1+1",
        "'+1",
        "'-1+1",
        "'@SUM(1)",
        "''=x",
        "plain",
    }
    assert {row["first_touch.campaign"] for row in rows} <= {"'=sum(a1)", "'=SUM(A1)"}
    assert {row["devices"] for row in rows} == {"1"}
    assert ",=" not in project.get("/v1/export", format="csv").body.decode()


def test_an_export_says_what_it_left_out(server: Server, project: Project, tmp_path: Path) -> None:
    bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    project.track("signup", anonymous_id="d")
    project.track("signup", anonymous_id="b", user_agent=bot)
    reply = project.get("/v1/export")
    assert reply.headers["Threadline-Events"] == "1"
    assert reply.headers["Threadline-Bots-Left-Out"] == "1"
    both = project.get("/v1/export", include_bots="true")
    assert both.headers["Threadline-Events"] == "2"
    assert both.headers["Threadline-Bots-Left-Out"] == "0"
    assert len(both.body.splitlines()) == 2

    where = ("--data", str(server.folder), "--project", project.project_id)
    out = tmp_path / "out.ndjson"
    done = run("export", *where, "-o", str(out))
    assert "One event of a bot was left out; --include-bots includes it." in done.stderr
    assert len(ok("export", *where, "--include-bots").splitlines()) == 2
    done = run("export", *where, "-o", str(out), "--event", "signupp")
    assert done.returncode == 0
    assert (
        "No event named 'signupp' ever came to this project; did you mean 'signup'?" in done.stderr
    )
    assert f"{out}: 0 events" in done.stderr
    assert "Threadline-Warnings" not in project.get("/v1/export", event="signup").headers


@pytest.mark.parametrize("name", ["x.xlsx", "x.csv.gz", "x.parq"])
def test_an_export_to_a_name_of_no_format_is_refused(folder: Path, name: str) -> None:
    project_in(folder)
    where = ("--data", str(folder))
    said = fails("export", *where, "-o", str(folder / name))
    assert "Names that end in .ndjson, .jsonl, .json, .csv, .parquet" in said
    assert not (folder / name).exists()


def test_formats_of_an_export(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    where = ("--data", str(folder))
    said = fails("export", *where, "--format", "xml")
    assert said == "threadline: --format xml: choose one of ndjson, csv, parquet.\n"
    assert "by its name" in fails("export", *where, "--format", "csv", "-o", "x.parquet")
    ok("export", *where, "-o", "/dev/null")
    assert not Path("/dev/null").is_file()
    kept = tmp_path / "kept.csv"
    kept.write_text("before")
    fails("export", *where, "-o", str(kept), "--from", "yesterdays")
    assert kept.read_text() == "before"
    assert set(tmp_path.iterdir()) == {folder, kept}


@pytest.mark.parametrize("running", [False, True], ids=["no server", "a server"])
def test_what_is_changed_on_the_way_in_is_said(tmp_path: Path, running: bool) -> None:
    folder, path = tmp_path / "data", tmp_path / "a.ndjson"
    url = "https://shop.example/?" + "&".join(f"p{number}=1" for number in range(50))
    path.write_text(
        '{"event":"a","anonymous_id":"d","properties":{"t":"\\ud83d"}}\n'
        + json.dumps({"event": "b", "anonymous_id": "d", "user_id": "null", "url": url})
    )
    project_in(folder)
    command = ["import", str(path), "--data", str(folder)]
    if running:
        with Server(folder):
            done = run(*command)
    else:
        done = run(*command)
    assert done.returncode == 0, done.stderr
    for said in (
        "1 times an id was a placeholder such as undefined, and was left out",
        "1 times an address lost its parameters after the 40th",
        "1 times half a character was stored as U+FFFD",
    ):
        assert said in done.stderr
    assert exported(folder)[0]["user_id"] is None
