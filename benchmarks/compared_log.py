"""The data folder that two checkouts are asked about: one demo log in two projects, of which one
has decisions about identity, and a small project of odd events."""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.checkouts import Checkout, Connection, Serving
from threadline.cli.demo_log import DemoLog, DemoPerson

# A fixed end, long past: no answer depends on now, and clocks change twice within (New York on the
# 9th of March, Berlin on the 30th).
UNTIL_MS = 1_744_675_200_000  # 2025-04-15
BATCH = 1000
Json = dict[str, Any]

# The default policy of each project; "": none.
PROJECTS = {"plain": "", "decided": "", "odd": "first"}


class Decision(NamedTuple):
    """One request to `/v1/identity/…`; values name ids as questions do."""

    method: str
    what: str
    body: dict[str, str]


# A chain, a shared device, a device of one's own, and three that are taken back, two of them later.
EARLY = [
    Decision("PUT", "aliases", {"user_id": "{user}", "alias_of": "{person}"}),
    Decision("PUT", "aliases", {"user_id": "{person}", "alias_of": "{canonical}"}),
    Decision("PUT", "aliases", {"user_id": "{briefly}", "alias_of": "{other}"}),
    Decision("DELETE", "links", {"anonymous_id": "{shared_device}", "user_id": "{shared_user}"}),
    Decision("DELETE", "links", {"anonymous_id": "{own_device}", "user_id": "{own_user}"}),
    Decision("DELETE", "links", {"anonymous_id": "{relinked_device}", "user_id": "{relinked}"}),
]
LATE = [
    Decision("DELETE", "aliases", {"user_id": "{briefly}"}),
    Decision("PUT", "links", {"anonymous_id": "{relinked_device}", "user_id": "{relinked}"}),
    Decision("PUT", "aliases", {"user_id": "{shared_user_2}", "alias_of": "{shared_user_3}"}),
    Decision(
        "DELETE", "links", {"anonymous_id": "{shared_device_2}", "user_id": "{shared_user_2}"}
    ),
    Decision("PUT", "aliases", {"user_id": "{never_seen}", "alias_of": "{other}"}),
]


class Log(NamedTuple):
    """`keys`: of each project by kind. `names`: the ids that `{user}` and so on stand for; the same
    in all projects, so that some are unknown to some."""

    keys: dict[str, dict[str, str]]
    names: dict[str, str]


