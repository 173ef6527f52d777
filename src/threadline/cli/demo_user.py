"""What a user of the demo log does: looks around, signs up, works, pays, leaves, comes back."""

from typing import NamedTuple

from threadline.cli.demo_diary import HOUR_MS, PAGE_VIEW, SECOND_MS, STEP_MS, Device, Diary, Sent
from threadline.cli.demo_tables import (
    APP,
    ARRIVALS,
    FIRST_NAMES,
    LAST_NAMES,
    PLANS,
    PUBLIC,
    RETURNS,
    SITE,
    TO_APP,
    TO_BILLING,
    TO_LOGIN,
    TO_WELCOME,
    Action,
    Arrival,
    Life,
    Plan,
    Properties,
)
from threadline.contract.times import DAY_MS

MONTH_MS = 30 * DAY_MS
LOOKS_AROUND = 0.6
IDENTIFIES_LATE = 0.03
SIGNS_OUT = 0.04
REFUNDED = 0.06
NOT_CHARGED = 0.06
BY_THE_YEAR = 0.2
TRIES = 0.35
TRIAL_DAYS = 14
MOST_VISITS = 400

BILLING = f"{SITE}/app/billing"
WELCOME: Properties = {"template": "welcome"}
LOGIN = Action("login", {"method": "email"})
LOGOUT = Action("logout")
FROM_LOGIN = Arrival("", f"{SITE}/login", APP.paths)


class Bill(NamedTuple):
    """What is charged, in USD: `value` a month or a year."""

    value: int
    plan: str
    seats: int
    interval: str

    def properties(self, **more: object) -> Properties:
        return {**self._asdict(), "currency": "USD", **more}


def _bill(plan: Plan, seats: int, by_the_year: bool) -> Bill:
    if by_the_year:
        return Bill(plan.price * seats * 10, plan.name, seats, "year")
    return Bill(plan.price * seats, plan.name, seats, "month")


def _moment(sent: Sent) -> str:
    moment: str = sent[1]["timestamp"]
    return moment


