"""A benchmark of two checkouts, in turns, in one run: has anything become slower?

    python -m benchmarks.before_after stitching --before ../as-it-was -- --events 1000000 --runs 3
    python -m benchmarks.before_after ingest --before ../as-it-was -- --seconds 10

Each checkout runs its own `benchmarks` module, on a copy of its code, so that it may be worked on
meanwhile; before, after, before, after. Of `stitching` each loads its data once, with its own code.
What is compared is what the reports' rows measured.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.checkouts import Checkout
from benchmarks.report import Report

# What a run needs of a checkout; what is not there is left out.
NEEDED = ("pyproject.toml", "src", "tests", "benchmarks")
# Of each module, what it is called with in every round, and before the first.
EVERY_ROUND = {"stitching": ["--keep"]}
ONCE = {"stitching": ["--load"]}
MOST_SLOWER = 1.03
RATE = re.compile(r"[0-9][0-9,]*/s")
NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")
SIDES = ("before", "after")


class Row(NamedTuple):
    """What a row measured: its numbers in turn, and what stands around them."""

    numbers: list[float]
    unit: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", help="of benchmarks, such as stitching")
    parser.add_argument("--before", type=Path, required=True, help="a checkout")
    parser.add_argument("--after", type=Path, default=Path(), help="another; default: this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.epilog = "What both are called with stands behind --."
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, given = parser.parse_args(sys.argv[1:end]), sys.argv[end + 1 :]
    module = f"benchmarks.{options.module}"
    with tempfile.TemporaryDirectory() as name:
        checkouts = {
            side: _copied(Checkout(getattr(options, side)), Path(name) / side) for side in SIDES
        }
        if options.module in ONCE:
            for side, checkout in checkouts.items():
                print(f"{side}: loading", flush=True)
                checkout.python("-m", module, *given, *ONCE[options.module])
        measured: dict[str, dict[str, list[Row]]] = defaultdict(lambda: {s: [] for s in SIDES})
        for turn in range(options.rounds):
            for side, checkout in checkouts.items():
                print(f"round {turn + 1} of {options.rounds}: {side}", flush=True)
                checkout.python("-m", module, *given, *EVERY_ROUND.get(options.module, []))
                for what, row in _rows(checkout):
                    measured[what][side].append(row)
    report = Report(f"before-after-{options.module}", rounds=options.rounds, given=" ".join(given))
    for what, by_side in measured.items():
        _report(report, what, by_side["before"], by_side["after"])
    report.save()


def _copied(checkout: Checkout, to: Path) -> Checkout:
    for name in NEEDED:
        source = checkout.path / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
        elif source.exists():
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to / name)
    return Checkout(to)


def _rows(checkout: Checkout) -> list[tuple[str, Row]]:
    """What the run that has just ended wrote; and the file is gone, for the next."""
    (path,) = (checkout.path / "benchmarks" / "out").glob("*.json")
    rows = json.loads(path.read_text())["rows"]
    path.unlink()
    return [
        (
            RATE.sub("…/s", row["what"]),  # measured, too
            Row(
                [float(number.replace(",", "")) for number in NUMBER.findall(row["measured"])],
                NUMBER.sub("…", row["measured"]),
            ),
        )
        for row in rows
    ]


def _report(report: Report, what: str, before: list[Row], after: list[Row]) -> None:
    """A row for each number: the best and the median of each side. Rates are best when high."""
    if not before or not after:
        report.row(what, f"only {'before' if before else 'after'}")
        return
    unit, count = before[0].unit, min(len(row.numbers) for row in (*before, *after))
    for place in range(count):
        ours, theirs = (sorted(row.numbers[place] for row in rows) for rows in (before, after))
        best = max if "/s" in unit else min
        ratio = best(theirs) / best(ours) if best(ours) else 1.0
        slower = 1 / ratio if best is max and ratio else ratio
        report.row(
            f"{what}: {unit}" if count == 1 else f"{what}: number {place + 1} of {unit}",
            f"{best(theirs):,} (median {statistics.median(theirs):,.1f})",
            f"{best(ours):,} (median {statistics.median(ours):,.1f})",
            f"{ratio:.3f}{' SLOWER' if slower > MOST_SLOWER else ''}",
            "± 3 %",
        )


if __name__ == "__main__":
    main()