def make(checkout: Checkout, folder: Path, events: int) -> Log:
    """Have this checkout write the folder, over HTTP, and leave it closed."""
    keys = {name: _create(checkout, folder, name, policy) for name, policy in PROJECTS.items()}
    people = list(DemoLog(events, events // 20, events // 100, 1, UNTIL_MS).people())
    names = _names(people)
    halves: list[list[Json]] = [[], []]
    for person in people:
        sent = [event | ({"user_agent": agent} if agent else {}) for agent, event in person.sent]
        # Each story goes on after the first decisions.
        halves[0] += sent[: len(sent) // 2]
        halves[1] += sent[len(sent) // 2 :]
    with Serving(checkout, folder) as server:
        connection = server.connection()
        secrets = {name: keys[name]["sk"] for name in PROJECTS}
        names["received_0"] = _now()
        for number, (half, decisions) in enumerate(zip(halves, (EARLY, LATE), strict=True), 1):
            for name in ("plain", "decided"):
                _post(connection, secrets[name], half)
                server.await_stored(secrets[name])
            _decide(connection, secrets["decided"], decisions, names)
            names[f"received_{number}"] = _now()
        _post(connection, secrets["odd"], _odd())
        server.await_stored(secrets["odd"])
        _decide(connection, secrets["odd"], ODD_DECISIONS, names)
        _forget(checkout, folder, connection, secrets["odd"])
    return Log(keys, names)


def _create(checkout: Checkout, folder: Path, name: str, policy: str) -> dict[str, str]:
    stitch = ["--stitch", policy] if policy else []
    made = checkout.threadline("project", "create", name, "--data", str(folder), "--json", *stitch)
    if made.returncode:
        sys.exit(made.stderr)
    keys: dict[str, str] = json.loads(made.stdout)["keys"]
    return keys


def _names(people: list[DemoPerson]) -> dict[str, str]:
    """Some of everybody, by what they are to questions."""
    users_of = defaultdict(list)
    for person in people:
        for device in person.devices if person.user_id else []:
            users_of[device].append(person.user_id or "")
    shared = [(device, users) for device, users in users_of.items() if len(users) > 1]
    busy = {user for _, users in shared for user in users}
    alone = [p for p in people if p.user_id and p.user_id not in busy and len(p.devices) > 1]
    users = [person.user_id or "" for person in alone]
    stranger = next(person for person in people if not person.user_id and len(person.sent) > 2)
    known = next(event for _, event in alone[0].sent if "user_id" in event)
    return {
        **dict(zip(("user", "person", "canonical", "briefly", "other"), users, strict=False)),
        "own_user": users[5],
        "own_device": alone[5].devices[0],
        "relinked": users[6],
        "relinked_device": alone[6].devices[0],
        "device": alone[0].devices[0],
        "shared_device": shared[0][0],
        "shared_user": shared[0][1][0],
        "shared_device_2": shared[1][0],
        "shared_user_2": shared[1][1][0],
        "shared_user_3": shared[1][1][1],
        "never_seen": "nobody's own name",
        "stranger": stranger.devices[0],
        "strange_event": stranger.sent[0].event["event_id"],
        "first_event": alone[0].sent[0].event["event_id"],
        "known_event": known["event_id"],
        "odd_user": "Zoë, +1 \"x\" 'y' <b>%/é",
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _post(connection: Connection, key: str, events: Iterable[Json]) -> None:
    rest: Iterator[Json] = iter(events)
    while batch := list(islice(rest, BATCH)):
        reply = connection.send("POST", "/v1/batch", key, {"events": batch})
        if reply.status != 202:
            sys.exit(f"The log was refused: {reply}")


def _decide(
    connection: Connection, key: str, decisions: list[Decision], names: dict[str, str]
) -> None:
    for method, what, body in decisions:
        given = {name: value.format_map(names) for name, value in body.items()}
        reply = connection.send(method, f"/v1/identity/{what}", key, given)
        if reply.status != 200:
            sys.exit(f"{method} {what} {given} was refused: {reply}")


def _forget(checkout: Checkout, folder: Path, connection: Connection, key: str) -> None:
    """Until all is off the disk: both checkouts begin with the same."""
    reply = connection.send("POST", "/v1/forget", key, {"user_id": "forgotten"})
    if reply.status != 200:
        sys.exit(f"Forgetting was refused: {reply}")
    while True:
        listed = checkout.threadline("receipts", "--data", str(folder), "--json")
        if listed.returncode:
            sys.exit(listed.stderr)
        if all(
            receipt["erased"] and receipt["finished_ms"] for receipt in json.loads(listed.stdout)
        ):
            return
        time.sleep(0.1)


ODD_DECISIONS = [
    Decision("PUT", "aliases", {"user_id": "{odd_user}", "alias_of": "{user}"}),
    Decision("DELETE", "links", {"anonymous_id": "odd-1", "user_id": "{odd_user}"}),
]
ODD_TEXTS = (
    "=1+1",
    "'quoted",
    '"',
    "a,b",
    "{}",
    "\\",
    "é\u0301",
    "😀",
    "line\nline",
    " ",
    "null",
    "0",
)


def _odd() -> list[Json]:
    """Texts that a format or a pattern could trip over, numbers that are none, ties, and events
    without a device."""
    odd_user = "Zoë, +1 \"x\" 'y' <b>%/é"
    events: list[Json] = []
    for number, text in enumerate(ODD_TEXTS):
        at = f"2025-03-{number + 1:02}T0{number % 3}:59:59.999Z"
        events += [
            {"event": "purchase", "properties": {"value": text, "plan": text}, "user_id": odd_user},
            {"event": "purchase", "properties": {"value": number / 10}, "anonymous_id": "odd-1"},
            {"event": f"odd {text}", "user_id": odd_user, "anonymous_id": "odd-1"},
            {
                "event": "$pageview",
                "url": f"https://shop.example/{number}?utm_source={number}&utm_campaign=x",
            },
            {"event": "signup", "user_id": f"user_{number}", "anonymous_id": f"odd-{number % 4}"},
            {"event": "purchase", "user_id": "forgotten", "anonymous_id": f"odd-{number % 4}"},
        ]
        for place, event in enumerate(events[-6:]):
            event |= {"timestamp": at, "event_id": f"odd-{number}-{place}"}
    return events
