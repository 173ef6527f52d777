"""Statements take the relations they name, each once and before what stands on it."""

import pytest

from threadline.identity.compose import bound, compose, fill, read_once, where

RELATIONS = {
    "base": "SELECT 1 AS x",
    "left_side": "SELECT x FROM base",
    "right_side": "SELECT x FROM base",
    "unused": "SELECT 3 AS x",
}


def test_each_relation_once_and_in_order() -> None:
    assert compose("SELECT * FROM left_side JOIN right_side USING x", RELATIONS) == (
        "WITH base AS (\n    SELECT 1 AS x\n"
        "), left_side AS (\n    SELECT x FROM base\n"
        "), right_side AS (\n    SELECT x FROM base\n"
        ")\nSELECT * FROM left_side JOIN right_side USING x"
    )


def test_own_definitions_stand_among_the_others_and_win() -> None:
    sql = """
    WITH own AS (
        SELECT x
        FROM left_side
    ), base AS (
        SELECT 2 AS x
    )
    SELECT x FROM own"""
    assert compose(sql, RELATIONS) == (
        "WITH base AS (\n    SELECT 2 AS x\n"
        "), left_side AS (\n    SELECT x FROM base\n"
        "), own AS (\n    SELECT x\n    FROM left_side\n"
        ")\nSELECT x FROM own"
    )


def test_a_statement_without_relations_stays_as_it_is() -> None:
    assert compose("SELECT x FROM events", RELATIONS) == "SELECT x FROM events"


def test_slots_are_structure_and_values_stay_bound() -> None:
    sql = """
    SELECT '$$identify', {a:String}$more
    FROM t
        $where
    $nothing
    LIMIT $limit"""
    slots = {"more": ", 1", "where": where(["a", "b"]), "nothing": where([]), "limit": 3}
    filled = fill(sql, slots)
    assert filled == (
        "SELECT '$identify', {a:String}, 1\nFROM t\n    WHERE a\n        AND b\nLIMIT 3"
    )
    assert bound(filled, {"a": 1, "b": 2}) == {"a": 1}
    with pytest.raises(KeyError):
        fill(sql, {})


WORK = {
    "rows": "SELECT x FROM events",
    "groups": "SELECT x, count() AS n FROM rows GROUP BY x",
    "one": "SELECT x FROM groups",
    "touches": "SELECT x, min(first_touch) AS first_touch FROM rows GROUP BY x",
}


def test_work_that_others_name_more_often_is_read_once() -> None:
    # `groups` is named once, by a relation that is named twice; rows of a table are read anew.
    sql = compose("SELECT x FROM one\nUNION ALL\nSELECT x FROM one", WORK)
    assert read_once(sql) == sql.replace("groups AS (", "groups AS MATERIALIZED (")
    once = compose("SELECT x FROM one", WORK)
    assert read_once(once) == once


def test_what_the_engine_cannot_read_once_is_read_as_often_as_it_is_named() -> None:
    for asked in (
        # Parts of its tuple would have no names.
        "SELECT x FROM touches\nUNION ALL\nSELECT x FROM touches",
        # A value is found while the statement is planned, when nothing is read yet.
        "SELECT (SELECT count() FROM groups) AS a, (SELECT max(n) FROM groups) AS b",
        "SELECT x FROM groups\nUNION ALL\nSELECT x FROM one WHERE x = (SELECT max(n) FROM one)",
    ):
        sql = compose(asked, WORK)
        assert read_once(sql) == sql
