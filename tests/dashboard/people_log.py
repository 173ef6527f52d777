"""People with a story, for the pages about people: sent as a server would, in the order in which it
happened."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen

from tests.dashboard.house import House
from tests.support import Json

SITE = "https://calendar.example"
CHROME = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/126.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like"
    " Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
IPAD = IPHONE.replace("iPhone; CPU iPhone OS", "iPad; CPU OS")
HOSTILE = "<img src=x onerror=alert(1)>‮" + "x" * 150 + "</script>"

# Days before now, hour, device, agent, user, and the pages or events, two minutes apart.
MARA: list[tuple[int, int, str, str, str | None, list[str]]] = [
    (26, 9, "m-laptop", CHROME, None, ["/?gclid=abc&utm_campaign=brand", "/security", "/pricing"]),
    (25, 10, "m-laptop", CHROME, None, ["/blog/calendars?utm_source=newsletter", "/features"] * 4),
    (21, 8, "m-laptop", CHROME, None, ["/features", "/pricing", "/customers"]),
    (18, 19, "m-phone", IPHONE, None, ["/?fbclid=x", *["/features", "/pricing"] * 5]),
    (17, 20, "m-phone", IPHONE, None, ["/pricing", "/customers", "/"] * 3),
    # Somebody else of the office signs in on the laptop.
    (14, 11, "m-laptop", CHROME, "jon", ["$identify", "/app", "event_created"]),
    (13, 15, "m-laptop", CHROME, None, ["/app", "/app/week"]),
    (12, 21, "m-phone", IPHONE, "mara", ["$identify", "signup", "/app", "event_created"]),
    (11, 8, "m-tablet", IPAD, None, ["/", "/features", "/pricing"] * 3),
    (8, 9, "m-tablet", IPAD, None, ["/pricing", "/customers"] * 3),
    (6, 9, "m-tablet", IPAD, "mara", ["$identify", "/app", "/app/week", "event_created"]),
    (2, 17, "m-laptop", CHROME, None, ["/", "/login"]),
    (2, 17, "m-laptop", CHROME, "mara", ["$identify", "/app", "purchase", "/app/week"]),
]
TRAITS = {
    "mara": {"name": "Mara Holt", "email": "mara@studio.example", "plan": "pro"},
    "jon": {"name": "Jon Vale", "email": "jon@studio.example", "plan": "free"},
    "lea": {"name": "Lea Brandt", "email": "lea@shop.example"},
    "lea-old": {"name": "Lea B.", "email": "Lea@Shop.example "},
    HOSTILE: {"name": HOSTILE, "email": "h@h.example", "<b>": "<script>window.ran = 1</script>"},
}


def send_people(house: House) -> datetime:
    """Mara's three devices; two ids of one e-mail; and somebody whose every field is hostile.
    Returns a time before which everything but Mara's last visits had been received."""
    now = datetime.now(UTC)
    last = [event for visit in MARA[-3:] for event in _visit(now, *visit)]
    early = [event for visit in MARA[:-3] for event in _visit(now, *visit)]
    for user, device, days in (("lea-old", "l-phone", 20), ("lea", "l-laptop", 9)):
        early += _visit(now, days, 12, device, CHROME, None, ["/?utm_source=bing&utm_medium=cpc"])
        early += _visit(now, days, 13, device, CHROME, user, ["$identify", "signup", "/app"])
    early += _visit(now, 5, 12, "h-1", CHROME, HOSTILE, ["$identify", HOSTILE[:80], "/<script>"])
    _send(house, early)
    between = datetime.now(UTC)
    _send(house, last)
    return between


def _visit(
    now: datetime, days: int, hour: int, device: str, agent: str, user: str | None, did: list[str]
) -> list[Json]:
    at = (now - timedelta(days=days)).replace(hour=hour, minute=4 if user else 0, second=11)
    events: list[Json] = []
    for nth, what in enumerate(did):
        path = what if what.startswith("/") else "/app"
        properties: dict[str, Any] = {}
        if what == "$identify" and user:
            properties = TRAITS[user]
        elif what == "purchase":
            properties = {"value": 96, "currency": "EUR"}
        events.append(
            {
                "event": "$pageview" if what.startswith("/") else what,
                "anonymous_id": device,
                "event_id": f"{device}-{days}-{hour}-{bool(user)}-{nth}",
                "timestamp": (at + timedelta(seconds=100 * nth)).isoformat(),
                "url": SITE + path,
                "user_agent": agent,
                "properties": properties,
            }
            | ({"user_id": user} if user else {})
            | ({} if nth else {"referrer": "https://www.google.com/" if "gclid" in path else ""})
        )
    return events


def batch(house: House, events: list[Json]) -> None:
    """With a key: nobody who is signed in sends events."""
    request = Request(
        f"{house.url}/v1/batch",
        json.dumps({"events": events}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {house.keys['sk']}"},
    )
    with urlopen(request, timeout=60) as response:
        assert response.status == 202


def _send(house: House, events: list[Json]) -> None:
    """And wait until questions see them."""
    batch(house, events)
    for event in events[-1:]:
        house.ask("/v1/identity/explain", event_id=event["event_id"])
