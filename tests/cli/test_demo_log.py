"""The demo log is believable, and the same for the same numbers."""

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import Json, Project
from threadline.classify import NO_SITE, Source, classify
from threadline.classify.channels import NAMES
from threadline.cli.demo_agents import CRAWLERS, DESKTOPS, PHONES
from threadline.cli.demo_log import DAYS, DemoLog, DemoPerson
from threadline.cli.demo_money import EURO_COUNTRIES, rates
from threadline.cli.demo_tables import Weighted
from threadline.contract.times import DAY_MS, format_ms, parse_ms
from threadline.enrich.agent import read_agent
from threadline.ingest.exchange_rates import RatesFile

UNTIL_MS = parse_ms("2026-11-26T15:00:00Z")
HOUR_MS = 3_600_000
WEEK_MS = 7 * DAY_MS
EVENTS, VISITORS, USERS = 20_000, 1000, 200
SITE = "https://calendar.example"

PUBLIC = {"/", "/features", "/pricing", "/customers", "/security", "/signup", "/login"}
BLOG = {"/blog/shared-calendars", "/blog/time-blocking", "/blog/fewer-meetings"}
APP = {"calendar", "bookings", "team", "integrations", "settings", "welcome", "billing"}
# Where people are when they come back from a provider, and from where they paid.
AUTH = {f"/auth/{name}" for name in ("google", "apple", "microsoft", "github")}
THANKS = "/app/billing/thanks"
ALL_PAGES = PUBLIC | BLOG | {f"/app/{name}" for name in APP} | AUTH | {THANKS}
# Where each thing happens; None: our server says so, of a user and with no page or device.
PLACES: dict[str, set[str] | None] = {
    "$pageview": ALL_PAGES,
    "$identify": {"/signup", "/login", THANKS} | AUTH,
    "signup": {"/signup"} | AUTH,
    "login": {"/login"} | AUTH,
    "logout": {"/app/settings"},
    "clicked_pricing": {"/", "/features"},
    "watched_video": {"/", "/features"},
    "compared_plans": {"/pricing"},
    "article_read": BLOG,
    "newsletter_subscribed": BLOG,
    "calendar_imported": {"/app/welcome"},
    "event_created": {"/app/calendar"},
    "event_moved": {"/app/calendar"},
    "feature_used": {f"/app/{name}" for name in APP - {"billing"}},
    "booking_link_copied": {"/app/bookings"},
    "invite_sent": {"/app/team"},
    "integration_connected": {"/app/integrations"},
    "trial_started": {"/app/billing"},
    "purchase": None,
    "welcome_email_sent": None,
    "invoice_paid": None,
    "payment_failed": None,
    "refund": None,
    "subscription_cancelled": None,
}


@pytest.fixture(scope="module")
def people() -> list[DemoPerson]:
    return list(DemoLog(EVENTS, VISITORS, USERS, 1, UNTIL_MS).people())


@pytest.fixture(scope="module")
def many() -> list[DemoPerson]:
    """Enough of them for what is rare, and for shares of shares."""
    return list(DemoLog(100_000, 5000, 1000, 1, UNTIL_MS).people())


@pytest.fixture(scope="module")
def log(people: list[DemoPerson]) -> list[Json]:
    return [event for person in people for _, event in person.sent]


@pytest.fixture(scope="module")
def users(people: list[DemoPerson]) -> list[DemoPerson]:
    return [person for person in people if person.user_id]


def at(event: Json) -> int:
    return parse_ms(event["timestamp"])


def named(person: DemoPerson, *names: str) -> list[Json]:
    """Their events of these names, by time."""
    found = [event for _, event in person.sent if event["event"] in names]
    return sorted(found, key=at)


def path(event: Json) -> str:
    return urlsplit(event["url"]).path


def test_same_seed_same_log() -> None:
    def log(seed: int, until_ms: int = UNTIL_MS) -> list[object]:
        return [tuple(p.sent) for p in DemoLog(2000, 100, 20, seed, until_ms).people()]

    assert log(1) == log(1)
    assert log(1) != log(2)
    assert log(1) != log(1, UNTIL_MS + HOUR_MS)


