"""utm parameters, as people write them."""

import pytest

from threadline.classify import classify
from threadline.classify.hosts import ENTRIES
from threadline.classify.utm import read_medium

PAGE = "https://www.shop.example/"


def arrive(query: str, referrer: str = "") -> str:
    found = classify(f"{PAGE}?{query}", referrer)
    return f"{found.source} / {found.medium}"


MEDIUMS = {
    "paid": """cpc CPC ppc cpm cpv cpa Paid paid+social Paid%20Social PAID_SOCIAL paid-social
        paidsocial paid%20search paid_search paid-brand paidmedia paid+media paid_video cpc_brand
        cpc-brand brand_cpc brand+cpc cpc1 googlecpc ppc_us ppc-2024 us.ppc display Display+Ads
        display_retargeting banner banners banner-ad retargeting re-targeting-cpc remarketing
        programmatic native_ads ads ad fb+ads google_ads facebookads sponsored sponsored-post
        influencer_paid sem sea sea-brand pmax dsp social_paid social+ads search_ads paid+email
        affiliate_cpc cpm_display vcpm trueview""",
    "social": """social Social+Media social-media social_media socialmedia social+network
        social-network social_network organic+social organic-social organic_social sm smm
        unpaid+social non-paid+social social_post socialshare""",
    "email": """email E-Mail e+mail e_mail mail Newsletter newsletters news-letter weekly+newsletter
        spring-newsletter newsletter_2024 mailing mailing-list emailmarketing email+marketing
        email-campaign edm e-newsletter transactional_email""",
    "affiliate": "affiliate affiliates Affiliate+Marketing affiliate_network affiliation aff",
    "organic": "organic organic-search organic+search organic_search seo",
    "referral": "referral ref link referrer",
    "sms": "sms SMS+campaign text-message",
    "push": "push web+push web_push push-notification notification",
    "video": "video organic_video",
    "ai": "ai chatbot ai_assistant llm",
}


@pytest.mark.parametrize(
    ("written", "medium"),
    [(written, medium) for medium, all_of in MEDIUMS.items() for written in all_of.split()],
)
def test_mediums(written: str, medium: str) -> None:
    assert arrive(f"utm_source=acme&utm_medium={written}") == f"acme / {medium}"
    assert arrive(f"utm_medium={written}") == f"unknown / {medium}"


# Words with such letters in them, which GA4's `.*cp.*` takes for ads.
ORDINARY = """recipe newscp mcp scp tcp cpr copy capcpt downloads uploads leads threads roads adhoc
    bio partner podcast qr print story unpaid non-paid not+paid direct+mail direct-mail postal+mail
    semester seaside seminar adult advice prepaid repaid campaign readme docs app"""


@pytest.mark.parametrize("written", ORDINARY.split())
def test_other_words_stay_as_they_are(written: str) -> None:
    plain = written.replace("+", " ")
    assert arrive(f"utm_source=acme&utm_medium={written}") == f"acme / {plain}"


SOURCES = {
    "chatgpt / ai": """chatgpt.com ChatGPT CHATGPT.COM chat.openai.com openai https://chatgpt.com/
        www.chatgpt.com""",
    "perplexity / ai": "perplexity perplexity.ai www.perplexity.ai",
    "claude / ai": "claude.ai Claude",
    "copilot / ai": "copilot.com copilot.microsoft.com bing-chat",
    "gemini / ai": "gemini.google.com Gemini",
    "deepseek / ai": "chat.deepseek.com DeepSeek",
    "twitter / social": "twitter Twitter x.com t.co twitter.com com.twitter.android",
    "facebook / social": "facebook fb FB facebook.com m.facebook.com l.facebook.com Facebook_Page",
    "linkedin / social": "linkedin lnkd.in www.linkedin.com",
    "hackernews / social": "hackernews news.ycombinator.com HN Hacker+News",
    "producthunt / social": "producthunt Product+Hunt producthunt.com",
    "mastodon / social": "mastodon mastodon.social fosstodon.org",
    "youtube / social": "youtube youtu.be YT",
    "newsletter / email": "newsletter Newsletter newsletters",
    "spring-newsletter / email": "spring-newsletter",
    "mailchimp / email": "mailchimp MailChimp",
    "hubspot / email": "hs_email hubspot",
    "gmail / email": "gmail mail.google.com",
    "outbrain / paid": "outbrain outbrain.com",
    "taboola / paid": "taboola Taboola",
    "awin / affiliate": "awin",
    "google / unknown": "google Google google.com www.google.de adwords Google+Ads",
    "bing / unknown": "bing bing.com",
    "duckduckgo / unknown": "duckduckgo.com ddg",
    "yandex / unknown": "yandex yandex.ru",
    "amazon / unknown": "amazon",
    "partner.example / unknown": "partner.example",
    "paypal.com / unknown": "paypal.com",
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [(written, expected) for expected, all_of in SOURCES.items() for written in all_of.split()],
)
def test_sources_without_a_medium(written: str, expected: str) -> None:
    found = classify(f"{PAGE}?utm_source={written}", "")
    assert f"{found.source} / {found.medium}" == expected
    if found.medium == "unknown":
        assert (found.rule_id, found.confidence) == ("utm_source", "high")
    else:
        assert (found.rule_id, found.confidence) == ("utm_source_only", "medium")


