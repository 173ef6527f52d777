"""Where a visit came from: ordered rules over the page's URL and its referrer, first match wins.

Pure: no I/O, no clock. Each rule has an id that is stored with the event, so that a credit can be
explained months later.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from publicsuffixlist import PublicSuffixList

from threadline.classify.hosts import Listed, listed

HIGH, MEDIUM, LOW = "high", "medium", "low"

PAID_MEDIUMS = frozenset(
    "cpc ppc cpm cpv cpa paid paid_social paidsocial paid-social paid_search paidsearch "
    "paid-search paid_media display banner retargeting remarketing ads ad sem".split()
)
META_NAMES = frozenset({"facebook", "fb", "facebook.com", "meta"})
INSTAGRAM_NAMES = frozenset({"instagram", "ig", "instagram.com"})
LINK_SHIMS = frozenset({"l.facebook.com", "lm.facebook.com"})


class Source(NamedTuple):
    """The classifier's verdict on one event."""

    source: str
    medium: str
    campaign: str
    confidence: str
    rule_id: str


class Visit(NamedTuple):
    """What the rules look at, taken from URL and referrer once."""

    params: dict[str, str]
    utm_source: str
    utm_medium: str
    page_host: str
    referrer_host: str
    referred_by: Listed | None
    own_hosts: frozenset[str]

    @property
    def paid(self) -> bool:
        return self.utm_medium in PAID_MEDIUMS


Verdict = tuple[str, str] | None
Condition = Callable[[Visit], Verdict]


def _click_id(names: tuple[str, ...], source: str) -> Condition:
    return lambda visit: (source, "paid") if any(visit.params.get(name) for name in names) else None


def _fbclid_from_shim(visit: Visit) -> Verdict:
    shim = visit.params.get("fbclid") and visit.referrer_host in LINK_SHIMS
    return ("facebook", "paid") if shim else None


def _fbclid_with_name(visit: Visit) -> Verdict:
    return _meta_network(visit.utm_source) if visit.params.get("fbclid") else None


def _paid_meta(visit: Visit) -> Verdict:
    return ("facebook", "paid") if visit.paid and visit.utm_source in META_NAMES else None


def _paid_instagram(visit: Visit) -> Verdict:
    return ("instagram", "paid") if visit.paid and visit.utm_source in INSTAGRAM_NAMES else None


def _paid_source(visit: Visit) -> Verdict:
    return (visit.utm_source, "paid") if visit.paid and visit.utm_source else None


def _paid_unknown(visit: Visit) -> Verdict:
    return ("unknown", "paid") if visit.paid else None


def _fbclid_alone(visit: Visit) -> Verdict:
    return ("facebook", "paid") if visit.params.get("fbclid") else None


def _utm_source(visit: Visit) -> Verdict:
    return (visit.utm_source, visit.utm_medium or "unknown") if visit.utm_source else None


def _referred_by(kind: str, *sources: str) -> Condition:
    def condition(visit: Visit) -> Verdict:
        by = visit.referred_by
        if by is None or by.kind != kind or (sources and by.source not in sources):
            return None
        return (by.source, by.medium)

    return condition


def _internal(visit: Visit) -> Verdict:
    own = visit.referrer_host and (
        visit.referrer_host == visit.page_host or is_own_host(visit.referrer_host, visit.own_hosts)
    )
    return ("internal", "internal") if own else None


def _referral(visit: Visit) -> Verdict:
    host = visit.referrer_host
    return (registrable_domain(host), "referral") if host else None


def _direct(visit: Visit) -> Verdict:
    return ("direct", "direct")


RULES: tuple[tuple[str, Condition, str], ...] = (
    ("google_click_id", _click_id(("gclid", "wbraid", "gbraid"), "google"), HIGH),
    ("microsoft_click_id", _click_id(("msclkid",), "bing"), HIGH),
    ("tiktok_click_id", _click_id(("ttclid",), "tiktok"), HIGH),
    ("linkedin_click_id", _click_id(("li_fat_id",), "linkedin"), HIGH),
    ("fbclid_from_link_shim", _fbclid_from_shim, HIGH),
    ("fbclid_with_utm_source", _fbclid_with_name, HIGH),
    ("paid_utm_facebook", _paid_meta, HIGH),
    ("paid_utm_instagram", _paid_instagram, HIGH),
    ("paid_utm_source", _paid_source, HIGH),
    ("paid_utm_medium_only", _paid_unknown, MEDIUM),
    ("fbclid_alone", _fbclid_alone, MEDIUM),
    ("utm_source", _utm_source, HIGH),
    ("referrer_facebook", _referred_by("social", "facebook"), MEDIUM),
    ("referrer_instagram", _referred_by("social", "instagram"), MEDIUM),
    ("referrer_social", _referred_by("social"), MEDIUM),
    ("referrer_search", _referred_by("search"), MEDIUM),
    ("referrer_email", _referred_by("email"), MEDIUM),
    ("referrer_ai", _referred_by("ai"), MEDIUM),
    ("referrer_ad", _referred_by("ads"), MEDIUM),
    ("referrer_internal", _internal, HIGH),
    ("referrer_other", _referral, MEDIUM),
    ("direct", _direct, LOW),
)


@lru_cache(maxsize=16_384)  # visits repeat the same pages; parsing costs more than all the rules
def classify(url: str, referrer: str, own_hosts: frozenset[str] = frozenset()) -> Source:
    """The source of a visit to `url` that came from `referrer` (both may be empty).

    `own_hosts`: the project's own hosts, `*.example.com` meaning every subdomain. Never raises:
    what cannot be parsed counts as absent.
    """
    query, page_host = _split(url)
    params = {name: value.strip() for name, value in parse_qsl(query)}
    referrer_host = _split(referrer)[1]
    visit = Visit(
        params,
        utm_source=params.get("utm_source", "").casefold(),
        utm_medium=params.get("utm_medium", "").casefold(),
        page_host=page_host,
        referrer_host=referrer_host,
        referred_by=listed(referrer_host),
        own_hosts=own_hosts,
    )
    for rule_id, condition, confidence in RULES:
        if verdict := condition(visit):
            return Source(*verdict, params.get("utm_campaign", ""), confidence, rule_id)
    raise AssertionError("the last rule always matches")


def is_own_host(host: str, own_hosts: frozenset[str]) -> bool:
    """Whether the host is listed, itself or by a `*.` pattern above it."""
    if host in own_hosts:
        return True
    labels = host.split(".")
    return any(f"*.{'.'.join(labels[i:])}" in own_hosts for i in range(1, len(labels)))


def registrable_domain(host: str) -> str:
    """`blog.example.co.uk` to `example.co.uk`; an address or a bare name stays as it is."""
    try:
        ip_address(host)
    except ValueError:
        return _suffixes().privatesuffix(host) or host
    return host


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _meta_network(utm_source: str) -> Verdict:
    if utm_source in META_NAMES:
        return ("facebook", "paid")
    return ("instagram", "paid") if utm_source in INSTAGRAM_NAMES else None


def _split(url: str) -> tuple[str, str]:
    """Query string and host (lower case, without `www.`) of a URL; empty where there is none."""
    try:
        parts = urlsplit(url)
        return parts.query, (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return "", ""
