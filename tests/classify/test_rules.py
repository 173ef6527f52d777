"""Each rule of the contract's table by an example, and what must not trip any of them."""

import json
import re
from unittest.mock import patch
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.test_commands import ok
from tests.support import ORIGIN, ROOT, Project, Server
from threadline.classify import RULES, address, classify, explain, read_site, visit
from threadline.classify.address import registrable_domain
from threadline.classify.lists import parse_list

NEVER = re.compile(r"(?!)")
SITE = "https://www.shop.example/"
OWN = read_site(frozenset({"*.own.example"}), "same", "")

# (query of the page, referrer, source / medium, confidence, rule)
CASES = [
    ("gclid=1", "", "google / paid", "high", "google_click_id"),
    ("wbraid=1", "", "google / paid", "high", "google_click_id"),
    ("gbraid=1", "https://www.bing.com/", "google / paid", "high", "google_click_id"),
    ("msclkid=1", "", "bing / paid", "high", "microsoft_click_id"),
    ("ttclid=1", "", "tiktok / paid", "high", "tiktok_click_id"),
    ("li_fat_id=1", "", "linkedin / paid", "high", "linkedin_click_id"),
    ("gclid=1&msclkid=1&fbclid=1", "", "google / paid", "high", "google_click_id"),
    ("twclid=1", "", "twitter / paid", "high", "twitter_click_id"),
    ("ScCid=1", "", "snapchat / paid", "high", "snapchat_click_id"),
    ("rdt_cid=1", "", "reddit / paid", "high", "reddit_click_id"),
    ("epik=1", "", "pinterest / paid", "high", "pinterest_click_id"),
    ("yclid=1", "https://yandex.ru/", "yandex / paid", "high", "yandex_click_id"),
    ("dclid=1", "", "google / paid", "high", "google_display_click_id"),
    ("gad_source=1", "", "google / paid", "high", "google_display_click_id"),
    ("igshid=1", "", "instagram / social", "medium", "instagram_share_id"),
    ("mc_eid=1", "", "mailchimp / email", "medium", "mailchimp_member_id"),
    ("mc_eid=1&utm_source=May", "", "may / unknown", "high", "utm_source"),
    ("fbclid=1", "https://l.facebook.com/x", "facebook / paid", "high", "fbclid_from_link_shim"),
    ("fbclid=1", "https://lm.facebook.com/", "facebook / paid", "high", "fbclid_from_link_shim"),
    ("fbclid=1&utm_source=FB", "", "facebook / paid", "high", "fbclid_with_utm_source"),
    ("fbclid=1&utm_source=meta", "", "facebook / paid", "high", "fbclid_with_utm_source"),
    ("fbclid=1&utm_source=ig", "", "instagram / paid", "high", "fbclid_with_utm_source"),
    ("utm_source=facebook&utm_medium=cpc", "", "facebook / paid", "high", "paid_utm_facebook"),
    ("utm_source=meta&utm_medium=Paid-Social", "", "facebook / paid", "high", "paid_utm_facebook"),
    ("utm_source=instagram&utm_medium=ads", "", "instagram / paid", "high", "paid_utm_instagram"),
    ("utm_source=Taboola&utm_medium=display", "", "taboola / paid", "high", "paid_utm_source"),
    ("utm_medium=ppc", "", "unknown / paid", "medium", "paid_utm_medium_only"),
    ("fbclid=1", "", "facebook / paid", "medium", "fbclid_alone"),
    ("fbclid=1&utm_source=newsletter", "", "facebook / paid", "medium", "fbclid_alone"),
    ("utm_source= News &utm_medium=Email", "", "news / email", "high", "utm_source"),
    ("utm_source=FB&utm_medium=Social-Media", "", "facebook / social", "high", "utm_source"),
    ("utm_source=AdWords&utm_medium=SEM", "", "google / paid", "high", "paid_utm_source"),
    ("utm_source=news&utm_medium=e-mail", "", "news / email", "high", "utm_source"),
    ("utm_source=partner", "https://google.com/", "partner / unknown", "high", "utm_source"),
    ("", "https://m.facebook.com/", "facebook / social", "medium", "referrer_facebook"),
    ("", "https://www.instagram.com/", "instagram / social", "medium", "referrer_instagram"),
    ("", "https://t.co/abc", "twitter / social", "medium", "referrer_social"),
    ("", "https://www.google.com/", "google / organic", "medium", "referrer_search"),
    ("", "https://mail.google.com/", "gmail / email", "medium", "referrer_email"),
    ("", "https://chatgpt.com/", "chatgpt / ai", "medium", "referrer_ai"),
    ("", "https://gemini.google.com/app", "gemini / ai", "medium", "referrer_ai"),
    ("", "https://x.g.doubleclick.net/", "google / paid", "medium", "referrer_ad"),
    ("", "https://de.search.yahoo.com/", "yahoo / organic", "medium", "referrer_search"),
    ("", "https://search.yahoo.com.evil.test/", "evil.test / referral", "medium", "referrer_other"),
    ("", "android-app://com.linkedin.android/", "linkedin / social", "medium", "referrer_social"),
    ("", "android-app://com.Slack", "slack / social", "medium", "referrer_social"),
    ("", "https://www.shop.example/a", "internal / internal", "high", "referrer_internal"),
    ("", "https://shop.example/a", "internal / internal", "high", "referrer_internal"),
    ("", "https://app.own.example/", "internal / internal", "high", "referrer_internal"),
    ("", "https://blog.other.co.uk/x", "other.co.uk / referral", "medium", "referrer_other"),
    ("", "https://192.168.1.7/x", "192.168.1.7 / referral", "medium", "referrer_other"),
    ("", "http://localhost:3000/", "localhost / referral", "medium", "referrer_other"),
    ("", "", "direct / direct", "low", "direct"),
    ("gclid=", "", "direct / direct", "low", "direct"),
    ("utm_source=&utm_medium=", "", "direct / direct", "low", "direct"),
    ("", "https://www.semalt.com/x", "semalt.com / spam", "high", "referrer_spam"),
    ("dicbo=1", "", "outbrain / paid", "high", "outbrain_click_id"),
    ("tblci=1", "", "taboola / paid", "high", "taboola_click_id"),
    ("qclid=1", "", "quora / paid", "high", "quora_click_id"),
    ("sznclid=1", "", "seznam / paid", "high", "seznam_click_id"),
    ("ndclid=1", "", "nextdoor / paid", "high", "nextdoor_click_id"),
    ("vmcid=1", "", "yahoo / paid", "high", "yahoo_click_id"),
    ("rb_clickid=1", "", "vk / paid", "high", "vk_click_id"),
    ("ldtag_cl=1", "", "line / paid", "high", "line_click_id"),
    ("hsa_cam=1&hsa_net=adwords", "", "google / paid", "high", "hubspot_ad_id"),
    ("utm_source=ChatGPT", "", "chatgpt / ai", "medium", "utm_source_only"),
    ("utm_medium=E-Mail", "", "unknown / email", "medium", "utm_medium_only"),
    ("mibextid=1", "", "facebook / social", "medium", "facebook_share_id"),
    ("_hsenc=1", "", "hubspot / email", "medium", "email_link_id"),
    ("awc=1", "", "awin / affiliate", "medium", "affiliate_click_id"),
    ("srsltid=1", "", "google / organic", "medium", "search_result_id"),
    ("utm_campaign=may", "", "unknown / unknown", "low", "utm_campaign_only"),
    ("", "https://accounts.google.com/", "google / return", "medium", "return_from_login"),
    ("", "https://checkout.stripe.com/", "stripe / return", "medium", "return_from_payment"),
    ("", "https://docs.google.com/", "google / referral", "medium", "referrer_product"),
    ("", "notfacebook.com", "direct / direct", "low", "direct"),
    ("", "https://notfacebook.com/", "notfacebook.com / referral", "medium", "referrer_other"),
    ("", "https://facebook.com.evil.test/", "evil.test / referral", "medium", "referrer_other"),
    ("", "http://[broken", "direct / direct", "low", "direct"),
]


