"""Two checkouts, one log: does every question get the same answer, byte for byte?

    python -m benchmarks.compare --before ../as-it-was

The folder is written by the server of *before*; *after* opens a copy of it, so that its migrations
are part of what is compared. Every question goes to both, and status, headers and body have to be
equal. Exit status 1 if any is not.
"""

import argparse
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from random import Random
from urllib.parse import quote

from benchmarks.checkouts import Checkout, Serving
from benchmarks.compared_log import PROJECTS, make
from benchmarks.differences import Both, Names, Question, compare_command

# A path and its parameters: of each one value, or some, with `|` between them; every combination is
# asked. An empty value leaves the parameter out. `{user}` and so on are the log's names.
Table = list[tuple[str, dict[str, str]]]

GROUPS = "|source|medium|campaign|source,medium,campaign"
EVENT_GROUPS = f"{GROUPS}|event_name|country|device_type|browser|os|path|os,browser"
INTERVALS = "|hour|day|week|month"
MODELS = "first_touch|last_touch|last_non_direct|linear|position_based|time_decay"
DEVICES = "{device}|{shared_device}|{shared_device_2}|{own_device}|{relinked_device}|odd-1|never"
USERS = (
    "{user} {person} {canonical} {briefly} {other} {own_user} {relinked} {shared_user} "
    "{shared_user_2} {shared_user_3} {never_seen} {odd_user} user_3 forgotten"
).split()
URLS = "https://a.example/|https://a.example/?utm_source=News&utm_medium=email|https://a.example/?gclid=1|x"
REFERRERS = "|https://www.google.com/|https://m.facebook.com/x|https://b.a.example/"
STEPS = (
    "signup{plan=free},event_created{minutes=30}|signup,purchase{plan=pro},invoice_paid|"
    "signup{plan=free},event_created,feature_used,login|never,signup"
)
NO_STEPS = "|one|a,a|a,,b|a{,b|a{plan},b|a{source=x},b|a,b,c,d,e,f,g,h,i,j,k|,"

# Each of these is asked once, each in other circumstances.
NUMBERS: Table = [
    (
        "/v1/stats",
        {"metric": "count|uniques|persons", "group_by": EVENT_GROUPS, "interval": INTERVALS},
    ),
    ("/v1/stats", {"metric": "uniques|persons", "exact": "false", "interval": "|week"}),
    (
        "/v1/stats",
        {
            "metric": "sum",
            "property": "value|seats|plan|valu",
            "group_by": "|source|event_name",
            "interval": "|day|month",
            "limit": "1000",
        },
    ),
    ("/v1/stats", {"metric": "count|persons", "event": "signup|$pageview|never", "limit": "1|7"}),
]

# The rest is asked in several projects and policies, each time in other circumstances.
COUNTS: Table = [
    ("/v1/sources", {"breakdown": "source_medium|source|campaign|term|content", "limit": "|3"}),
    ("/v1/sessions", {"group_by": GROUPS, "interval": INTERVALS, "limit": "50"}),
    ("/v1/attribution", {"conversion": "signup", "model": MODELS, "group_by": "|source|campaign"}),
    (
        "/v1/attribution",
        {
            "conversion": "purchase",
            "model": MODELS,
            "value_property": "value",
            "lookback_days": "7|90",
        },
    ),
    (
        "/v1/funnel",
        {"steps": "$pageview,signup,purchase", "window": "1h|7d|30d", "group_by": "|source,medium"},
    ),
    (
        "/v1/funnel",
        {"steps": "$pageview,clicked_pricing,signup", "exclude": "|watched_video", "window": "4w"},
    ),
    ("/v1/funnel", {"steps": STEPS, "group_by": "|campaign", "window": "30d"}),
    (
        "/v1/retention",
        {"interval": "day|week|month", "cohort": "first_seen|known|signup", "periods": "4|60"},
    ),
    ("/v1/retention", {"event": "event_created|never", "cohort": "first_seen|known"}),
    (
        "/v1/paths",
        {"event": "signup|$pageview|purchase", "direction": "after|before", "by": "page|event"},
    ),
    (
        "/v1/paths",
        {
            "event": "clicked_pricing",
            "direction": "after|before",
            "steps": "1|10",
            "window": "4w",
            "limit": "7",
        },
    ),
]
RANGED: Table = [
    ("/v1/time-to-conversion", {"conversion": "signup|purchase", "group_by": GROUPS}),
    (
        "/v1/time-to-conversion",
        {"conversion": "signup", "user_id": "{user}|{canonical}|{shared_user}|{never_seen}"},
    ),
    ("/v1/users", {"limit": "50", "conversion": "|signup"}),
    (
        "/v1/users",
        {"source": "google|facebook", "medium": "|paid", "conversion": "|purchase", "limit": "20"},
    ),
    (
        "/v1/users",
        {"format": "csv|ndjson", "campaign": "|spring", "conversion": "|signup", "limit": "30"},
    ),
]
STITCHED: Table = [
    *((f"/v1/users/{user}", dict[str, str]()) for user in USERS),
    *((f"/v1/users/{user}/events", {"limit": "40"}) for user in USERS),
    ("/v1/users/{user}/events", {"phase": "before|after", "order": "asc|desc", "limit": "10"}),
    ("/v1/users/{shared_user}/events", {"phase": "before|after", "order": "asc|desc"}),
    ("/v1/identity/shared-devices", {"limit": "|2"}),
    (
        "/v1/identity/explain",
        {"event_id": "{first_event}|{known_event}|{strange_event}|odd-0-0|odd-1-1|never"},
    ),
    ("/v1/identity/explain", {"event_id": "{first_event}", "anonymous_id": "{device}|{stranger}"}),
    ("/v1/identity/explain", {"anonymous_id": DEVICES, "at": "2025-03-20T12:00:00Z"}),
]
COUNTS_STITCHED: Table = [("/v1/identity/stats", {})]
FILTERS: Table = [
    ("/v1/query", {"limit": "|3|1000", "event": "|signup|odd a,b"}),
    ("/v1/query", {"user_id": "{user}|{shared_user}|{odd_user}", "limit": "20"}),
    ("/v1/query", {"anonymous_id": DEVICES, "limit": "20"}),
    ("/v1/query", {"source": "google|direct", "medium": "|organic", "limit": "5"}),
    ("/v1/export", {"format": "ndjson|csv|parquet", "event": "|signup|purchase"}),
    ("/v1/export", {"format": "ndjson|csv", "user_id": "{user}|{shared_user}|{odd_user}"}),
    (
        "/v1/export",
        {"format": "ndjson|csv", "anonymous_id": "{shared_device}", "source": "|google"},
    ),
]
PLAIN: Table = [
    ("/v1/classify", {"url": URLS, "referrer": REFERRERS}),
]

