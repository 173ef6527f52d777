"""Whatever is thrown at it: the same answer every time, and never an error."""

from hypothesis import given
from hypothesis import strategies as st

from threadline.classify import RULES, classify, read_site
from threadline.classify.channels import NAMES, channel_of
from threadline.classify.hosts import APPS, ENTRIES, known
from threadline.classify.rules import READ, rules_for
from threadline.classify.source import _classify
from threadline.classify.visit import CLICK_IDS, _site, read_visit

SITE = read_site(frozenset({"*.own.example"}), "same", "")
ENTRY = st.sampled_from(sorted(ENTRIES)).map(
    lambda entry: entry.replace("*", "a").replace("#", "1")
)
HOST = st.one_of(
    ENTRY,
    st.sampled_from(sorted(APPS)),
    st.tuples(st.sampled_from(["acs", "login", "mastodon", "mail1", "www", "not"]), ENTRY).map(
        ".".join
    ),
    st.text(st.sampled_from("ab-.:@/%[]1é"), max_size=20),
    st.sampled_from(["shop.example", "own.example", "shop-example.cdn.ampproject.org"]),
)
SCHEME = st.sampled_from(
    ["https://", "http://", "//", "android-app://", "ios-app://", "file://", "app://", "x:"]
)
PATH = st.text(st.sampled_from(list("/?#&=%+;.-abc")), max_size=20)
ADDRESS = st.tuples(SCHEME, HOST, PATH).map("".join)
NAME = st.sampled_from(sorted({*READ, *CLICK_IDS.values(), "utm_x", "code", "state", "x", "amp;a"}))
VALUE = st.one_of(
    st.text(st.sampled_from("abcp0%- +&;ä"), max_size=12),
    st.sampled_from(["email", "cpc", "Paid Social", "google", "fb", "chatgpt.com", "[removed]"]),
)
QUERY = st.lists(st.tuples(NAME, VALUE).map("=".join), max_size=6).map("&".join)


@given(page=ADDRESS, query=QUERY, referrer=ADDRESS)
def test_only_rules_that_cannot_match_are_left_out(page: str, query: str, referrer: str) -> None:
    visit = read_visit(f"{page}?{query}", referrer, SITE.own)
    first = next(rule for rule in RULES if rule.condition(visit))
    assert next(rule for rule in rules_for(visit) if rule.condition(visit)) is first


@given(page=ADDRESS, query=QUERY, referrer=ADDRESS)
def test_the_answer_is_whole_and_does_not_change(page: str, query: str, referrer: str) -> None:
    url = f"{page}?{query}"
    found = classify(url, referrer, SITE)
    assert found.source
    assert found.medium
    assert found.channel in NAMES
    assert found.confidence in ("high", "medium", "low")
    for cache in (_site, known, channel_of):
        getattr(cache, "cache_clear", lambda: None)()
    assert _classify(url, referrer, SITE) == found


@given(page=ADDRESS, query=QUERY, referrer=ADDRESS)
def test_a_tagged_visit_is_neither_direct_nor_a_return(
    page: str, query: str, referrer: str
) -> None:
    url = f"https://shop.example/?{query}"
    visit = read_visit(url, referrer, SITE.own)
    found = classify(url, referrer, SITE)
    if visit.tagged:
        assert found.medium != "return"
        assert found.rule_id != "direct"
    if found.rule_id == "direct":
        assert not visit.referrer_host
        assert not visit.click_ids


@given(referrer=st.text(max_size=3_000), url=st.text(max_size=3_000))
def test_any_text_will_do(referrer: str, url: str) -> None:
    assert classify(url, referrer).rule_id
    assert classify(f"https://x/?utm_source={url}&utm_medium={url}", f"https://{referrer}").rule_id
    assert classify(
        f"https://x.translate.goog/{url}", f"https://web.archive.org/{referrer}"
    ).rule_id