class User:
    """Somebody who signs up. The first device is the one they sign up on."""

    def __init__(
        self, diary: Diary, user_id: str, devices: list[Device], life: Life, pace: float
    ) -> None:
        self._diary = diary
        self._random = diary.random
        self._user_id = user_id
        self._devices = devices
        self._life = life
        # Scaled in both ways, so that neither number of visits nor length looks odd.
        self._often = min(2.5, max(0.4, pace**0.5))
        self._pace = pace / self._often
        self._signed_in: set[Device] = set()
        self._late: list[Sent] = []
        names = (FIRST_NAMES.draw(self._random), LAST_NAMES.draw(self._random))
        self._pays = self._random.random() < life.pays
        self._tries = self._pays or self._random.random() < TRIES
        self._traits: Properties = {"name": " ".join(names), "plan": "free"}

    def live(self, signup_ms: int, first_ms: int) -> None:
        """From the first visit, not before `first_ms`, to the last one."""
        first = self._look_around(signup_ms, first_ms)
        self._sign_up(signup_ms, first)
        end = signup_ms + self._diary.wait(self._life.days * DAY_MS)
        paid_at = 0
        if self._pays:
            paid_at = self._diary.later(signup_ms, 4)
            end = max(end, paid_at + self._diary.wait(90 * DAY_MS))
        self._work(signup_ms, end, paid_at)
        if self._random.random() < self._life.returns:
            back = self._diary.later(end + 14 * DAY_MS, 10)
            self._visit(back)
            self._work(back, back + 7 * DAY_MS, 0)
        # What the server sends was written down when its cause was.
        self._diary.sent.sort(key=_moment)
        self._diary.sent += self._late

    def _look_around(self, signup_ms: int, first_ms: int) -> bool:
        """Visits on days before; whether the sign-up is the first visit of all."""
        diary, random = self._diary, self._random
        if random.random() > LOOKS_AROUND:
            return True
        moment = diary.later(signup_ms - diary.wait(7 * DAY_MS) - DAY_MS, 0.2)
        arrival = ARRIVALS.draw(random)
        first = True
        while first_ms < moment < signup_ms - HOUR_MS:
            device = self._devices[0] if random.random() < 0.6 else self._devices[-1]
            if device.shared:
                device = self._devices[0]
            diary.walk(PUBLIC, device, None, arrival, moment, 1 + diary.some(2))
            arrival = RETURNS.draw(random)
            moment = diary.later(moment, 2.5)
            first = False
        return first

    def _sign_up(self, moment: int, first: bool) -> None:
        diary, device, plan = self._diary, self._devices[0], self._traits["plan"]
        arrival = (ARRIVALS if first else RETURNS).draw(self._random)
        moment = diary.walk(PUBLIC, device, None, arrival, moment, diary.some(1))
        if "/pricing" not in diary.sent[-1].event["url"]:
            diary.write(device, None, PAGE_VIEW, moment, f"{SITE}/pricing", f"{SITE}/")
            moment += diary.wait(STEP_MS)
        url = f"{SITE}/signup"
        diary.write(device, None, PAGE_VIEW, moment, url, f"{SITE}/pricing")
        moment += diary.wait(STEP_MS)
        self._identify(device, moment, url, f"{SITE}/pricing")
        signup = Action("signup", {"plan": plan, "method": "email"})
        moment += SECOND_MS
        diary.write(device, self._user_id, signup, moment, url, f"{SITE}/pricing")
        diary.serve(self._user_id, "welcome_email_sent", moment + 20 * SECOND_MS, WELCOME)
        moment += diary.wait(5 * SECOND_MS)
        length = 1 + diary.some(3 * self._pace)
        moment = diary.walk(APP, device, self._user_id, TO_WELCOME, moment, length)
        if self._tries:
            self._try(device, moment)

    def _try(self, device: Device, moment: int) -> None:
        moment = self._diary.walk(APP, device, self._user_id, TO_BILLING, moment, 1)
        trial = Action("trial_started", {"plan": "pro", "days": TRIAL_DAYS})
        self._diary.write(device, self._user_id, trial, moment, BILLING, TO_BILLING.referrer)

    def _identify(self, device: Device, moment: int, url: str, referrer: str) -> None:
        self._signed_in.add(device)
        identify = Action("$identify", dict(self._traits))
        self._diary.write(device, self._user_id, identify, moment, url, referrer)

    def _work(self, start: int, end: int, paid_at: int) -> None:
        """Visits to the application until interest ends, the one with the purchase among them."""
        diary = self._diary
        often = self._life.visits_a_day * self._often
        moment = start
        for _ in range(MOST_VISITS):
            moment = diary.later(moment, 1 / often)
            if start < paid_at <= moment:
                self._pay(paid_at, end)
                paid_at = 0
            if moment >= min(end, diary.until_ms):
                return
            self._visit(moment)

    def _visit(self, moment: int) -> None:
        """The application, behind the login where nobody or somebody else is signed in."""
        diary, random = self._diary, self._random
        device = self._devices[0] if random.random() < 0.65 else self._devices[-1]
        arrival = TO_APP.draw(random)
        if device not in self._signed_in:
            moment = self._sign_in(device, moment)
            arrival = FROM_LOGIN
        length = diary.some(11 * self._pace)
        moment = diary.walk(APP, device, self._user_id, arrival, moment, length)
        if random.random() < (0.95 if device.shared else SIGNS_OUT):
            url = f"{SITE}/app/settings"
            diary.write(device, self._user_id, LOGOUT, moment, url, f"{SITE}/app/calendar")
            self._signed_in.discard(device)

    def _sign_in(self, device: Device, moment: int) -> int:
        diary, random = self._diary, self._random
        moment = diary.walk(PUBLIC, device, None, TO_LOGIN.draw(random), moment, 1)
        url = f"{SITE}/login"
        diary.write(device, None, PAGE_VIEW, moment, url, f"{SITE}/")
        moment += diary.wait(10 * SECOND_MS)
        self._identify(device, moment, url, f"{SITE}/")
        if random.random() < IDENTIFIES_LATE and moment < diary.until_ms:
            # It was queued on the device and arrives after everything else.
            self._late.append(diary.sent.pop())
        diary.write(device, self._user_id, LOGIN, moment + SECOND_MS, url, f"{SITE}/")
        return moment + diary.wait(5 * SECOND_MS)

    def _pay(self, moment: int, end: int) -> None:
        """On the billing page; what follows month by month is our server's."""
        diary, random, device = self._diary, self._random, self._devices[0]
        if device not in self._signed_in:
            moment = self._sign_in(device, moment)
        moment = diary.walk(APP, device, self._user_id, TO_BILLING, moment, 1)
        plan = PLANS.draw(random)
        bill = _bill(plan, plan.seats.draw(random), random.random() < BY_THE_YEAR)
        purchase = Action("purchase", bill.properties())
        diary.write(device, self._user_id, purchase, moment, BILLING, TO_BILLING.referrer)
        self._traits["plan"] = plan.name
        self._identify(device, moment + SECOND_MS, BILLING, TO_BILLING.referrer)
        self._charge(moment + 3 * SECOND_MS, end, bill)

    def _charge(self, moment: int, end: int, bill: Bill) -> None:
        diary, random, user_id = self._diary, self._random, self._user_id
        if random.random() < REFUNDED:
            refund = bill.properties(value=-bill.value, reason="not_needed")
            diary.serve(user_id, "refund", moment + diary.wait(4 * DAY_MS), refund)
            return
        if bill.interval == "year":
            return
        moment += MONTH_MS
        while moment < min(end, diary.until_ms):
            if random.random() < NOT_CHARGED:
                diary.serve(
                    user_id, "payment_failed", moment, bill.properties(reason="card_expired")
                )
                moment += 3 * DAY_MS
            diary.serve(user_id, "invoice_paid", moment, bill.properties())
            moment += MONTH_MS
        diary.serve(user_id, "subscription_cancelled", end, {"plan": bill.plan})
