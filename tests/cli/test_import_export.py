"""Files of events in and out again: packed, broken, interrupted."""

import csv
import gzip
import json
import signal
import subprocess
from pathlib import Path

import pytest
import zstandard

from tests.cli.test_commands import COMMAND, fails, ok, run
from tests.support import Json, Project, Server

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


def write_ndjson(path: Path, events: list[Json]) -> Path:
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode()
    packed = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}.get(path.suffix)
    path.write_bytes(packed(text) if packed else text)
    return path


def write_csv(path: Path, events: list[Json]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [*events[0], "note"])
        table.writeheader()
        for event in events:
            cells = {**event, "user_id": event["user_id"] or "", "note": "ignored"}
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
    assert "Expected an ISO 8601 time" in fails("export", *where, "--from", "yesterday")


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
    assert reasons[1].startswith("event: Expected `str` of length >= 1".replace("`", ""))
    assert "at most 24 hours ahead" in reasons[2]
    assert "not UTF-8" in reasons[3]
    assert reasons[4] == "properties: Expected an object, as JSON"
    assert reasons[5] == "the line is over 1 MiB"
    assert len(exported(folder)) == 3


def test_a_table_with_bad_rows(folder: Path, tmp_path: Path) -> None:
    project_in(folder)
    path = tmp_path / "a.csv"
    path.write_bytes(b'event,timestamp\nx,\n"two\nlines",\n,\nx,never\n\xff,\n')
    done = run("import", str(path), "--data", str(folder), "--json")
    (notes,) = json.loads(done.stdout)
    assert (notes["accepted"], notes["rejected"]) == (2, 3)
    text = (tmp_path / "a.csv.rejected").read_text()
    assert [json.loads(line)["line"] for line in text.splitlines()] == [5, 6, 7]
    assert {row["event"] for row in exported(folder)} == {"x", "two\nlines"}


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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_goes_on_and_counts_nothing_twice(
    folder: Path, tmp_path: Path, how: signal.Signals
) -> None:
    project_id = project_in(folder)
    count = 150_000
    path = tmp_path / "many.ndjson"
    with path.open("w") as file:
        for number in range(count):
            file.write(f'{{"event": "x", "anonymous_id": "d{number % 99}"}}\n')
    command = [*COMMAND, "import", str(path), "--data", str(folder)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
    )
    notes = folder / "imports"
    while not (notes.exists() and any(notes.glob(f"*{project_id}.json"))):
        assert process.poll() is None
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "The same command goes on" in said
    done = run("import", str(path), "--data", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert "going on after line" in done.stderr
    assert json.loads(done.stdout)[0]["accepted"] == count
    assert len(exported(folder)) == count
