"""The race is a judge: what it compares, and that it sees a difference."""

import pytest
from benchmarks.race import sql
from benchmarks.race.answers import differ
from benchmarks.race.questions import Asked, everything
from benchmarks.race.rows import Row

ENGINES = ("clickhouse", "duckdb", "postgres")
ONE: list[Row] = [("google", 2, 1.5), ("direct", 1, 0.25)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("asked", everything(), ids=lambda asked: asked.name)
def test_every_engine_has_every_question(engine: str, asked: Asked) -> None:
    statement = sql.question(engine, asked)
    assert "$owned" not in statement
    assert "$visits" not in statement


def test_the_policies_are_different_sql_where_people_are_counted() -> None:
    for engine in ENGINES:
        by_question: dict[str, set[str]] = {}
        for asked in everything():
            by_question.setdefault(asked.question.sql, set()).add(sql.question(engine, asked))
        assert len(by_question["persons_by_day"]) == 2
        assert len(by_question["journey"]) == 1


@pytest.mark.parametrize(
    "theirs",
    [
        ONE,
        [*reversed(ONE)],
        [("google", 2.0, 1.5), ("direct", 1, 0.25 + 1e-9)],
        [("google", 2, 1.5, "more"), ("direct", 1, 0.25, "columns")],
        [("google", [2, 1.5]), ("direct", [1, 0.25])],
    ],
)
def test_the_same_answer_in_another_order_or_form(theirs: list[Row]) -> None:
    assert differ(ONE, theirs, in_order=False) == ""


@pytest.mark.parametrize(
    "theirs",
    [
        [],
        ONE[:1],
        [*ONE, ONE[0]],
        [("google", 2, 1.5), ("direct", 1, 0.26)],
        [("google", 2, 1.5), ("direct", 2, 0.25)],
        [("google", 2, 1.5), (None, 1, 0.25)],
        [("google", 2), ("direct", 1)],
    ],
)
def test_another_answer(theirs: list[Row]) -> None:
    assert differ(ONE, theirs, in_order=False)


def test_order_where_it_is_part_of_the_answer() -> None:
    assert differ([("a",), ("b",)], [("a",), ("b",)], in_order=True) == ""
    assert "2 and 2 rows" in differ([("a",), ("b",)], [("b",), ("a",)], in_order=True)


def test_an_empty_answer_is_no_answer() -> None:
    assert differ([], [], in_order=False)
