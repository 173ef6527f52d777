"""One person's story, drawn: a dotted thread for each device while nobody knows whose it is; where
the thread is tied it becomes the person's solid line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rich.cells import cell_len
from rich.text import Text

from threadline.classify.visit import CLICK_IDS
from threadline.contract.words import counted

Answer = dict[str, Any]

# A pause worth a line of its own in the timeline.
LONG_PAUSE = timedelta(hours=12)
DOTTED, SOLID = "┊", "┃"
# More threads at the same time share the last place.
MAX_LANES = 6
# Cells that the columns name, source and place may take, however long their texts are, and how
# few they are cut to where that leaves the details less than they should have.
WIDEST = (24, 26, 36)
NARROWEST = (14, 16, 10)
FOR_DETAILS = 20
WIDEST_VALUE = 28
# Properties that say how much; with `currency` they are money.
AMOUNTS = ("value", "amount", "revenue", "total", "price")


class Zone(NamedTuple):
    """Times as people in a place read them."""

    name: str
    info: tzinfo

    def moment(self, text: str) -> datetime:
        return datetime.fromisoformat(text).astimezone(self.info)

    def day(self, text: str) -> str:
        moment = self.moment(text)
        return f"{moment:%A} {moment.day} {moment:%B %Y}"

    def clock(self, text: str) -> str:
        return f"{self.moment(text):%H:%M}"

    def when(self, text: str) -> str:
        return f"{self.day(text)}, {self.clock(text)}"


@dataclass
class Threads:
    """Which device has which lane. Lane 0 is the person's; a device's thread runs beside it until
    it is tied, but for the first one that is: there it is the same line."""

    devices: frozenset[str]
    first_tied: str | None
    known: bool = False
    tied: set[str] = field(default_factory=set)
    lanes: dict[str, int] = field(default_factory=dict)

    def lane(self, device: str) -> int:
        """Of an event; its thread begins here if it has none yet."""
        if device not in self.devices or device in self.tied:
            return 0
        if device not in self.lanes:
            taken = set(self.lanes.values())
            free = (lane for lane in range(1, MAX_LANES) if lane not in taken)
            self.lanes[device] = 0 if device == self.first_tied else next(free, MAX_LANES)
        return self.lanes[device]

    def drawn(self, at: int | None = None) -> list[str]:
        """What stands in each lane; at the event's own, if several run, its knot."""
        taken = set(self.lanes.values())
        row = [SOLID if self.known else DOTTED if 0 in taken else " "]
        row += [DOTTED if lane in taken else " " for lane in range(1, MAX_LANES + 1)]
        if at is not None and sum(thread != " " for thread in row) > 1:
            row[at] = "●" if at == 0 and self.known else "○"
        return row

    def tie(self, device: str) -> list[str]:
        """The knot where the device's own thread becomes the person's; the thread ends here."""
        before = self.drawn()
        lane = self.lanes.pop(device, 0)
        self.tied.add(device)
        head = {" ": "┏", DOTTED: "┢", SOLID: "┣"}[before[0]]
        crossed = ["━" if thread == " " else "┿" for thread in before[1:lane]]
        self.known = True
        return [head, *crossed, "┻"] if lane else [head]


class DrawnLine(NamedTuple):
    """A line of the drawing. `lanes`: what stands in each. `tie`: they are joined by a rope.
    `cells`: of an event, column by column."""

    lanes: list[str]
    text: str = ""
    style: str = ""
    tie: bool = False
    cells: tuple[str, ...] = ()


def draw(profile: Answer, journey: Answer, zone: Zone, width: int) -> list[Text]:
    """The journey as lines of at most `width` cells."""
    lines = list(_lines(profile, journey, zone))
    lanes = 1 + max((n for line in lines for n, c in enumerate(line.lanes) if c != " "), default=0)
    widths = _widths([line.cells for line in lines if line.cells], width - 3 * lanes - 9)
    drawn = []
    for line in lines:
        text = _drawn(line, lanes, widths)
        text.rstrip()
        text.truncate(width, overflow="ellipsis")
        drawn.append(text)
    return drawn


def _widths(events: list[tuple[str, ...]], room: int) -> list[int]:
    """Of name, source and place, as wide as their texts. What is missing of the room for details is
    taken from the place first, then from the others."""
    needed = [max((cell_len(cells[n]) for cells in events), default=0) for n in range(1, 5)]
    widths = [min(*both) for both in zip(needed, WIDEST, strict=False)]
    details = min(needed[3], FOR_DETAILS)
    for n in (2, 1, 0):
        missing = sum(width + 2 for width in widths if width) + details - room
        if missing > 0:
            widths[n] = max(min(widths[n], NARROWEST[n]), widths[n] - missing)
    return widths


