"""Random stories with all that filters speak of, odd signs included, and random filters."""

import datetime as dt
import json
from collections import defaultdict
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from tests.identity import oracle as identity
from tests.identity.steps import Decision, Timestamp, decide, tick
from tests.questions import filters_oracle as oracle
from tests.support import Json, Project, Server
from tests.visits.oracle import Event
from tests.visits.oracle import World as Cut
from threadline.runtime.socket_store import SocketStore

COUNTRY = "X-Country"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36"
)
ODD = ["a;b", "a|b", "a\\b", "100%_*?", 'O\'Brien "x"', "früh ☕", "x=y", "{a}$b", " blank "]
USERS = ["ada", "bob;x", "O'Brien|\\", 'Ünï "%_*']
DEVICES = ["phone", "kiosk", "lap;top\\"]
NAMES = ["$pageview", "signup", "purchase", "buy; now|a\\b", "100%_*'\""]
PATHS = ["/", "/docs/a", "/docs/b;c|d", "/100%25_*", "/%C3%BC/\\x'"]
CAMPAIGNS = ["spring", "sale; 50%|*", "o'clock\\", "frühling"]
# What an event says of where it comes from.
COMES: list[Json] = [
    *({}, {}),
    {"utm_source": "facebook", "utm_medium": "cpc"},
    {"utm_source": "facebook", "utm_medium": "cpc", "utm_term": "a|b; c", "utm_content": "x'y"},
    {"utm_source": "newsletter", "utm_medium": "email"},
    {"utm_source": "odd; one|\\"},
]
REFERRERS = [None, None, None, "https://www.google.com/", "https://shop.example/before",
             "https://accounts.google.com/", "https://blog.example/a;b?c=d|e"]  # fmt: skip
KEYS = ["plan", "n", "when", "a.b", "k;y=1", "x y", "q'\"\\", "ü☕", "p(1)<2>|!"]
JSONS: list[Any] = [
    *("pro", "free", "Pro", "", "(none)", "true", "5", "-7.5", "5 apples", *ODD),
    *(5, 5.0, 0, -7.5, 1000000, 0.1, True, False, None, [], [1, "a;b"], {}, {"a": {"b": "c"}}),
    *("2026-05-01", "2026-05-01T10:00:00Z", "2026-05-01T12:00:00+05:30", "2026-13-01", "soon"),
]

Told = dict[str, Any]
told = st.fixed_dictionaries(
    {
        # Days and sevenths of minutes ago: never together, and never near an end of a window.
        "ago": st.tuples(st.sampled_from([-1, 0, 0, 0, 1, 8, 31]), st.integers(0, 40)),
        "event": st.sampled_from(["$pageview", "$pageview", "$identify", *NAMES]),
        "a": st.sampled_from([None, *DEVICES, "kiosk"]),
        "u": st.sampled_from([None, None, None, *USERS]),
        "where": st.sampled_from(["page", "page", "page", "agent", "nowhere"]),
        "path": st.sampled_from(PATHS),
        "comes": st.sampled_from(COMES),
        "campaign": st.sampled_from([None, None, *CAMPAIGNS]),
        "referrer": st.sampled_from(REFERRERS),
        "country": st.sampled_from(["", "DE", "AT"]),
        "agent": st.sampled_from([PHONE, CHROME]),
        "properties": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(JSONS), max_size=4),
        "value": st.sampled_from([None, None, 1, 2, 30, "4"]),
    }
)
decision = st.one_of(
    st.tuples(
        st.sampled_from(["unlink", "unlink", "link"]),
        st.sampled_from(DEVICES),
        st.sampled_from(USERS),
    ),
    st.tuples(
        st.sampled_from(["alias", "alias", "unalias"]),
        st.sampled_from(USERS),
        st.sampled_from(USERS),
    ),
)


@st.composite
def stories(draw: st.DrawFn) -> list[list[Told] | Decision]:
    """Events in any order of arrival, decisions between them."""
    log = draw(st.lists(told, min_size=1, max_size=30, unique_by=lambda each: str(each["ago"])))
    for number, each in enumerate(log):
        each["id"] = f"e{number * 7 % 101:03}"
    steps: list[list[Told] | Decision] = []
    while log:
        size = draw(st.integers(1, 30))
        steps += [log[:size], *draw(st.lists(decision, max_size=2))]
        log = log[size:]
    return steps


