"""The flows of `docs/identity-tables.md`: whose their events are is what a server answers.

Most are logs of `identity.json`, which `test_vectors.py` sends; the others are sent here.
"""

import pytest
from tools import identity_tables
from tools.identity_tables import Flow

from tests.identity.test_vectors import ORDERS, wire
from tests.support import ROOT, Json, Project, ids
from threadline.contract.policies import POLICIES

FLOWS = identity_tables.flows()
OWN = [flow for flow in FLOWS if not flow.vector]


def wired(event: Json) -> Json:
    """What a server sends of itself has neither a device nor a page."""
    sent = wire(event)
    left_out = () if event["a"] else ("anonymous_id", "url")
    return {name: value for name, value in sent.items() if name not in left_out}


@pytest.mark.parametrize("order", ["given", "reversed"])
@pytest.mark.parametrize("flow", OWN, ids=lambda flow: flow.title)
def test_owners_are_those_of_the_page(project: Project, flow: Flow, order: str) -> None:
    for event in ORDERS[order](flow.events):
        assert project.post("/v1/track", wired(event)).status == 202
    for user, other in flow.aliases:
        declared = {"user_id": user, "alias_of": other}
        assert project.change("PUT", "/v1/identity/aliases", declared).status == 200
    for policy in POLICIES:
        expected: dict[str, set[str]] = {}
        for event_id, owners in flow.owners[policy].items():
            for owner in owners:
                expected.setdefault(owner, set()).add(event_id)
        found = {user: set(ids(project.journey(user, stitch=policy))) for user in expected}
        assert found == expected, policy
        assert len(project.pages("/v1/users", stitch=policy)) == len(expected)


@pytest.mark.parametrize(
    ("title", "source"),
    [("Older history is imported later", "google"), ("The server speaks first", "facebook")],
)
def test_a_first_touch_is_what_the_page_says(project: Project, title: str, source: str) -> None:
    (flow,) = [flow for flow in OWN if flow.title == title]
    for event in flow.events:
        assert project.post("/v1/track", wired(event)).status == 202
    assert project.ask("/v1/users/user_1")["first_touch"]["source"] == source


def test_every_flow_is_on_the_page_under_every_policy() -> None:
    page = (ROOT / "docs" / "identity-tables.md").read_text()
    assert len(FLOWS) >= 15
    assert identity_tables.POLICIES == POLICIES
    for flow in FLOWS:
        assert f"\n## {flow.title}\n" in page
        assert set(flow.owners) == set(POLICIES)
        assert all(set(owned) == {e["id"] for e in flow.events} for owned in flow.owners.values())
