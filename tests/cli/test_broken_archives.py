"""Exports of whole projects that are damaged, or that there is no room for: nothing of them comes
in, and one sentence says why."""

import json
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from tests.cli.test_archives import history, write
from tests.cli.test_commands import fails, ok, run
from threadline.control import Control
from threadline.runtime.archive import ArchiveError
from threadline.runtime.archive_check import open_archive

MANY = 60
Members = dict[str, bytes]
Change = Callable[[Members, str], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two projects, and exports of one and of both."""
    tmp = tmp_path_factory.mktemp("archives")
    where = ("--data", str(tmp / "data"))
    for name in ("blog", "shop"):
        ok("project", "create", name, *where)
        ok(
            "import",
            str(write(tmp / f"{name}.ndjson", history(0, MANY))),
            *where,
            "--project",
            name,
        )
    ok("export", "-o", str(tmp / "blog.zip"), "--project", "blog", "--keys", *where)
    ok("export", "-o", str(tmp / "all.zip"), "--all", *where)
    return tmp


@pytest.fixture
def broken(made: Path, tmp_path: Path) -> Path:
    return tmp_path / "broken.zip"


def rewritten(source: Path, target: Path, change: Change, packing: int = ZIP_DEFLATED) -> Path:
    """The same archive with other members, whose checksums are right. `change` gets them, and the
    folder of the first project."""
    with ZipFile(source) as file:
        members = {name: file.read(name) for name in file.namelist()}
    inside = next(name for name in members if name.endswith("events.ndjson")).rpartition("/")[0]
    change(members, inside)
    with ZipFile(target, "w", packing) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return target


def events(edit: Callable[[list[bytes]], list[bytes]]) -> Change:
    def change(members: Members, inside: str) -> None:
        lines = members[f"{inside}/events.ndjson"].splitlines(keepends=True)
        members[f"{inside}/events.ndjson"] = b"".join(edit(lines))

    return change


def fields(member: str, **given: object) -> Change:
    def change(members: Members, inside: str) -> None:
        name = f"{inside}/{member}" if member != "archive.json" else member
        members[name] = json.dumps({**json.loads(members[name]), **given}).encode()

    return change


def value(number: int, column: int, given: object) -> Change:
    """Another value in one event."""

    def edit(lines: list[bytes]) -> list[bytes]:
        values = json.loads(lines[number])
        values[column] = given
        return [*lines[:number], json.dumps(values).encode() + b"\n", *lines[number + 1 :]]

    return events(edit)


def without(member: str) -> Change:
    def change(members: Members, inside: str) -> None:
        del members[member.replace("ID", inside)]

    return change


def body(member: str, text: bytes) -> Change:
    return lambda members, inside: members.update({member.replace("ID", inside): text})


LONG = b'["' + b"x" * 1024**2 + b'"]\n'
CHANGES: dict[str, tuple[Change, str]] = {
    "cut mid-line": (events(lambda lines: [*lines[:-1], lines[-1][:40]]), f"line {MANY + 1} of"),
    "a foreign line": (events(lambda lines: [*lines, b'["a"]\n']), f"line {MANY + 2} of"),
    "another shape": (events(lambda lines: [*lines, b'{"event": "x"}\n']), f"line {MANY + 2} of"),
    "no text": (events(lambda lines: [*lines[:5], b"\xff\xfe\n", *lines[5:]]), "line 6 of"),
    "an empty line": (events(lambda lines: [*lines[:5], b"\n", *lines[5:]]), "line 6 of"),
    "too few columns": (
        events(lambda lines: [*lines[:3], b'["p",1,"e","n"]\n', *lines[4:]]),
        "line 4",
    ),
    "another project's event": (value(4, 0, "prj_other"), "line 5 of"),
    "a time out of all": (value(4, 1, 2**70), "line 5 of"),
    "an address of other length": (value(4, 21, "AAAA"), "line 5 of"),
    "an event without id": (value(4, 2, ""), "line 5 of"),
    "no columns": (events(lambda lines: lines[1:]), "first line"),
    "columns that are none": (events(lambda lines: [b"7\n", *lines[1:]]), "first line"),
    "first line is no JSON": (events(lambda lines: [b"event,time\n", *lines[1:]]), "line 1 of"),
    "nothing in it": (events(lambda lines: []), "first line"),
    "newer columns": (
        events(lambda lines: [lines[0].rstrip()[:-1] + b',"new"]\n', *lines[1:]]),
        "newer Threadline",
    ),
    "an event less": (events(lambda lines: lines[:-1]), "59 events, and project.json says 60"),
    "an event more": (
        events(lambda lines: [*lines, lines[-1]]),
        "61 events, and project.json says 60",
    ),
    "a long line": (events(lambda lines: [*lines[:7], LONG, *lines[7:]]), "line 8 of"),
    "a long first line": (events(lambda lines: [LONG, *lines]), "line 1 of"),
    "no project.json": (without("ID/project.json"), "project.json"),
    "no project.yaml": (without("ID/project.yaml"), "project.yaml"),
    "no events": (without("ID/events.ndjson"), "events.ndjson"),
    "no decisions": (without("ID/aliases.ndjson"), "aliases.ndjson"),
    "no rates": (without("exchange_rates.ndjson"), "exchange_rates.ndjson"),
    "no head": (without("archive.json"), "not an export of Threadline"),
    "head is no JSON": (body("archive.json", b"{"), "not an export of Threadline"),
    "project.json is no JSON": (body("ID/project.json", b'{"name"'), "project.json"),
    "project.json of another": (fields("project.json", project_id="prj_x"), "another project"),
    "another name": (fields("project.json", name="nobody"), "another project"),
    "project.yaml is none": (body("ID/project.yaml", b"colour: red\n"), "colour"),
    "project.yaml is no text": (body("ID/project.yaml", b"\xff"), "damaged"),
    "decisions of another kind": (body("ID/aliases.ndjson", b'{"a": 1}\n'), "line 1 of"),
    "decisions of other types": (
        body(
            "ID/aliases.ndjson",
            b'{"user_id": 7, "canonical": "a", "decided_at": "2026-05-01", "decided_by": ""}\n',
        ),
        "line 1 of",
    ),
    "decisions cut": (body("ID/unlinks.ndjson", b'{"anonymous_id"'), "line 1 of"),
    "rates of another kind": (body("exchange_rates.ndjson", b'{"currency":"USD"}\n'), "line 1 of"),
    "keys of another kind": (body("ID/keys.json", b'[{"prefix": "x"}]'), "keys"),
    "keys that are no list": (body("ID/keys.json", b"7"), "keys"),
    "another pepper": (body("pepper", b"00" * 32), "pepper"),
    "a pepper that is none": (body("pepper", b"pepper"), "damaged"),
    "an id that is a path": (
        fields("archive.json", projects={"../../x": "blog"}),
        "not the id of a project",
    ),
}


def refused(archive: Path, folder: Path, *more: str) -> str:
    """In a dry run as well, and nothing is made."""
    there = sorted(folder.rglob("*"))
    dry = fails("import", str(archive), "--data", str(folder), "--dry-run", *more)
    said = fails("import", str(archive), "--data", str(folder), *more)
    assert said == dry
    assert sorted(folder.rglob("*")) == there
    return said


@pytest.mark.parametrize("how", CHANGES)
def test_an_archive_that_was_changed_is_no_archive(made: Path, broken: Path, how: str) -> None:
    change, said = CHANGES[how]
    rewritten(made / "blog.zip", broken, change)
    with pytest.raises(ArchiveError) as found:
        open_archive(broken)
    assert said in str(found.value)
    assert "threadline export -o FILE.zip" in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "how", ["cut mid-line", "a foreign line", "no columns", "no project.json", "an event less"]
)
def test_nothing_comes_in_of_an_archive_that_was_changed(
    made: Path, broken: Path, folder: Path, how: str
) -> None:
    change, said = CHANGES[how]
    rewritten(made / "blog.zip", broken, change)
    assert said in refused(broken, folder)


def body_of(whole: bytes, info: ZipInfo) -> int:
    """Where a member's data begins: behind its header, a name and what else the header has."""
    name, more = struct.unpack_from("<HH", whole, info.header_offset + 26)
    return int(info.header_offset + 30 + name + more)


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 0xFF, body[at + 1] ^ 0xFF]) + body[at + 2 :]