def event_of(each: Told, now: dt.datetime) -> Event:
    days, sevenths = each["ago"]
    ago = dt.timedelta(days=max(days, 0), minutes=7 * sevenths + 3)
    properties = dict(each["properties"])
    if each["value"] is not None:
        properties["value"] = each["value"]
    return {**each, "t": now + ago if days < 0 else now - ago, "properties": properties}


def wire(event: Event) -> Json:
    sent: Json = {
        "event": event["event"],
        "event_id": event["id"],
        "timestamp": event["t"].isoformat(),
        "anonymous_id": event["a"],
        "user_id": event["u"],
        "properties": event["properties"],
    }
    if event["where"] != "nowhere":
        sent["user_agent"] = event["agent"]
    if event["where"] == "page":
        campaign = {"utm_campaign": event["campaign"]} if event["campaign"] else {}
        query = urlencode({**event["comes"], **campaign})
        sent["url"] = f"https://shop.example{event['path']}{'?' if query else ''}{query}"
        sent["referrer"] = event["referrer"]
    return sent


def live(project: Project, steps: list[list[Told] | Decision]) -> list[Timestamp]:
    """Go through the steps; the moments before, between and after them."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    log: list[Event] = []
    decided = identity.NONE
    history = [Timestamp(tick(), [], decided)]
    for step in steps:
        if isinstance(step, list):
            events = [event_of(each, now) for each in step]
            send(project, events)
            log += events
        else:
            decided = decide(project, decided, step, log)
        history.append(Timestamp(tick(), list(log), decided))
    return history


def send(project: Project, events: list[Event]) -> None:
    """In batches of one country each, since that is of the request."""
    requests: dict[str, list[Json]] = defaultdict(list)
    for event in events:
        requests[event["country"]].append(wire(event))
    for country, batch in requests.items():
        body = json.dumps({"events": batch}).encode()
        reply = project.post("/v1/batch", body, **{COUNTRY: country})
        assert reply.status == 202, reply


STORED = f"""
SELECT event_id AS id, toString(visitor) AS visitor, toString(traffic_source) AS place,
    anonymous_id, {", ".join(f"toString({name}) AS {name}" for name in oracle.STORED)},
    toString(source_confidence) AS confidence, toString(source_rule_id) AS rule
