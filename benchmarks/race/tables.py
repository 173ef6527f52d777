"""Markdown, ready for RESULTS.md, and the same as JSON in `benchmarks/out`."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.race.questions import OVERVIEW_NAME, QUESTIONS
from benchmarks.race.turns import Timed, Turns
from benchmarks.report import OUT

# Of questions about people, at so many events and more.
GOALS = (
    (10_000_000, "≤ 500 ms, ≤ 0.5 times DuckDB"),
    (1_000_000, "≤ 1.0 times DuckDB"),
    (0, "≤ 20 ms, ≤ 1.0 times DuckDB and ClickHouse"),
)
OTHER_GOALS = {
    "one user's journey": "≤ 8 ms",
    "one user's profile": "≤ 8 ms",
    "first touch of all users, as a stream": "≤ 1.0 times DuckDB; of 100,000 users ≤ 1.5 s",
    OVERVIEW_NAME: "≤ 60 ms at 5,000 events; again ≤ 8 ms",
}
MOST_NEXT_TO_FIRST = 1.1


def head(titles: Sequence[str]) -> str:
    """`titles`: of the engines, Threadline first."""
    first, *others = titles
    names = ["question", f"{first}, ms", "again, nothing new", *others, "goal"]
    return "\n".join(map(_line, (names, ["---"] * len(names))))


def row(found: Turns, titles: Sequence[str], events: int) -> str:
    """Milliseconds, of CPU in brackets, and how many times as long as another Threadline takes."""
    first, *others = titles
    ours = found.asked[first]
    cells = [found.name, _cell(ours), _cell(found.again)]
    for title in others:
        theirs = found.asked[title]
        cells.append(f"{_cell(theirs)}, {ours.wall_ms / theirs.wall_ms:.2f} times")
    return _line([*cells, _goal(found.name, events)])


def next_to_first(every: Sequence[Turns], title: str) -> str:
    """How many times as long the policy `next` takes as `first`, question by question."""
    of = {found.name: found.asked[title] for found in every}
    said = [
        f"{question.name} {of[f'{question.name}, next'].wall_ms / of[first].wall_ms:.2f}"
        for question in QUESTIONS
        if (first := f"{question.name}, first") in of
    ]
    return f"{title}, `next` : `first` (goal: ≤ {MOST_NEXT_TO_FIRST}): {', '.join(said)}."


def save(every: Sequence[Turns], setting: dict[str, object]) -> Path:
    """All figures; where they are."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"race-{setting['events']}.json"
    rows = [
        {
            "question": found.name,
            "again": found.again._asdict(),
            **{title: timed._asdict() for title, timed in found.asked.items()},
        }
        for found in every
    ]
    path.write_text(json.dumps({"setting": setting, "rows": rows}, indent=1))
    return path


def _goal(name: str, events: int) -> str:
    if name in OTHER_GOALS:
        return OTHER_GOALS[name]
    if not name.endswith((", next", ", first")):
        return "–"
    return next(goal for least, goal in GOALS if events >= least * 0.9)  # less the crawlers' share


def _cell(timed: Timed) -> str:
    return f"{_ms(timed.wall_ms)} ({_ms(timed.cpu_ms)})"


def _ms(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
