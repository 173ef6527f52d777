"""The questions in SQL: files in `sql/`, in a folder for each engine, and in `common` what all take
alike. `$owned` is filled with whose each event is, `$visits` with the visits cut out of that."""

from functools import cache
from pathlib import Path
from string import Template
from textwrap import indent

from benchmarks.race.questions import Asked

FOLDER = Path(__file__).parent / "sql"


def schema(engine: str) -> str:
    return _text(engine, "schema")


def question(engine: str, asked: Asked) -> str:
    """One statement."""
    slots = {"visits": _text(engine, "visits_of")}
    if asked.policy:
        slots["owned"] = indent(_text(engine, f"owned_{asked.policy}"), "    ").strip()
    # What else begins with a dollar is the engine's own, or the name of an event.
    return Template(_text(engine, asked.question.sql)).safe_substitute(slots)


@cache
def _text(engine: str, name: str) -> str:
    paths = (FOLDER / folder / f"{name}.sql" for folder in (engine, "common"))
    return next(path for path in paths if path.exists()).read_text().strip()
