"""Marks on the store: which of its tables are in the middle of being written anew. A mark is set
before the first statement and struck off after the last, so whoever opens the store finds what a
killed process left, also on another machine. Who works on it, and how far that is, is in the table
of jobs (`jobs/table.py`)."""

import uuid
from collections.abc import Sequence
from string import Template
from typing import NamedTuple

from threadline.store.statements import Statements

REBUILD = "rebuild"
RECLASSIFY = "reclassify"
RETENTION = "retention"

# What is left of each, and what to do about it. Anybody may read it, so it names no project.
LEFT = {
    REBUILD: "The rebuild of {subject} was not finished, so answers about people may be wrong. A"
    " running server finishes it by itself; without one, `threadline rebuild` does.",
    RECLASSIFY: "Some events of a project still have the sources that other rules gave them."
    " `threadline reclassify` for that project continues where it stopped; if it was killed, a"
    " running server does so by itself.",
    RETENTION: "Some events of a project that are older than it keeps them are deleted, but what"
    " was computed from them is not up to date yet. A running server finishes it by itself; without"
    " one, `threadline retention run` does.",
}

# By run, because the clock may go back between the beginning and the end.
PENDING = """
    SELECT run, name, subject, reach, min(at) AS begun
    FROM unfinished_work
    GROUP BY run, name, subject, reach HAVING NOT max(done)"""

UNFINISHED = f"""
    SELECT name, subject, reach, concat(replaceOne(toString(min(begun)), ' ', 'T'), 'Z') AS since
    FROM ({PENDING})
    GROUP BY name, subject, reach
    ORDER BY since, name, subject, reach"""

# A row where a state is half made: for who would rely on it.
HALF_MADE = Template(f"""
    SELECT subject FROM ({PENDING})
    WHERE name = '{REBUILD}' AND subject = '$table' LIMIT 1""")

BEGIN = """
    INSERT INTO unfinished_work (run, name, subject, reach)
    SELECT {run:String}, {name:String}, arrayJoin({subjects:Array(String)}), {reach:String}"""

FINISH = f"""
    INSERT INTO unfinished_work (run, name, subject, reach, done)
    SELECT run, name, subject, reach, TRUE
    FROM ({PENDING})
    WHERE name = {{name:String}} AND subject = {{subject:String}} AND reach >= {{reach:String}}"""


class UnfinishedWork(NamedTuple):
    """Work that was begun and not done. `since`: when it began, ISO 8601; `reach`: how far it goes,
    empty for everything; `left`: what that means and what to do, a sentence or two."""

    name: str
    subject: str
    reach: str
    since: str
    left: str


def begin(store: Statements, name: str, subjects: Sequence[str], reach: str = "") -> None:
    """Write down that this is about to be done with each of them. It is on disk afterwards."""
    bound = {"run": uuid.uuid4().hex, "name": name, "subjects": list(subjects), "reach": reach}
    store.execute(BEGIN, bound)


def finish(store: Statements, name: str, subject: str, reach: str = "") -> None:
    """It is done, and so is what was interrupted of the same before, unless that reached further
    back (`reach` is a moment, ISO 8601, or empty)."""
    store.execute(FINISH, {"name": name, "subject": subject, "reach": reach})


def unfinished(store: Statements) -> list[UnfinishedWork]:
    """What is in the middle, oldest first: being done now, or interrupted. Raises `StoreError`."""
    found = store.query(UNFINISHED, {})
    return [UnfinishedWork(**row, left=LEFT[row["name"]].format(**row)) for row in found]
