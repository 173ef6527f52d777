"""Dead letters, jobs and receipts over HTTP: a project's own, and nothing of whom they are of."""

from contextlib import closing

import pytest

from tests.support import Project, Server, row_values
from threadline.ingest import dead_letters, row
from threadline.ingest.log import open_db
from threadline.jobs import jobs_db, table

LISTS = ("/v1/dead-letters", "/v1/jobs", "/v1/receipts")


@pytest.mark.parametrize("path", LISTS)
def test_who_may_read_them(project: Project, path: str) -> None:
    for key in ("rk", "sk"):
        assert project.get(path, key=key).json["rows"] == []
    assert project.get(path, key="pk").error == "insufficient_scope"
    assert project.send("GET", path).error == "missing_bearer_token"
    for wrong in ({"limit": 0}, {"limit": "all"}, {"project": "x"}):
        assert project.get(path, **wrong).error == "invalid_params"


def refused(project: Project, server: Server, number: int) -> None:
    """An event that the store would not take."""
    body = row.encode(row_values(event_id=f"e{number}", user_id="ada@shop.example"))
    letter = dead_letters.RefusedEvent(
        f"{project.project_id}-{number}", project.project_id, f"e{number}", "odd", body
    )
    with closing(open_db(server.folder)) as db:
        dead_letters.set_aside(db, letter, "It violates a constraint.")


def test_dead_letters_say_why(server: Server, project: Project) -> None:
    other = Project(server)
    for number in (1, 2, 3):
        refused(project, server, number)
    refused(other, server, 4)
    reply = project.get("/v1/dead-letters")
    rows = reply.json["rows"]
    assert reply.json["total"] == 3
    assert {row["event_id"] for row in rows} == {"e1", "e2", "e3"}
    for found in rows:
        assert (found["event"], found["reason"], found["retry"]) == (
            "odd",
            "It violates a constraint.",
            False,
        )
        assert found["refused_at"].endswith("Z")
    assert b"ada@" not in reply.body
    few = project.ask("/v1/dead-letters", limit=1)
    assert (len(few["rows"]), few["total"]) == (1, 3)
    with closing(open_db(server.folder)) as db:
        for letter in dead_letters.listed(db, other.project_id) + dead_letters.listed(
            db, project.project_id
        ):
            dead_letters.drop(db, letter.letter_id)
    assert project.ask("/v1/dead-letters") == {"rows": [], "total": 0}


def test_receipts_and_jobs_never_say_whom(server: Server, project: Project) -> None:
    project.track("visit", anonymous_id="a", user_id="ada@shop.example")
    project.stored()
    receipt_id = project.post("/v1/forget", {"user_id": "ada@shop.example"}).json["receipt_id"]
    reply = project.get("/v1/receipts")
    (found,) = reply.json["rows"]
    assert (found["receipt_id"], reply.json["total"]) == (receipt_id, 1)
    assert found["meaning"]
    assert b"ada@" not in reply.body
    reply = project.get("/v1/jobs")
    (job,) = reply.json["rows"]
    assert (job["job_id"], job["kind"], job["project_id"]) == (
        receipt_id,
        "forget",
        project.project_id,
    )
    assert b"ada@" not in reply.body
    other = Project(server)
    for path in ("/v1/receipts", "/v1/jobs"):
        assert other.ask(path)["rows"] == []


def test_jobs_are_a_projects_own_and_those_of_all(server: Server, project: Project) -> None:
    other = Project(server)
    ids = [f"import-{project.project_id}-{n}" for n in range(4)]
    everybodys = f"rebuild-{project.project_id}"
    with jobs_db(server.folder) as db:
        assert db
        for number, job_id in enumerate(ids):
            table.start(db, job_id, "import", project.project_id, f"{number}.csv", "rows", True)
            table.note(db, job_id, "reading", number, 8)
        table.end(db, ids[:3], "done")
        table.start(db, everybodys, "rebuild", "", "", "", False)
        rows = {row["job_id"]: row for row in project.ask("/v1/jobs")["rows"]}
        assert set(rows) == {everybodys, *ids}
        assert rows[everybodys]["project_id"] is None
        running = rows[ids[3]]
        # Nobody is at work on it.
        assert (running["state"], running["progress"], running["about"]) == (
            "interrupted",
            0.375,
            "3.csv",
        )
        assert rows[ids[0]]["state"] == "done"
        few = [row["job_id"] for row in project.ask("/v1/jobs", limit=1)["rows"]]
        assert set(few) >= {everybodys, ids[3]}
        assert len(few) == 3
        assert [row["job_id"] for row in other.ask("/v1/jobs")["rows"]] == [everybodys]
        db.execute("DELETE FROM jobs WHERE job_id IN (?, ?)", (everybodys, ids[3]))
