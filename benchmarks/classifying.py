"""The source classifier against parsing the same URLs with the standard library, and nothing else.

python -m benchmarks.classifying
"""

import argparse
import random
from urllib.parse import parse_qs, urlsplit

from benchmarks.report import Report, median_s, rate
from threadline.classify import classify, read_site

PATHS = ["", "pricing", "blog/shared-calendars", "features/export", "signup"]
QUERIES = [
    "",
    "utm_source=newsletter&utm_medium=email&utm_campaign=may-{n}",
    "gclid=Cj0KCQ{n}",
    "utm_source=facebook&utm_medium=cpc&utm_campaign=spring&fbclid=IwAR{n}",
    "page={n}&sort=price",
    "utm_source=chatgpt.com",
    "utm_source=acme&utm_medium=Paid+Social&utm_campaign=autumn",
    "awc=1234_{n}",
]
REFERRERS = [
    "",
    "https://www.google.com/",
    "https://l.facebook.com/l.php?u={n}",
    "https://blog.example.co.uk/posts/{n}",
    "https://www.shop.example/pricing?n={n}",
    "https://accounts.google.com/",
    "https://checkout.stripe.com/",
    "https://lightmailer-bs.gmx.net/",
    "android-app://com.reddit.frontpage/",
]
SITE = read_site(frozenset({"shop.example", "*.shop.example"}), "same", "")
CACHED = 10_000  # different visits, as a site sees them again and again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    visits = list(_visits(options.visits))
    often = visits[:CACHED] * (options.visits // CACHED)
    report = Report("classifying", visits=f"{options.visits:,}")

    plain_s = median_s(lambda: _parse(visits), options.runs)
    for what, given, target in (
        ("distinct visits", visits, "≥ 60,000/s"),
        (f"{CACHED:,} visits again and again", often, "≥ 300,000/s"),
    ):
        took_s = median_s(lambda given=given: _classify(given), options.runs)  # type: ignore[misc]
        report.row(
            what,
            rate(len(given), took_s),
            f"urlsplit and parse_qs {rate(len(visits), plain_s)}",
            f"{took_s / len(given) / plain_s * len(visits):.2f} times",
            target,
        )
    report.save()


def _visits(count: int) -> list[tuple[str, str]]:
    chance = random.Random(1)
    return [
        (
            f"https://www.shop.example/{chance.choice(PATHS)}?{chance.choice(QUERIES).format(n=n)}"
            f"&n={n}",
            chance.choice(REFERRERS).format(n=n),
        )
        for n in range(count)
    ]


def _parse(visits: list[tuple[str, str]]) -> None:
    for url, referrer in visits:
        parse_qs(urlsplit(url).query)
        urlsplit(referrer)


def _classify(visits: list[tuple[str, str]]) -> None:
    for url, referrer in visits:
        classify(url, referrer, SITE)


if __name__ == "__main__":
    main()
