"""What `docs/identity.md` says that each world would have answered is what it answers."""

import re

import pytest

from tests.support import ROOT, Json, Project, Server
from threadline.contract.policies import POLICIES

PAGE = (ROOT / "docs" / "identity.md").read_text()
SECTION = PAGE.split("\n## What each world would have answered\n")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| `(\w+)` \| (.*) \|$", SECTION, re.MULTILINE)
TABLE = {policy: tuple(cells.split(" | ")[:4]) for policy, cells in ROWS}

AD = "https://shop.example/?utm_source=facebook&utm_medium=paid"
SEARCH = "https://shop.example/?utm_source=google&utm_medium=organic"
# Day, event, device, user and address.
Story = list[tuple[int, str, str, str | None, str | None]]
TWO_DEVICES: Story = [
    (5, "$pageview", "phone", None, AD),
    (7, "$pageview", "phone", None, None),
    (8, "$pageview", "laptop", None, SEARCH),
    (9, "signup", "laptop", "user_1", None),
    (10, "login", "phone", "user_1", None),
    (11, "$pageview", "phone", None, None),
]
KIOSK: Story = [
    (1, "browse", "kiosk", None, None),
    (2, "login", "kiosk", "ada", None),
    (3, "browse", "kiosk", None, None),
    (4, "login", "kiosk", "bob", None),
    (5, "browse", "kiosk", None, None),
]


def told(project: Project, story: Story) -> Project:
    names = ("timestamp", "event", "anonymous_id", "user_id", "url")
    events: list[Json] = [dict(zip(names, event, strict=True)) for event in story]
    for event in events:
        day = event["timestamp"]
        event |= {"event_id": str(day), "timestamp": f"2026-05-{day:02}T10:00:00Z"}
    project.batch(events)
    return project


def persons(project: Project, policy: str) -> str:
    reply = project.get("/v1/stats", metric="persons", stitch=policy)
    if reply.status == 400:
        assert reply.error == "stitch_not_a_partition"
        return "not counted"
    (row,) = reply.json["rows"]
    return str(row["value"])


def test_every_policy_is_in_the_table() -> None:
    assert tuple(TABLE) == POLICIES


@pytest.mark.parametrize("policy", POLICIES)
def test_what_each_world_answers(server: Server, policy: str) -> None:
    devices, kiosk = told(Project(server), TWO_DEVICES), told(Project(server), KIOSK)
    touch = devices.ask("/v1/users/user_1", stitch=policy)["first_touch"]
    of_bob = kiosk.ask("/v1/users/bob", stitch=policy)["first_touch"]
    assert TABLE[policy] == (
        {"facebook": "the ad", "direct": "direct"}[touch["source"]],
        persons(devices, policy),
        of_bob["event_id"],
        persons(kiosk, policy),
    )
