"""What a user of the demo log does: looks around, signs up, works, pays, leaves, comes back."""

from threadline.cli.demo_accounts import account_of
from threadline.cli.demo_arrivals import (
    COMING_BACK,
    SIGN_INS,
    TO_APP,
    TO_BILLING,
    TO_LOGIN,
    TO_SETTINGS,
    WELCOME_PAGE,
    Arrival,
    after_sign_in,
    way_in,
)
from threadline.cli.demo_diary import HOUR_MS, PAGE_VIEW, SECOND_MS, STEP_MS, Device, Diary, Sent
from threadline.cli.demo_money import CHECKOUTS, Bill, new_bill
from threadline.cli.demo_tables import (
    APP,
    FIRST_NAMES,
    LAST_NAMES,
    PUBLIC,
    SITE,
    Action,
    Life,
    Properties,
)
from threadline.contract.times import DAY_MS

MONTH_MS = 30 * DAY_MS
LOOKS_AROUND = 0.6
IDENTIFIES_LATE = 0.03
SIGNS_OUT = 0.04
REFUNDED = 0.06
NOT_CHARGED = 0.06
BUYS_AT_ONCE = 0.3
TRIES = 0.35
TRIAL_DAYS = 14
MOST_VISITS = 400

# How long people are away to sign in somewhere else, and to pay; some have to look for their card,
# or are called away. Longer than half an hour, a rule of many products, and within our four hours.
AWAY_TO_SIGN_IN_MS = 50 * SECOND_MS
AWAY_TO_PAY_MS = 150 * SECOND_MS
TAKES_LONG = 0.2
LONG_MS, LONGER_MS = 34 * 60 * SECOND_MS, 50 * 60 * SECOND_MS