def test_a_given_medium_counts() -> None:
    assert arrive("utm_source=chatgpt.com&utm_medium=referral") == "chatgpt / referral"
    assert arrive("utm_source=twitter&utm_medium=cpc") == "twitter / paid"
    assert arrive("utm_source=newsletter&utm_medium=social") == "newsletter / social"


def test_a_site_is_one_source_as_referrer_and_in_a_link() -> None:
    for entry, by in ENTRIES.items():
        if by.kind in ("social", "search", "email", "ai", "ads") and not set(entry) & set("*#/"):
            found = classify(f"{PAGE}?utm_source={entry}&utm_medium=x", "")
            assert found.source == by.source, entry


# (query, referrer, source / medium)
TAGGED = [
    ("utm_medium=email&utm_campaign=may", "", "unknown / email"),
    ("utm_medium=email", "https://www.google.com/", "unknown / email"),
    ("utm_campaign=may", "", "unknown / unknown"),
    ("utm_id=7", "", "unknown / unknown"),
    ("utm_content=a&utm_term=b", "", "unknown / unknown"),
    ("utm_campaign=may", "https://www.google.com/", "google / organic"),
    ("utm_campaign=may", "https://blog.example/", "blog.example / referral"),
    ("utm_campaign=may", "https://www.shop.example/", "internal / internal"),
    ("utm_source=&utm_medium=&utm_campaign=", "", "direct / direct"),
    ("utm_campaign=may&gclid=1", "", "google / paid"),
    ("utm_custom=x", "", "direct / direct"),
]


@pytest.mark.parametrize(("query", "referrer", "expected"), TAGGED)
def test_a_tagged_link_is_never_direct(query: str, referrer: str, expected: str) -> None:
    assert arrive(query, referrer) == expected


ESCAPED = [
    "utm_source=x&amp;utm_medium=cpc",
    "utm_source=x&amp;amp;utm_medium=cpc",
    "utm_source=x&#038;utm_medium=cpc",
    "utm_source=x&#38;utm_medium=cpc&#38;utm_campaign=y",
    "utm_source=x&amp%3Butm_medium=cpc",
    "a=b&amp;utm_source=x&amp;utm_medium=cpc",
]


@pytest.mark.parametrize("query", ESCAPED)
def test_escaped_links_read_as_written(query: str) -> None:
    assert arrive(query) == "x / paid"


IDS = {
    "awin / affiliate": "awc",
    "impact / affiliate": "irclickid",
    "cj / affiliate": "cjevent CJEVENT",
    "rakuten / affiliate": "ranSiteID ranMID",
    "shareasale / affiliate": "sscid",
    "tradedoubler / affiliate": "tduid",
    "taboola / paid": "tblci",
    "outbrain / paid": "dicbo obOrigUrl",
    "yandex / paid": "yclid",
    "twitter / paid": "twclid",
    "reddit / paid": "rdt_cid",
    "pinterest / paid": "epik",
    "snapchat / paid": "ScCid",
    "mailchimp / email": "mc_eid mc_cid",
    "hubspot / email": "_hsenc _hsmi",
    "klaviyo / email": "_kx",
    "vero / email": "vero_id",
    "marketo / email": "mkt_tok",
    "yandex / organic": "ysclid",
    "google / organic": "srsltid",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [(name, expected) for expected, names in IDS.items() for name in names.split()],
)
def test_ids_on_links(name: str, expected: str) -> None:
    assert arrive(f"{name}=abc123") == expected
    assert arrive(f"{name}=") == "direct / direct"
    assert arrive(f"{name}=abc123", "https://blog.example/") == expected


def test_ads_that_hubspot_manages() -> None:
    assert arrive("hsa_cam=1&hsa_net=adwords") == "google / paid"
    assert arrive("hsa_cam=1&hsa_net=facebook") == "facebook / paid"
    assert arrive("hsa_acc=1&utm_source=linkedin&utm_medium=post") == "linkedin / paid"
    assert arrive("hsa_ad=1") == "unknown / paid"


def test_a_mail_or_affiliate_id_gives_way_to_what_the_link_says() -> None:
    assert arrive("utm_source=May&mc_cid=1") == "may / unknown"
    assert arrive("utm_source=partner&utm_medium=cps&awc=1") == "partner / paid"


def test_no_link_says_that_it_is_no_arrival() -> None:
    assert arrive("utm_source=acme&utm_medium=return") == "acme / unknown"
    assert arrive("utm_source=acme&utm_medium=Spam") == "acme / unknown"


def test_what_nobody_would_write_is_read_all_the_same() -> None:
    long = "x" * 5_000
    assert read_medium(long).name == long
    assert arrive(f"utm_source={long}").startswith("xxx")
