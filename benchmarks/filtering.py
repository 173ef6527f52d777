"""What filters cost: questions with one and without, in turns; and how fast names and people are
found.

    python -m benchmarks.filtering --events 10000000
"""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from benchmarks.report import OUT, Report, medians_s, ms
from benchmarks.stitching import FUNNEL, load
from threadline.identity.kept import Keeper
from threadline.questions import attribution, attribution_shapes, funnel, stats, stats_shapes
from threadline.questions.context import Context
from threadline.questions.filters import read_filters
from threadline.store import Store, store_url

PROJECT_ID = "benchmark"
ASKED: dict[str, Callable[[Context], object]] = {
    "persons": lambda on: stats.ask(on, stats_shapes.StatsParams(metric="persons")),
    "funnel of three steps": lambda on: funnel.ask(on, FUNNEL),
    "attribution": lambda on: attribution.ask(
        on, attribution_shapes.AttributionParams(conversion="signup")
    ),
}
# Each with what it may cost.
FILTERS = {
    "first.source==facebook": "≤ 1.5 times",
    "did==signup": "≤ 2 times",
    "last.source==facebook": "–",
    "visit.source==facebook": "–",
    "known==true": "–",
    "traits.plan==pro": "–",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="keep the data folder for another run")
    options = parser.parse_args()
    visitors = options.events // 20
    folder = OUT / f"stitching-{options.events}-{visitors}"
    size = folder / "raw_bytes"
    if not size.exists():
        shutil.rmtree(folder, ignore_errors=True)
        size.write_text(str(load(folder, PROJECT_ID, options.events, visitors, 1)))
    report = Report(f"filtering-{options.events}", events=f"{options.events:,}")
    with Store(store_url("chdb", folder), query_seconds=300) as store:
        report_filters(report, store, options.runs)
    report.save()
    if not options.keep:
        shutil.rmtree(folder)


def report_filters(report: Report, store: Store, runs: int) -> None:
    # As the server asks: owners of devices are in memory.
    on = Context(store, PROJECT_ID, "next", keeper=Keeper(store, beside=lambda work: work()))
    for text, target in FILTERS.items():
        for name, ask in ASKED.items():
            narrowed = replace(on, filters=read_filters(text))
            plain_s, narrowed_s = medians_s([partial(ask, on), partial(ask, narrowed)], runs)
            report.row(
                f"{name}, {text}",
                ms(narrowed_s),
                f"all {ms(plain_s)}",
                f"{narrowed_s / plain_s:.2f} times",
                target,
            )


if __name__ == "__main__":
    main()
