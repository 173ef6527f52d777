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


def _click_id(source: str, *names: str) -> Condition:
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


class Rule(NamedTuple):
    """`when`: what has to be so, in words that end the sentence "it matches if there is …"."""

    rule_id: str
    condition: Condition
    confidence: str
    when: str


RULES = (
    Rule(
        "google_click_id",
        _click_id("google", "gclid", "wbraid", "gbraid"),
        HIGH,
        "a click id of Google: gclid, wbraid or gbraid",
    ),
    Rule("microsoft_click_id", _click_id("bing", "msclkid"), HIGH, "msclkid, Microsoft's click id"),
    Rule("tiktok_click_id", _click_id("tiktok", "ttclid"), HIGH, "ttclid, TikTok's click id"),
    Rule(
        "linkedin_click_id",
        _click_id("linkedin", "li_fat_id"),
        HIGH,
        "li_fat_id, LinkedIn's click id",
    ),
    Rule(
        "fbclid_from_link_shim",
        _fbclid_from_shim,
        HIGH,
        "fbclid, and a referrer through which Facebook sends clicks",
    ),
    Rule(
        "fbclid_with_utm_source",
        _fbclid_with_name,
        HIGH,
        "fbclid, and a utm_source that names Facebook, Instagram or Meta",
    ),
    Rule(
        "paid_utm_facebook",
        _paid_meta,
        HIGH,
        "a paid utm_medium, and a utm_source that names Facebook",
    ),
    Rule(
        "paid_utm_instagram",
        _paid_instagram,
        HIGH,
        "a paid utm_medium, and a utm_source that names Instagram",
    ),
    Rule("paid_utm_source", _paid_source, HIGH, "a paid utm_medium, and a utm_source"),
    Rule("paid_utm_medium_only", _paid_unknown, MEDIUM, "a paid utm_medium without a utm_source"),
    Rule("fbclid_alone", _fbclid_alone, MEDIUM, "fbclid, Facebook's click id"),
    Rule("utm_source", _utm_source, HIGH, "a utm_source"),
    Rule(
        "referrer_facebook", _referred_by("social", "facebook"), MEDIUM, "a referrer of Facebook's"
    ),
    Rule(
        "referrer_instagram",
        _referred_by("social", "instagram"),
        MEDIUM,
        "a referrer of Instagram's",
    ),
    Rule("referrer_social", _referred_by("social"), MEDIUM, "a referrer that is a social network"),
    Rule("referrer_search", _referred_by("search"), MEDIUM, "a referrer that is a search engine"),
    Rule("referrer_email", _referred_by("email"), MEDIUM, "a referrer that is a mail program"),
    Rule("referrer_ai", _referred_by("ai"), MEDIUM, "a referrer that is an AI assistant"),
    Rule("referrer_ad", _referred_by("ads"), MEDIUM, "a referrer through which ads are clicked"),
    Rule(
        "referrer_internal",
        _internal,
        HIGH,
        "a referrer on the page's own host, or on an origin of the project",
    ),
    Rule("referrer_other", _referral, MEDIUM, "any other referrer"),
    Rule("direct", _direct, LOW, "nothing that says where the visit came from"),
)


@lru_cache(maxsize=16_384)  # visits repeat the same pages; parsing costs more than all the rules
def classify(url: str, referrer: str, own_hosts: frozenset[str] = frozenset()) -> Source:
    """The source of a visit to `url` that came from `referrer` (both may be empty).

    `own_hosts`: the project's own hosts, `*.example.com` meaning every subdomain. Never raises:
    what cannot be parsed counts as absent.
    """
    visit = _read(url, referrer, own_hosts)
    for rule in RULES:
        if verdict := rule.condition(visit):
            campaign = visit.params.get("utm_campaign", "")
            return Source(*verdict, campaign, rule.confidence, rule.rule_id)
    raise AssertionError("the last rule always matches")


def _read(url: str, referrer: str, own_hosts: frozenset[str]) -> Visit:
    query, page_host = _split(url)
    params = {name: value.strip() for name, value in parse_qsl(query)}
    referrer_host = _split(referrer)[1]
    return Visit(
        params,
        utm_source=params.get("utm_source", "").casefold(),
        utm_medium=params.get("utm_medium", "").casefold(),
        page_host=page_host,
        referrer_host=referrer_host,
        referred_by=listed(referrer_host),
        own_hosts=own_hosts,
    )


def is_own_host(host: str, own_hosts: frozenset[str]) -> bool:
    """Whether the host is listed, itself or by a `*.` pattern above it."""
    if host in own_hosts:
        return True
    labels = host.split(".")
    return any(f"*.{'.'.join(labels[i:])}" in own_hosts for i in range(1, len(labels)))


@lru_cache(maxsize=16_384)  # hosts repeat even where pages do not
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
