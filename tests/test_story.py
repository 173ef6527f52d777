"""The story Threadline exists for, told over HTTP. It is also the first example of the README."""

import json

from tests.support import ROOT, Json, Project, ids

STORY: list[Json] = json.loads((ROOT / "examples" / "story.json").read_text())["events"]


def tell(project: Project) -> None:
    """Send the story, one request an event."""
    for number, event in enumerate(STORY, start=1):
        project.track(**{**event, "event_id": f"e{number}"})


def test_an_ad_on_friday_is_credited_with_the_signup_six_days_later(project: Project) -> None:
    tell(project)

    profile = project.ask("/v1/users/user_42")
    touch = profile["first_touch"]
    assert (touch["source"], touch["medium"], touch["campaign"]) == ("facebook", "paid", "spring")
    assert touch["timestamp"] == "2026-05-01T14:00:00.000Z"
    assert touch["referrer"] == "https://l.facebook.com/"
    assert profile["known_since"] == "2026-05-07T11:13:00.000Z"
    assert [device["anonymous_id"] for device in profile["devices"]] == ["u_abc"]
    assert profile["shared_devices"] == []

    before = project.ask("/v1/users/user_42/events", phase="before")
    assert ids(before["rows"]) == ["e1", "e2", "e3"]
    after = project.ask("/v1/users/user_42/events", phase="after")
    assert ids(after["rows"]) == ["e4", "e5", "e6"]

    waited = project.ask("/v1/time-to-conversion", conversion="signup", user_id="user_42")
    days, hours, minutes = 5, 21, 14
    assert waited["seconds"] == ((days * 24 + hours) * 60 + minutes) * 60
    everyone = project.ask("/v1/time-to-conversion", conversion="signup", group_by="source,medium")
    assert [(row["source"], row["medium"], row["persons"]) for row in everyone["rows"]] == [
        ("facebook", "paid", 1)
    ]

    # The stitch is a join: what was stored anonymously stays so.
    stored = {row["event_id"]: row for row in project.stored()}
    assert [stored[f"e{n}"]["user_id"] for n in range(1, 7)] == [None] * 3 + ["user_42"] * 3
    assert stored["e1"]["source_rule_id"] == "fbclid_from_link_shim"
    assert stored["e2"]["source_rule_id"] == "paid_utm_facebook"
