"""An answer belongs to its question: rows of another one are never taken for it."""

from collections.abc import Iterator

import pytest

from threadline.identity.reading import Reading, WrongAnswer, of_project
from threadline.store import Params, Row, Store

NUMBERS = "SELECT number AS n FROM numbers({many:UInt8})"


class Late(Store):
    """Answers each query with the rows of the one before, as a handle does that has some left."""

    left: list[Row] | None = None

    def query(self, sql: str, params: Params) -> list[Row]:
        found = super().query(sql, params)
        given, self.left = self.left, found
        return found if given is None else given


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    with Late(f"chdb://{tmp_path_factory.mktemp('reading')}") as opened:
        yield opened


def test_the_answer_is_that_of_the_question(store: Late) -> None:
    reading = Reading(store, "alpha")
    store.left = None
    assert reading.query(NUMBERS, {"many": 2}) == [{"n": 0}, {"n": 1}]
    store.left = None
    assert reading.query(f"  SELECT DISTINCT n % 2 AS n FROM ({NUMBERS})", {"many": 2}) == [
        {"n": 0},
        {"n": 1},
    ]


def test_rows_of_another_question_are_refused(store: Late) -> None:
    alpha, beta = Reading(store, "alpha"), Reading(store, "beta")
    for second, sql in ((beta, NUMBERS), (alpha, NUMBERS), (beta, "SELECT 1 AS other")):
        store.left = None
        assert alpha.query(NUMBERS, {"many": 1}) == [{"n": 0}]
        with pytest.raises(WrongAnswer):
            second.query(sql, {"many": 1})
    store.left = [{"n": 0}]
    with pytest.raises(WrongAnswer):
        beta.query(NUMBERS, {"many": 1})


def test_of_several_each_is_looked_at(store: Late) -> None:
    reading = Reading(store, "alpha")
    store.left = [{"n": 7}]
    with pytest.raises(WrongAnswer):
        reading.query_all((NUMBERS, {"many": 1}), (NUMBERS, {"many": 2}))


def test_another_projects_question_is_not_even_asked(store: Late) -> None:
    with pytest.raises(WrongAnswer):
        Reading(store, "alpha").query(NUMBERS, {"many": 1, "project_id": "beta"})


def test_events_say_whose_they_are() -> None:
    with pytest.raises(WrongAnswer):
        of_project([{"project_id": "alpha"}, {"project_id": "beta"}], "alpha")
    of_project([{"project_id": "alpha"}], "alpha")
