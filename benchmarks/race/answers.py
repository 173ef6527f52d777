"""Are the answers the same? Nothing is timed before that."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from math import isclose
from typing import Any

from benchmarks.race.engines import Engine
from benchmarks.race.questions import Asked
from benchmarks.race.rows import Row

# Averages and percentiles differ in their last bits, and databases that keep microseconds differ
# from those that keep milliseconds.
TOLERANCE = 1e-6
SHOWN = 3


def compare(
    engines: Sequence[Engine], every: Sequence[Asked], users: Sequence[str]
) -> tuple[int, list[str]]:
    """These questions to every engine, about each of these users where one is about a user. How
    many answers were compared with those of the first engine, and a sentence for each that
    differs."""
    found: list[str] = []
    count = 0
    with ThreadPoolExecutor(len(engines)) as pool:
        for asked in every:
            for user in users if asked.question.is_about_one else users[:1]:
                ask = partial(_rows, asked, user)
                ours, *others = pool.map(ask, engines)
                about = f" of {user}" if asked.question.is_about_one else ""
                for engine, theirs in zip(engines[1:], others, strict=True):
                    count += 1
                    if difference := differ(ours, theirs, asked.question.in_order):
                        found.append(f"{asked.name}{about}, {engine.title}: {difference}")
    return count, found


def _rows(asked: Asked, user: str, engine: Engine) -> list[Row]:
    return engine.rows(asked, user)


def differ(ours: list[Row], theirs: list[Row], in_order: bool) -> str:
    """How they differ, or nothing. Of theirs, only as many columns count as ours have."""
    one, other = ([_plain(row) for row in rows] for rows in (ours, theirs))
    other = [row[: len(one[0])] for row in other] if one else other
    if not in_order:
        one, other = sorted(one, key=repr), sorted(other, key=repr)
    if not one:
        return "nothing was answered, so nothing was compared"
    if len(one) == len(other) and all(map(_same, one, other)):
        return ""
    pairs = [pair for pair in zip(one, other, strict=False) if not _same(*pair)][:SHOWN]
    shown = "; ".join(f"{mine} and {yours}" for mine, yours in pairs)
    return f"{len(one)} and {len(other)} rows, of which differ {shown or 'the last'}"


def _plain(row: Row) -> Row:
    """Numbers as numbers, rows in rows laid flat."""
    flat: list[Any] = []
    for value in row:
        flat += value if isinstance(value, list) else [value]
    return tuple(float(v) if isinstance(v, int | float | Decimal) else v for v in flat)


def _same(one: Row, other: Row) -> bool:
    return len(one) == len(other) and all(map(_equal, one, other))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)
