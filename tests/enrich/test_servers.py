"""What a server says of itself says nothing of who did it; and what happened on no page is no
visit."""

import pytest

from tests.enrich.test_agents import CHROME, IPHONE
from tests.support import Json, Project, Server

BARRACUDA = f"{CHROME} Barracuda Sentinel (EE)"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
# What the back ends, services and assistants call themselves that send with a secret key.
SENDERS = [
    "Java/17.0.1",
    "WordPress/6.5; https://site.example",
    "Zapier",
    "Make/production",
    "Mozilla/5.0 (compatible; Google-Apps-Script; beanserver; +https://script.google.com)",
    "AppEngine-Google; (+http://code.google.com/appengine; appid: s~shop)",
    "HubSpot Connect 2.0 (http://dev.hubspot.com/)",
    "Shopify-Captain-Hook",
    "SendGrid Event API",
    "Slackbot 1.0 (+https://api.slack.com/robots)",
    "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    "Claude-User/1.0",
    "ChatGPT-User/1.0",
    "python-requests/2.32",
    GOOGLEBOT,
]
LANDING = "https://shop.example/?gclid=1"
AT = "2026-05-04T10:0%d:00Z"
SIGNUP: Json = {"event": "signup", "user_id": "ada", "timestamp": AT % 2}
SEGMENT: Json = {
    "type": "track",
    "event": "signup",
    "userId": "ada",
    "anonymousId": "laptop",
    "messageId": "m1",
    "timestamp": AT % 2,
}


@pytest.mark.parametrize("agent", SENDERS)
def test_a_servers_own_agent_makes_nobody_a_bot(project: Project, agent: str) -> None:
    look = {"event": "look", "anonymous_id": "laptop", "url": LANDING, "user_agent": CHROME}
    project.track(**look, timestamp=AT % 1)
    reply = project.post("/v1/track", {**SIGNUP, "anonymous_id": "laptop"}, User_Agent=agent)
    assert "warnings" not in reply.json
    signup, look = project.stored()
    assert (signup["device_type"], signup["browser"], signup["os"]) == (None, None, None)
    assert (look["device_type"], look["browser"], look["os"]) == ("desktop", "chrome", "windows")
    assert project.ask("/v1/users/ada")["first_touch"]["source"] == "google"
    assert [row["user_id"] for row in project.ask("/v1/users")["rows"]] == ["ada"]
    assert project.ask("/v1/stats", event="signup")["rows"][0]["value"] == 1
    assert project.ask("/v1/stats", metric="persons")["rows"][0]["value"] == 1
    (row,) = project.ask("/v1/attribution", conversion="signup")["rows"]
    assert (row["source"], row["conversions"]) == ("google", 1)
    steps = project.ask("/v1/funnel", steps="look,signup")["rows"][0]["steps"]
    assert [step["persons"] for step in steps] == [1, 1]
    assert len(project.journey("ada")) == 2


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/identify"])
def test_in_every_shape(project: Project, path: str) -> None:
    """Ours, and a Segment library's; an identify call, too."""
    agent = {"User_Agent": "Java/17.0.1"}
    if path == "/v1/identify":
        project.post(path, {"anonymous_id": "laptop", "user_id": "ada"}, **agent)
    elif path == "/v1/batch":
        project.post(path, {"batch": [SEGMENT]}, **agent)
    else:
        project.post("/v1/track", SEGMENT, **agent)
    (row,) = project.stored()
    assert (row["user_id"], row["browser"], row["device_type"]) == ("ada", None, None)
    assert project.ask("/v1/users/ada")["user_id"] == "ada"


def test_an_agent_that_an_event_says_is_a_visitors(project: Project) -> None:
    """The mail scanner that opens every link; in our shape and in Segment's."""
    for agent, reason in ((BARRACUDA, "an e-mail scanner (barracuda)"), (GOOGLEBOT, "a crawler")):
        (warning,) = project.track("open", anonymous_id="d", user_agent=agent)["warnings"]
        assert (warning["field"], warning["code"]) == ("user_agent", "stored_as_bot")
        assert reason in warning["message"]
        assert "include_bots=true" in warning["message"]
    call = {**SEGMENT, "context": {"userAgent": BARRACUDA}}
    (warning,) = project.post("/v1/track", call).json["warnings"]
    assert (warning["index"], warning["code"]) == (0, "stored_as_bot")
    assert project.stored() == []
    found = project.stored(include_bots="true")
    assert {row["browser"] for row in found} == {"barracuda", "googlebot"}
    assert {row["device_type"] for row in found} == {"other"}


