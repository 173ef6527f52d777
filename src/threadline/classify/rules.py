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
from threadline.classify.lists import read_list

HIGH, MEDIUM, LOW = "high", "medium", "low"

SOURCES = read_list("utm/sources.txt")
MEDIUMS = read_list("utm/mediums.txt")
LINK_SHIMS = frozenset({"l.facebook.com", "lm.facebook.com"})


class Source(NamedTuple):
    """The classifier's verdict on one event."""

    source: str
    medium: str
    campaign: str
    confidence: str
    rule_id: str


class Visit(NamedTuple):
    """What the rules look at, taken from URL and referrer once. Names of parameters are in lower
    case, utm values under the names of the lists."""

    params: dict[str, str]
    utm_source: str
    utm_medium: str
    page_host: str
    referrer_host: str
    referred_by: Listed | None
    own_hosts: frozenset[str]

    @property
    def paid(self) -> bool:
        return self.utm_medium == "paid"


Verdict = tuple[str, str] | None
Condition = Callable[[Visit], Verdict]


META = ("facebook", "instagram")


def _param(source: str, medium: str, *names: str) -> Condition:
    def condition(visit: Visit) -> Verdict:
        for name in names:  # a loop, because this is asked of every visit a dozen times
            if visit.params.get(name):
                return (source, medium)
        return None

    return condition


def _fbclid_from_shim(visit: Visit) -> Verdict:
    shim = visit.params.get("fbclid") and visit.referrer_host in LINK_SHIMS
    return ("facebook", "paid") if shim else None


def _fbclid_with_name(visit: Visit) -> Verdict:
    named = visit.params.get("fbclid") and visit.utm_source in META
    return (visit.utm_source, "paid") if named else None


def _paid_as(source: str) -> Condition:
    return lambda visit: (source, "paid") if visit.paid and visit.utm_source == source else None


def _paid_source(visit: Visit) -> Verdict:
    return (visit.utm_source, "paid") if visit.paid and visit.utm_source else None


def _paid_unknown(visit: Visit) -> Verdict:
    return ("unknown", "paid") if visit.paid else None


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


def _click_id(rule_id: str, source: str, *names: str) -> Rule:
    when = f"a click id of {source} ads: {' or '.join(names)}"
    return Rule(rule_id, _param(source, "paid", *(name.lower() for name in names)), HIGH, when)


RULES = (
    _click_id("google_click_id", "google", "gclid", "wbraid", "gbraid"),
    _click_id("microsoft_click_id", "bing", "msclkid"),
    _click_id("tiktok_click_id", "tiktok", "ttclid"),
    _click_id("linkedin_click_id", "linkedin", "li_fat_id"),
    _click_id("twitter_click_id", "twitter", "twclid"),
    _click_id("snapchat_click_id", "snapchat", "ScCid"),
    _click_id("reddit_click_id", "reddit", "rdt_cid"),
    _click_id("pinterest_click_id", "pinterest", "epik"),
    _click_id("yandex_click_id", "yandex", "yclid"),
    _click_id("google_display_click_id", "google", "dclid", "gad_source", "gad_campaignid"),
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
        _paid_as("facebook"),
        HIGH,
        "a paid utm_medium, and a utm_source that names Facebook",
    ),
    Rule(
        "paid_utm_instagram",
        _paid_as("instagram"),
        HIGH,
        "a paid utm_medium, and a utm_source that names Instagram",
    ),
    Rule("paid_utm_source", _paid_source, HIGH, "a paid utm_medium, and a utm_source"),
    Rule("paid_utm_medium_only", _paid_unknown, MEDIUM, "a paid utm_medium without a utm_source"),
    Rule(
        "fbclid_alone", _param("facebook", "paid", "fbclid"), MEDIUM, "fbclid, Facebook's click id"
    ),
    Rule("utm_source", _utm_source, HIGH, "a utm_source"),
    Rule(
        "instagram_share_id",
        _param("instagram", "social", "igshid", "igsh"),
        MEDIUM,
        "igshid or igsh, which Instagram adds to links that people share",
    ),
    Rule(
        "mailchimp_member_id",
        _param("mailchimp", "email", "mc_eid", "mc_cid"),
        MEDIUM,
        "mc_eid or mc_cid, which Mailchimp adds to links in its mails",
    ),
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
    params: dict[str, str] = {}
    for name, value in parse_qsl(query):
        params.setdefault(name.lower(), value.strip())  # the first counts, as in browsers
    utm_source = params.get("utm_source", "").casefold()
    utm_medium = params.get("utm_medium", "").casefold()
    referrer_host = _split(referrer)[1]
    return Visit(
        params,
        utm_source=SOURCES.get(utm_source, utm_source),
        utm_medium=MEDIUMS.get(utm_medium, utm_medium),
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


def _split(url: str) -> tuple[str, str]:
    """Parameters and host (lower case, without `www.`) of a URL; empty where there is none.

    Some sites keep parameters behind the `#`, where single pages have their routes; those come
    after the query's.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").removeprefix("www.")
    except ValueError:
        return "", ""
    query = parts.query
    if "=" in parts.fragment:
        query += "&" + parts.fragment.rpartition("?")[2]
    return query, host