# Each of these is wrong in a way of its own.
WRONG: Table = [
    ("/v1/stats", {"metric": "|sum|none", "property": "|a", "group_by": "|nothing|source,,x"}),
    ("/v1/stats", {"stitch": "any|none", "tz": "|Mars/Olympus", "interval": "|minute"}),
    (
        "/v1/stats",
        {"from": "1700000000|yesterday|2025-02-30|2025-03-01T00:00:00 02:00", "limit": "|0|1001|x"},
    ),
    ("/v1/stats", {"form": "2025-03-01"}),
    ("/v1/stats", {"include_bots": "maybe|1|FALSE", "exact": "|no"}),
    ("/v1/sources", {"breakdown": "nothing|source", "limit": "0|201"}),
    ("/v1/sessions", {"group_by": "country|source", "stitch": "any"}),
    ("/v1/attribution", {"conversion": "|signup", "model": "best"}),
    ("/v1/attribution", {"conversion": "signup", "lookback_days": "0|731", "value_property": "|a"}),
    ("/v1/attribution", {"conversion": "signup", "stitch": "any"}),
    ("/v1/funnel", {"steps": NO_STEPS}),
    ("/v1/funnel", {"steps": "a,b", "exclude": "a"}),
    ("/v1/funnel", {"steps": "a,b", "window": "0d|7|1y|99999w", "group_by": "|os"}),
    ("/v1/retention", {"interval": "hour|week", "periods": "0|61", "cohort": "|none"}),
    ("/v1/paths", {"event": "|signup", "direction": "sideways", "by": "|host"}),
    ("/v1/paths", {"event": "signup", "steps": "0|11", "limit": "0|100000"}),
    (
        "/v1/time-to-conversion",
        {"conversion": "|signup", "group_by": "event_name", "user_id": "|nobody"},
    ),
    ("/v1/users", {"cursor": "x|AAAA", "limit": "|1001", "format": "|xml"}),
    ("/v1/users/{user}", {"phase": "before", "limit": "1"}),
    ("/v1/users/{user}/events", {"phase": "during|all", "order": "up", "cursor": "|x"}),
    ("/v1/query", {"cursor": "x|AAAA", "stitch": "|next", "limit": "|0"}),
    ("/v1/export", {"format": "xlsx|json", "limit": "|1"}),
    ("/v1/identity/explain", {"event_id": "|a", "at": "|now", "as_of": "|now"}),
    ("/v1/identity/stats", {"stitch": "any|none", "from": "|2025-03-01"}),
    ("/v1/classify", {"uri": "|x", "url": "|https://a.example/"}),
    ("/v1/nothing", {}),
    ("/v1/users/{user}/nothing", {}),
]

