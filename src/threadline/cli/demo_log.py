"""A believable log to look at and to measure with: the same for the same numbers, seed and end.

A small software company sells a calendar. It opened `DAYS` days ago and grows. People come from
ads, searches, links and newsletters, look around, come back on another day or another device, sign
up, and some of them stay and pay.
"""

from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import NamedTuple

from threadline.cli.demo_agents import CRAWLERS, DESKTOPS, PHONES
from threadline.cli.demo_diary import HOUR_MS, Device, Diary, Sent, crawler, random_id, stranger
from threadline.cli.demo_tables import COUNTRIES, HOURS, LIVES, WEEKDAYS, Event
from threadline.cli.demo_user import User
from threadline.contract.times import DAY_MS

__all__ = ["DAYS", "DemoLog", "DemoPerson", "Event", "Sent"]

DAYS = 60
# Of the first visits on the last day, as many as this for each on the first.
GROWTH = 2.2
BOTS = 0.04
ON_PHONES = 0.42
SECOND_DEVICES = 0.3
AT_SHARED_DEVICES = 0.16
USERS_OF_SHARED_DEVICE = 3
# What is sent on average where lengths are not scaled: of these follows the scale.
DEVICES_PER_USER = 1.3
EVENTS_OF_STRANGER = 3.6
EVENTS_OF_USER = 82.0
# Enough for looking around, signing up and first steps.
FEWEST = 30
# Strangers who come after the last user, so that events and devices run out together.
LAST_STRANGERS = 0.3


class DemoPerson(NamedTuple):
    """Somebody with everything they send, in the order it arrives. `user_id` None: never known.
    `country`: where they live."""

    user_id: str | None
    country: str
    devices: list[str]
    sent: list[Sent]


class DemoLog:
    """Exactly `events` events on about `visitors` devices, of which about `users` people sign up;
    within `DAYS` days before `until_ms`."""

    def __init__(self, events: int, visitors: int, users: int, seed: int, until_ms: int) -> None:
        self._random = Random(seed)
        self._id_prefix = f"demo-{seed}-"
        self._start_ms = until_ms - DAYS * DAY_MS
        self._until_ms = until_ms
        self._events_left = events
        self._devices_left = visitors
        self._users_left = users
        self._users_made = 0
        self._last_strangers = LAST_STRANGERS * (visitors - users * DEVICES_PER_USER)
        self._office: Device | None = None
        self._office_places = 0
        self._office_used: Device | None = None
        self._hours = list(accumulate(self._visits_by_hour()))

    def people(self) -> Iterator[DemoPerson]:
        """Everybody, until all events are made."""
        while self._events_left > 0:
            person = self._next()
            # The most active people must not take the room of all who are still to come.
            others = max(0.0, self._strangers_left()) * 2 + self._users_left * FEWEST
            room = max(FEWEST, self._events_left - int(others))
            sent = person.sent[: min(room, self._events_left)]
            self._events_left -= len(sent)
            yield person._replace(sent=sent)

    def _next(self) -> DemoPerson:
        users, strangers = self._users_left, self._strangers_left()
        if self._random.random() * (users + max(0.0, strangers - self._last_strangers)) < users:
            return self._user()
        return self._stranger()

    def _stranger(self) -> DemoPerson:
        random = self._random
        pace = self._events_left / EVENTS_OF_STRANGER / max(1.0, self._strangers_left())
        if self._users_left:
            pace = self._pace()
        diary = Diary(random, self._id_prefix, self._until_ms)
        if random.random() < BOTS:
            device = self._device(CRAWLERS.draw(random))
            moment = self._start_ms + int(random.random() * DAYS * DAY_MS)
            crawler(diary, device, moment)
        else:
            device = self._device()
            stranger(diary, device, self._some_time(), min(100.0, max(0.05, pace)))
        self._devices_left -= 1
        return DemoPerson(None, device.country, [device.anonymous_id], diary.sent)

    def _user(self) -> DemoPerson:
        random = self._random
        pace = self._pace()
        self._users_left -= 1
        self._users_made += 1
        user_id = f"user_{self._users_made}"
        devices = self._devices()
        diary = Diary(random, self._id_prefix, self._until_ms)
        moment = self._some_time()
        while moment > self._until_ms - HOUR_MS:
            moment = self._some_time()
        User(diary, user_id, devices, LIVES.draw(random), pace).live(moment, self._start_ms)
        # Some have gone before they took up their second device.
        seen = {event.get("anonymous_id") for _, event in diary.sent}
        used = [device for device in devices if device.anonymous_id in seen]
        self._devices_left -= sum(device != self._office_used for device in used)
        if used[-1].shared:
            self._office_used = used[-1]
        return DemoPerson(
            user_id, devices[0].country, [device.anonymous_id for device in used], diary.sent
        )

    def _devices(self) -> list[Device]:
        """One of their own, and some have another; all in one country."""
        random = self._random
        if random.random() < SECOND_DEVICES:
            first = self._device()
            return [first, self._device(country=first.country)]
        if random.random() < AT_SHARED_DEVICES / (1 - SECOND_DEVICES):
            office = self._shared_device()
            return [self._device(country=office.country), office]
        return [self._device()]

    def _strangers_left(self) -> float:
        return self._devices_left - self._users_left * DEVICES_PER_USER

    def _pace(self) -> float:
        """How much longer than usual the visits of users have to be."""
        for_users = self._events_left - max(0.0, self._strangers_left()) * EVENTS_OF_STRANGER
        return min(100.0, max(0.1, for_users / (max(1, self._users_left) * EVENTS_OF_USER)))

    def _device(self, user_agent: str = "", country: str = "", shared: bool = False) -> Device:
        random = self._random
        country = country or COUNTRIES.draw(random)
        if not user_agent:
            table = PHONES if random.random() < ON_PHONES and not shared else DESKTOPS
            user_agent = table.draw(random)
        return Device(random_id(random), user_agent, country, shared)

    def _shared_device(self) -> Device:
        """The computer at the front desk of an office, until enough people have used it."""
        if self._office is None or not self._office_places:
            self._office = self._device(shared=True)
            self._office_places = USERS_OF_SHARED_DEVICE
        self._office_places -= 1
        return self._office

    def _visits_by_hour(self) -> Iterator[float]:
        for hour in range(DAYS * 24):
            clock = (self._start_ms + hour * HOUR_MS) // HOUR_MS
            weekday = WEEKDAYS[(clock // 24 + 3) % 7]
            yield HOURS[clock % 24] * weekday * (1 + (GROWTH - 1) * hour / (DAYS * 24))

    def _some_time(self) -> int:
        """A moment in the log's days: more often by daylight, on weekdays, and towards the end."""
        hours, random = self._hours, self._random
        hour = bisect(hours, random.random() * hours[-1])
        return self._start_ms + int((hour + random.random()) * HOUR_MS)