def test_nothing_comes_in_of_a_file_that_was_damaged_anywhere(
    made: Path, broken: Path, folder: Path
) -> None:
    """In each member, and here and there in headers and in the directory at the end."""
    whole = (made / "blog.zip").read_bytes()
    with ZipFile(made / "blog.zip") as file:
        inside = [body_of(whole, info) + 1 for info in file.infolist() if info.file_size > 4]
    for at in (*inside, *range(0, len(whole) - 2, len(whole) // 50)):
        broken.write_bytes(flipped(whole, at))
        # The date in a header, say, is nothing that anybody reads.
        harmless = suppress(ArchiveError)
        with pytest.raises(ArchiveError, match="damaged") if at in inside else harmless:
            open_archive(broken)
    broken.write_bytes(flipped(whole, inside[0]))
    refused(broken, folder)
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:size])
        refused(broken, folder)


def test_a_member_that_nobody_asks_for_has_to_be_whole_too(
    made: Path, broken: Path, folder: Path
) -> None:
    rewritten(made / "blog.zip", broken, body("notes.txt", b"a note of somebody " * 9), ZIP_STORED)
    whole = broken.read_bytes()
    broken.write_bytes(flipped(whole, whole.index(b"a note of somebody") + 5))
    assert "notes.txt" in refused(broken, folder)