# Circumstances: of each kind of question what else it takes.
POLICIES = ("", "any", "first", "next")
PARTITIONS = ("", "first", "next")
ELSE: dict[str, tuple[str, ...]] = {
    "as_of": ("", "", "{received_0}", "{received_1}", "{received_2}"),
    "include_bots": ("", "true"),
    "tz": ("", "Europe/Berlin", "America/New_York", "Asia/Kolkata"),
    "range": (
        "",
        "2025-02-01/2025-05-01",
        "2025-03-01/2025-04-01",
        "2025-03-09T07:30:00Z/2025-03-30",
        "2025-04-01/",
    ),
}
BY_KIND: list[tuple[Table, tuple[str, ...], tuple[str, ...], int]] = [
    # The questions, their policies, what else, and in how many projects and policies at most.
    (NUMBERS, PARTITIONS, ("as_of", "include_bots", "tz", "range"), 1),
    (COUNTS, PARTITIONS, ("as_of", "include_bots", "tz", "range"), 2),
    (RANGED, POLICIES, ("as_of", "include_bots", "tz", "range"), 4),
    (STITCHED, POLICIES, ("as_of", "include_bots"), 3),
    (COUNTS_STITCHED, PARTITIONS, ("as_of", "include_bots"), 100),
    (FILTERS, ("",), ("include_bots", "range"), 2),
    (PLAIN, ("",), (), 1),
    (WRONG, ("",), (), 1),
]

# What the routes refuse before they read parameters: method, path, and which key.
REFUSED = [
    *product(["GET"], ["/v1/stats", "/v1/query", "/v1/users", "/metrics"], ["", "pk", "x"]),
    *product(["POST"], ["/v1/stats", "/v1/export", "/v1/users/user_1", "/nothing"], ["rk"]),
    *product(["DELETE"], ["/v1/query", "/v1/identity/stats"], ["sk"]),
    *product(["HEAD"], ["/v1/stats", "/healthz"], ["rk"]),
]

# Questions of the command line, beside the running server.
COMMANDS = [
    ["user", "{user}", "--json"],
    ["user", "{shared_user}", "--stitch", "next", "--tz", "Europe/Berlin"],
    ["sql", "SELECT source, uniq(owner) FROM stitched_events GROUP BY 1 ORDER BY 1"],
    ["sql", "SELECT owner, known FROM stitched_events ORDER BY 1, 2", "--format", "csv"],
    ["sql", "DESCRIBE stitched_events"],
    ["sql", "DROP TABLE events"],
]
NAME = re.compile(r"\{(\w+)\}")


def questions(names: Names) -> Iterator[Question]:
    """All of them, always the same."""
    random = Random(1)
    in_paths = {name: quote(text, safe="") for name, text in names.items()}
    for table, policies, others, times in BY_KIND:
        for path, params in _expanded(table):
            under = list(product(PROJECTS if table is not WRONG else ["plain"], policies))
            for project, policy in random.sample(under, min(times, len(under))):
                chosen = {name: random.choice(ELSE[name]) for name in others}
                start, _, end = chosen.pop("range", "").partition("/")
                given = {"stitch": policy, "from": start, "to": end, **chosen, **params}
                filled = {name: _filled(text, names) for name, text in given.items() if text}
                yield Question(project, _filled(path, in_paths), filled)
    for method, path, key in REFUSED:
        yield Question("plain", path, {}, method, key)


def commands(names: Names) -> Iterator[tuple[str, list[str]]]:
    """Each as it is shown, and its arguments."""
    for project, command in product(("decided", "odd"), COMMANDS):
        arguments = [_filled(argument, names) for argument in command]
        yield f"{project}: threadline {shlex.join(arguments)}", [*arguments, "--project", project]


def _expanded(table: Table) -> Iterator[tuple[str, dict[str, str]]]:
    for path, params in table:
        for values in product(*(given.split("|") for given in params.values())):
            yield path, dict(zip(params, values, strict=True))


def _filled(text: str, names: Names) -> str:
    return NAME.sub(lambda found: names.get(found[1], found[0]), text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout")
    parser.add_argument("--after", type=Path, default=Path(), help="another; default: this one")
    parser.add_argument("--events", type=int, default=20_000, help="of the demo log")
    parser.add_argument("--only", default="", help="questions whose path begins so")
    options = parser.parse_args()
    before, after = Checkout(options.before), Checkout(options.after)
    with tempfile.TemporaryDirectory() as name:
        folders = Path(name) / "before", Path(name) / "after"
        started = time.perf_counter()
        log = make(before, folders[0], options.events)
        shutil.copytree(*folders, symlinks=True)
        print(f"made the log in {time.perf_counter() - started:.0f} s", flush=True)
        with Serving(before, folders[0]) as one, Serving(after, folders[1]) as other:
            asked = [q for q in questions(log.names) if q.path.startswith(options.only)]
            both = Both(log, one, other)
            with ThreadPoolExecutor(3) as pool:
                found = sum(map(_shown, asked, pool.map(both.compare, asked)))
            shown = [] if options.only else list(commands(log.names))
            for command, arguments in shown:
                found += _shown(command, compare_command(arguments, (before, after), folders))
    statuses = ", ".join(
        f"{status} {many:,} times" for status, many in sorted(both.statuses.items())
    )
    took_s = time.perf_counter() - started
    print(f"{len(asked) + len(shown):,} asked, {found:,} answers differ; {took_s:.0f} s")
    print(f"before answered {statuses}; {len(shown)} were commands")
    sys.exit(found > 0)


def _shown(question: object, difference: str) -> bool:
    """Whether there is one; then it is printed."""
    if difference:
        print(f"{question}\n    {difference}", flush=True)
    return bool(difference)


if __name__ == "__main__":
    main()
