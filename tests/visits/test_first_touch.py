"""Each way in which products lose the first touch, and that it is not lost here.

`docs/first-touch.md` names them; a test holds its table to this file.
"""

import re

from tests.support import ROOT, Json, Project

AD = "https://shop.example/?gclid=1"
SHOP = "https://shop.example/"


def event(number: int, at: str, **fields: object) -> Json:
    return {"event": "$pageview", "event_id": f"e{number}", "timestamp": f"2026-05-{at}Z", **fields}


def send(project: Project, sent: Json) -> None:
    assert project.post("/v1/track", sent).status == 202


def first_touch(project: Project, user_id: str = "ada", **params: object) -> tuple[str, str]:
    touch = project.ask(f"/v1/users/{user_id}", **params)["first_touch"]
    (row,) = (
        row for row in project.ask("/v1/users", **params)["rows"] if row["user_id"] == user_id
    )
    assert {name: row["first_touch"][name] for name in ("event_id", "source", "timestamp")} == {
        name: touch[name] for name in ("event_id", "source", "timestamp")
    }
    return touch["event_id"], touch["source"]


def test_a_merge_takes_the_earlier(project: Project) -> None:
    """The account was made on the phone; the laptop saw the ad before."""
    send(project, event(1, "02T10:00", anonymous_id="phone", url=SHOP))
    send(project, event(2, "02T10:05", anonymous_id="phone", user_id="ada", url=SHOP))
    assert first_touch(project) == ("e1", "direct")
    send(project, event(3, "01T10:00", anonymous_id="laptop", url=AD))
    send(project, event(4, "03T10:00", anonymous_id="laptop", user_id="ada", url=SHOP))
    assert first_touch(project) == ("e3", "google")


def test_history_that_comes_later_counts(project: Project) -> None:
    send(project, event(1, "10T10:00", anonymous_id="laptop", user_id="ada", url=SHOP))
    assert first_touch(project) == ("e1", "direct")
    send(project, event(2, "01T10:00", anonymous_id="laptop", url=AD))
    assert first_touch(project) == ("e2", "google")


def test_a_second_identify_changes_nothing(project: Project) -> None:
    send(project, event(1, "01T10:00", anonymous_id="laptop", url=AD))
    for day in ("02", "03"):
        reply = project.post("/v1/identify", {"anonymous_id": "laptop", "user_id": "ada"})
        assert reply.status == 200
        send(project, event(int(day), f"{day}T10:00", anonymous_id="laptop", url=SHOP))
    project.post("/v1/identify", {"anonymous_id": "phone", "user_id": "ada"})
    assert first_touch(project) == ("e1", "google")


def test_logging_out_loses_nothing(project: Project) -> None:
    """The device keeps its id, and whoever signs in on it next has their own past only."""
    send(project, event(1, "01T10:00", anonymous_id="laptop", url=AD))
    send(project, event(2, "01T10:05", anonymous_id="laptop", user_id="ada", url=SHOP))
    send(project, event(3, "02T10:00", anonymous_id="laptop", url=SHOP))
    send(project, event(4, "02T10:05", anonymous_id="laptop", user_id="ada", url=SHOP))
    assert first_touch(project) == ("e1", "google")
    send(project, event(5, "03T10:00", anonymous_id="laptop", url=SHOP))
    send(project, event(6, "03T10:05", anonymous_id="laptop", user_id="bob", url=SHOP))
    assert first_touch(project, stitch="next") == ("e1", "google")
    assert first_touch(project, "bob", stitch="next") == ("e5", "direct")


def test_a_server_that_speaks_first_takes_no_credit(project: Project) -> None:
    """The account exists before the page says anything."""
    send(project, event(1, "01T09:00", user_id="ada") | {"event": "account_created"})
    assert first_touch(project) == ("e1", "direct")
    send(project, event(2, "01T09:01", anonymous_id="laptop", url=AD))
    send(project, event(3, "01T09:05", anonymous_id="laptop", user_id="ada", url=SHOP))
    assert first_touch(project) == ("e2", "google")
    assert project.ask("/v1/users/ada")["known_since"] == "2026-05-01T09:00:00.000Z"


def test_an_event_that_comes_late_still_comes_first(project: Project) -> None:
    """And as of before it came, the answer is what it was."""
    send(project, event(1, "02T10:00", anonymous_id="phone", user_id="ada", url=SHOP))
    (stored,) = project.get("/v1/export").body.decode().splitlines()
    assert first_touch(project) == ("e1", "direct")
    received = re.search(r'"received_at":"([^"]+)"', stored)
    assert received
    send(project, event(2, "01T10:00", anonymous_id="phone", url=AD))
    assert first_touch(project) == ("e2", "google")
    assert first_touch(project, as_of=received[1]) == ("e1", "direct")


NAMED = re.findall(r"`(test_\w+)` \|", (ROOT / "docs" / "first-touch.md").read_text())


def test_the_document_names_what_is_here() -> None:
    ours = {name for name in globals() if name.startswith("test_") and "document" not in name}
    assert set(NAMED) == ours
