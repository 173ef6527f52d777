"""Numbers, times and names as sentences have them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from threadline.contract.words import counted
from threadline.mcp.api import Json

# Of a name in a sentence: whatever somebody may have sent as one.
MAX_NAME = 80
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
# Columns of a row that say what it is about, in the order in which they are said.
NUMBERS = (int, float)
# How many rows a sentence names.
SHOWN = 3


def number(value: object) -> str:
    """1,234; 0.25; for amounts of several currencies each with its own."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " and ".join(f"{number(part)} {name}" for name, part in value.items()) or "nothing"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value.is_integer():
            return f"{value:,.0f}"
        return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.3g}"
    return name(value)


def share(value: object) -> str:
    """0.125 as 12.5 %."""
    if not isinstance(value, NUMBERS):
        return "unknown"
    return f"{value * 100:.1f}".removesuffix(".0") + " %"


def change(value: object) -> str:
    """By what part of it something has become more."""
    if not isinstance(value, NUMBERS):
        return ""
    return f"{'up' if value >= 0 else 'down'} {share(abs(value))}"


def one_line(text: str) -> str:
    """Without what could pass for a line of its own, or turn what follows around."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def name(value: object) -> str:
    """Whatever was sent as a name, on one line and not too long."""
    if value is None:
        return "(none)"
    text = one_line(str(value))
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"


def seconds(value: object) -> str:
    """A length of time, in its largest unit."""
    if not isinstance(value, NUMBERS):
        return "an unknown time"
    for size, unit in UNITS:
        if value >= size:
            many = value / size
            text = f"{many:.1f}".removesuffix(".0")
            return f"{text} {unit}{'' if text == '1' else 's'}"
    return "no time at all" if value == 0 else f"{value:.2f} seconds"


def day(timestamp: object, zone: object = None) -> str:
    """2026-05-01 of its timestamp, by the clocks of that zone; None: as it is written, in UTC."""
    if not zone:
        return str(timestamp)[:10]
    return str(datetime.fromisoformat(str(timestamp)).astimezone(ZoneInfo(str(zone))).date())


def group(row: Json, *numbers: str) -> str:
    """What a row is about: facebook/paid; `numbers`: its columns that are no part of that."""
    parts = [
        name(value)
        for column, value in row.items()
        if column not in numbers and (value is None or isinstance(value, str | bool))
    ]
    return "/".join(parts) or "all"


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(parts: Iterable[str]) -> str:
    """A paragraph of sentences that are not empty."""
    return " ".join(part.strip() for part in parts if part and part.strip())


def touch(found: Json) -> str:
    """A touch in words."""
    page = f" on {name(found['url'])}" if found.get("url") else ""
    campaign = f", campaign {name(found['campaign'])}" if found.get("campaign") else ""
    source = f"{name(found['source'])}/{name(found['medium'])}"
    return f"{source}{campaign}{page} at {found['timestamp']}"


def more(rows: Sequence[object], shown: int = SHOWN) -> str:
    """How many there are beside those that were named."""
    return f", and {len(rows) - shown:,} more" if len(rows) > shown else ""


def some(found: Json, one: str, several: str = "") -> str:
    """How many rows there are, as far as that is known: a page is not all."""
    rows = counted(len(found["rows"]), one, several)
    return f"The first {rows}" if found.get("next_cursor") else rows


def leads_on(found: Json) -> str:
    """Where a page is not all."""
    return " There are more; next_cursor leads on." if found.get("next_cursor") else ""
