"""Files as people have them: marks, encodings, widths, names of other tools."""

import gzip
import json
import os
import re
from concurrent.futures import Future
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from threadline.contract.bodies import Event
from threadline.contract.cells import escaped, escaped_sql, unescaped
from threadline.ingest.columns import columns, map_hint
from threadline.ingest.importing import Import, Warned
from threadline.ingest.lines import EventFile, FileError, Line
from threadline.store import Store

NOW_MS = 1_800_000_000_000
NDJSON = b'{"event":"a","anonymous_id":"x"}\n{"event":"b","anonymous_id":"y"}\n'
CSV = b"event,timestamp,anonymous_id\na,2026-05-01T10:00:00Z,x\n"


def read(folder: Path, name: str, content: bytes, **renamed: str) -> list[Line]:
    path = folder / name
    path.write_bytes(content)
    with EventFile(path, renamed=renamed) as file:
        return list(file.lines(NOW_MS))


def events(lines: list[Line]) -> list[tuple[str, str | None, str | None]]:
    found = [line.event for line in lines if line.event]
    return [(event.event, event.timestamp, event.anonymous_id) for event in found]


@pytest.mark.parametrize(
    "content",
    [
        NDJSON,
        b"\xef\xbb\xbf" + NDJSON,
        NDJSON.replace(b"\n", b"\r\n"),
        b"\n\n" + NDJSON.rstrip(),
    ],
)
def test_ndjson_with_and_without_marks(tmp_path: Path, content: bytes) -> None:
    assert events(read(tmp_path, "a.ndjson", content)) == [("a", None, "x"), ("b", None, "y")]
    packed = gzip.compress(content)
    assert len(events(read(tmp_path, "a.ndjson.gz", packed))) == 2


@pytest.mark.parametrize(
    "content",
    [
        CSV,
        b"\xef\xbb\xbf" + CSV,
        CSV.replace(b",", b", "),
        b'"event", "timestamp","anonymous_id"\n"a", "2026-05-01T10:00:00Z", "x"\n',
        CSV.replace(b"event,timestamp", b" event ,timestamp\t "),
        CSV.replace(b"Z,x", b"Z  ,x"),
        CSV.replace(b"\n", b"\r\n"),
        CSV.replace(b"\n", b"\r"),
    ],
)
def test_csv_with_marks_and_spaces(tmp_path: Path, content: bytes) -> None:
    assert events(read(tmp_path, "a.csv", content)) == [("a", "2026-05-01T10:00:00Z", "x")]


def test_spaces_inside_quotes_and_at_the_end_belong_to_an_id(tmp_path: Path) -> None:
    rows = b'event,timestamp,anonymous_id\na,2026-05-01, " x "\nb,2026-05-01,y \n'
    assert [found[2] for found in events(read(tmp_path, "a.csv", rows))] == [" x ", "y "]


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (b"signup,https://s.example/?x=1,2,dev_1,user_1", 5),
        (b"signup,https://s.example/,dev_1", 3),
        (b"signup", 1),
        (b"signup,,,,", 5),
    ],
)
def test_a_row_of_another_width_is_rejected(tmp_path: Path, row: bytes, cells: int) -> None:
    header = b"event,url,anonymous_id,user_id\n"
    good = b'ok,"https://s.example/?x=1,2",d,u\n'
    bad, line = read(tmp_path, "a.csv", header + row + b"\n" + good)
    assert bad.reason == f"the row has {cells} cells, the header 4 columns"
    assert bad.row == row + b"\n"
    assert line.event
    assert (line.event.anonymous_id, line.event.user_id) == ("d", "u")


def test_quotes_that_are_not_csv_lose_no_row_in_silence(tmp_path: Path) -> None:
    header = b"event,anonymous_id\n"
    never_closed = read(tmp_path, "a.csv", header + b'a,"x\nb,y\nc,z\n')
    assert [line.reason for line in never_closed] == ["it is not CSV: unexpected end of data"]
    assert never_closed[0].row == b'a,"x\nb,y\nc,z\n'
    after = read(tmp_path, "b.csv", header + b'"a"a,x\nb,y\n')
    assert [bool(line.event) for line in after] == [False, True]


