"""The tables of `docs/limits.md` and `docs/metrics.md`, from the constants and counters."""

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from threadline.client import queue, values
from threadline.contract import bodies, decoding, definitions, segment
from threadline.contract import values as contract_values
from threadline.contract.times import DAY_MS
from threadline.http import changing, ingest, rules, sql
from threadline.mcp import over_http, pages
from threadline.metrics import Metrics
from threadline.questions import defined, filters, parameters, paths, sources, steps
from threadline.runtime import memory
from threadline.settings import Settings
from threadline.settings_files import PREFIX

HOUR_MS = DAY_MS // 24


class Limit(NamedTuple):
    """`over`: what becomes of what is more than that."""

    what: str
    most: str
    over: str


def size(count: int) -> str:
    """Of bytes, in the largest unit in which it is whole."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count:,} bytes"


def setting(name: str) -> str:
    """A setting's default, with its name."""
    value: int = getattr(Settings(), name)
    shown = size(value) if "bytes" in name and value else f"{value:,}"
    return f"{shown} (`{PREFIX}{name.upper()}`)"


REFUSED = "400 `invalid_payload`"
TOO_LARGE = "413 `payload_too_large`"
EVENTS = (
    Limit("`event`, a name", f"{bodies.MAX_EVENT_NAME} characters", REFUSED),
    Limit("`event_id`, `session_id`", "128 characters", REFUSED),
    Limit("`anonymous_id`", f"{bodies.MAX_ANONYMOUS_ID} characters", REFUSED),
    Limit("`user_id`", f"{bodies.MAX_USER_ID} characters", REFUSED),
    Limit("`url`, `path`, `referrer`", f"{bodies.MAX_ADDRESS:,} characters", REFUSED),
    Limit("`properties`, as JSON", size(bodies.MAX_PROPERTIES_BYTES), REFUSED),
    Limit("levels in `properties`", str(bodies.MAX_PROPERTIES_DEPTH), REFUSED),
    Limit(
        "`timestamp` ahead of the server's clock",
        f"{contract_values.MAX_FUTURE_MS // HOUR_MS} hours",
        REFUSED,
    ),
    Limit("`timestamp` in the past", "after the first day of 1970", REFUSED),
    Limit(
        "days in which the same `event_id` counts once",
        setting("dedup_days"),
        "it is stored a second time",
    ),
)
REQUESTS = (
    Limit("events in `/v1/batch`", f"{bodies.MAX_BATCH_EVENTS:,}", REFUSED),
    Limit("body of `/v1/track`, `/v1/identify`, `/v1/forget`", size(ingest.TRACK_LIMIT), TOO_LARGE),
    Limit("body of `/v1/batch`", size(ingest.BATCH_LIMIT), TOO_LARGE),
    Limit("objects in one body", f"{decoding.MAX_OBJECTS:,}", REFUSED),
    Limit(
        "a Segment call; a Segment batch",
        f"{size(segment.MAX_MESSAGE_BYTES)}; {size(segment.MAX_BATCH_BYTES)}",
        TOO_LARGE,
    ),
    Limit("calls in a Segment batch", f"{segment.MAX_BATCH_MESSAGES:,}", REFUSED),
    Limit(
        "seconds in which a body has to arrive", setting("body_seconds"), "408 `request_timeout`"
    ),
    Limit("bodies on their way in, all together", size(memory.ROOM_BYTES), "503 `unavailable`"),
    Limit("body of routes that change settings or people", size(changing.BODY_LIMIT), TOO_LARGE),
    Limit("body of `/v1/rules`", size(rules.BODY_LIMIT), TOO_LARGE),
)
RATES = (
    Limit(
        "`/v1/track` and `/v1/identify`, each",
        f"{setting('track_per_second')} a second, {setting('track_burst')} at once",
        "429 `rate_limited`",
    ),
    Limit(
        "`/v1/batch`",
        f"{setting('batch_per_second')} a second, {setting('batch_burst')} at once",
        "429 `rate_limited`",
    ),
    Limit(
        "events, in whatever requests",
        f"{setting('events_per_second')} a second, {setting('events_burst')} at once",
        "429 `rate_limited`",
    ),
    Limit(
        "unpacked bytes",
        f"{setting('bytes_per_second')} a second, {setting('bytes_burst')} at once",
        "429 `rate_limited`",
    ),
)
QUESTIONS = (
    Limit("rows in an answer", f"{parameters.MAX_LIMIT:,} (`limit`)", "a cursor, or `truncated`"),
    Limit("rows of `/v1/sources`", f"{sources.MAX_LIMIT} (`limit`)", "`truncated`"),
    Limit("rows of `/v1/paths`", f"{paths.MAX_LIMIT} (`limit`)", "`truncated`"),
    Limit("rows of `/v1/sql`", f"{sql.MAX_ROWS:,} (`limit`)", "`truncated`"),
    Limit("`filters`", f"{filters.MAX_CHARS:,} characters", "400 `invalid_params`"),
    Limit("conditions in `filters`", str(filters.MAX_CONDITIONS), "400 `invalid_params`"),
    Limit("values in `filters`", str(filters.MAX_VALUES), "400 `invalid_params`"),
    Limit("a pattern", f"{filters.MAX_PATTERN} characters", "400 `invalid_params`"),
    Limit("names of events in one parameter", str(steps.MAX_NAMES), "400 `invalid_params`"),
    Limit("seconds that a question may take", setting("query_seconds"), "503 `unavailable`"),
    Limit(
        "memory that a question may take",
        f"an eighth of the machine's (`{PREFIX}QUERY_MEMORY`)",
        "503 `unavailable`",
    ),
)
AGENTS = (
    Limit(
        "calls of tools with one key",
        f"{setting('mcp_per_second')} a second, {setting('mcp_burst')} at once",
        "-32005",
    ),
    Limit("JSON of an answer", f"{pages.MAX_BYTES:,} bytes", "a cursor, and a word on narrowing"),
    Limit("sessions of a server", f"{over_http.MAX_SESSIONS:,}", "503 for another one"),
    Limit(
        "minutes in which a session says nothing",
        f"{over_http.IDLE_S / 60:.0f}",
        "it ends; the client begins another",
    ),
)
KEPT = (
    Limit(
        "segments, goals, annotations, insights, boards, of each",
        f"{defined.MAX_EACH} a project",
        REFUSED,
    ),
    Limit("a name of one", f"{definitions.MAX_NAME} characters", REFUSED),
    Limit("insights on a board", str(definitions.MAX_TILES), REFUSED),
    Limit("acknowledged events that wait", setting("log_max_bytes"), "503 `unavailable`"),
)
SENDERS = (
    Limit(
        "Python: `properties`", f"{values.MAX_SIZE // 1024} KiB", "the event is lost, and logged"
    ),
    Limit("Python: one event", size(queue.MAX_EVENT_BYTES), "the event is lost, and logged"),
)
PARTS = {
    "An event": EVENTS,
    "A request": REQUESTS,
    "Browser keys, from one address": RATES,
    "A question": QUESTIONS,
    "Agents, by MCP": AGENTS,
    "What is kept": KEPT,
    "The Python SDK": SENDERS,
}


def limits() -> str:
    """All of them, part by part."""
    return "\n\n".join(
        f"## {title}\n\n{_table(('what', 'at most', 'what is more'), listed)}"
        for title, listed in PARTS.items()
    )


def metrics() -> str:
    """All that `/metrics` has of Threadline, in the order of their names."""
    rows = []
    text = Metrics().text().decode()
    for family in sorted(text_string_to_metric_families(text), key=lambda family: family.name):
        if family.name.endswith("_created"):  # when a counter began; the client library adds it
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append((f"`{name}`", family.type, family.documentation))
    return _table(("metric", "kind", "what it is"), rows)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ("---",) * len(heads), *rows))
