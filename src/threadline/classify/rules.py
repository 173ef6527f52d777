"""The rules, in order. Each has an id that is stored with the event."""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from threadline.classify import conditions as are
from threadline.classify.conditions import Condition
from threadline.classify.visit import AFFILIATE_IDS, EMAIL_IDS, TAGS, Visit

HIGH, MEDIUM, LOW = "high", "medium", "low"
# Of referrers; `other` is one that no list knows.
ANY_KIND = frozenset(
    {"social", "search", "email", "ai", "ads", "spam", "login", "payment", "product", "products"}
    | {"other"}
)


class Rule(NamedTuple):
    """`condition`: source and medium, if it matches. `when`: what has to be so, in words that end
    the sentence "it matches if there is …". `campaign`: instead of the URL's, if any. `names`,
    `kinds`: of parameters and of a referrer, of which one has to be there for it to be asked."""

    rule_id: str
    condition: Condition
    confidence: str
    when: str
    campaign: str = ""
    names: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()


def _click_id(rule_id: str, source: str, *names: str) -> Rule:
    when = f"a click id of {source} ads: {' or '.join(names)}"
    return _param(rule_id, source, "paid", names, when, HIGH)


def _param(
    rule_id: str,
    source: str,
    medium: str,
    names: Iterable[str],
    when: str,
    confidence: str = MEDIUM,
) -> Rule:
    lower = [name.lower() for name in names]
    return _link(rule_id, are.param(source, medium, *lower), when, confidence, lower)


def _one_of(rule_id: str, ids: Mapping[str, str], medium: str, when: str) -> Rule:
    lower = {name.lower(): source for name, source in ids.items()}
    return _link(rule_id, are.one_of(lower, medium), when, MEDIUM, lower)


def _link(
    rule_id: str, condition: Condition, when: str, confidence: str, names: Iterable[str]
) -> Rule:
    """A rule that needs one of these parameters."""
    return Rule(rule_id, condition, confidence, when, names=frozenset(names))


def _referrer(
    rule_id: str, condition: Condition, when: str, kinds: Iterable[str], confidence: str = MEDIUM
) -> Rule:
    """A rule that needs a referrer of one of these kinds."""
    return Rule(rule_id, condition, confidence, f"a referrer {when}", kinds=frozenset(kinds))


def _listed(rule_id: str, kinds: Collection[str], when: str, *sources: str) -> Rule:
    return _referrer(rule_id, are.referred_by(kinds, *sources), when, kinds)


