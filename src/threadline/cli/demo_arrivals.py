"""How people come to the site of the demo log, also back from signing in."""

from random import Random
from typing import NamedTuple

from threadline.cli.demo_tables import APP, SITE, Weighted


class Arrival(NamedTuple):
    """One way to the site: query string of the landing page, referrer, and where people land.
    `{n}` is another number each time."""

    query: str
    referrer: str
    pages: Weighted[str]


HOME = Weighted((1, "/"))
FROM_ADS = Weighted((60, "/"), (25, "/features"), (15, "/pricing"))
FROM_LINKS = Weighted(
    (45, "/"),
    (15, "/features"),
    (20, "/blog/shared-calendars"),
    (12, "/blog/time-blocking"),
    (8, "/blog/fewer-meetings"),
)
NEWSLETTER = Arrival("?utm_source=newsletter&utm_medium=email&utm_campaign=monthly", "", FROM_LINKS)
# Somebody forgot the utm_source.
HALF_TAGGED = Arrival("?utm_medium=email&utm_campaign=webinar", "", FROM_LINKS)
FACEBOOK_AD = Arrival(
    "?utm_source=facebook&utm_medium=cpc&utm_campaign=spring&fbclid=IwAR0{n}",
    "https://l.facebook.com/",
    FROM_ADS,
)
GOOGLE_AD = Arrival("?gclid=Cj0K{n}&utm_campaign=brand", "https://www.google.com/", FROM_ADS)
INSTAGRAM_AD = Arrival(
    "?utm_source=instagram&utm_medium=paid_social&utm_campaign=reels",
    "https://l.instagram.com/",
    FROM_ADS,
)
BANNER = Arrival("?utm_source=criteo&utm_medium=display&utm_campaign=reminder", "", FROM_ADS)
WAYS: tuple[tuple[float, Arrival], ...] = (
    (21, Arrival("", "https://www.google.com/", FROM_LINKS)),
    (16, Arrival("", "", HOME)),
    (12, FACEBOOK_AD),
    (10, GOOGLE_AD),
    (5, NEWSLETTER),
    (1, HALF_TAGGED),
    (4, INSTAGRAM_AD),
    (
        3,
        Arrival(
            "?utm_source=linkedin&utm_medium=cpc&utm_campaign=teams&li_fat_id={n}",
            "https://www.linkedin.com/",
            FROM_ADS,
        ),
    ),
    (1.5, BANNER),
    (5, Arrival("", "https://t.co/x{n}", FROM_LINKS)),
    (4, Arrival("", "https://news.ycombinator.com/", FROM_LINKS)),
    (3, Arrival("", "https://www.reddit.com/", FROM_LINKS)),
    (2, Arrival("", "https://www.youtube.com/", FROM_ADS)),
    (3, Arrival("", "https://www.bing.com/", FROM_LINKS)),
    (1, Arrival("", "https://duckduckgo.com/", FROM_LINKS)),
    (4, Arrival("?utm_source=chatgpt.com", "https://chatgpt.com/", FROM_LINKS)),
    (1, Arrival("", "https://www.perplexity.ai/", FROM_LINKS)),
    (1, Arrival("", "https://gemini.google.com/", FROM_LINKS)),
    (0.5, Arrival("", "https://claude.ai/", FROM_LINKS)),
    (3, Arrival("", "https://blog.productreviews.example/best-calendars", FROM_ADS)),
    (2, Arrival("?awc=48211_{n}", "https://deals.savings.example/", FROM_ADS)),
    (1, Arrival("?utm_source=conference&utm_medium=qr&utm_campaign=badge", "", HOME)),
)
ARRIVALS = Weighted(*WAYS)
# Apps of Android say which one they are.
ARRIVALS_ON_ANDROID = Weighted(
    *WAYS,
    (10, Arrival("", "android-app://com.google.android.googlequicksearchbox/", FROM_LINKS)),
    (4, Arrival("", "android-app://com.reddit.frontpage/", FROM_LINKS)),
    (2, Arrival("", "android-app://com.google.android.gm/", FROM_LINKS)),
)
# Ads that find people again, also while they still look around.
REMINDERS = Weighted((4, FACEBOOK_AD), (3, GOOGLE_AD), (2, BANNER), (1, INSTAGRAM_AD))
COMING_BACK = Weighted(
    (65, Arrival("", "", HOME)),
    (20, Arrival("", "https://www.google.com/", HOME)),
    (11, NEWSLETTER),
    (2, HALF_TAGGED),
    (2, BANNER),
)
TO_LOGIN = Weighted(
    (75, Arrival("", "", HOME)),
    (25, Arrival("", "https://www.google.com/", HOME)),
)
# Signed in people open the application itself.
CALENDAR = Weighted((1, "/app/calendar"))
TO_APP = Weighted(
    (86, Arrival("", "", Weighted((80, "/app/calendar"), (20, "/app/bookings")))),
    (11, Arrival("?utm_source=agenda&utm_medium=email&utm_campaign=weekly", "", CALENDAR)),
    (3, Arrival("?utm_source=agenda&utm_medium=push&utm_campaign=soon", "", CALENDAR)),
)
# From where they go on to pay: by themselves, or because a mail says that the trial ends.
SETTINGS = Weighted((1, "/app/settings"))
TO_SETTINGS = Weighted(
    (65, Arrival("", "", SETTINGS)),
    (35, Arrival("?utm_source=trial&utm_medium=email&utm_campaign=ends", "", SETTINGS)),
)
TO_BILLING = Arrival("", f"{SITE}/app/settings", Weighted((1, "/app/billing")))
WELCOME_PAGE = Weighted((1, "/app/welcome"))


def way_in(random: Random, user_agent: str) -> Arrival:
    """From elsewhere, for the first time."""
    return (ARRIVALS_ON_ANDROID if "Android" in user_agent else ARRIVALS).draw(random)


class SignIn(NamedTuple):
    """How somebody proves who they are: with a password on our own form, where there is no
    `referrer`, or away at a provider that sends them back with a `query`."""

    method: str
    referrer: str = ""
    query: str = ""

    def page(self, random: Random) -> str:
        """Address of the page that they come back to."""
        query = self.query and self.query.format(random.getrandbits(80), random.getrandbits(64))
        return f"{SITE}/auth/{self.method}{query}"


# What OAuth answers with. Apple sends it in a form.
CODE = "?code={:020x}&state={:016x}"
SIGN_INS = Weighted(
    (55, SignIn("email")),
    (29, SignIn("google", "https://accounts.google.com/", CODE)),
    (6, SignIn("apple", "https://appleid.apple.com/")),
    (6, SignIn("microsoft", "https://login.microsoftonline.com/", CODE)),
    (4, SignIn("github", "https://github.com/", CODE)),
)


def after_sign_in(page: str, pages: Weighted[str] = APP.paths) -> Arrival:
    """From the page on which somebody has become known to the application."""
    return Arrival("", page, pages)
