"""Salts of days, and the clock that decides which of them go.

A salt that is destroyed never comes back, so a clock that jumps must not decide alone. What it says
is believed at once where a day follows the one before, as at every midnight; anything else only
when it has said so for an hour.
"""

import secrets
from collections.abc import Mapping
from typing import NamedTuple

from threadline.control.database import ControlStatements

# Two whole days of hashes can still be compared; older ones are random bytes for ever.
SALT_DAYS = 2
SALT_BYTES = 32
# Housekeeping looks once a minute.
LOOKS_TO_BELIEVE = 60


class Clock(NamedTuple):
    """`day`: the one that is believed. `doubted_day`: what the clock said instead, at `looks` looks
    in a row; 0 looks: there is no doubt. Days are counted from 1970, UTC."""

    day: int
    doubted_day: int
    looks: int

    def look(self, today: int) -> "Clock":
        """What is believed after the clock said `today` once more."""
        if today - self.day in (0, 1):
            return Clock(today, today, 0)
        goes_on = self.looks > 0 and today - self.doubted_day in (0, 1)
        looks = self.looks + 1 if goes_on else 1
        if looks >= LOOKS_TO_BELIEVE:
            return Clock(today, today, 0)
        return Clock(self.day, today, looks)


def first_look(today: int) -> Clock:
    """There is nothing yet that could speak against the clock."""
    return Clock(today, today, 0)


def salt_of(salts: Mapping[int, bytes], clock: Clock, today: int) -> bytes | None:
    """Today's; while the clock says a day that is not believed, that of the believed one."""
    return salts.get(today) or salts.get(clock.day)


def days_to_destroy(days: Mapping[int, bytes], clock: Clock, today: int) -> list[int]:
    """Those that are over, and those that never came: made by a clock that was ahead.

    Of a leap ahead one day is believed: today's salt stays, and yesterday's is of use to nobody.
    """
    oldest = min(today, clock.day + 1) - SALT_DAYS + 1
    return sorted(day for day in days if day < oldest or day > clock.day + 1)


def missing_days(days: Mapping[int, bytes], clock: Clock) -> list[int]:
    """The salt of tomorrow is made today, so that nobody waits for it at midnight."""
    return [day for day in (clock.day, clock.day + 1) if day not in days]


def store_clock(db: ControlStatements, clock: Clock) -> None:
    """Inside a transaction."""
    db.execute("DELETE FROM clock")
    db.execute("INSERT INTO clock VALUES (1, ?, ?, ?)", clock)


def make_salts(db: ControlStatements, days: list[int], used: Mapping[int, bytes]) -> None:
    """Inside a transaction. One that another process has made stays. `used`: those that events got
    already while the file could not be written."""
    db.executemany(
        "INSERT INTO salts VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(day, used.get(day) or secrets.token_bytes(SALT_BYTES)) for day in days],
    )
