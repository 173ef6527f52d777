"""Functions that people may use in SQL: a list, held against the engine in both directions."""

import pytest
from tools.sql_functions import functions

from threadline.questions.statement import FUNCTIONS, is_allowed

ALLOWED, OUTSIDE = functions()


def test_the_list_is_what_the_engine_has_but_for_what_looks_outside() -> None:
    """With another engine: `python -m tools.sql_functions`, and look at what it adds."""
    assert sorted(FUNCTIONS) == ALLOWED
    assert [name for name in OUTSIDE if is_allowed(name)] == []


@pytest.mark.parametrize("name", ["sumIf", "uniqExactArrayIf", "CAST", "countDistinctIf", "lambda"])
def test_what_the_engine_makes_of_a_function_is_allowed(name: str) -> None:
    assert is_allowed(name)


@pytest.mark.parametrize(
    "name",
    [
        *("file", "FILE", "dictGetOrNull", "joinGet", "sleepEachRow", "hostName", "version"),
        *("getSetting", "currentUser", "fileIf", "aiClassify", "fuzzQuery", "ofTheNextEngine"),
    ],
)
def test_what_looks_outside_is_not(name: str) -> None:
    assert not is_allowed(name)
