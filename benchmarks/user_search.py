"""How fast people are found by a part of their id or of any trait, and what the state of traits
costs the way in.

    python -m benchmarks.user_search --users 100000

The log is made by the store itself: of each user some page views before signing in, and two
identify calls, of which the second changes a trait. What the state costs is measured on the log of
`benchmarks.stitching`, which has as many identify calls as one of a shop.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.report import OUT, Report, medians_s, ms
from benchmarks.stitching import load as load_events
from threadline.identity.kept import Keeper
from threadline.questions import users, users_shapes
from threadline.questions.context import Context
from threadline.store import Store, store_url
from threadline.store.derived import create_view
from threadline.store.states import state
from threadline.store.tables import ONE_NODE

PROJECT_ID = "benchmark"
# Of each user, as many page views on the device, then identify calls.
PAGE_VIEWS, IDENTIFIES = 8, 2
EVERY_EVENT = f"""
INSERT INTO events (
    project_id, timestamp, event_id, event_name, anonymous_id, anonymous_id_generated, user_id,
    session_id, source, medium, source_confidence, source_rule_id, url, path, properties,
    received_at, channel
)
SELECT '{PROJECT_ID}', toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + user * 60 + nth,
    concat('e', toString(number)), if(nth < {PAGE_VIEWS}, '$pageview', '$identify'),
    concat('device ', hex(sipHash64(user))), FALSE, if(nth < {PAGE_VIEWS}, NULL, user_id),
    concat('s', toString(user)), if(user % 3 = 0, 'google', 'direct'),
    if(user % 3 = 0, 'organic', 'direct'), 'high', 'utm', 'https://shop.example/a', '/a',
    if(nth < {PAGE_VIEWS}, '{{}}', concat(
        '{{"email":"', first, '.', last, toString(user), '@example.com","name":"', first, ' ', last,
        '","plan":"', ['free', 'pro', 'team'][1 + (user + nth) % 3], '","seats":',
        toString(user % 50), '}}'
    )),
    toDateTime64('2026-06-01 00:00:00', 3, 'UTC'), if(user % 3 = 0, 'Organic Search', 'Direct')
FROM (
    SELECT number, intDiv(number, {PAGE_VIEWS + IDENTIFIES}) AS user,
        number % {PAGE_VIEWS + IDENTIFIES} AS nth, concat('user_', toString(user)) AS user_id,
        ['Ann', 'Ben', 'Cyd', 'Dan', 'Eve', 'Fay', 'Gus', 'Hal'][1 + sipHash64(user) % 8] AS first,
        concat(
            ['Mil', 'Har', 'Car', 'Bak', 'Tay'][1 + sipHash64(user, 1) % 5],
            ['ler', 'son', 'ter', 'er', 'lor'][1 + sipHash64(user, 2) % 5]
        ) AS last
    FROM numbers({{first:UInt64}}, {{many:UInt64}})
)"""
AT_ONCE = 100_000
# What is looked for, and of whom it is.
SEARCHES = {
    "user_31415": "one id",
    "miller31415@": "one e-mail",
    "ann harvey": "a fortieth of all names",
    "ann": "an eighth",
    "example.com": "everybody",
    "team": "a third, by what was said last",
    "nobody at all": "nobody",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=200_000, help="of the log to insert")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--keep", action="store_true", help="keep the data folder for another run")
    options = parser.parse_args()
    folder = OUT / f"user-search-{options.users}"
    report = Report(f"user-search-{options.users}", users=f"{options.users:,}")
    is_new = not folder.exists()
    with Store(store_url("chdb", folder), query_seconds=300) as store:
        if is_new:
            load(store, options.users)
        keeper = Keeper(
            store, beside=lambda work: work()
        )  # owners of devices in memory, as the server asks
        for policy in ("any", "next"):
            context = Context(store, PROJECT_ID, policy, keeper=keeper)
            asks: list[Callable[[], object]] = [
                partial(users.ask, context, users_shapes.UsersParams(search=text))
                for text in SEARCHES
            ]
            for (text, of), took_s in zip(
                SEARCHES.items(), medians_s(asks, options.runs), strict=True
            ):
                report.row(f"search={text}, stitch={policy}", ms(took_s), of, "", "≤ 100 ms")
    with tempfile.TemporaryDirectory() as scratch:
        report_cost(report, Path(scratch), options.events, options.runs)
    report.save()
    if not options.keep:
        shutil.rmtree(folder)


def load(store: Store, many: int) -> None:
    """Insert so many users."""
    rows = many * (PAGE_VIEWS + IDENTIFIES)
    for first in range(0, rows, AT_ONCE):
        store.execute(EVERY_EVENT, {"first": first, "many": min(AT_ONCE, rows - first)})


COPIED = (
    "timestamp, event_id, event_name, anonymous_id, anonymous_id_generated, user_id, session_id,"
    " source, medium, campaign, source_confidence, source_rule_id, url, path, referrer, country,"
    " device_type, browser, os, properties, received_at, channel, is_bot"
)
COPY = f"""
INSERT INTO events (project_id, {COPIED})
SELECT {{copy:String}}, {COPIED} FROM events WHERE project_id = '{PROJECT_ID}'"""


def report_cost(report: Report, folder: Path, events: int, runs: int) -> None:
    """The same events inserted with the view and without it, in turns."""
    load_events(folder, PROJECT_ID, events, events // 20, 1)
    with Store(store_url("chdb", folder), query_seconds=300) as store:
        store.execute("SYSTEM STOP MERGES")
        took: dict[bool, list[float]] = {True: [], False: []}
        for number in range(2 * runs):
            with_view = number % 2 == 0
            if with_view:
                store.execute(create_view(state("traits"), ONE_NODE))
            else:
                store.execute("DROP VIEW traits_mv SYNC")
            since = time.process_time()
            store.execute(COPY, {"copy": f"copy {number}"})
            took[with_view].append(time.process_time() - since)
        with_s, without_s = (statistics.median(took[each]) for each in (True, False))
        report.row(
            f"inserting {events:,} events, processor time",
            f"{with_s:.2f} s",
            f"without the view {without_s:.2f} s",
            f"{with_s / without_s - 1:+.1%}",
            "≤ 3 %",
        )


if __name__ == "__main__":
    main()
