"""A request by a share link: only what the page that it shares asks, with its filters, time and
policy.

The link keeps the page's address, whose words are the dashboard's: `range=30d` is what questions
take as `from`. What of a question's parameters is not fixed by the address is the page's own, such
as the metric of a card; but nothing that picks people out, unless the address has it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from threadline.contract.errors import InvalidPayload, OutsideShareLink
from threadline.control import SHARE, Key, Project, ShareLink
from threadline.http.doc import Doc
from threadline.http.request import Request

# What each page asks. Lists of people are asked only by the pages that are about people.
NUMBERS = ("stats", "visits", "sources", "identity_stats", "annotations", "goals", "segments")
CREDIT = ("attribution", "time_to_conversion")
PAGES: Mapping[str, tuple[str, ...]] = {
    "overview": (*NUMBERS, *CREDIT),
    "attribution": (*NUMBERS, *CREDIT),
    "funnels": (*NUMBERS, "funnel"),
    "retention": (*NUMBERS, "retention"),
    "paths": (*NUMBERS, "paths"),
    "people": (*NUMBERS, "users"),
    "people/ID": ("profile", "journey", "annotations"),
}
ONE_PERSON = "people/ID"
DEFAULT_RANGE = "30d"
MAX_QUERY = 4000

# Parameters that pick people or events out of all; those of `BRACED` do by conditions in braces.
PICKING = frozenset(
    "user_id anonymous_id account_id event_id search q columns source medium campaign".split()
)
BRACED = frozenset("event conversion steps start return exclude between goal".split())
# Groups of which each may be one person.
PERSONAL = re.compile(r"(user_id|account|url|referrer|properties\..*|traits\..*)")
# What the address fixes as it is; where it does not have it, the question may not either.
FIXED = ("filters", "as_of", "include_bots", "per")

DATES = re.compile(r"(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})")
DAYS = re.compile(r"([1-9]\d{0,4})d")


class Allowed(NamedTuple):
    """What a parameter may be, and in words what that is."""

    holds: Callable[[str], bool]
    said: str


def share_token(request: Request) -> str:
    """The token of a share link, where the request came with one."""
    scheme, _, token = request.header("authorization").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token.startswith(SHARE) else ""


def admit_shared(request: Request, doc: Doc, token: str) -> None:
    """Raises `InvalidLink`, and `OutsideShareLink` for what its page does not ask."""
    link, project = request.services.control.share_link_of(token)
    page, person = read_page(link.page)
    if request.method != "GET" or doc.shared not in PAGES[page]:
        raise OutsideShareLink(
            f"This link shows the page {page.partition('/')[0]} only, which does not ask this. Sign"
            " in to see more."
        )
    asked = dict(parse_qsl(request.query, keep_blank_values=True))
    asked |= {name: unquote(value) for name, value in request.in_path.items()}
    said = dict(parse_qsl(link.query, keep_blank_values=True))
    fields = msgspec.structs.fields(doc.params) if doc.params else ()
    names = {*asked, *(field.encode_name for field in fields)}
    if person:
        said["user_id"] = person
    if person and "range" not in said:
        names -= {"from", "to"}  # of one person all times are shared
    _check(names, asked, said, project)
    request.admitted(_stand_in(link), project)


def read_page(page: str) -> tuple[str, str]:
    """The page's name in `PAGES`, and whose it is, if it is one person's. Raises
    `InvalidPayload`."""
    name, _, person = page.strip("/").partition("/")
    if name == "people" and person:
        return ONE_PERSON, unquote(person)
    if name in PAGES and not person:
        return name, ""
    message = f"choose one of {', '.join(PAGES)}"
    raise InvalidPayload(f"page: {message}.", fieldErrors={"page": [message]})


def check_query(query: str) -> str:
    """The query string of a page, to be kept. Raises `InvalidPayload`."""
    query = query.removeprefix("?")
    message = ""
    if len(query) > MAX_QUERY:
        message = f"write at most {MAX_QUERY} characters"
    found = parse_qsl(query, keep_blank_values=True)
    if len(dict(found)) < len(found):
        message = "each name may stand there once"
    if message:
        raise InvalidPayload(f"query: {message}.", fieldErrors={"query": [message]})
    return query


def _check(
    names: Iterable[str], asked: Mapping[str, str], said: Mapping[str, str], project: Project
) -> None:
    """Raises `OutsideShareLink` for the first parameter that is another than the address has it."""
    for name in sorted(names):
        allowed = _allowed(name, asked, said, project)
        if not name.startswith("_") and not allowed.holds(asked.get(name, "")):
            raise OutsideShareLink(
                f"This link does not show that: {name} has to be {allowed.said}. Sign in to see"
                " more."
            )


def _allowed(
    name: str, asked: Mapping[str, str], said: Mapping[str, str], project: Project
) -> Allowed:
    if name in ("from", "to"):
        return _time(name, said, asked.get("tz") or project.timezone or "")
    if name == "tz":
        # Where the address has none, days are those of whoever reads it.
        return Allowed(lambda zone: zone in ("", said.get("tz") or zone), said.get("tz", ""))
    if name == "stitch":
        policy = said.get("stitch") or project.stitch or "next"
        free = {policy, *([] if said.get("stitch") else [""])}
        return Allowed(lambda value: value in free, policy)
    if name == "compare":
        chosen = said.get("compare", "")
        return Allowed(lambda value: value in ("", chosen), chosen or "left out")
    if name in FIXED:
        fixed = said.get(name, "")
        return Allowed(lambda value: value == fixed, f"`{fixed}`" if fixed else "left out")
    own = "as in the address that is shared, or left out"
    if name == "group_by":
        return Allowed(lambda groups: not _personal(groups) or groups in said.values(), own)
    if name in PICKING:
        return Allowed(lambda value: value in ("", said.get(name)), own)
    if name in BRACED:
        return Allowed(lambda value: "{" not in value or value in said.values(), own)
    return Allowed(lambda value: True, "")


def _personal(groups: str) -> bool:
    return any(PERSONAL.fullmatch(name.strip()) for name in groups.split(","))


def _time(name: str, said: Mapping[str, str], zone: str) -> Allowed:
    """What `from` or `to` may be: as the dashboard makes them of its `range`, or as the address
    has them itself."""
    if "from" in said or "to" in said:
        fixed = said.get(name, "")
        return Allowed(lambda value: value == fixed, f"`{fixed}`" if fixed else "left out")
    wanted = _range(said.get("range", DEFAULT_RANGE), zone)[name]
    return Allowed(lambda value: value in wanted, f"`{wanted[0]}`" if wanted[0] else "left out")


def _range(text: str, zone: str) -> dict[str, tuple[str, ...]]:
    """Both dates of a pair are meant; so many days are today and those before it."""
    if dates := DATES.fullmatch(text):
        return {"from": (dates[1],), "to": (_later(dates[2], 1),)}
    if days := DAYS.fullmatch(text):
        today = _today(zone)
        # A page that was opened before midnight still asks with yesterday's date.
        begins = tuple(_later(today, 1 - int(days[1]) - late) for late in (0, 1))
        return {"from": (*begins, text), "to": ("",)}
    return {"from": ("" if text == "all" else text,), "to": ("",)}


def _today(zone: str) -> str:
    try:
        return datetime.now(ZoneInfo(zone or "UTC")).date().isoformat()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.now(UTC).date().isoformat()


def _later(day: str, days: int) -> str:
    try:
        return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
    except (ValueError, OverflowError):
        return day


def _stand_in(link: ShareLink) -> Key:
    """What routes that look at the key see of a share link."""
    return Key(link.share_id, link.project_id, "rk", "live", b"", link.created_ms, None, None)