@pytest.mark.parametrize(("query", "referrer", "expected", "confidence", "rule"), CASES)
def test_rule(query: str, referrer: str, expected: str, confidence: str, rule: str) -> None:
    found = classify(f"{SITE}?{query}", referrer, OWN)
    assert f"{found.source} / {found.medium}" == expected
    assert (found.confidence, found.rule_id) == (confidence, rule)


def test_every_rule_has_a_case() -> None:
    assert {rule for _, _, _, _, rule in CASES} == {rule.rule_id for rule in RULES}


def test_the_rules_are_documented_in_their_order() -> None:
    text = (ROOT / "docs" / "sources.md").read_text()
    rows = [f"| `{rule.rule_id}` | {rule.when} | {rule.confidence} |" for rule in RULES]
    assert "\n".join(rows) in text


def test_the_campaign_is_kept_as_written() -> None:
    found = classify(f"{SITE}?utm_source=x&utm_campaign=Spring%20Sale", "")
    assert found.campaign == "Spring Sale"


def test_registrable_domains() -> None:
    assert registrable_domain("a.b.example.co.uk") == "example.co.uk"
    assert registrable_domain("co.uk") == "co.uk"
    assert registrable_domain("::1") == "::1"


@given(url=st.text(max_size=200), referrer=st.text(max_size=200))
def test_no_text_breaks_it(url: str, referrer: str) -> None:
    assert classify(url, referrer).rule_id
    assert classify(f"https://x/?{url}", f"https://{referrer}").rule_id


PIECES = ["https://", "http://", "HTTP://", "//", "a.test", "B.Test", "www.", "."]
PIECES += [":80", ":", "/", "/p/é", "?", "a=b", "&", "%20", "+", "#", "=", "\t", " ", "[", "]", "@"]


@given(
    url=st.lists(st.sampled_from([*PIECES, "\x00", "\u2028", "\\", ";"]), max_size=12).map("".join)
)
def test_the_short_way_through_a_url_is_the_long_one(url: str) -> None:
    with patch.object(address, "PLAIN", NEVER):
        expected = visit.read_visit(url, url, visit.Own())
    assert visit.read_visit(url, url, visit.Own()) == expected
    query = address.split(url).query
    params: dict[str, str] = {}
    for name, value in parse_qsl(query):
        params.setdefault(name.lower(), value.strip())
    assert expected.params == params