def test_a_browser_key_says_who_the_visitor_is(project: Project) -> None:
    agent = f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1"
    project.post("/v1/track", {"event": "x", "user_agent": GOOGLEBOT}, "pk", User_Agent=agent)
    (row,) = project.stored()
    assert (row["device_type"], row["browser"], row["os"]) == ("mobile", "safari", "ios")
    reply = project.post("/v1/track", {"event": "y"}, "pk", User_Agent=GOOGLEBOT)
    assert reply.json["warnings"][0]["code"] == "stored_as_bot"
    assert len(project.stored()) == 1


def test_each_event_of_a_batch_is_counted_by_what_its_bot_is_for(
    server: Server, project: Project
) -> None:
    def counted() -> Json:
        lines = project.get("/metrics").body.decode().splitlines()
        found = [
            line.split(" ") for line in lines if line.startswith("threadline_bot_events_total")
        ]
        return {name.split('"')[1]: float(value) for name, value in found}

    before = counted()
    events: list[Json] = [
        {"event": "a", "user_agent": BARRACUDA},
        {"event": "b", "user_agent": CHROME},
        {"event": "c", "user_agent": GOOGLEBOT},
        {"event": "d", "user_agent": GOOGLEBOT},
        {"event": "e", "user_agent": "Claude-User/1.0"},
    ]
    warnings = project.batch(events)["warnings"]
    assert [warning["index"] for warning in warnings] == [0, 2, 3, 4]
    after = counted()
    added = {reason: after[reason] - before.get(reason, 0) for reason in after}
    assert {reason: more for reason, more in added.items() if more} == {
        "mail_scanner": 1,
        "crawler": 2,
        "ai_agent": 1,
    }


OFF_PAGE: list[Json] = [{}, {"path": "/x"}, {"properties": {"url": "https://shop.example/"}}]
ON_PAGE: list[Json] = [
    {"url": "https://shop.example/"},
    {"referrer": "https://www.google.com/"},
    {"user_agent": CHROME},
    {"user_agent": "somebody's own"},
]


def test_what_happened_on_no_page_came_from_nowhere(project: Project) -> None:
    for number, fields in enumerate(OFF_PAGE + ON_PAGE):
        project.track(str(number), user_id="ada", **fields)
    rules = {int(row["event_name"]): row["source_rule_id"] for row in project.stored()}
    assert [rules[number] == "no_page" for number in range(len(rules))] == [
        *[True] * len(OFF_PAGE),
        *[False] * len(ON_PAGE),
    ]
    row = project.stored(event="0")[0]
    assert (row["source"], row["medium"], row["campaign"]) == ("direct", "direct", None)
    assert row["source_confidence"] == "low"


def test_a_screen_of_an_app_is_looked_at(project: Project) -> None:
    project.post("/v1/screen", {"anonymousId": "phone", "name": "Cart", "messageId": "1"})
    project.track("$screen", anonymous_id="phone")
    assert {row["source_rule_id"] for row in project.stored()} == {"direct"}


def test_a_users_events_of_servers_are_no_devices(project: Project) -> None:
    """Where a generated id stands for no device, the user counts once."""
    events: list[Json] = [{"event": "invoice_paid", "user_id": "u"} for _ in range(10)]
    project.batch(events)
    assert project.ask("/v1/stats", metric="uniques")["rows"] == [{"value": 1}]
    assert project.ask("/v1/stats", metric="uniques", exact="false")["rows"] == [{"value": 1}]
    assert project.ask("/v1/sources")["rows"][0]["uniques"] == 1
    project.batch([{"event": "open"}, {"event": "open"}])
    assert project.ask("/v1/stats", metric="uniques")["rows"] == [{"value": 3}]
    found = project.ask("/v1/identity/stats")
    assert (found["persons"], found["users"], found["links"]) == (3, 1, 0)