def _lines(profile: Answer, journey: Answer, zone: Zone) -> Iterator[DrawnLine]:
    rows = journey["rows"]
    devices = frozenset(device["anonymous_id"] for device in profile["devices"])
    # Where nothing shown is known, the first thread stands where the others would be tied to.
    first = next((row for row in rows if row["user_id"] is not None), rows[0] if rows else None)
    on = first["anonymous_id"] if first else None
    threads = Threads(devices, on if on in devices else None)
    day, before = "", None
    for row in rows:
        now = zone.moment(row["timestamp"])
        if before and now - before >= LONG_PAUSE:
            yield DrawnLine(threads.drawn(), later(now - before), "dim")
        if zone.day(row["timestamp"]) != day:
            day = zone.day(row["timestamp"])
            yield DrawnLine(_opened(threads, row), day, "bold")
        device = row["anonymous_id"]
        if row["user_id"] is None:
            lane = threads.lane(device)
        else:
            lane = 0
            if device in devices and device not in threads.tied:
                text = f"{visible(device)} is {visible(profile['user_id'])}"
                yield DrawnLine(threads.tie(device), text, "green", tie=True)
            threads.known = True
        yield DrawnLine(threads.drawn(at=lane), cells=_cells(row, zone))
        before = now


def _opened(threads: Threads, row: Answer) -> list[str]:
    """The threads above an event, its own included if it is anonymous and just begins."""
    if row["user_id"] is None:
        threads.lane(row["anonymous_id"])
    elif not threads.lanes and row["anonymous_id"] not in threads.devices:
        threads.known = True
    return threads.drawn()


def _drawn(line: DrawnLine, lanes: int, widths: list[int]) -> Text:
    row = [*line.lanes, *" " * lanes][:lanes]
    if line.tie:
        rope = "━━".join(line.lanes)
        return Text.assemble("  ", (f"{rope}━━ {line.text} ━━", line.style))
    text = Text("  ")
    for at, thread in enumerate(row):
        text.append(f"{thread}  ", "dim" if thread in (DOTTED, " ") and at >= 0 else "green")
    if not line.cells:
        return text.append(line.text, line.style)
    clock, *columns, rest = line.cells
    text.append(f"{clock}  ", "dim")
    for cell, width, style in zip(columns, widths, ("", "cyan", ""), strict=True):
        if width:
            part = Text(cell, style)
            part.truncate(width, overflow="ellipsis", pad=True)
            text.append_text(part).append("  ")
    return text.append(rest, "dim")


def _cells(row: Answer, zone: Zone) -> tuple[str, ...]:
    """Time, name, source, place, and what else is known of an event."""
    direct = row["source"] in ("direct", "internal")
    details = "  ".join(filter(None, (_properties(row["properties"]), _device(row))))
    return (
        zone.clock(row["timestamp"]),
        visible(row["event_name"]),
        "" if direct else source(row),
        place(row),
        details,
    )


def _device(row: Answer) -> str:
    """A program that sends events, such as curl, is nobody's browser: those say their system."""
    if not row["os"]:
        return ""
    return " · ".join(visible(part) for part in (row["device_type"], row["browser"]) if part)


def _properties(encoded: str) -> str:
    """`49 EUR plan=pro`: amounts first."""
    try:
        given = json.loads(encoded or "{}")
    except ValueError:
        return ""
    if not isinstance(given, dict):
        return ""
    amount = ""
    name = next((name for name in AMOUNTS if _is_number(given.get(name))), None)
    if name and isinstance(given.get("currency"), str):
        amount = f"{given.pop(name):,} {visible(given.pop('currency'))}"
    named = (
        f"{visible(name)}={_value(value)}"
        for name, value in given.items()
        if name not in CLICK_IDS.values()  # the source says it already
    )
    return " ".join(filter(None, (amount, *named)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    cut = Text(visible(text))
    cut.truncate(WIDEST_VALUE, overflow="ellipsis")
    return cut.plain


def source(touch: Answer) -> str:
    """`facebook / paid`, `direct`."""
    both = dict.fromkeys((touch["source"], touch["medium"]))
    return visible(" / ".join(filter(None, both)))


def place(touch: Answer) -> str:
    """The path of its page; nothing for an event that was on none."""
    try:
        return visible(urlsplit(touch["url"] or "").path)
    except ValueError:
        return ""


def visible(text: str) -> str:
    """Without what would move a terminal's cursor or turn its letters round: texts come from
    strangers."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def later(span: timedelta) -> str:
    """`5 days 21 hours later`: the two largest units that are not zero."""
    total = int(span.total_seconds())
    parts = [
        ("day", total // 86_400),
        ("hour", total // 3600 % 24),
        ("minute", total // 60 % 60),
        ("second", total % 60),
    ]
    named = [counted(count, unit) for unit, count in parts if count]
    return f"{' '.join(named[:2])} later" if named else "at once"
