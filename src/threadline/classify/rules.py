"""The rules, in order. Each has an id that is stored with the event."""

from typing import NamedTuple

from threadline.classify import conditions as are
from threadline.classify.conditions import Condition, param, referred_by
from threadline.classify.visit import AFFILIATE_IDS, CLICK_IDS, EMAIL_IDS, TAGS, Visit

HIGH, MEDIUM, LOW = "high", "medium", "low"


class Rule(NamedTuple):
    """`condition`: source and medium, if it matches. `when`: what has to be so, in words that end
    the sentence "it matches if there is …". `campaign`: instead of the URL's, if any. `reads`: what
    there has to be at all, for it to be asked: parameters of a `link`, a `referrer`, or nothing."""

    rule_id: str
    condition: Condition
    confidence: str
    when: str
    campaign: str = ""
    reads: str = "link"


def _click_id(rule_id: str, source: str, *names: str) -> Rule:
    when = f"a click id of {source} ads: {' or '.join(names)}"
    return Rule(rule_id, param(source, "paid", *(name.lower() for name in names)), HIGH, when)


def _referrer(rule_id: str, condition: Condition, when: str, confidence: str = MEDIUM) -> Rule:
    return Rule(rule_id, condition, confidence, f"a referrer {when}", reads="referrer")


RULES = (
    _referrer("referrer_spam", are.spam, "of the list of those that only pretend to be one", HIGH),
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
    Rule(
        "fbclid_from_link_shim",
        are.fbclid_from_shim,
        HIGH,
        "fbclid, and a referrer through which Facebook sends clicks",
    ),
    Rule(
        "fbclid_with_utm_source",
        are.fbclid_with_name,
        HIGH,
        "fbclid, and a utm_source that names Facebook, Instagram or Meta",
    ),
    Rule(
        "paid_utm_facebook",
        are.paid_as("facebook"),
        HIGH,
        "a paid utm_medium, and a utm_source that names Facebook",
    ),
    Rule(
        "paid_utm_instagram",
        are.paid_as("instagram"),
        HIGH,
        "a paid utm_medium, and a utm_source that names Instagram",
    ),
    Rule("paid_utm_source", are.paid_source, HIGH, "a paid utm_medium, and a utm_source"),
    Rule(
        "paid_utm_medium_only", are.paid_unknown, MEDIUM, "a paid utm_medium without a utm_source"
    ),
    Rule(
        "hubspot_ad_id",
        are.managed_ad,
        HIGH,
        "a parameter such as hsa_cam, which HubSpot adds to links in ads",
    ),
    Rule(
        "fbclid_alone", param("facebook", "paid", "fbclid"), MEDIUM, "fbclid, Facebook's click id"
    ),
    Rule(
        "utm_source_only",
        are.known_source,
        MEDIUM,
        "a utm_source without a utm_medium, and only one that the lists know for it",
    ),
    Rule("utm_source", are.utm_source, HIGH, "a utm_source"),
    Rule("utm_medium_only", are.utm_medium, MEDIUM, "a utm_medium without a utm_source"),
    Rule(
        "instagram_share_id",
        param("instagram", "social", "igshid", "igsh"),
        MEDIUM,
        "igshid or igsh, which Instagram adds to links that people share",
    ),
    Rule(
        "facebook_share_id",
        param("facebook", "social", "mibextid"),
        MEDIUM,
        "mibextid, which Facebook adds to links that people share",
    ),
    Rule(
        "mailchimp_member_id",
        param("mailchimp", "email", "mc_eid", "mc_cid"),
        MEDIUM,
        "mc_eid or mc_cid, which Mailchimp adds to links in its mails",
    ),
    Rule(
        "email_link_id",
        are.one_of(EMAIL_IDS, "email"),
        MEDIUM,
        "a parameter that another service adds to links in its mails, such as _hsenc or _kx",
    ),
    Rule(
        "affiliate_click_id",
        are.one_of(AFFILIATE_IDS, "affiliate"),
        MEDIUM,
        "a click id of an affiliate network, such as awc, irclickid or cjevent",
    ),
    Rule(
        "search_result_id",
        are.one_of({"srsltid": "google", "ysclid": "yandex"}, "organic"),
        MEDIUM,
        "srsltid of Google or ysclid of Yandex, which they add to results that are no ads",
    ),
    Rule(
        "utm_campaign_only",
        are.only_tagged,
        LOW,
        "a utm_campaign or another utm parameter, and nothing that says whose",
    ),
    _referrer(
        "return_from_login",
        are.returned_from_login,
        "that is a sign-in page, or that signs people in and gave the page its answer",
    ),
    _referrer(
        "return_from_payment",
        are.returned_from("payment"),
        "where people pay, or prove to a bank or a captcha that it is them",
    ),
    _referrer("referrer_facebook", referred_by(["social"], "facebook"), "of Facebook's"),
    _referrer("referrer_instagram", referred_by(["social"], "instagram"), "of Instagram's"),
    _referrer("referrer_social", referred_by(["social"]), "that is a social network"),
    _referrer("referrer_search", referred_by(["search"]), "that is a search engine"),
    _referrer("referrer_email", referred_by(["email"]), "that is a mail program"),
    _referrer("referrer_ai", referred_by(["ai"]), "that is an AI assistant"),
    _referrer("referrer_ad", referred_by(["ads"]), "through which ads are clicked"),
    _referrer(
        "referrer_product",
        referred_by(["product", "products"]),
        "that is another product of a search engine's owner",
    ),
    _referrer(
        "referrer_internal",
        are.internal,
        "on the site itself: the page's own domain, an origin of the project, or a copy of it",
        HIGH,
    ),
    Rule("referrer_other", are.referral, MEDIUM, "any other referrer", reads="referrer"),
    Rule("direct", are.direct, LOW, "nothing that says where the visit came from", reads=""),
)

# Parameters without which no rule that reads a link can match.
READ = frozenset({*TAGS, *CLICK_IDS, *are.MANAGED_IDS})
BY_WHAT_THERE_IS = {
    (link, referrer): tuple(
        rule for rule in RULES if {"link": link, "referrer": referrer}.get(rule.reads, True)
    )
    for link in (False, True)
    for referrer in (False, True)
}


def rules_for(visit: Visit) -> tuple[Rule, ...]:
    """Those of the rules, in their order, that may match."""
    return BY_WHAT_THERE_IS[not READ.isdisjoint(visit.params), bool(visit.referrer_host)]