def test_another_process_makes_the_same() -> None:
    """Nothing hangs on the order of sets, which differs from process to process."""
    script = (
        "import hashlib; from threadline.cli.demo_log import DemoLog;"
        f"log = list(DemoLog(2000, 100, 20, 1, {UNTIL_MS}).people());"
        "print(hashlib.sha256(repr(log).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("events", "visitors", "users"),
    [
        (1, 1, 1),
        (1, 50, 0),
        (50, 2, 1),
        (999, 50, 10),
        (3000, 10, 10),
        (3000, 150, 0),
        (5000, 5000, 100),
        (5000, 20, 4),
    ],
)
def test_exactly_as_many_events_whatever_the_numbers(
    events: int, visitors: int, users: int
) -> None:
    sent = [e for p in DemoLog(events, visitors, users, 3, UNTIL_MS).people() for _, e in p.sent]
    assert len(sent) == len({event["event_id"] for event in sent}) == events


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_its_numbers_are_what_was_asked_for(seed: int) -> None:
    events, visitors, users = 40_000, 2000, 400
    people = list(DemoLog(events, visitors, users, seed, UNTIL_MS).people())
    sent = [event for person in people for _, event in person.sent]
    assert len(sent) == events
    devices = {event.get("anonymous_id") for event in sent} - {None}
    assert abs(len(devices) - visitors) < visitors * 0.02
    assert devices == {device for person in people for device in person.devices}
    assert abs(len({person.user_id for person in people} - {None}) - users) < users * 0.02


def test_times_are_written_as_everywhere(log: list[Json]) -> None:
    assert all(format_ms(at(event)) == event["timestamp"] for event in log)


def test_every_event_has_an_id_of_its_own(log: list[Json]) -> None:
    assert len(log) == len({event["event_id"] for event in log}) == EVENTS


def test_each_thing_happens_where_it_can(many: list[DemoPerson]) -> None:
    log = [event for person in many for _, event in person.sent]
    assert {event["event"] for event in log} == set(PLACES)
    for event in log:
        places = PLACES[event["event"]]
        if places is None:
            assert not event.keys() & {"url", "referrer", "anonymous_id"}, event
            assert event["user_id"]
            continue
        assert event["url"].startswith(SITE), event
        assert path(event) in places, event
        assert event["anonymous_id"]
        if path(event).startswith("/app/"):
            assert "user_id" in event, event


def test_one_page_leads_to_the_next(people: list[DemoPerson]) -> None:
    """A referrer of our own is one of our pages; one from elsewhere, where people land."""
    for person in people:
        for _, event in person.sent:
            referrer = event.get("referrer", "")
            if referrer.startswith(SITE):
                assert urlsplit(referrer).path in ALL_PAGES, event
            elif referrer and classify(event["url"], referrer, NO_SITE).medium == "return":
                assert path(event) in AUTH | {THANKS}, event
            elif referrer:
                assert path(event) in PUBLIC | BLOG - {"/signup", "/login"}, event


def test_names_and_types_are_stable(log: list[Json]) -> None:
    types: dict[tuple[str, str], set[type]] = defaultdict(set)
    for event in log:
        assert re.fullmatch(r"\$?[a-z]+(_[a-z]+)*", event["event"])
        for name, value in event.get("properties", {}).items():
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
            types[event["event"], name].add(type(value))
    assert all(len(found) == 1 for found in types.values()), types


def test_a_user_keeps_their_name(users: list[DemoPerson]) -> None:
    for user in users:
        traits = [event["properties"] for event in named(user, "$identify")]
        assert len({(each["name"], each["country"]) for each in traits}) == 1
        assert traits[0]["country"] == user.country
        plans = [each["plan"] for each in traits]
        assert plans[0] == "free"
        if named(user, "purchase"):
            assert plans == sorted(plans, key=lambda plan: plan != "free")
        else:
            assert set(plans) == {"free"}
    assert len({named(user, "$identify")[0]["properties"]["name"] for user in users}) > 50


def test_everybody_signs_up_once_and_most_go_on(users: list[DemoPerson]) -> None:
    active = later_day = 0
    for user in users:
        (signup,) = named(user, "signup")
        (first,) = named(user, "$identify")[:1]
        assert at(first) < at(signup)
        for _, event in user.sent:
            assert ("user_id" in event) <= (at(event) >= at(first)), event
        after = [e for _, e in user.sent if "url" in e and at(e) > at(signup)]
        active += any(path(event).startswith("/app/") for event in after)
        later_day += any(at(event) > at(signup) + DAY_MS for event in after)
    assert active > len(users) * 0.95
    assert later_day > len(users) * 0.5