RULES = (
    _referrer(
        "referrer_spam",
        are.spam,
        "of the list of those that only pretend to be one",
        ["spam"],
        HIGH,
    ),
    _click_id("google_click_id", "google", "gclid", "wbraid", "gbraid"),
    _click_id("microsoft_click_id", "bing", "msclkid"),
    _click_id("tiktok_click_id", "tiktok", "ttclid"),
    _click_id("linkedin_click_id", "linkedin", "li_fat_id"),
    _click_id("twitter_click_id", "twitter", "twclid"),
    _click_id("snapchat_click_id", "snapchat", "ScCid"),
    _click_id("reddit_click_id", "reddit", "rdt_cid"),
    _click_id("pinterest_click_id", "pinterest", "epik"),
    _click_id("yandex_click_id", "yandex", "yclid", "ymclid"),
    _click_id("google_display_click_id", "google", "dclid", "gad_source", "gad_campaignid"),
    _click_id("outbrain_click_id", "outbrain", "dicbo", "obOrigUrl", "ob_click_id"),
    _click_id("taboola_click_id", "taboola", "tblci"),
    _click_id("quora_click_id", "quora", "qclid"),
    _click_id("seznam_click_id", "seznam", "sznclid"),
    _click_id("nextdoor_click_id", "nextdoor", "ndclid"),
    _click_id("yahoo_click_id", "yahoo", "vmcid"),
    _click_id("vk_click_id", "vk", "rb_clickid"),
    _click_id("line_click_id", "line", "ldtag_cl"),
    _link(
        "fbclid_from_link_shim",
        are.fbclid_from_shim,
        "fbclid, and a referrer through which Facebook sends clicks",
        HIGH,
        ["fbclid"],
    ),
    _link(
        "fbclid_with_utm_source",
        are.fbclid_with_name,
        "fbclid, and a utm_source that names Facebook, Instagram or Meta",
        HIGH,
        ["fbclid"],
    ),
    _link(
        "paid_utm_facebook",
        are.paid_as("facebook"),
        "a paid utm_medium, and a utm_source that names Facebook",
        HIGH,
        ["utm_medium"],
    ),
    _link(
        "paid_utm_instagram",
        are.paid_as("instagram"),
        "a paid utm_medium, and a utm_source that names Instagram",
        HIGH,
        ["utm_medium"],
    ),
    _link(
        "paid_utm_source",
        are.paid_source,
        "a paid utm_medium, and a utm_source",
        HIGH,
        ["utm_medium"],
    ),
    _link(
        "paid_utm_medium_only",
        are.paid_unknown,
        "a paid utm_medium without a utm_source",
        MEDIUM,
        ["utm_medium"],
    ),
    _link(
        "hubspot_ad_id",
        are.managed_ad,
        "a parameter such as hsa_cam, which HubSpot adds to links in ads",
        HIGH,
        are.MANAGED_IDS,
    ),
    _param("fbclid_alone", "facebook", "paid", ["fbclid"], "fbclid, Facebook's click id"),
    _link(
        "utm_source_only",
        are.known_source,
        "a utm_source without a utm_medium, and only one that the lists know for it",
        MEDIUM,
        ["utm_source"],
    ),
    _link("utm_source", are.utm_source, "a utm_source", HIGH, ["utm_source"]),
    _link(
        "utm_medium_only",
        are.utm_medium,
        "a utm_medium without a utm_source",
        MEDIUM,
        ["utm_medium"],
    ),
    _param(
        "instagram_share_id",
        "instagram",
        "social",
        ["igshid", "igsh"],
        "igshid or igsh, which Instagram adds to links that people share",
    ),
    _param(
        "facebook_share_id",
        "facebook",
        "social",
        ["mibextid"],
        "mibextid, which Facebook adds to links that people share",
    ),
    _param(
        "mailchimp_member_id",
        "mailchimp",
        "email",
        ["mc_eid", "mc_cid"],
        "mc_eid or mc_cid, which Mailchimp adds to links in its mails",
    ),
    _one_of(
        "email_link_id",
        EMAIL_IDS,
        "email",
        "a parameter that another service adds to links in its mails, such as _hsenc or _kx",
    ),
    _one_of(
        "affiliate_click_id",
        AFFILIATE_IDS,
        "affiliate",
        "a click id of an affiliate network, such as awc, irclickid or cjevent",
    ),
    _one_of(
        "search_result_id",
        {"srsltid": "google", "ysclid": "yandex"},
        "organic",
        "srsltid of Google or ysclid of Yandex, which they add to results that are no ads",
    ),
    _link(
        "utm_campaign_only",
        are.only_tagged,
        "a utm_campaign or another utm parameter, and nothing that says whose",
        LOW,
        TAGS,
    ),
    _referrer(
        "return_from_login",
        are.returned_from_login,
        "that is a sign-in page, or that signs people in and gave the page its answer",
        ANY_KIND,
    ),
    _referrer(
        "return_from_payment",
        are.returned_from("payment"),
        "where people pay, or prove to a bank or a captcha that it is them",
        ["payment"],
    ),
    _listed("referrer_facebook", ["social"], "of Facebook's", "facebook"),
    _listed("referrer_instagram", ["social"], "of Instagram's", "instagram"),
    _listed("referrer_social", ["social"], "that is a social network"),
    _listed("referrer_search", ["search"], "that is a search engine"),
    _listed("referrer_email", ["email"], "that is a mail program"),
    _listed("referrer_ai", ["ai"], "that is an AI assistant"),
    _listed("referrer_ad", ["ads"], "through which ads are clicked"),
    _listed(
        "referrer_product",
        ["product", "products"],
        "that is another product of a search engine's owner",
    ),
    _referrer(
        "referrer_internal",
        are.internal,
        "on the site itself: the page's own domain, an origin of the project, or a copy of it",
        ["other"],
        HIGH,
    ),
    Rule("referrer_other", are.referral, MEDIUM, "any other referrer", kinds=ANY_KIND),
    Rule("direct", are.direct, LOW, "nothing that says where the visit came from"),
)

# Parameters without which no rule that reads a link can match.
READ = frozenset[str]().union(*(rule.names for rule in RULES))


def rules_for(visit: Visit) -> tuple[Rule, ...]:
    """Those of the rules, in their order, that may match."""
    referrer = visit.referrer
    kind = referrer.by.kind if referrer.by else "other" if referrer.host else ""
    return _rules(READ.intersection(visit.params), kind)


@lru_cache(maxsize=1024)
def _rules(names: frozenset[str], kind: str) -> tuple[Rule, ...]:
    return tuple(
        rule
        for rule in RULES
        if (not rule.names or not rule.names.isdisjoint(names))
        and (not rule.kinds or kind in rule.kinds)
    )
