"""What browsers and our server send in the demo log, and people who only look around."""

from functools import lru_cache
from math import log
from random import Random
from typing import NamedTuple

from threadline.cli.demo_arrivals import COMING_BACK, REMINDERS, Arrival, way_in
from threadline.cli.demo_tables import (
    CRAWLED,
    HOUR_OF_DAY,
    PUBLIC,
    SITE,
    Action,
    Area,
    Event,
    Properties,
)
from threadline.contract.times import DAY_MS, format_ms

SECOND_MS = 1000
HOUR_MS = 3_600_000
STEP_MS = 40_000
SECONDS = [f"{number // 60:02}:{number % 60:02}" for number in range(3600)]
MILLISECONDS = [f".{number:03}Z" for number in range(1000)]
PAGE_VIEW = Action("$pageview")
BOUNCES = 0.45
COMES_BACK = 0.3
# Of visits that are longer than a page.
SEES_AN_AD_AGAIN = 0.04


class Sent(NamedTuple):
    """An event and the browser that sends it; empty: our own server did."""

    user_agent: str
    event: Event


class Device(NamedTuple):
    """A browser. `shared`: in an office, so that everybody signs out when they are done."""

    anonymous_id: str
    user_agent: str
    country: str = ""
    shared: bool = False


class Diary:
    """Writes down what one person's browsers and our server send about them, nothing after
    `until_ms`."""

    def __init__(self, random: Random, id_prefix: str, until_ms: int) -> None:
        self.random = random
        self.sent: list[Sent] = []
        self.until_ms = until_ms
        self._id_prefix = id_prefix

    def write(
        self,
        device: Device,
        user_id: str | None,
        action: Action,
        moment: int,
        url: str,
        referrer: str,
    ) -> None:
        if moment >= self.until_ms:
            return
        name, properties = action
        event: Event = {
            "event": name,
            "event_id": self._id_prefix + random_id(self.random),
            "timestamp": _stamp(moment),
            "anonymous_id": device.anonymous_id,
            "url": url,
            "referrer": referrer,
        }
        if user_id:
            event["user_id"] = user_id
        if properties:
            event["properties"] = properties
        self.sent.append(Sent(device.user_agent, event))

    def serve(self, user_id: str, name: str, moment: int, properties: Properties) -> None:
        """Something that our server says of a user, with no device."""
        if moment >= self.until_ms:
            return
        event: Event = {
            "event": name,
            "event_id": self._id_prefix + random_id(self.random),
            "timestamp": _stamp(moment),
            "user_id": user_id,
            "properties": properties,
        }
        self.sent.append(Sent("", event))

    def walk(
        self,
        area: Area,
        device: Device,
        user_id: str | None,
        arrival: Arrival,
        moment: int,
        length: int,
        step_ms: int = STEP_MS,
    ) -> int:
        """Pages and what is done on them; the moment after."""
        random = self.random
        path = arrival.pages.draw(random)
        query, referrer = arrival.query, arrival.referrer
        if "{n}" in query:
            query = query.replace("{n}", f"{random.getrandbits(40):x}")
        if "{n}" in referrer:
            referrer = referrer.replace("{n}", f"{random.getrandbits(24):x}")
        url = f"{SITE}{path}{query}"
        self.write(device, user_id, PAGE_VIEW, moment, url, referrer)
        page = area.pages.get(path, area.other_page)
        for _ in range(length - 1):
            moment += self.wait(step_ms)
            if random.random() < page.acts:
                self.write(device, user_id, page.actions.draw(random), moment, url, referrer)
            else:
                path = page.links.draw(random)
                page = area.pages[path]
                referrer, url = url, SITE + path
                self.write(device, user_id, PAGE_VIEW, moment, url, referrer)
        return moment + self.wait(step_ms)

    def browse(self, device: Device, arrival: Arrival, moment: int, length: int) -> int:
        """Our public pages, some of them after another ad in the middle of it; the moment after."""
        random = self.random
        moment = self.walk(PUBLIC, device, None, arrival, moment, length)
        if length > 1 and random.random() < SEES_AN_AD_AGAIN:
            again = REMINDERS.draw(random)
            moment = self.walk(PUBLIC, device, None, again, moment, self.some(1))
        return moment

    def wait(self, mean_ms: float) -> int:
        return 1 + SECOND_MS - int(mean_ms * log(1 - self.random.random()))

    def some(self, mean: float) -> int:
        """A number of steps, at least one."""
        return 1 - int(mean * log(1 - self.random.random()))

    def later(self, moment: int, mean_days: float) -> int:
        """Another time, by daylight more often than by night and rarely at a weekend."""
        random = self.random
        day = (moment + self.wait(mean_days * DAY_MS)) // DAY_MS
        weekday = (day + 3) % 7
        if weekday > 4 and random.random() < 0.55:
            day += 7 - weekday + int(random.random() * 3)
        found = day * DAY_MS + int((HOUR_OF_DAY.draw(random) + random.random()) * HOUR_MS)
        return found if found > moment + HOUR_MS else moment + HOUR_MS + self.wait(HOUR_MS)


def stranger(diary: Diary, device: Device, moment: int, pace: float) -> None:
    """Somebody who is never known: half look at one page and are gone."""
    random = diary.random
    arrival = way_in(random, device.user_agent)
    bounces = min(0.9, BOUNCES / pace)
    while moment < diary.until_ms:
        length = 1 if random.random() < bounces else 1 + diary.some(2.2 * pace)
        diary.browse(device, arrival, moment, length)
        if random.random() > COMES_BACK:
            break
        moment = diary.later(moment, 5)
        arrival = COMING_BACK.draw(random)


def crawler(diary: Diary, device: Device, moment: int) -> None:
    """Reads on by itself, at any hour and without a referrer."""
    arrival = Arrival("", "", CRAWLED.paths)
    diary.walk(CRAWLED, device, None, arrival, moment, diary.some(7), 4 * SECOND_MS)


def random_id(random: Random) -> str:
    return random.getrandbits(64).to_bytes(8, "big").hex()


def _stamp(ms: int) -> str:
    """As `format_ms`, at a third of its price: a log has few hours."""
    return _hour(ms // HOUR_MS) + SECONDS[ms // SECOND_MS % 3600] + MILLISECONDS[ms % SECOND_MS]


@lru_cache(maxsize=2000)
def _hour(number: int) -> str:
    return format_ms(number * HOUR_MS)[: len("2026-05-01T14:")]