def test_a_list_has_each_entry_once() -> None:
    text = "# search engines\na: a.test b.test\n    c.test\n"
    assert parse_list(text) == {"a.test": "a", "b.test": "a", "c.test": "a"}
    with pytest.raises(ValueError, match=r"a\.test is listed twice"):
        parse_list(f"{text}d: a.test\n")


# What people, proxies and attackers make of a URL.
HOSTILE = [
    ("https://shop.example:8443/?gclid=1#x", "", "google / paid"),
    ("https://user:secret@shop.example/?gclid=1", "", "google / paid"),
    ("//shop.example/?gclid=1", "", "google / paid"),
    ("HTTPS://SHOP.EXAMPLE/?GCLID=1", "", "google / paid"),
    ("https://shop.example/?utm_source=a&utm_source=b", "", "a / unknown"),
    ("https://shop.example/?utm_source=%E2%82%AC%zz%", "", "€%zz% / unknown"),
    ("https://shop.example/?utm_source=face%2562ook", "", "face%62ook / unknown"),
    ("https://shop.example/?utm_source=%66acebook&utm_medium=cpc", "", "facebook / paid"),
    ("https://shop.example/#/offers?utm_source=mail", "", "mail / email"),
    ("https://shop.example/?utm_source=a#utm_source=b", "", "a / unknown"),
    ("https://shop.example/#utm_source=b", "", "b / unknown"),
    ("https://shop.example/?q=utm_source=facebook", "", "direct / direct"),
    ("javascript:alert(document.domain)//?gclid=", "", "direct / direct"),
    ("", "javascript:alert(1)", "direct / direct"),
    ("", "data:text/html,facebook.com", "direct / direct"),
    ("", "about:blank", "direct / direct"),
    ("", "https://facebook.com@evil.test/", "evil.test / referral"),
    ("", "https://evil.test/https://facebook.com/", "evil.test / referral"),
    ("", "https://evil.test?facebook.com", "evil.test / referral"),
    ("", "https://facebook.com.evil.test/", "evil.test / referral"),
    ("", "https://facebook.com%2eevil.test/", "com%2eevil.test / referral"),
    ("", "https://FaceBook.com./", "facebook / social"),
    ("", "https://facebook.com:443/", "facebook / social"),
    ("", "https://f\u0430cebook.com/", "f\u0430cebook.com / referral"),  # Cyrillic
    ("", "https://xn--fcebook-2fg.com/", "xn--fcebook-2fg.com / referral"),
    ("", "https://münchen.example.de/", "example.de / referral"),
    ("", "https://[::1]:8080/", "::1 / referral"),
    ("", "https://co.uk/", "co.uk / referral"),
    ("", "https:///nothing", "direct / direct"),
    ("https://shop.example/?" + "a=b&" * 500, "https://t.co/x", "twitter / social"),
    ("https://shop.example/?x=" + "y" * 2000, "", "direct / direct"),
]


@pytest.mark.parametrize(("url", "referrer", "expected"), HOSTILE)
def test_what_is_made_of_a_url(url: str, referrer: str, expected: str) -> None:
    found = classify(url, referrer)
    assert f"{found.source} / {found.medium}" == expected


@pytest.mark.parametrize(("query", "referrer", "expected", "confidence", "rule"), CASES)
def test_the_explanation_ends_at_the_rule(
    query: str, referrer: str, expected: str, confidence: str, rule: str
) -> None:
    found = explain(f"{SITE}?{query}", referrer, OWN)
    assert (f"{found.source} / {found.medium}", found.confidence) == (expected, confidence)
    assert [tried.matches for tried in found.rules] == [False] * (len(found.rules) - 1) + [True]
    assert found.rules[-1].rule_id == found.rule_id == rule
    assert found.because == f"There is {found.rules[-1].when}."


def test_the_route_and_the_command_say_why(server: Server, project: Project) -> None:
    url = "https://shop.example/?utm_source=fb&utm_medium=cpc&utm_campaign=May"
    found = project.ask("/v1/classify", url=url)
    assert (found["source"], found["medium"], found["campaign"]) == ("facebook", "paid", "May")
    assert found["channel"] == "Paid Social"
    assert found["because"] == "There is a paid utm_medium, and a utm_source that names Facebook."
    own = project.ask("/v1/classify", url="https://x.example/", referrer=ORIGIN)
    assert own["rule_id"] == "referrer_internal"
    assert project.get("/v1/classify", url="x" * 2049).error == "invalid_params"

    data = ("--data", str(server.folder), "--project", project.project_id)
    assert json.loads(ok("classify", url, *data, "--json")) == found
    text = ok("classify", "https://x.example/", "--referrer", ORIGIN, *data)
    assert "internal / internal   channel Internal, confidence high" in text
    assert "✓ referrer_internal" in text
    assert "direct / direct" in ok("classify", "javascript:alert(1)")
