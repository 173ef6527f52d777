"""What the demo log is drawn from: pages and what happens on them, how long people stay, who they
are. How they come is in `demo_arrivals`, what they pay in `demo_money`."""

from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Any, Generic, NamedTuple, TypeVar

SITE = "https://calendar.example"

Event = dict[str, Any]
Properties = dict[str, object]
T = TypeVar("T")


class Weighted(Generic[T]):
    """Draws from a table of (weight, value)."""

    __slots__ = ("_bounds", "_total", "_values")

    def __init__(self, *table: tuple[float, T]) -> None:
        self._values = [value for _, value in table]
        *self._bounds, self._total = accumulate(weight for weight, _ in table)

    def __iter__(self) -> Iterator[T]:
        return iter(self._values)

    def draw(self, random: Random) -> T:
        return self._values[bisect(self._bounds, random.random() * self._total)]


class Action(NamedTuple):
    """Something that people do on a page."""

    name: str
    properties: Properties | None = None


class Page(NamedTuple):
    """How often the next step is one of the actions rather than another page."""

    acts: float
    actions: Weighted[Action]
    links: Weighted[str]


NOTHING: tuple[float, Weighted[Action]] = (0, Weighted((1, Action("nothing"))))


class Area:
    """Pages that all link to each other, and what happens on them: for a path, how often that is
    the next step rather than another page, and the actions."""

    def __init__(
        self,
        paths: list[tuple[float, str]],
        actions: dict[str, tuple[float, Weighted[Action]]],
    ) -> None:
        self.paths = Weighted(*paths)
        self.pages = {}
        for path in {path for _, path in paths} | actions.keys():
            others = Weighted(*(entry for entry in paths if entry[1] != path))
            self.pages[path] = Page(*actions.get(path, NOTHING), others)
        self.other_page = Page(*NOTHING, self.paths)


BLOG_PATHS = ("/blog/shared-calendars", "/blog/time-blocking", "/blog/fewer-meetings")
BLOG = Weighted(
    (70, Action("article_read", {"depth": 75})),
    (30, Action("newsletter_subscribed", {"list": "monthly"})),
)
PUBLIC = Area(
    paths=[
        (25, "/"),
        (25, "/features"),
        (24, "/pricing"),
        (6, "/blog/shared-calendars"),
        (4, "/blog/time-blocking"),
        (3, "/blog/fewer-meetings"),
        (8, "/customers"),
        (5, "/security"),
    ],
    actions={
        "/": (
            0.2,
            Weighted(
                (60, Action("clicked_pricing", {"place": "header"})),
                (40, Action("watched_video", {"video": "tour", "seconds": 45})),
            ),
        ),
        "/features": (
            0.3,
            Weighted(
                (40, Action("clicked_pricing", {"place": "footer"})),
                (60, Action("watched_video", {"video": "sharing", "seconds": 80})),
            ),
        ),
        "/pricing": (
            0.2,
            Weighted(
                (70, Action("compared_plans", {"interval": "month"})),
                (30, Action("compared_plans", {"interval": "year"})),
            ),
        ),
        "/blog/shared-calendars": (0.4, BLOG),
        "/blog/time-blocking": (0.4, BLOG),
        "/blog/fewer-meetings": (0.4, BLOG),
    },
)
CRAWLED = Area([(1, path) for path in ("/", "/features", "/pricing", *BLOG_PATHS)], {})
APP = Area(
    paths=[
        (55, "/app/calendar"),
        (20, "/app/bookings"),
        (10, "/app/team"),
        (8, "/app/integrations"),
        (7, "/app/settings"),
    ],
    actions={
        "/app/calendar": (
            0.75,
            Weighted(
                (30, Action("event_created", {"guests": 0, "minutes": 30})),
                (22, Action("event_created", {"guests": 2, "minutes": 30})),
                (8, Action("event_created", {"guests": 6, "minutes": 60})),
                (15, Action("event_moved")),
                (12, Action("feature_used", {"feature": "search"})),
                (8, Action("feature_used", {"feature": "week_view"})),
                (5, Action("feature_used", {"feature": "time_zones"})),
            ),
        ),
        "/app/bookings": (
            0.6,
            Weighted(
                (45, Action("booking_link_copied", {"minutes": 30})),
                (55, Action("feature_used", {"feature": "booking_page"})),
            ),
        ),
        "/app/team": (
            0.4,
            Weighted(
                (60, Action("invite_sent", {"role": "member"})),
                (10, Action("invite_sent", {"role": "admin"})),
                (30, Action("feature_used", {"feature": "team_calendar"})),
            ),
        ),
        "/app/integrations": (
            0.35,
            Weighted(
                (50, Action("integration_connected", {"provider": "video"})),
                (20, Action("integration_connected", {"provider": "chat"})),
                (30, Action("feature_used", {"feature": "sync"})),
            ),
        ),
        "/app/settings": (0.4, Weighted((1, Action("feature_used", {"feature": "working_hours"})))),
        "/app/welcome": (
            0.5,
            Weighted(
                (60, Action("calendar_imported", {"format": "ics"})),
                (40, Action("feature_used", {"feature": "tour"})),
            ),
        ),
    },
)


class Life(NamedTuple):
    """How it goes on after signing up: days until they lose interest on average, visits a day
    until then, the share that ever pays, and the share that comes back after an end."""

    days: float
    visits_a_day: float
    pays: float
    returns: float


LIVES = Weighted(
    (15, Life(days=1.5, visits_a_day=0.6, pays=0.01, returns=0.12)),
    (71, Life(days=9.5, visits_a_day=0.75, pays=0.06, returns=0.15)),
    (14, Life(days=200, visits_a_day=0.75, pays=0.7, returns=0.15)),
)


FIRST_NAMES = Weighted(
    *((1.0, name) for name in "Ada Bruno Carla Deniz Elif Femi Grace Hugo Ines Jonas".split()),
    *((1.0, name) for name in "Kaya Lena Mateo Noor Olga Pia Rosa Sven Tariq Uma Vera".split()),
)
LAST_NAMES = Weighted(
    *((1.0, name) for name in "Abel Berger Costa Dahl Evans Ferrari Gupta Haas Ivanov".split()),
    *((1.0, name) for name in "Jansen Kowalski Lopez Meyer Novak Okafor Park Quinn Rossi".split()),
)
# Where they live, as two letters.
COUNTRIES = Weighted(
    *((22.0, code) for code in ("US", "DE")),
    *((10.0, code) for code in ("FR", "GB")),
    *((7.0, code) for code in ("NL", "ES", "IT")),
    *((5.0, code) for code in ("AT", "CA", "PL")),
)
# By the clock (UTC) and the day of the week (Monday first): people in Europe, some in America.
HOURS = (2, 1, 1, 1, 2, 4, 9, 17, 25, 30, 31, 29, 27, 30, 31, 30, 27, 24, 20, 17, 14, 10, 6, 4)
WEEKDAYS = (11, 12, 12, 11, 9, 4, 5)
HOUR_OF_DAY: Weighted[int] = Weighted(*((weight, hour) for hour, weight in enumerate(HOURS)))
