"""The log of the race: the demo log in order of time, as Threadline is sent it and as a table.

What the databases cannot find out by themselves stands in the table: where an event came from, as
Threadline's own classifier says, and whether it happened on a page. Crawlers are left out, and so
are repeats, which a table would need a key for.
"""

import csv
import io
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from benchmarks.report import OUT
from threadline.classify import NO_SITE, classify
from threadline.cli.demo_agents import CRAWLERS
from threadline.cli.demo_log import DAYS, DemoLog
from threadline.contract.times import DAY_MS, format_ms
from threadline.questions.traffic_sources import DIRECT_NAMES

# Long past, so that no answer depends on now.
UNTIL_MS = 1_748_736_000_000  # 2025-06-01
SINCE = format_ms(UNTIL_MS - DAYS * DAY_MS)
UNTIL = format_ms(UNTIL_MS)
# Of the table, in this order. NULL is \N.
COLUMNS = (
    *("event_id", "timestamp", "event", "anonymous_id", "user_id", "on_page", "path", "url"),
    *("referrer", "source", "medium", "campaign", "channel", "properties"),
)
NULL = "\\N"
# So many of the last events come one by one between the questions.
MOST_HELD_BACK = 1000
# Changes with what is written here, so that no older log is taken for this one.
VERSION = 1

_CRAWLERS = frozenset(CRAWLERS)
# Between the parts of a line that waits to be sorted; JSON has none of it.
_CUT = "\x1f"


class Late(NamedTuple):
    """An event that is held back: as it is sent, and its row of the table as a line of CSV."""

    sent: bytes
    row: str


class Log(NamedTuple):
    """`sent`: what Threadline is sent at first, one event a line; `table`: the same as CSV, with a
    header. `events`: how many, `late` included. `users`: everybody who was known before those."""

    sent: Path
    table: Path
    late: list[Late]
    events: int
    users: list[str]


def make(events: int) -> Log:
    """The log of so many events, less those of crawlers; made once, and found again."""
    folder = OUT / f"race-log-{VERSION}-{NO_SITE.version}-{events}"
    files = folder / "sent.ndjson", folder / "table.csv"
    about = folder / "about.json"
    if not about.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        about.write_bytes(msgspec.json.encode(_write(events, folder, *files)))
    said = msgspec.json.decode(about.read_bytes(), type=_About)
    return Log(*files, said.late, said.events, said.users)


class _About(NamedTuple):
    late: list[Late]
    events: int
    users: list[str]


def _write(events: int, folder: Path, sent: Path, table: Path) -> _About:
    """By days first, because ten million lines are more than one sorts in memory."""
    days, users = _by_days(events, folder)
    late: list[Late] = []
    count = 0
    left = sum(days.values())
    held_back = min(MOST_HELD_BACK, left // 20)
    with sent.open("w") as sent_file, table.open("w") as table_file:
        table_file.write(_line(COLUMNS))
        for day in sorted(days):
            path = _day(folder, day)
            for line in sorted(path.read_text().splitlines()):
                _, event, row = line.split(_CUT)
                count += 1
                if left - count < held_back:
                    late.append(Late(event.encode(), row))
                else:
                    sent_file.write(f"{event}\n")
                    table_file.write(f"{row}\n")
            path.unlink()
    began = values(late[0].row)[COLUMNS.index("timestamp")] or ""
    return _About(late, count, [user for user, known_since in users.items() if known_since < began])


def values(row: str) -> list[str | None]:
    """Of a line of CSV."""
    return [None if text == NULL else text for text in next(csv.reader([row]))]


def _by_days(events: int, folder: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Lines to sort in a file a day; how many there are of each; and since when users are known."""
    days: dict[str, int] = {}
    users: dict[str, str] = {}
    lines = _lines(events, users)
    while some := list(islice(lines, 100_000)):
        by_day: dict[str, list[str]] = {}
        for line in some:
            by_day.setdefault(line[:10], []).append(line)
        for day, those in by_day.items():
            days[day] = days.get(day, 0) + len(those)
            with _day(folder, day).open("a") as file:
                file.write("\n".join(those) + "\n")
    return days, users


def _day(folder: Path, day: str) -> Path:
    return folder / f"{day}.lines"


def _lines(events: int, users: dict[str, str]) -> Iterator[str]:
    log = DemoLog(events, max(1, events // 20), max(1, events // 100), seed=1, until_ms=UNTIL_MS)
    for person in log.people():
        seen: set[str] = set()  # repeats are within one person
        for agent, event in person.sent:
            if agent in _CRAWLERS or event["event_id"] in seen:
                continue
            seen.add(event["event_id"])
            if user_id := event.get("user_id"):
                users[user_id] = min(event["timestamp"], users.get(user_id, UNTIL))
            sent = event | ({"user_agent": agent} if agent else {})
            text = msgspec.json.encode(sent).decode()
            row = _line(_row(event, bool(agent))).rstrip("\n")
            yield _CUT.join((event["timestamp"], text, row))


def _row(event: dict[str, Any], on_page: bool) -> tuple[object, ...]:
    url, referrer = event.get("url", ""), event.get("referrer", "")
    named = DIRECT_NAMES
    if on_page:
        found = classify(url, referrer)
        named = {name: getattr(found, name) for name in named}
    properties = event.get("properties")
    return (
        event["event_id"],
        event["timestamp"],
        event["event"],
        event.get("anonymous_id", NULL),
        event.get("user_id", NULL),
        int(on_page),
        urlsplit(url).path,
        url,
        referrer,
        *(named[name] for name in ("source", "medium", "campaign", "channel")),
        msgspec.json.encode(properties).decode() if properties else "{}",
    )


def _line(values: tuple[object, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
