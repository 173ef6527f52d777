"""The tables of `docs/identity-tables.md`, from the vectors that the tests hold the server to.

`tests/vectors/flows.json` has the flows in order, each with a title and a sentence. Most are a log
of `identity.json`, in which who owns what is the expected answer; the others say it themselves.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

VECTORS = Path(__file__).parents[1] / "tests" / "vectors"
POLICIES = ("any", "first", "next", "last", "none")
VISITOR = "–"

Json = dict[str, Any]


class Flow(NamedTuple):
    """`events`: as they arrive, each once. `owners`: by policy and event, who owns it; none where
    it stays the visitor's. `vector`: the log of `identity.json` that it is; nothing for its own."""

    vector: str
    title: str
    about: str
    events: list[Json]
    owners: dict[str, dict[str, list[str]]]
    unlinked: list[list[str]]
    aliases: list[list[str]]


def flows() -> list[Flow]:
    """All of them, in the order of the page."""
    vectors = json.loads((VECTORS / "identity.json").read_text())
    written = json.loads((VECTORS / "flows.json").read_text())
    return [_flow(each, vectors) for each in written]


def tables() -> str:
    """All flows as Markdown."""
    return "\n\n".join("\n".join(_lines(flow)) for flow in flows())


def _flow(written: Json, vectors: list[Json]) -> Flow:
    if "vector" not in written:
        return _of(written, written, written["owners"])
    entries = {entry["policy"]: entry for entry in vectors if entry["name"] == written["vector"]}
    owners = {policy: _owners(entry) for policy, entry in entries.items()}
    return _of(written, entries["next"], owners)


def _of(written: Json, log: Json, owners: dict[str, dict[str, list[str]]]) -> Flow:
    once = {event["id"]: event for event in reversed(log["events"])}
    events = [event for event in log["events"] if once.pop(event["id"], None)]
    said = (written.get("vector", ""), written["title"], written["about"])
    return Flow(*said, events, owners, log.get("unlinked", []), log.get("aliases", []))


def _owners(entry: Json) -> dict[str, list[str]]:
    users = entry["expect"]["users"]
    return {
        event["id"]: sorted(user for user in users if event["id"] in users[user]["events"])
        for event in entry["events"]
    }


def _lines(flow: Flow) -> Iterator[str]:
    in_time = sorted(flow.events, key=lambda event: (event["t"], event["id"]))
    mixed = in_time != flow.events
    years = len({event["t"][:4] for event in flow.events}) > 1
    yield f"## {flow.title}\n"
    yield f"{flow.about}\n"
    heads = ["when", *(["arrives"] if mixed else []), "device", "what"]
    yield f"| {' | '.join([*heads, *(f'`{policy}`' for policy in POLICIES)])} |"
    yield f"| {' | '.join(['---'] * (len(heads) + len(POLICIES)))} |"
    for event in in_time:
        arrives = [f"{flow.events.index(event) + 1}."] if mixed else []
        cells = [_when(event, years), *arrives, event["a"] or VISITOR, _what(event)]
        cells += [", ".join(flow.owners[policy][event["id"]]) or VISITOR for policy in POLICIES]
        yield f"| {' | '.join(cells)} |"
    decided = [f"`{user}` is unlinked from `{device}`" for device, user in flow.unlinked]
    decided += [f"`{user}` becomes an alias of `{of}`" for user, of in flow.aliases]
    if decided:
        yield f"\nThen {' and '.join(decided)}. The table is what is answered afterwards."


def _when(event: Json, year: bool) -> str:
    at = datetime.fromisoformat(event["t"])
    seconds = f":{at:%S}" if at.second else ""
    return f"{at.day} {at:%b}{f' {at:%Y}' if year else ''}, {at:%H:%M}{seconds}"


def _what(event: Json) -> str:
    """The event, with what it says of the user and of where the visit came from."""
    said = f", user {event['u']}" if event["u"] else ""
    source = event["source"]
    return f"`{event['event']}`{said}{f', from {source}' if source not in ('', 'direct') else ''}"
