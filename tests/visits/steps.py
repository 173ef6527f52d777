"""Random stories of visits: pauses at the very edges, several devices, shared ones."""

import datetime as dt
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.identity import oracle as identity
from tests.identity.steps import Step, decision
from tests.support import Json, Project, Server
from tests.visits import oracle
from threadline.control import Control
from threadline.runtime.socket_store import SocketStore

# Before the clocks of Berlin are put forward and back; half an hour, and nothing special.
STARTS = [
    dt.datetime(2026, 3, 28, 20, 59, 59, 999_000, dt.UTC),
    dt.datetime(2026, 10, 24, 20, 47, tzinfo=dt.UTC),
    dt.datetime(2026, 5, 1, 10, 30, tzinfo=dt.UTC),
]
MINUTE = 60_000
TIMEOUTS = [5, 29, 30, 31, 45, 60, 239, 240]
# In milliseconds: what may end a visit, a bounce, a return or a look-back, and just not.
PAUSES = [
    *(0, 0, 0, 1, 5_000, 9_999, 10_000, 2 * MINUTE, 2 * MINUTE),
    *(limit * MINUTE + more for limit in (5, 29, 30, 45, 60, 240) for more in (-1, 0, 1)),
    *(11 * MINUTE, 20 * MINUTE, 25 * MINUTE, 25 * MINUTE, 25 * MINUTE),
    *(3 * 60 * MINUTE, 12 * 60 * MINUTE, 24 * 60 * MINUTE, 31 * 24 * 60 * MINUTE),
]
# A project may name its own places where people are sent in the middle of something.
RULES = """
- id: back
  when: {referrer: login.example}
  source: own
  medium: return
"""
SHOP = "https://shop.example"
# What an event says of where it comes from.
KINDS: dict[str, Json] = {
    "page": {"url": SHOP},
    "inner": {"url": SHOP, "referrer": f"{SHOP}/before"},
    "ad": {"url": SHOP, "query": "?utm_source=facebook&utm_medium=cpc"},
    "campaign": {"url": SHOP, "query": "?utm_source=facebook&utm_medium=cpc&utm_campaign=may"},
    "search": {"url": SHOP, "referrer": "https://www.google.com/"},
    "back": {"url": SHOP, "referrer": "https://login.example/done"},
    "sign-in": {"url": SHOP, "referrer": "https://accounts.google.com/"},
    "paid": {"url": SHOP, "referrer": "https://www.paypal.com/checkoutnow"},
    "nowhere": {},
}

Told = tuple[int, str, str, str, str | None, str | None, int]
told = st.tuples(
    st.sampled_from(PAUSES),
    st.sampled_from(["page", "page", "inner", "inner", *KINDS]),
    st.sampled_from(
        ["$pageview", "$pageview", "$pageview", "click", "signup", "signup", "$screen"]
    ),
    st.sampled_from(["/", "/a", "/b"]),
    st.sampled_from([None, "phone", "phone", "laptop", "kiosk", "kiosk", "kiosk"]),
    st.sampled_from([None, None, None, None, "ada", "bob", "Ada"]),
    st.integers(0, 9),
)


def log_of(start: dt.datetime, story: Sequence[Told]) -> list[oracle.Event]:
    """The events, in order of time; their ids are in another one."""
    at, log = start, []
    for number, (pause, kind, event, path, device, user, value) in enumerate(story):
        at += dt.timedelta(milliseconds=pause)
        log.append(
            {
                "id": f"e{number * 7 % 101:03}",
                "t": at,
                "event": event,
                "a": device,
                "u": user,
                "kind": kind,
                "at_path": path,
                "value": value,
            }
        )
    return log


@st.composite
def stories(draw: st.DrawFn) -> list[Step]:
    """Events in any order of arrival, decisions between them."""
    log = log_of(draw(st.sampled_from(STARTS)), draw(st.lists(told, min_size=1, max_size=40)))
    draw(st.randoms(use_true_random=False)).shuffle(log)
    steps: list[Step] = []
    while log:
        size = draw(st.integers(1, 30))
        steps += [log[:size], *draw(st.lists(decision, max_size=2))]
        log = log[size:]
    return steps


def wire(event: oracle.Event) -> Json:
    kind = KINDS[event["kind"]]
    sent: Json = {
        "event": event["event"],
        "event_id": event["id"],
        "timestamp": event["t"].isoformat(),
        "anonymous_id": event["a"],
        "user_id": event["u"],
        "properties": {"value": event["value"]},
    }
    if "url" in kind:
        sent["url"] = f"{kind['url']}{event['at_path']}{kind.get('query', '')}"
    if "referrer" in kind:
        sent["referrer"] = kind["referrer"]
    return sent


def shop(server: Server) -> Project:
    """A project with rules of its own."""
    project = Project(server)
    with Control(server.folder) as control:
        control.set_site(project.project_id, rules=RULES)
    return project


def set_timeout(server: Server, project: Project, minutes: int) -> dt.timedelta:
    with Control(server.folder) as control:
        control.set_visit_timeout(project.project_id, minutes)
    return dt.timedelta(minutes=minutes)


STORED = """
SELECT event_id, toString(visitor) AS visitor, toString(traffic_source) AS place,
    anonymous_id, toString(source) AS source, toString(medium) AS medium,
    toString(campaign) AS campaign, toString(channel) AS channel,
    toString(source_rule_id) AS rule, path, toString(country) AS country
FROM events
WHERE project_id = {project_id:String}"""
# As any direct event has it.
DIRECT_PLACE = "SELECT toString(cityHash64('direct', 'direct', '', 'Direct') * 2 + 1) AS place"


class Stored:
    """What the classifier made of the events, whose own tests are elsewhere."""

    def __init__(self, server: Server, project: Project) -> None:
        store = SocketStore(server.folder)
        (direct,) = store.query(DIRECT_PLACE, {})
        self.direct_place = int(direct["place"])
        rows = store.query(STORED, {"project_id": project.project_id})
        self.rows = {row["event_id"]: row for row in rows}

    def world(self, timeout: dt.timedelta) -> oracle.World:
        return oracle.World(timeout, self.direct_place)

    def known(self, log: Sequence[oracle.Event]) -> list[oracle.Event]:
        """The events, each once, with all that an oracle wants."""
        return [self._known(event) for event in identity.once(list(log))]

    def _known(self, event: oracle.Event) -> oracle.Event:
        row = self.rows[event["id"]]
        about = {name: row[name] for name in "source medium campaign channel path country".split()}
        return {
            **event,
            **about,
            "visitor": int(row["visitor"]),
            "place": int(row["place"]),
            "on_page": row["rule"] != "no_page",
            # Without a device, what lies at a user is together.
            "device": event["a"] or (f"at {event['u']}" if event["u"] else row["anonymous_id"]),
        }