BILLING = f"{SITE}/app/billing"
THANKS = f"{SITE}/app/billing/thanks"
WELCOME: Properties = {"template": "welcome"}
LOGOUT = Action("logout")


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
        self._country = devices[0].country
        self._sign_in_with = SIGN_INS.draw(self._random)
        names = (FIRST_NAMES.draw(self._random), LAST_NAMES.draw(self._random))
        self._pays = self._random.random() < life.pays
        self._tries = self._pays or self._random.random() < TRIES
        self._traits: Properties = {
            "name": " ".join(names),
            "country": self._country,
            "plan": "free",
        }

    def live(self, signup_ms: int, first_ms: int) -> None:
        """From the first visit, not before `first_ms`, to the last one."""
        first = self._look_around(signup_ms, first_ms)
        moment = self._sign_up(signup_ms, first)
        end = signup_ms + self._diary.wait(self._life.days * DAY_MS)
        paid_at = 0
        if self._pays:
            at_once = self._random.random() < BUYS_AT_ONCE
            paid_at = moment if at_once else self._diary.later(signup_ms, 4)
            end = max(end, paid_at + self._diary.wait(90 * DAY_MS))
            if at_once:
                self._pay(paid_at, end)
                paid_at = 0
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
        first = True
        while first_ms < moment < signup_ms - HOUR_MS:
            device = self._devices[0] if random.random() < 0.6 else self._devices[-1]
            if device.shared:
                device = self._devices[0]
            diary.browse(device, self._arrival(device, first), moment, 1 + diary.some(2))
            moment = diary.later(moment, 2.5)
            first = False
        return first

    def _arrival(self, device: Device, first: bool) -> Arrival:
        return way_in(self._random, device.user_agent) if first else COMING_BACK.draw(self._random)

    def _sign_up(self, moment: int, first: bool) -> int:
        """By way of the prices; the moment after a first look at the application."""
        diary, device, plan = self._diary, self._devices[0], self._traits["plan"]
        arrival = self._arrival(device, first)
        moment = diary.walk(PUBLIC, device, None, arrival, moment, diary.some(1))
        if "/pricing" not in diary.sent[-1].event["url"]:
            diary.write(device, None, PAGE_VIEW, moment, f"{SITE}/pricing", f"{SITE}/")
            moment += diary.wait(STEP_MS)
        moment, page, referrer = self._prove(device, moment, f"{SITE}/signup", f"{SITE}/pricing")
        self._identify(device, moment, page, referrer)
        properties: Properties = {"plan": plan, "method": self._sign_in_with.method}
        if account := account_of(self._user_id):
            properties["account_id"] = account
        signup = Action("signup", properties)
        moment += SECOND_MS
        diary.write(device, self._user_id, signup, moment, page, referrer)
        diary.serve(self._user_id, "welcome_email_sent", moment + 20 * SECOND_MS, WELCOME)
        moment += diary.wait(5 * SECOND_MS)
        length = 1 + diary.some(3 * self._pace)
        arrival = after_sign_in(page, WELCOME_PAGE)
        moment = diary.walk(APP, device, self._user_id, arrival, moment, length)
        return self._try(device, moment) if self._tries else moment

    def _prove(self, device: Device, moment: int, form: str, referrer: str) -> tuple[int, str, str]:
        """On our form, or from there to a provider and back: the moment at which they are known,
        and the page with its referrer."""
        diary, how = self._diary, self._sign_in_with
        diary.write(device, None, PAGE_VIEW, moment, form, referrer)
        if not how.referrer:
            return moment + diary.wait(10 * SECOND_MS), form, referrer
        moment += diary.wait(AWAY_TO_SIGN_IN_MS)
        page = how.page(self._random)
        diary.write(device, None, PAGE_VIEW, moment, page, how.referrer)
        return moment + SECOND_MS, page, how.referrer

    def _try(self, device: Device, moment: int) -> int:
        moment = self._diary.walk(APP, device, self._user_id, TO_BILLING, moment, 1)
        trial = Action("trial_started", {"plan": "pro", "days": TRIAL_DAYS})
        self._diary.write(device, self._user_id, trial, moment, BILLING, TO_BILLING.referrer)
        return moment + self._diary.wait(STEP_MS)

    def _identify(self, device: Device, moment: int, url: str, referrer: str) -> None:
        self._signed_in.add(device)
        identify = Action("$identify", dict(self._traits))
        self._diary.write(device, self._user_id, identify, moment, url, referrer)

    def _work(self, start: int, end: int, paid_at: int) -> None:
        """Visits to the application until interest ends, the one with the purchase among them."""
        diary = self._diary
        often = self._life.visits_a_day * self._often
        moment = ended = start
        for _ in range(MOST_VISITS):
            moment = diary.later(moment, 1 / often)
            if start < paid_at <= moment:
                # Whoever is away to pay is not at work at the same time.
                moment = max(moment, self._come_to_pay(max(paid_at, ended), end) + HOUR_MS)
                paid_at = 0
            if moment >= min(end, diary.until_ms):
                return
            ended = self._visit(moment)

    def _visit(self, moment: int) -> int:
        """The application, behind the login where nobody or somebody else is signed in; the moment
        after."""
        diary, random = self._diary, self._random
        device = self._devices[0] if random.random() < 0.65 else self._devices[-1]
        arrival = TO_APP.draw(random)
        if device not in self._signed_in:
            moment, page = self._sign_in(device, moment)
            arrival = after_sign_in(page)
        length = diary.some(11 * self._pace)
        moment = diary.walk(APP, device, self._user_id, arrival, moment, length)
        if random.random() < (0.95 if device.shared else SIGNS_OUT):
            url = f"{SITE}/app/settings"
            diary.write(device, self._user_id, LOGOUT, moment, url, f"{SITE}/app/calendar")
            self._signed_in.discard(device)
        return moment

    def _sign_in(self, device: Device, moment: int) -> tuple[int, str]:
        """The moment after, and the page on which they are then."""
        diary, random = self._diary, self._random
        moment = diary.walk(PUBLIC, device, None, TO_LOGIN.draw(random), moment, 1)
        moment, page, referrer = self._prove(device, moment, f"{SITE}/login", f"{SITE}/")
        self._identify(device, moment, page, referrer)
        if random.random() < IDENTIFIES_LATE and moment < diary.until_ms:
            # It was queued on the device and arrives after everything else.
            self._late.append(diary.sent.pop())
        login = Action("login", {"method": self._sign_in_with.method})
        diary.write(device, self._user_id, login, moment + SECOND_MS, page, referrer)
        return moment + diary.wait(5 * SECOND_MS), page

    def _come_to_pay(self, moment: int, end: int) -> int:
        device = self._devices[0]
        if device not in self._signed_in:
            moment, _ = self._sign_in(device, moment)
        else:
            arrival = TO_SETTINGS.draw(self._random)
            moment = self._diary.walk(APP, device, self._user_id, arrival, moment, 1)
        return self._pay(moment, end)

    def _pay(self, moment: int, end: int) -> int:
        """From the billing page to where the bill is paid, and back; the moment after. What has
        been paid our server hears from there, by webhook, and so it does month by month."""
        diary, random, device = self._diary, self._random, self._devices[0]
        moment = diary.walk(APP, device, self._user_id, TO_BILLING, moment, 1)
        moment += self._time_to_pay()
        bill, checkout = new_bill(random, self._country), CHECKOUTS.draw(random)
        diary.write(device, self._user_id, PAGE_VIEW, moment, THANKS, checkout.referrer)
        self._traits["plan"] = bill.plan
        self._identify(device, moment + SECOND_MS, THANKS, checkout.referrer)
        paid = moment + diary.wait(15 * SECOND_MS)
        diary.serve(self._user_id, "purchase", paid, bill.properties(provider=checkout.provider))
        self._charge(paid, end, bill)
        moment += diary.wait(STEP_MS)
        back = after_sign_in(THANKS)
        return diary.walk(APP, device, self._user_id, back, moment, diary.some(2))

    def _time_to_pay(self) -> int:
        random = self._random
        if random.random() < TAKES_LONG:
            return random.randint(LONG_MS, LONGER_MS)
        return self._diary.wait(AWAY_TO_PAY_MS)

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
