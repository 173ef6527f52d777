"""Markdown, ready for RESULTS.md."""

from collections.abc import Sequence

from benchmarks.race.turns import Timed, Turns


def head(titles: Sequence[str]) -> str:
    """`titles`: of the engines, Threadline first."""
    first, *others = titles
    names = ["question", f"{first}, ms", "asked again, nothing new", *others]
    return "\n".join(map(_line, (names, ["---"] * len(names))))


def row(name: str, titles: Sequence[str], found: Turns) -> str:
    first, *others = titles
    ours = found.asked[first]
    cells = [name, _cell(ours), _cell(found.again)]
    for title in others:
        theirs = found.asked[title]
        cells.append(f"{_cell(theirs)}: {ours.wall_ms / theirs.wall_ms:.2f} ×")
    return _line(cells)


def _cell(timed: Timed) -> str:
    return f"{_ms(timed.wall_ms)} ({_ms(timed.cpu_ms)})"


def _ms(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