def test_many_have_known_us_for_days_before_they_sign_up(users: list[DemoPerson]) -> None:
    waited = [at(named(u, "signup")[0]) - min(at(e) for _, e in u.sent) for u in users]
    assert 0.3 < sum(wait > DAY_MS for wait in waited) / len(users) < 0.7
    assert sum(wait > 5 * DAY_MS for wait in waited) / len(users) > 0.1


def test_retention_falls_and_flattens(many: list[DemoPerson]) -> None:
    """Shares of users with something done on a page in the k-th week after signing up."""
    started, returned = Counter[int](), Counter[int]()
    for person in many:
        for signup in named(person, "signup"):
            since = [at(event) - at(signup) for _, event in person.sent if "url" in event]
            weeks = {moment // WEEK_MS for moment in since if moment > 0}
            for week in range(8):
                if at(signup) + (week + 1) * WEEK_MS <= UNTIL_MS:
                    started[week] += 1
                    returned[week] += week in weeks
    share = [returned[week] / started[week] for week in range(8)]
    assert share[0] > 0.9
    assert 0.37 < share[1] < 0.5
    assert 0.18 < share[4] < 0.28
    assert 0.1 < share[6] < 0.25
    assert share[1] - share[4] > 1.5 * (share[4] - share[6]), "flatter and flatter"


def test_some_come_back_after_weeks(users: list[DemoPerson]) -> None:
    back = 0
    for user in users:
        moments = sorted(at(event) for _, event in user.sent if "url" in event)
        pauses = [later - sooner for sooner, later in pairwise(moments)]
        back += max(pauses) > 2 * WEEK_MS
    assert 0.02 < back / len(users) < 0.25


def test_time_has_a_rhythm_and_ends_in_the_middle_of_it(log: list[Json]) -> None:
    moments = [at(event) for event in log]
    assert UNTIL_MS - DAYS * DAY_MS <= min(moments) < UNTIL_MS - (DAYS - 2) * DAY_MS
    assert max(moments) < UNTIL_MS
    days = Counter((UNTIL_MS - 1 - moment) // DAY_MS for moment in moments)
    assert all(days[day] for day in range(DAYS))
    week = sum(days[day] for day in range(7)) / 7
    assert week > 2 * sum(days[day] for day in range(DAYS - 7, DAYS)) / 7, "it grows"
    assert 0.5 < days[0] / week < 2.5, "the last day is one like the others"
    # The busiest minute of 60 days is a busy one, not a heap, and the last is like the others.
    minutes = Counter(moment // 60_000 for moment in moments)
    assert max(minutes.values()) < 60
    assert minutes[(UNTIL_MS - 1) // 60_000] < 30
    assert max(Counter(moment // 1000 for moment in moments).values()) < 10
    hours = Counter(moment // HOUR_MS % 24 for moment in moments)
    assert sum(hours[hour] for hour in range(9, 17)) > 5 * sum(hours[hour] for hour in range(6))
    weekdays = Counter((moment // DAY_MS + 3) % 7 for moment in moments)
    assert (weekdays[5] + weekdays[6]) / 2 < 0.6 * sum(weekdays[day] for day in range(5)) / 5


def test_money_comes_in_and_some_goes_back(many: list[DemoPerson]) -> None:
    months, refunds = 0, 0
    currencies: set[str] = set()
    for person in many:
        purchases = named(person, "purchase")
        money = named(person, "invoice_paid", "refund")
        assert len(purchases) <= 1
        assert len(purchases) == 1 or not money
        for event in purchases + money:
            bill = event["properties"]
            assert bill["currency"] == ("EUR" if person.country in EURO_COUNTRIES else "USD")
            currencies.add(bill["currency"])
            price = {"pro": 12, "team": 9}[bill["plan"]] * bill["seats"]
            due = price * (10 if bill["interval"] == "year" else 1)
            assert bill["value"] == (-due if event["event"] == "refund" else due), event
            assert due <= 3600
            assert bill["plan"] == "team" or bill["seats"] == 1
        for event in money:
            waited = at(event) - at(purchases[0])
            refund = event["event"] == "refund"
            assert waited > 0 if refund else waited >= 30 * DAY_MS
            assert event["properties"]["seats"] == purchases[0]["properties"]["seats"]
            refunds += refund
            months += not refund
    assert months > 5
    assert refunds > 1
    assert currencies == {"EUR", "USD"}


def returns(person: DemoPerson) -> list[tuple[Json, Json, Source]]:
    """Each page on which they are back from a provider, and the event before it on that device."""
    found: list[tuple[Json, Json, Source]] = []
    before: dict[str, Json] = {}
    for event in sorted((e for _, e in person.sent if "url" in e), key=at):
        source = classify(event["url"], event["referrer"], NO_SITE)
        if source.medium == "return" and event["event"] == "$pageview":
            found.append((before[event["anonymous_id"]], event, source))
        before[event["anonymous_id"]] = event
    return found


def test_some_sign_in_elsewhere_and_always_there(many: list[DemoPerson]) -> None:
    methods: Counter[str] = Counter()
    for person in many:
        known = named(person, "signup", "login")
        assert len({event["properties"]["method"] for event in known}) <= 1
        for event in known:
            method = event["properties"]["method"]
            assert path(event) in ({"/signup", "/login"} if method == "email" else AUTH), event
        methods.update(event["properties"]["method"] for event in known[:1])
        for before, back, source in returns(person):
            if source.rule_id != "return_from_login":
                continue
            assert path(back) == f"/auth/{source.source}"
            assert path(before) in {"/signup", "/login"}
            assert 0 < at(back) - at(before) < HOUR_MS
    assert methods.keys() == {"email", "google", "apple", "microsoft", "github"}
    assert 0.3 < 1 - methods["email"] / methods.total() < 0.6
    assert methods["google"] > methods.total() / 5


def test_who_pays_is_away_and_a_webhook_says_so(many: list[DemoPerson]) -> None:
    away: list[int] = []
    providers: Counter[str] = Counter()
    for person in many:
        purchases = named(person, "purchase")
        paid = [each for each in returns(person) if each[2].rule_id == "return_from_payment"]
        assert len(paid) == 1 or not purchases, "a webhook comes after they are back"
        for before, back, source in paid:
            assert path(back) == THANKS
            assert path(before) == "/app/billing"
            away.append(at(back) - at(before))
            providers[source.source] += 1
            for purchase in purchases:
                assert purchase["properties"]["provider"] == source.source
                assert 0 < at(purchase) - at(back) < 10 * 60_000
    assert providers.keys() == {"stripe", "paypal", "klarna"}
    assert providers["stripe"] > providers.total() / 2
    assert max(away) < 4 * HOUR_MS, "a visit goes on for as long as that"
    slow = sum(moment >= 34 * 60_000 for moment in away)
    assert 0.05 < slow / len(away) < 0.4


def test_people_come_by_every_channel(many: list[DemoPerson]) -> None:
    """What is clicked in the middle of a visit among it, as soon as a few seconds later."""
    channels: Counter[str] = Counter()
    rules: set[str] = set()
    within = 0
    for person in many:
        seen: dict[str, tuple[int, str]] = {}
        for agent, event in sorted(person.sent, key=lambda sent: at(sent.event)):
            if event["event"] != "$pageview":
                continue
            if event["referrer"].startswith("android-app:"):
                assert "Android" in agent
            source = classify(event["url"], event["referrer"], NO_SITE)
            channels[source.channel] += 1
            rules.add(source.rule_id)
            last, channel = seen.get(event["anonymous_id"], (0, ""))
            if source.channel.startswith(("Paid", "Display")) and at(event) < last + 30 * 60_000:
                within += channel == "Internal"
            seen[event["anonymous_id"]] = (at(event), source.channel)
    assert channels.keys() == set(NAMES)
    assert rules >= {"utm_medium_only", "affiliate_click_id", "utm_source_only"}
    assert within > 20


def test_rates_are_of_the_days_of_the_log(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(rates(1, DAYS, UNTIL_MS))
    assert file.read_text() == rates(1, DAYS, UNTIL_MS) != rates(2, DAYS, UNTIL_MS)
    found = [rate for rate in RatesFile(file).read() if rate.currency == "USD"]
    days = [rate.day for rate in found]
    assert days == sorted(days, reverse=True)
    assert days[0].isoformat() == "2026-11-26"
    assert days[-1].isoformat() < format_ms(UNTIL_MS - DAYS * DAY_MS)[:10]
    assert all(day.weekday() < 5 for day in days)
    assert max((later - sooner).days for later, sooner in pairwise(days)) <= 3
    assert all(1 < rate.per_euro < Decimal("1.4") for rate in found)
    assert len({rate.per_euro for rate in found}) > 20


def test_some_buy(users: list[DemoPerson]) -> None:
    buyers = [user for user in users if named(user, "purchase")]
    assert 0.06 < len(buyers) / len(users) < 0.25


def test_trials_come_before_purchases(users: list[DemoPerson]) -> None:
    tried = [user for user in users if named(user, "trial_started")]
    assert 0.25 < len(tried) / len(users) < 0.65
    for user in users:
        for purchase in named(user, "purchase"):
            assert at(named(user, "trial_started")[0]) < at(purchase)


def test_devices_are_second_ones_and_shared_ones(users: list[DemoPerson]) -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for user in users:
        for _, event in user.sent:
            if "user_id" in event and "anonymous_id" in event:
                owners[event["anonymous_id"]].add(event["user_id"])
    shared = {device for device, found in owners.items() if len(found) > 1}
    assert 0.005 < len(shared) / len(owners) < 0.06
    assert max(len(owners[device]) for device in shared) <= 4
    second = [user for user in users if len(user.devices) == 2]
    assert 0.15 < len(second) / len(users) < 0.5
    signed_in_again = [user for user in second if named(user, "login")]
    assert len(signed_in_again) > len(second) / 2


def test_whoever_signs_out_is_nobody_until_they_sign_in(users: list[DemoPerson]) -> None:
    owned = Counter(device for user in users for device in user.devices)
    outs = 0
    for user in users:
        by_time = sorted((event for _, event in user.sent), key=at)
        for device in user.devices:
            if owned[device] > 1:
                continue
            signed_in = False
            for event in by_time:
                if event.get("anonymous_id") != device:
                    continue
                if event["event"] == "$identify":
                    signed_in = True
                assert ("user_id" in event) == signed_in, event
                if event["event"] == "logout":
                    signed_in = False
                    outs += 1
    assert outs > 10


def test_some_identify_late(people: list[DemoPerson]) -> None:
    late = [person for person in people if person.sent[-1].event["event"] == "$identify"]
    late = [person for person in late if at(person.sent[-1].event) < at(person.sent[-2].event)]
    assert late


def test_strangers_look_around_or_bounce(people: list[DemoPerson]) -> None:
    strangers = [person for person in people if not person.user_id]
    once = sum(len(person.sent) == 1 for person in strangers)
    assert 0.25 < once / len(strangers) < 0.6
    assert not any("user_id" in event for person in strangers for _, event in person.sent)


def agents(*tables: Weighted[str]) -> set[str]:
    return {agent for table in tables for agent in table}


def test_bots_are_known_ones_and_few(people: list[DemoPerson]) -> None:
    crawlers, browsers = agents(CRAWLERS), agents(DESKTOPS, PHONES)
    assert all(read_agent(agent).is_bot for agent in crawlers)
    for agent in browsers:
        seen = read_agent(agent)
        assert seen.device_type in ("desktop", "mobile", "tablet"), agent
        assert seen.browser, agent
        assert not seen.is_bot, agent
    sent = Counter(agent for person in people for agent, _ in person.sent)
    assert sent.keys() <= crawlers | browsers | {""}
    share = sum(sent[agent] for agent in crawlers) / EVENTS
    assert 0.003 < share < 0.05
    for person in people:
        if person.sent[0].user_agent in crawlers:
            assert person.user_id is None
            assert {event["event"] for _, event in person.sent} == {"$pageview"}


@pytest.fixture
def loaded(project: Project, people: list[DemoPerson]) -> Project:
    """A project that was sent the whole log, as `threadline demo` does."""
    sent = [
        event | {"user_agent": agent} if agent else event
        for person in people
        for agent, event in person.sent
    ]
    for start in range(0, len(sent), 1000):
        reply = project.post("/v1/batch", {"events": sent[start : start + 1000]})
        assert reply.status == 202, reply
    return project


def test_a_server_has_something_to_say_about_it(loaded: Project, log: list[Json]) -> None:
    counted = loaded.ask("/v1/stats", group_by="event_name", include_bots="true")
    assert sum(row["value"] for row in counted["rows"]) == EVENTS
    people_only = loaded.ask("/v1/stats", group_by="event_name")
    bots = EVENTS - sum(row["value"] for row in people_only["rows"])
    assert 0.003 < bots / EVENTS < 0.05

    sources = {(row["source"], row["medium"]) for row in loaded.ask("/v1/sources")["rows"]}
    assert sources >= {
        ("facebook", "paid"),
        ("google", "paid"),
        ("google", "organic"),
        ("newsletter", "email"),
        ("hackernews", "social"),
        ("productreviews.example", "referral"),
        ("direct", "direct"),
        ("awin", "affiliate"),
        ("unknown", "email"),
    }
    assert not {medium for _, medium in sources} & {"internal", "return"}

    steps = "$pageview,signup,purchase"
    (funnel,) = loaded.ask("/v1/funnel", steps=steps, window="30d")["rows"]
    viewed, signed_up, bought = (step["persons"] for step in funnel["steps"])
    assert viewed > 3 * signed_up
    assert signed_up == USERS
    assert bought == sum(event["event"] == "purchase" for event in log) > 5

    cohorts = loaded.ask("/v1/retention", cohort="signup")["rows"]
    assert sum(row["persons"] for row in cohorts) == USERS
    old = [row["retained"] for row in cohorts[:4]]
    weeks = [sum(row[week] for row in old) for week in range(min(map(len, old)))]
    assert 0.3 < weeks[1] / weeks[0] < 0.7
    assert 0.1 < weeks[4] / weeks[0] < 0.4

    (waited,) = loaded.ask("/v1/time-to-conversion", conversion="signup")["rows"]
    assert waited["p75"] > 2 * 86_400
    assert loaded.ask("/v1/identity/shared-devices")["rows"]


def test_visits_are_of_every_channel_that_is_an_arrival(loaded: Project) -> None:
    visits = loaded.ask("/v1/visits", group_by="channel")["rows"]
    found = {row["channel"]: row["visits"] for row in visits}
    # A visit that begins with a return has no touch.
    assert found.keys() - {None} == set(NAMES) - {"Internal", "Return"}
    share = {channel: count / sum(found.values()) for channel, count in found.items()}
    assert 0.4 < share["Direct"] < 0.8, "people who work in the application come by themselves"
    assert all(share[name] > 0.03 for name in ("Organic Search", "Paid Search", "Paid Social"))
    assert all(share[name] > 0.001 for name in ("AI", "Affiliate", "Display", "SMS/Push"))
    assert share.get(None, 0) < 0.01


def test_money_is_credited_in_two_currencies_and_to_no_return(
    loaded: Project, log: list[Json]
) -> None:
    bills = [event["properties"] for event in log if event["event"] == "purchase"]
    paid: Counter[str] = Counter()
    for bill in bills:
        paid[bill["currency"]] += bill["value"]
    assert paid.keys() == {"EUR", "USD"}
    credit = loaded.ask(
        "/v1/attribution",
        conversion="purchase",
        model="first_touch,last_touch,last_non_direct",
        value_property="value",
        lookback_days=90,
        group_by="source,medium",
    )
    assert credit["total"]["value"] == paid
    assert credit["total"]["conversions"] == len(bills)
    assert len(credit["rows"]) > 3
    names = {(row["source"], row["medium"]) for row in credit["rows"]}
    assert not {medium for _, medium in names} & {"return", "internal"}
    assert not {source for source, _ in names} & {"stripe", "paypal", "klarna"}


def test_who_signs_in_elsewhere_is_credited_to_what_brought_them(
    loaded: Project, users: list[DemoPerson]
) -> None:
    expected = Counter(last_touch(user, named(user, "signup")[0]) for user in users)
    credit = loaded.ask(
        "/v1/attribution",
        conversion="signup",
        model="last_touch",
        lookback_days=90,
        group_by="source,medium",
    )
    found = {(row["source"], row["medium"]): row["conversions"] for row in credit["rows"]}
    assert {names: count for names, count in found.items() if count} == expected
    away = [user for user in users if named(user, "signup")[0]["properties"]["method"] != "email"]
    assert len(away) > USERS / 4


def last_touch(person: DemoPerson, conversion: Json) -> tuple[str, str]:
    """Of what is done on the page: the last arrival of the visit, else direct."""
    device = conversion["anonymous_id"]
    visit: list[Source] = []
    last = 0
    for event in sorted((e for _, e in person.sent if e.get("anonymous_id") == device), key=at):
        if at(event) > at(conversion):
            break
        source = classify(event["url"], event["referrer"], NO_SITE)
        pause = 4 * HOUR_MS if source.medium == "return" else HOUR_MS // 2
        visit = [*(visit if at(event) - last <= pause else []), source]
        last = at(event)
    touches = [s for s in visit if s.medium not in ("direct", "internal", "return")]
    return (touches[-1].source, touches[-1].medium) if touches else ("direct", "direct")
