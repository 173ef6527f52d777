"""What the columns of a file mean: ours, perhaps ours under another name, the server's, unknown."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from threadline.contract.bodies import Event, ExportedEvent

FIELDS = msgspec.structs.fields(Event)
OURS = tuple(field.name for field in FIELDS)
IDS = ("anonymous_id", "user_id")

# What an export of ours says of agents, which are not stored themselves: taken as it is.
OF_AGENTS = ExportedEvent.__struct_fields__[len(OURS) :]
# An export has them; they are made anew from what is sent.
SERVER_MADE = frozenset(
    "source medium campaign channel term content source_confidence source_rule_id "
    "classifier_version country device_type browser os is_bot received_at anonymous_id_generated "
    "ip_hash project_id".split()
)
KNOWN = frozenset(OURS) | SERVER_MADE | frozenset(OF_AGENTS)
# Only an export of ours has all of these.
EXPORTED = frozenset(["event", "source_rule_id", "received_at"])

# What other tools call it, as `_folded` writes it.
MEANS = {
    name: ours
    for ours, names in {
        "event": "eventname eventtype name action",
        "event_id": "eventid messageid insertid uuid id",
        "timestamp": "time date datetime ts createdat occurredat eventtime eventtimestamp sentat"
        " originaltimestamp clienteventtime servertimestamp",
        "anonymous_id": "anonymousid distinctid deviceid clientid visitorid cookieid userpseudoid"
        " fullvisitorid",
        "user_id": "userid uid user customerid accountid personid identity email",
        "session_id": "sessionid visitid",
        "url": "pageurl currenturl page pagelocation location href",
        "path": "pagepath pathname currentpath",
        "referrer": "referer pagereferrer documentreferrer",
        "user_agent": "useragent rawuseragent ua",
        "ip": "ipaddress clientip remoteaddr",
        "properties": "props eventproperties params eventparams attributes data traits",
    }.items()
    for name in names.split()
}


class Columns(NamedTuple):
    """Names of a file's columns or fields, after those that were renamed. `unknown`: with the name
    of ours that they may mean, else ''. `of_agents`: of an export, and taken as they are.
    `ignored`: somebody said so. `inside`: names of what is in `properties`. `tool`: whose export
    the file looks like."""

    ours: list[str]
    made: list[str]
    unknown: dict[str, str]
    of_agents: list[str]
    ignored: Sequence[str] = ()
    inside: Sequence[str] = ()
    tool: str = ""

    @property
    def has_ids(self) -> bool:
        return any(name in self.ours for name in IDS)

    @property
    def has_time(self) -> bool:
        return "timestamp" in self.ours

    def meaning(self, *ours: str) -> list[str]:
        """The unknown ones that may mean one of these."""
        return [name for name, meant in self.unknown.items() if meant in ours]

    def meaning_inside(self, *ours: str) -> list[str]:
        """Those in `properties` that may mean one of these."""
        return [name for name in self.inside if meant(name) in ours]


def columns(names: Iterable[str]) -> Columns:
    """What these names mean."""
    names = list(names)
    exported = is_export(names)
    found = Columns([], [], {}, [])
    for name in names:
        if name in OURS:
            found.ours.append(name)
        elif exported and name in OF_AGENTS:
            found.of_agents.append(name)
        elif name in SERVER_MADE:
            found.made.append(name)
        else:
            found.unknown[name] = meant(name)
    return found


def is_export(names: Iterable[str]) -> bool:
    """Whether a file with these columns is one of ours."""
    return set(names) >= EXPORTED


def meant(name: str) -> str:
    """The column of ours that this may be; '' if it is like none."""
    folded = _folded(name)
    known = {**{_folded(ours): ours for ours in OURS}, **MEANS}
    if folded in known:
        return known[folded]
    close = difflib.get_close_matches(folded, known, n=1, cutoff=0.8)
    return known[close[0]] if close else ""


def map_hint(names: Mapping[str, str]) -> str:
    """The options that would give these columns their names here."""
    return " ".join(f"--map {name}={ours}" for name, ours in names.items() if ours)


def _folded(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


# What the exports of other tools have, and hardly any other file: columns as `_folded` writes them.
TOOLS = {
    "Segment": "messageid originaltimestamp",
    "RudderStack": "messageid originaltimestamp channel",
    "Mixpanel": "event distinctid insertid",
    "PostHog": "uuid event distinctid",
    "Amplitude": "amplitudeid eventtype",
    "Google Analytics 4": "eventname userpseudoid",
    "Matomo": "idvisit idsite",
    "Snowplow": "collectortstamp domainuserid",
    "Heap": "heapuserid",
    "Plausible": "sitedomain hostname utmsource",
}


def tool_of(names: Iterable[str]) -> str:
    """Whose export has such columns; '' where that is not known."""
    folded = {_folded(name) for name in names}
    alike = [(len(of.split()), tool) for tool, of in TOOLS.items() if folded.issuperset(of.split())]
    return max(alike)[1] if alike else ""


def said_tool(tool: str) -> str:
    """That it looks like an export of this, if of any, as a sentence with a space before it."""
    return f" It looks like an export of {tool}." if tool else ""
