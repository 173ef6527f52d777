"""A believable log to look at and to measure with: the same for the same numbers and seed.

A small software company sells a calendar. People come from ads, searches, links and newsletters,
look around, come back on another day or another device, sign up, and some of them stay.
"""

from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

from threadline.contract.times import DAY_MS, format_ms

SITE = "https://calendar.example"
DAYS = 60
MINUTE_MS = 60_000
DEVICES_SHARED = 0.02
IDENTIFIES_LATE = 0.03
EVENTS_REPEATED = 0.01
BOTS = 0.01
# What a device sends on average where lengths are not scaled.
EVENTS_PER_DEVICE = 8.0

Event = dict[str, Any]


class Sent(NamedTuple):
    """An event and the browser that sends it."""

    user_agent: str
    event: Event


class Person(NamedTuple):
    """Somebody with everything they send, in the order it arrives. `user_id` None: never known."""

    user_id: str | None
    devices: list[str]
    sent: list[Sent]


class Arrival(NamedTuple):
    """One way to the site: query string of the landing page, and referrer."""

    query: str
    referrer: str


ARRIVALS = [
    (22, Arrival("", "https://www.google.com/")),
    (20, Arrival("", "")),
    (
        14,
        Arrival(
            "?utm_source=facebook&utm_medium=cpc&utm_campaign=spring&fbclid=IwAR0{n}",
            "https://l.facebook.com/",
        ),
    ),
    (11, Arrival("?gclid=Cj0K{n}&utm_campaign=brand", "https://www.google.com/")),
    (7, Arrival("?utm_source=newsletter&utm_medium=email&utm_campaign=may", "")),
    (6, Arrival("", "https://t.co/x{n}")),
    (5, Arrival("", "https://news.ycombinator.com/")),
    (5, Arrival("?utm_source=instagram&utm_medium=paid_social&utm_campaign=reels", "")),
    (4, Arrival("", "https://www.bing.com/")),
    (3, Arrival("", "https://chatgpt.com/")),
    (3, Arrival("", "https://blog.productreviews.example/best-calendars")),
]
RETURNS = [
    (65, Arrival("", "")),
    (20, Arrival("", "https://www.google.com/")),
    (15, Arrival("?utm_source=newsletter&utm_medium=email&utm_campaign=may", "")),
]
PAGES = [
    (30, "/"),
    (25, "/features"),
    (20, "/pricing"),
    (12, "/blog/shared-calendars"),
    (8, "/customers"),
    (5, "/security"),
]
BEFORE = [(80, "$pageview"), (9, "clicked_pricing"), (7, "watched_video"), (4, "started_trial")]
AFTER = [
    (45, "$pageview"),
    (30, "feature_used"),
    (15, "event_created"),
    (7, "invite_sent"),
    (3, "purchase"),
]
BROWSERS = [
    (
        34,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/141.0.0.0 Safari/537.36",
    ),
    (
        24,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    ),
    (
        16,
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/141.0.0.0 Mobile Safari/537.36",
    ),
    (
        12,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    ),
    (8, "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"),
    (
        6,
        "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    ),
]
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
FIRST_NAMES = "Ada Bruno Carla Deniz Elif Femi Grace Hugo Ines Jonas Kaya Lena Mateo Noor Olga Pia"
LAST_NAMES = "Abel Berger Costa Dahl Evans Ferrari Gupta Haas Ivanov Jansen Kowalski Lopez Meyer"
PLANS = [(70, "free"), (22, "pro"), (8, "team")]


class Weighted:
    """Draws from a table of (weight, value)."""

    def __init__(self, table: list[tuple[int, Any]]) -> None:
        self._values = [value for _, value in table]
        *self._bounds, self._total = accumulate(weight for weight, _ in table)

    def draw(self, random: Random) -> Any:
        return self._values[bisect(self._bounds, random.random() * self._total)]


arrivals, returns, pages = Weighted(ARRIVALS), Weighted(RETURNS), Weighted(PAGES)
before_login, after_login = Weighted(BEFORE), Weighted(AFTER)
browsers, plans = Weighted(BROWSERS), Weighted(PLANS)


class DemoLog:
    """Exactly `events` events, repeats included, on about `visitors` devices, of which about
    `users` people sign up; within `DAYS` days before `until_ms`."""

    def __init__(self, events: int, visitors: int, users: int, seed: int, until_ms: int) -> None:
        self._events = events
        self._random = Random(seed)
        self._seed = seed
        self._start_ms = until_ms - DAYS * DAY_MS
        self._until_ms = until_ms
        self._visitors = visitors
        self._users = users
        self._made = 0
        self._users_made = 0
        self._devices_made = 0

    def people(self) -> Iterator[Person]:
        """Everybody, until all events are made."""
        last_device = ""
        while self._made < self._events:
            users_left = self._users - self._users_made
            people_left = max(1.0, self._visitors - self._devices_made - users_left * 0.3)
            known = self._random.random() < users_left / people_left
            person = self._user(last_device) if known else self._stranger()
            sent = person.sent[: self._events - self._made]
            self._made += len(sent)
            if person.user_id and person.devices:
                last_device = person.devices[0]
            yield person._replace(sent=sent)

    def _stranger(self) -> Person:
        random = self._random
        device = self._device()
        agent = BOT if random.random() < BOTS else browsers.draw(random)
        moment = self._some_time(0)
        sent = []
        for visit in range(1 + int(random.expovariate(1.4))):
            arrival = (arrivals if visit == 0 else returns).draw(random)
            sent += self._visit(device, None, agent, arrival, moment, self._length(2.4))
            moment += int(random.expovariate(1 / (4 * DAY_MS)))
        return Person(None, [device], self._with_repeats(sent))

    def _user(self, last_device: str) -> Person:
        random = self._random
        self._users_made += 1
        user_id = f"user_{self._users_made}"
        devices = [self._device() for _ in range(1 + (random.random() < 0.3))]
        if last_device and random.random() < DEVICES_SHARED * 2:
            devices.append(last_device)
        sent: list[Sent] = []
        moment = self._some_time(DAYS // 4)
        for index, device in enumerate(devices):
            agent = browsers.draw(random)
            for visit in range(1 + int(random.expovariate(0.8))):
                arrival = (arrivals if visit == 0 and index == 0 else returns).draw(random)
                sent += self._visit(device, None, agent, arrival, moment, self._length(4))
                moment += int(random.expovariate(1 / (3 * DAY_MS)))
            login = self._login(device, user_id, agent, moment, first=index == 0)
            sent += login
            sent += self._visit(
                device,
                user_id,
                agent,
                returns.draw(random),
                moment + 5 * MINUTE_MS,
                self._length(2),
            )
            moment += int(random.expovariate(1 / (2 * DAY_MS)))
            if random.random() < IDENTIFIES_LATE:
                # It was queued on the device and arrives after everything else.
                sent.remove(login[0])
                sent.append(login[0])
        return Person(user_id, devices, self._with_repeats(sent))

    def _login(self, device: str, user_id: str, agent: str, moment: int, first: bool) -> list[Sent]:
        random = self._random
        name = f"{random.choice(FIRST_NAMES.split())} {random.choice(LAST_NAMES.split())}"
        traits = {"name": name, "plan": plans.draw(random)}
        page = "/signup" if first else "/login"
        made = [
            self._sent(
                device,
                user_id,
                agent,
                "$identify",
                f"{SITE}{page}",
                f"{SITE}/pricing",
                moment,
                traits,
            )
        ]
        if first:
            made.append(
                self._sent(
                    device,
                    user_id,
                    agent,
                    "signup",
                    f"{SITE}{page}",
                    f"{SITE}/pricing",
                    moment + MINUTE_MS,
                    {"plan": traits["plan"]},
                )
            )
        return made

    def _visit(
        self,
        device: str,
        user_id: str | None,
        agent: str,
        arrival: Arrival,
        moment: int,
        length: int,
    ) -> list[Sent]:
        random = self._random
        names = after_login if user_id else before_login
        query = arrival.query.replace("{n}", f"{random.getrandbits(40):x}")
        referrer = arrival.referrer.replace("{n}", f"{random.getrandbits(24):x}")
        sent = []
        for step in range(length):
            page = pages.draw(random)
            url = f"{SITE}{page}{query if step == 0 else ''}"
            name = "$pageview" if step == 0 else names.draw(random)
            properties: dict[str, object] | None = None
            if name == "purchase":
                properties = {"value": 5 * random.randint(2, 40)}
            sent.append(self._sent(device, user_id, agent, name, url, referrer, moment, properties))
            referrer = f"{SITE}{page}"
            moment += int(random.expovariate(1 / (1.5 * MINUTE_MS))) + 1000
        return sent

    def _sent(
        self,
        device: str,
        user_id: str | None,
        agent: str,
        name: str,
        url: str,
        referrer: str,
        moment: int,
        properties: dict[str, object] | None,
    ) -> Sent:
        event: Event = {
            "event": name,
            "event_id": f"demo-{self._seed}-{self._random.getrandbits(64):016x}",
            "timestamp": format_ms(min(moment, self._until_ms - 1000)),
            "anonymous_id": device,
            "url": url,
            "referrer": referrer,
        }
        if user_id:
            event["user_id"] = user_id
        if properties:
            event["properties"] = properties
        return Sent(agent, event)

    def _with_repeats(self, sent: list[Sent]) -> list[Sent]:
        """Some events arrive twice, as after a lost answer."""
        repeated = [entry for entry in sent if self._random.random() < EVENTS_REPEATED]
        return sent + repeated

    def _device(self) -> str:
        self._devices_made += 1
        return f"{self._random.getrandbits(64):016x}"

    def _length(self, pages: float) -> int:
        """Events of a visit, so many more or fewer that events and devices run out together."""
        devices_left = max(1, self._visitors - self._devices_made)
        wanted = (self._events - self._made) / devices_left
        mean = pages * wanted / EVENTS_PER_DEVICE
        return 1 + int(self._random.expovariate(1 / max(0.05, min(mean, 200.0))))

    def _some_time(self, least_days_left: int) -> int:
        """A moment in the log's days, by daylight more often than by night."""
        random = self._random
        day = int(random.random() * (DAYS - least_days_left))
        hour = min(23.99, max(0.0, random.gauss(14, 4)))
        return self._start_ms + day * DAY_MS + int(hour * 3_600_000)
