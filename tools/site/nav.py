"""Every page of `docs/`: under which heading it stands, in which order, and what is in it.

A page that is named here and is not there yet is left out; one that is there and not named fails a
test, as it would be found by nobody.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = "index"
DESCRIPTION = "description: "

NAV: dict[str, dict[str, str]] = {
    "Begin": {
        "quickstart": "From nothing to a signup and the ad it came from, in ten minutes.",
        "concepts": "Events, visitors, users, links, policies, visits, sources, sessions.",
        "naming": "What to call events and properties, and which to send.",
    },
    "Set up": {
        "browser": "The script for your pages, its options and add-ons.",
        "python": "The SDK for servers: middleware, jobs, webhooks, tests.",
        "segment": "Libraries that speak Segment's API, by changing their host.",
        "setup-http": "The server's half in any language: cookie, events, identify.",
        "setup-nextjs": "Pages, server actions, sign-in.",
        "setup-remix": "Loaders, actions, sign-in.",
        "setup-sveltekit": "Hooks, form actions, sign-in.",
        "setup-nuxt": "Plugins, server routes, sign-in.",
        "setup-django": "Middleware, templates, sign-in.",
        "setup-fastapi": "Middleware, dependencies, sign-in.",
        "setup-flask": "An extension, templates, sign-in.",
        "setup-rails": "A module over plain HTTP, sign-in.",
        "setup-laravel": "A middleware over plain HTTP, sign-in.",
        "setup-wordpress": "A plugin of one file.",
        "setup-go": "Plain HTTP, sign-in.",
        "keys": "Who may send and ask, from where, and what to do after a leak.",
        "proxies": "Your own domain, addresses of visitors, content security policies.",
        "import-export": "NDJSON and CSV in; NDJSON, CSV and Parquet out.",
        "moving": "From other products: what to bring along, and why numbers differ.",
    },
    "Ask": {
        "questions": "What all questions have in common, series and comparison among it.",
        "recipes": "Questions as people ask them, each as one line with its answer.",
        "recipes-shop": "A shop: what to send, refunds among it, and what to ask.",
        "recipes-saas": "A product by subscription: what to send, and what to ask.",
        "funnels": "Steps of any kind, in any order, and the people at each.",
        "people": "Who they are, who comes back, and what they do before and after.",
        "accounts": "Companies instead of people: who is in which, what brought them.",
        "segments-and-goals": "People, conversions and days with a name; boards.",
        "money": "Amounts, currencies, exchange rates, refunds.",
        "schema": "What has been sent so far, and what may be misspelt.",
        "sql": "SQL over events, visits and persons, for BI tools and notebooks.",
        "mcp": "For agents: every question as a tool.",
    },
    "Understand": {
        "identity": "The five policies, how to choose among them, and the same in SQL.",
        "identity-tables": "Eighteen flows, event by event: who owns what, under each policy.",
        "first-touch": "Six ways in which a field goes wrong, and what happens here.",
        "visits": "What a visit and a touch are, and who gets the credit.",
        "sources": "Where a visit came from, rule by rule, and rules of your own.",
        "bots": "Devices and browsers, who is a bot, and what happens on no page.",
        "privacy": "What is stored of a visitor, and what never is.",
        "gdpr": "Requests of people about their data: to see it, to have it erased.",
    },
    "Operate": {
        "operating": "What to do day by day, and when something is wrong.",
        "deploying": "A service, its proxy, its metrics, its size.",
        "scaling": "A ClickHouse server, or a cluster, in the place of the folder.",
        "upgrading": "From one version to the next.",
        "backup": "Copies of the data, and the way back.",
        "retention": "How long what is kept.",
        "settings": "Everything that can be set.",
        "metrics": "Every metric, what it counts, and when to be woken by it.",
        "jobs": "What takes long, how far it is, and how to end it.",
        "reliability": "What is promised, and how each promise is tested.",
        "dashboard-access": "Signing in to the dashboard, roles, sharing a page.",
        "admin-api": "Projects, keys, rules, and what was refused, over HTTP.",
    },
    "Look up": {
        "cli": "Every command with its options.",
        "errors": "Every error and every warning, and what to do about it.",
        "limits": "Every limit, on one page.",
        "stability": "What stays as it is, and what may change with a version.",
        "architecture": "The house, room by room.",
    },
}
# Folders of which every page belongs under a heading of its own.
FOLDERS = {"skills": "For agents", "decisions": "Decisions"}


class Page(NamedTuple):
    """`name`: its path below `docs`, without `.md`. `about`: what is in it; nothing where the title
    says it."""

    name: str
    title: str
    about: str


def headings() -> Iterator[tuple[str, list[Page]]]:
    """The headings in order, with the pages that there are."""
    for heading, listed in NAV.items():
        yield heading, [page(name, about) for name, about in listed.items() if there(name)]
    for folder, heading in FOLDERS.items():
        names = (path.relative_to(DOCS) for path in sorted((DOCS / folder).rglob("*.md")))
        if pages := [page(name.with_suffix("").as_posix(), "") for name in names]:
            yield heading, pages


def pages() -> list[Page]:
    """All of them, in order."""
    return [page for _, listed in headings() for page in listed]


def unlisted() -> list[str]:
    """Pages that lie in `docs` and have no place here."""
    names = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    return sorted(names - {page.name for page in pages()} - {INDEX})


def there(name: str) -> bool:
    return source(name).exists()


def source(name: str) -> Path:
    return DOCS / f"{name}.md"


def page(name: str, about: str) -> Page:
    """With the title that it gives itself, and with its own description if it begins with one."""
    lines = source(name).read_text().splitlines()
    title = next((line[2:] for line in lines if line.startswith("# ")), name)
    described = [line for line in lines[:5] if line.startswith(DESCRIPTION)]
    said = described[0].removeprefix(DESCRIPTION) if described and lines[0] == "---" else ""
    return Page(name, title.replace("`", ""), about or said)
