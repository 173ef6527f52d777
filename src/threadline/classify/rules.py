"""The rules, in order. Each has an id that is stored with the event."""

from collections.abc import Callable
from typing import NamedTuple

from threadline.classify.visit import Visit, registrable_domain

HIGH, MEDIUM, LOW = "high", "medium", "low"

LINK_SHIMS = frozenset({"l.facebook.com", "lm.facebook.com"})
META = ("facebook", "instagram")

Verdict = tuple[str, str] | None
Condition = Callable[[Visit], Verdict]


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
    return ("internal", "internal") if visit.internal else None


def _referral(visit: Visit) -> Verdict:
    host = visit.referrer_host
    return (registrable_domain(host), "referral") if host else None


def _direct(visit: Visit) -> Verdict:
    return ("direct", "direct")


class Rule(NamedTuple):
    """`condition`: source and medium, if it matches. `when`: what has to be so, in words that end
    the sentence "it matches if there is …". `campaign`: instead of the URL's, if any."""

    rule_id: str
    condition: Condition
    confidence: str
    when: str
    campaign: str = ""


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
        "a referrer on the site itself: the page's own domain, or an origin of the project",
    ),
    Rule("referrer_other", _referral, MEDIUM, "any other referrer"),
    Rule("direct", _direct, LOW, "nothing that says where the visit came from"),
)