FROM events
WHERE project_id = {{project_id:String}}"""
DIRECT_PLACE = "SELECT toString(cityHash64('direct', 'direct', '', 'Direct') * 2 + 1) AS place"
TIMEOUT = dt.timedelta(minutes=30)


class Stored:
    """What the server made of the events where they came from, which has tests of its own."""

    def __init__(self, server: Server, project: Project) -> None:
        store = SocketStore(server.folder)
        (direct,) = store.query(DIRECT_PLACE, {})
        self.cut = Cut(TIMEOUT, int(direct["place"]))
        rows = store.query(STORED, {"project_id": project.project_id})
        self.rows = {row["id"]: row for row in rows}

    def known(self, log: list[Event]) -> list[Event]:
        return [self._known(event) for event in identity.once(log)]

    def _known(self, event: Event) -> Event:
        row = self.rows[event["id"]]
        own = event["a"] or (f"at {event['u']}" if event["u"] else row["anonymous_id"])
        return {
            **event,
            **row,
            "value": 0,  # of conversions, which is not asked for
            "visitor": int(row["visitor"]),
            "place": int(row["place"]),
            "on_page": row["rule"] != "no_page",
            "device": own,
        }


# -- filters ----------------------------------------------------------------------------------

SOURCES = ["facebook", "newsletter", "direct", "google", "odd; one|\\", "blog.example", "internal"]
CHANNELS = ["Paid Social", "Email", "Direct", "Organic Search", "Referral"]
VALUES: dict[str, list[str]] = {
    "event": [*NAMES, "$identify", "nothing"],
    "path": ["/", "/docs/a", "/docs/b;c|d", "/100%25_*", "/%C3%BC/\\x'", "/ü/\\x'"],
    "url": ["https://shop.example/", "https://shop.example/docs/a", "utm_source=facebook"],
    "host": ["shop.example", "other"],
    "referrer": [each for each in REFERRERS if each],
    "source": SOURCES,
    "medium": ["paid", "email", "direct", "organic", "referral", "unknown", "return"],
    "campaign": CAMPAIGNS,
    "channel": CHANNELS,
    "term": ["a|b; c", "x"],
    "content": ["x'y", "x"],
    "confidence": ["high", "medium", "low"],
    "rule": ["no_page", "direct", "internal", "utm"],
    "country": ["DE", "AT", "de"],
    "device_type": ["mobile", "desktop", "other"],
    "browser": ["safari", "chrome"],
    "os": ["ios", "windows"],
    "user_id": [*USERS, "nobody"],
}
GLOBS = ["*", "?*", "*a*", "/docs/*", "/*", "???", "*\\**", "*|*", "*;*", "f*k", "*\\?*", "\\*"]
GLOBS += ["*%_*", "*.*", "O'*", "fr?h*", "*\\\\*", "[a-z]*", "{a}*", "^*", "+"]
REGEXES = [
    "^/docs/",
    "a",
    "^$",
    "o+",
    "face|news",
    "^(pro|free)$",
    "\\d",
    "[;|]",
    "\\\\",
    "(?i)PRO",
]
REGEXES += ["\\*", "^.$", "ü|ö", "%", "'", "\\.", "^[^/]", "_\\*"]
PIECES = ["a", "o", ";", "|", "\\", "%", "_", "*", "'", '"', "ü", "/", "book", ".", "5", "e"]
NUMBERS = ["5", "5.0", "0", "-7.5", "1000000", "1e3", "+5", ".1", "4.99"]
TIMES = ["2026-05-01", "2026-05-01T10:00:00Z", "2026-05-01T06:30:00Z", "2026-05-01T12:00+05:30"]
TEXTS = [text for value in JSONS if (text := oracle.as_text(value))] + ["5.0", "05", "TRUE"]


def values_of(name: str) -> list[str]:
    part = name.rpartition(".")[2]
    if name.startswith(("properties.", "traits.")):
        return TEXTS
    return VALUES[
        {"event_name": "event", "entry_path": "path", "exit_path": "path"}.get(part, part)
    ]


@st.composite
def conditions_on(draw: st.DrawFn, name: str) -> oracle.Condition:
    kind = "text"
    if name.startswith(("properties.", "traits.")):
        kind = "property"
    operators = ["==", "==", "!=", "=@", "=^", "=~"]
    if kind == "property":
        operators += [">", ">=", "<", "<="]
    operator = draw(st.sampled_from(operators))
    if operator == "=~":
        return oracle.Condition(name, operator, (draw(st.sampled_from(REGEXES)),))
    if operator in oracle.COMPARED:
        return oracle.Condition(name, operator, (draw(st.sampled_from(NUMBERS + TIMES)),))
    pools: dict[str, list[Any]] = {"=^": GLOBS, "=@": PIECES}
    pool = pools.get(operator, [*values_of(name), None])
    values = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3))
    return oracle.Condition(name, operator, tuple(values))


@st.composite
def did(draw: st.DrawFn) -> oracle.Condition:
    return oracle.Condition(
        "did",
        draw(st.sampled_from(["==", "!="])),
        tuple(draw(st.lists(st.sampled_from(VALUES["event"]), min_size=1, max_size=3))),
        draw(st.sampled_from(["", "", "30m", "2h", "1d", "9d", "5w"])),
        draw(st.sampled_from([1, 1, 2, 3])),
    )


booleans = st.tuples(
    st.sampled_from(["==", "!="]), st.sampled_from([("true",), ("false",), ("true", "false")])
).map(lambda drawn: oracle.Condition("known", *drawn))
devices = st.tuples(
    st.sampled_from(["==", "!=", ">", ">=", "<", "<="]),
    st.sampled_from([("0",), ("1",), ("2",), ("3",), ("1.5",)]),
).map(lambda drawn: oracle.Condition("devices", *drawn))
keys = st.sampled_from([*KEYS, "value", "never"])
OF: dict[str, st.SearchStrategy[oracle.Condition]] = {
    "event": st.one_of(
        st.sampled_from(oracle.EVENT).flatmap(conditions_on),
        keys.map(lambda key: f"properties.{key}").flatmap(conditions_on),
    ),
    "visit": st.one_of(
        st.sampled_from(oracle.VISIT).flatmap(conditions_on),
        booleans.map(lambda condition: condition._replace(dimension="visit.bounce")),
    ),
    "person": st.one_of(
        st.sampled_from(oracle.PERSON).flatmap(conditions_on),
        keys.map(lambda key: f"traits.{key}").flatmap(conditions_on),
        did(),
        booleans,
        devices,
    ),
}


def filters_of(*scopes: str) -> st.SearchStrategy[list[oracle.Condition]]:
    """Some conditions of these scopes, most often one."""
    one = st.sampled_from(scopes).flatmap(OF.__getitem__)
    return st.one_of(st.lists(one, min_size=1, max_size=1), st.lists(one, min_size=1, max_size=4))
