"""The questions of the race: what is asked over HTTP, what of the answer counts, and which SQL is
the same question.

The databases are never asked for more than Threadline answers, and where that is much, for less: of
a profile neither traits nor the last touch, of first touches no address, of a funnel no times.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks.race import rows
from benchmarks.race.log import SINCE, UNTIL
from benchmarks.race.rows import Row

# Under which people are counted; the two that find owners in different ways.
POLICIES = ("next", "first")
# Where a question is about one user or all of them, what Threadline takes by itself.
DEFAULT = ("",)


class Question(NamedTuple):
    """`sql`: the file's name, below a folder for each engine. `rows`: what of an answer, or of all
    of its pages, is compared. `params`: besides `stitch`, for `policies`. `in_order`: the order of
    rows is part of the answer. `paged`: goes on until there are no more."""

    name: str
    path: str
    params: Mapping[str, str]
    sql: str
    rows: Callable[[bytes], list[Row]]
    policies: tuple[str, ...] = POLICIES
    in_order: bool = False
    paged: bool = False

    @property
    def is_about_one(self) -> bool:
        return "{user}" in self.path


class Asked(NamedTuple):
    """A question under a policy."""

    question: Question
    policy: str

    @property
    def name(self) -> str:
        return ", ".join(filter(None, (self.question.name, self.policy)))

    @property
    def sql_name(self) -> str:
        """What databases know it by."""
        return "_".join(filter(None, (self.question.sql, self.policy)))


FUNNEL = {"steps": "$pageview,signup,purchase", "window": "30d"}
SERIES = {"interval": "day", "from": SINCE, "to": UNTIL}

PERSONS_BY_DAY = Question(
    "persons by day",
    "/v1/stats",
    {"metric": "persons", **SERIES},
    "persons_by_day",
    rows.series,
)
FUNNEL_OF_THREE = Question("funnel of three steps", "/v1/funnel", FUNNEL, "funnel", rows.funnel)
SOURCES = Question("sources", "/v1/sources", {"limit": "200"}, "sources", rows.sources)
VISITS = Question(
    "visits by source",
    "/v1/visits",
    {"group_by": "source", "limit": "1000"},
    "visits",
    rows.visits,
)
QUESTIONS = (
    PERSONS_BY_DAY,
    FUNNEL_OF_THREE,
    Question("weekly retention", "/v1/retention", {"periods": "8"}, "retention", rows.retention),
    Question(
        "time to conversion by source",
        "/v1/time-to-conversion",
        {"conversion": "signup", "group_by": "source,medium"},
        "time_to_conversion",
        rows.time_to_conversion,
    ),
    SOURCES,
    Question(
        "attribution, last non-direct",
        "/v1/attribution",
        {"conversion": "signup"},
        "attribution",
        rows.attribution,
    ),
    VISITS,
    Question(
        "one user's journey",
        "/v1/users/{user}/events",
        {"limit": "1000"},
        "journey",
        rows.journey,
        DEFAULT,
        in_order=True,
    ),
    Question("one user's profile", "/v1/users/{user}", {}, "profile", rows.profile, DEFAULT),
    Question(
        "first touch of all users, as a stream",
        "/v1/users",
        {"format": "ndjson"},
        "first_touches",
        rows.streamed_users,
        DEFAULT,
        paged=True,
    ),
    Question(
        "first touch of all users, in pages of 1,000",
        "/v1/users",
        {"limit": "1000"},
        "first_touches",
        rows.users,
        DEFAULT,
        paged=True,
    ),
)

# What somebody sees who opens the dashboard, as far as all engines know it.
TILES = (
    Question("persons", "/v1/stats", {"metric": "persons"}, "persons", rows.values),
    PERSONS_BY_DAY,
    VISITS,
    SOURCES,
    FUNNEL_OF_THREE,
    Question(
        "page views by path",
        "/v1/stats",
        {"metric": "count", "event": "$pageview", "group_by": "path", "limit": "10"},
        "pages",
        rows.values,
    ),
    Question(
        "events by name",
        "/v1/stats",
        {"metric": "count", "group_by": "event_name", "limit": "1000"},
        "events_by_name",
        rows.values,
    ),
    Question(
        "signups by day",
        "/v1/stats",
        {"metric": "count", "event": "signup", **SERIES},
        "signups_by_day",
        rows.series,
    ),
)
OVERVIEW = [Asked(tile, "next") for tile in TILES]
OVERVIEW_NAME = f"an overview of {len(OVERVIEW)} tiles at once"


def all_asked() -> list[Asked]:
    """Every question under each of its policies."""
    return [Asked(question, policy) for question in QUESTIONS for policy in question.policies]


def everything() -> list[Asked]:
    """The same, and the tiles that are not among them."""
    return list({asked.name: asked for asked in (*all_asked(), *OVERVIEW)}.values())