@pytest.mark.parametrize("row", [b"signup,L\xfcller", b"sign\xff\xfe\x00up,x", b"a,\xf0\x9f\x98"])
@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_rejected_lines_keep_their_bytes(tmp_path: Path, row: bytes, format: str) -> None:
    path = tmp_path / f"a.{format}"
    if format == "csv":
        path.write_bytes(b"event,anonymous_id\n" + row + b"\n")
    else:
        row = b'{"event":"' + row + b'"}'
        path.write_bytes(row + b"\n")
    with EventFile(path) as file:
        importing = Import(file, tmp_path / "imports", "p")
        importing.run(lambda events: pytest.fail("nothing is sent"))
    (said,) = map(json.loads, importing.rejected_path.read_text().splitlines())
    assert "not UTF-8" in said["reason"]
    assert said["text"].encode(said["encoding"]) == row
    assert importing.notes.rejected == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.ndjson", NDJSON.decode().encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("a.ndjson", NDJSON.decode().encode("utf-16-le"), "is UTF-16; save it as UTF-8"),
        ("a.ndjson", NDJSON.decode().encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
        ("a.csv", CSV.decode().encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("a.csv", CSV.decode().encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
        ("a.csv", gzip.compress(CSV, mtime=0), "give it a name that ends in .gz"),
        ("a.csv", zstandard.ZstdCompressor().compress(CSV), "name that ends in .zst"),
        ("a.csv", b"PK\x03\x04...", "spreadsheet"),
        ("a.ndjson", b'[{"event":"a"}]', "is one JSON array"),
        ("a.ndjson", b'\xef\xbb\xbf\n [\n{"event":"a"}]', "is one JSON array"),
        ("a.csv.gz", CSV, "cut short or damaged"),
        ("a.csv", b"event;timestamp;user_id\na;b;c\n", "separated by ';'"),
        ("a.csv", b"event\ttimestamp\na\tb\n", r"separated by '\t'"),
        ("a.csv", b"event,user_id, user_id\na,b,c\n", "user_id is there twice"),
        ("a.csv", b"name,user_id\na,b\n", "Perhaps --map name=event?"),
        ("a.ndjson", b'{"event_name":"a"}\n', "Perhaps --map event_name=event?"),
    ],
    ids=repr,
)
def test_what_is_no_file_of_events_says_what_it_is(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(FileError, match=re.escape(said)):
        read(tmp_path, name, content)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.ndjson")
    with pytest.raises(FileError, match=r"write it to one first"):
        EventFile(tmp_path / "a.ndjson")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(FileError, match=r"is not a regular file"):
        EventFile(tmp_path / "b.csv")


@pytest.mark.parametrize("name", ["a.ndjson.gz", "a.ndjson.zst", "a.csv.gz"])
@pytest.mark.parametrize(("junk", "cut"), [(b"", None), (b"junk after it", None), (b"", -5)])
def test_packed_files_are_read_through_and_what_is_broken_is_said(
    tmp_path: Path, name: str, junk: bytes, cut: int | None
) -> None:
    pack = gzip.compress if name.endswith(".gz") else zstandard.ZstdCompressor().compress
    head, row = (b"", NDJSON) if "ndjson" in name else CSV.splitlines(keepends=True)
    path = tmp_path / name
    path.write_bytes((pack(head + row) + pack(row))[:cut] + junk)
    sent: list[Event] = []

    def send(events: list[Event]) -> "Future[Warned]":
        sent.extend(events)
        done: Future[Warned] = Future()
        done.set_result(None)
        return done

    with EventFile(path) as file:
        importing = Import(file, tmp_path / "imports", "p")
        if not junk and cut is None:
            importing.run(send)
            assert len(sent) == 2 * row.count(b"\n")
        else:
            with pytest.raises(FileError, match=r"damaged.* All before it is in"):
                importing.run(send)
            assert name.endswith(".zst") or sent, "what could be read is in"
        assert importing.notes.accepted == len(sent)
        assert importing.notes.finished == (not junk and cut is None)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    {
        "distinct_id": "anonymous_id",
        "anonymousId": "anonymous_id",
        "$device_id": "anonymous_id",
        "userId": "user_id",
        "USER ID": "user_id",
        "usr_id": "user_id",
        "time": "timestamp",
        "created_at": "timestamp",
        "timestmp": "timestamp",
        "originalTimestamp": "timestamp",
        "messageId": "event_id",
        "$insert_id": "event_id",
        "event_name": "event",
        "$current_url": "url",
        "referer": "referrer",
        "props": "properties",
        "colour": "",
    }.items(),
)
def test_names_of_others_are_known(theirs: str, ours: str) -> None:
    assert columns([theirs]).unknown == {theirs: ours}
    assert map_hint({theirs: ours}) == (f"--map {theirs}={ours}" if ours else "")


@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_columns_can_be_renamed(tmp_path: Path, format: str) -> None:
    row = {"event": "a", "distinct_id": "x", "time": "1714557600", "user_id": "u"}
    content = (
        f"{','.join(row)}\n{','.join(row.values())}\n"
        if format == "csv"
        else json.dumps({**row, "time": 1714557600}) + "\n"
    )
    renamed = {"distinct_id": "anonymous_id", "time": "timestamp"}
    found = read(tmp_path, f"a.{format}", content.encode(), **renamed)
    assert events(found) == [("a", "2024-05-01T10:00:00.000Z", "x")]
    for wrong in ({"nosuch": "url"}, {"nosuch": "timestamp", "time": "url"}):
        with pytest.raises(FileError, match=r"no column nosuch|has nosuch"):
            read(tmp_path, f"a.{format}", content.encode(), **wrong)


def test_a_line_that_has_both_names_is_rejected(tmp_path: Path) -> None:
    lines = b'{"event":"a","uid":"x"}\n{"event":"a","uid":"x","user_id":"y"}\n'
    good, bad = read(tmp_path, "a.ndjson", lines, uid="user_id")
    assert good.event
    assert bad.reason == "it has uid and user_id"
    with pytest.raises(FileError, match="user_id is there twice"):
        read(tmp_path, "a.csv", b"event,uid,user_id\n", uid="user_id")


def test_lines_without_end_take_little_memory(tmp_path: Path) -> None:
    long = b"x" * (3 << 20)
    for name, content in (
        ("a.ndjson", NDJSON + b'{"event":"' + long + b'"}\n' + NDJSON),
        ("a.csv", CSV + b"a,2026-05-01," + long + b"\n" + CSV.splitlines()[1]),
    ):
        found = read(tmp_path, name, content)
        bad = [line for line in found if not line.event]
        assert [line.reason for line in bad] == ["the line is over 1 MiB"]
        assert len(bad[0].row) <= (1 << 20) + 1
        assert found[-1].event


LIKELY = st.sampled_from("'=+-@\t\r\n\uff1d a1\"")
TEXTS = st.text(alphabet=st.one_of(LIKELY, st.characters(codec="utf-8")))


@given(TEXTS)
def test_a_cell_says_what_it_was_and_is_no_formula(text: str) -> None:
    cell = escaped(text)
    assert unescaped(cell) == text
    assert not cell or cell[0] not in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
    assert escaped("1") == "1"


def test_the_engine_escapes_as_we_do(tmp_path: Path) -> None:
    begins = ["", "=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff20", "a", " =", "é=", '"=']
    texts = [
        "'" * quotes + begin + rest
        for quotes in range(4)
        for begin in begins
        for rest in ("", "1+1", "\n=")
    ]
    with Store(f"chdb://{tmp_path / 'store'}") as store:
        array = "SELECT arrayJoin({texts:Array(String)}) AS t"
        rows = store.query(f"SELECT {escaped_sql('t')} AS cell FROM ({array})", {"texts": texts})
    assert [row["cell"] for row in rows] == list(map(escaped, texts))
