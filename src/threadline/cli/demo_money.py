"""What people pay in the demo log: plans, currencies, bills, where they pay, exchange rates."""

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from threadline.cli.demo_tables import Properties, Weighted
from threadline.contract.times import DAY_MS

BY_THE_YEAR = 0.2
# The others pay in dollars.
EURO_COUNTRIES = frozenset(("AT", "DE", "ES", "FR", "IT", "NL"))


class PricePlan(NamedTuple):
    """Prices are a month's for one seat, the same number in each currency; a year costs ten
    months."""

    name: str
    price: int
    seats: Weighted[int]


PLANS = Weighted(
    (75, PricePlan("pro", 12, Weighted((1, 1)))),
    (25, PricePlan("team", 9, Weighted((4, 3), (3, 5), (2, 8), (1, 15), (0.3, 40)))),
)


class Bill(NamedTuple):
    """What is charged: `value` a month or a year, in `currency`."""

    value: int
    currency: str
    plan: str
    seats: int
    interval: str

    def properties(self, **more: object) -> Properties:
        return {**self._asdict(), **more}


def new_bill(random: Random, country: str) -> Bill:
    """Of somebody there who has just decided."""
    plan = PLANS.draw(random)
    seats = plan.seats.draw(random)
    currency = "EUR" if country in EURO_COUNTRIES else "USD"
    if random.random() < BY_THE_YEAR:
        return Bill(plan.price * seats * 10, currency, plan.name, seats, "year")
    return Bill(plan.price * seats, currency, plan.name, seats, "month")


class Checkout(NamedTuple):
    """Where a bill is paid, away from our site, and the referrer of the page that people then come
    back to."""

    provider: str
    referrer: str


CHECKOUTS = Weighted(
    (76, Checkout("stripe", "https://checkout.stripe.com/")),
    (16, Checkout("paypal", "https://www.paypal.com/")),
    (8, Checkout("klarna", "https://pay.klarna.com/")),
)

# Dollars for a euro, about which the invented rates move, and how far from day to day.
DOLLARS, DAILY_MOVE = 1.16, 0.004
# The first days of a log need a working day before them.
DAYS_BEFORE = 7


def rates(seed: int, days: int, until_ms: int) -> str:
    """Invented rates for the days of a log, in the form in which the European Central Bank
    publishes its own: working days only, the latest first."""
    lines = reversed([f"{day},{rate:.4f}" for day, rate in _rates(seed, days, until_ms)])
    return "\n".join(("Date,USD", *lines)) + "\n"


def _rates(seed: int, days: int, until_ms: int) -> Iterator[tuple[date, float]]:
    random, rate = Random(seed), DOLLARS
    last = date(1970, 1, 1) + timedelta(until_ms // DAY_MS)
    for ago in range(days + DAYS_BEFORE, -1, -1):
        day = last - timedelta(ago)
        rate += random.uniform(-DAILY_MOVE, DAILY_MOVE) + (DOLLARS - rate) / 50
        if day.weekday() < 5:
            yield day, rate