def test_an_event_that_is_one_still_has_to_be_what_was_written(
    made: Path, broken: Path, folder: Path
) -> None:
    rewritten(made / "blog.zip", broken, lambda members, inside: None, ZIP_STORED)
    whole = broken.read_bytes()
    last = whole.rindex(b'"signup"')
    broken.write_bytes(whole[:last] + b'"sighup"' + whole[last + 8 :])
    assert "damaged" in refused(broken, folder)


def test_what_cannot_be_unpacked_a_little_at_a_time_is_refused(
    made: Path, broken: Path, folder: Path
) -> None:
    rewritten(made / "blog.zip", broken, lambda members, inside: None, ZIP_BZIP2)
    assert "damaged" in refused(broken, folder)


def test_a_line_that_is_too_long_is_not_read_whole(made: Path, broken: Path, folder: Path) -> None:
    def zeros() -> Iterator[bytes]:
        for _ in range(300):
            yield b"0" * 1024**2

    with ZipFile(made / "blog.zip") as source, ZipFile(broken, "w", ZIP_DEFLATED) as target:
        for name in source.namelist():
            with target.open(name, "w", force_zip64=True) as member:
                member.write(source.read(name))
                if name.endswith("events.ndjson"):
                    member.writelines(zeros())
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match=f"line {MANY + 2} of"):
            open_archive(broken)
        assert tracemalloc.get_traced_memory()[1] < 20 * 1024**2
    finally:
        tracemalloc.stop()
    refused(broken, folder)


def names(folder: Path) -> list[str]:
    with Control(folder, create=False) as control:
        return [each.name for each in control.projects()]


def test_names_that_are_taken_are_found_before_anything_is_made(made: Path, folder: Path) -> None:
    where = ("--data", str(folder))
    ok("project", "create", "shop", *where)
    every = str(made / "all.zip")
    said = fails("import", every, *where)
    assert "'shop' already" in said
    assert "--only" in said
    assert "--as" in said
    assert fails("import", every, "--dry-run", *where) == said
    assert names(folder) == ["shop"]
    assert "choose one with --only" in fails("import", every, "--as", "x", *where)
    assert "choose one with --only" in fails("import", every, "--project", "shop", *where)
    assert "it has blog, shop" in fails("import", every, "--only", "x", *where)
    assert "leave one out" in fails(
        "import", every, "--only", "shop", "--as", "x", "--project", "shop", *where
    )
    assert "needs a name" in fails("import", every, "--only", "shop", "--as", " ", *where)
    assert "which end in .zip" in fails("import", str(made / "shop.ndjson"), "--as", "x", *where)

    assert "old shop (prj_" in ok(
        "import", every, "--only", "shop", "--as", "old shop", "--dry-run", *where
    )
    for times in range(2):  # the same again does the rest, of which there is none
        done = run("import", every, "--only", "shop", "--as", "old shop", *where)
        assert done.returncode == 0, done.stderr
        assert f"old shop: {0 if times else MANY} events came in" in done.stderr
        assert names(folder) == ["old shop", "shop"]
    ok("import", every, "--only", "blog", *where)
    assert names(folder) == ["blog", "old shop", "shop"]


def test_a_project_that_brings_its_keys_gets_no_others(made: Path, folder: Path) -> None:
    done = run("import", str(made / "blog.zip"), "--data", str(folder))
    assert " key: " not in done.stderr
    assert "3 keys work here as they did there" in done.stderr
    keys = json.loads(ok("key", "list", "--data", str(folder), "--json"))
    assert len(keys) == 3
    # Where they cannot work, it has to have some.
    other = folder.with_name("other")
    ok("project", "create", "mine", "--data", str(other))
    done = run("import", str(made / "blog.zip"), "--data", str(other))
    assert done.stderr.count(" key: ") == 3
    assert "cannot work here" in done.stderr
