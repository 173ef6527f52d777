"""The lists of hosts and apps: what is nearest decides, and nothing that only looks like it."""

from collections import Counter

import pytest

from threadline.classify import classify
from threadline.classify.address import registrable_domain
from threadline.classify.hosts import APPS, ENTRIES, SEARCHING, listed

PAGE = "https://www.shop.example/"
RULE_OF = {"login": "return_from_login", "payment": "return_from_payment", "spam": "referrer_spam"}


def come_from(referrer: str) -> str:
    found = classify(PAGE, referrer)
    return f"{found.source} / {found.medium}"


def concrete(entry: str) -> str:
    """A host, and path, that the entry stands for."""
    return entry.replace("*", "a-b").replace("#", "07")


def test_the_lists_are_long_enough() -> None:
    sources = Counter(kind for kind, _ in {(by.kind, by.source) for by in ENTRIES.values()})
    least = {"search": 150, "social": 200, "email": 200, "ai": 50, "ads": 80}
    least |= {"login": 80, "payment": 300}
    assert {kind: sources[kind] >= count for kind, count in least.items()} == dict.fromkeys(
        least, True
    )


@pytest.mark.parametrize("kind", sorted({by.kind for by in ENTRIES.values()}))
def test_each_host_stands_for_what_is_below_it(kind: str) -> None:
    for entry, by in ENTRIES.items():
        if by.kind != kind:
            continue
        host, _, path = concrete(entry).partition("/")
        expected = (registrable_domain(host) if kind == "spam" else by.source, by.medium)
        for address in (f"https://{host}/{path}", f"https://{host.upper()}:8443/{path}/x?b=c"):
            found = classify(PAGE, address)
            assert (found.source, found.medium) == expected, (entry, address)
            assert found.rule_id == RULE_OF.get(kind, found.rule_id)
        below = classify(PAGE, f"https://some.{host}/{path}")
        assert below.source == expected[0], entry
        assert (below.medium == "referral") == (kind == "search" and by.source in SEARCHING)


def test_no_list_takes_what_only_looks_like_an_entry() -> None:
    for entry, by in ENTRIES.items():
        host = concrete(entry).partition("/")[0]
        own = registrable_domain(host)
        for imitation in (f"{host}.evil.test", f"not{own}", f"{host}@evil.test"):
            found = classify(PAGE, f"https://{imitation}/")
            assert found.source != by.source, imitation


def test_no_entry_says_what_another_says_already() -> None:
    for entry, by in ENTRIES.items():
        host, slash, _ = entry.partition("/")
        if "*" in host or "#" in host or slash:
            continue
        above = listed(host.partition(".")[2])
        assert above != by, f"{entry} need not be listed"


WEBMAILS = """
deref-gmx.com gmx | deref-gmx.co.uk gmx | deref-gmx.at gmx | deref-gmx-02.net gmx
lightmailer.gmx.fr gmx | lightmailer-bs.gmx.net gmx | lightmailer-bap.gmx.net gmx | 3c.gmx.net gmx
navigator-bs.gmx.com gmx | deref-web.de web.de | deref-web-02.de web.de | 3c-bap.web.de web.de
lightmailer-bs.web.de web.de | deref-mail.com mail.com | 3c-lxa.mail.com mail.com
lightmailer.mail.com mail.com | deref-1und1-02.de 1und1 | email.ionos.co.uk ionos
mailbusiness.ionos.fr ionos | email.t-online.de t-online | webmail.freenet.de freenet
rich-v02.bluewin.ch bluewin | email.bluewin.ch bluewin | upcmail.hispeed.ch upc
mail.infomaniak.com infomaniak | mail01.orange.fr orange | messagerie.orange.fr orange
orange.fr/webmail/x orange | webmail.sfr.fr sfr | zimbra.free.fr free
webmail.laposte.net laposte | webmail.tim.it tim | mail1.libero.it libero
mail.virgilio.it virgilio | webmail.aruba.it aruba | poczta.onet.pl onet | poczta.wp.pl wp
email.seznam.cz seznam | e.mail.ru mailru | touch.mail.ru mailru | mail.yandex.kz yandex
mail.rambler.ru rambler | mail.ukr.net ukr_net | mail.mynet.com mynet | mail.qq.com qq
exmail.qq.com qq | mail.163.com netease | mail.126.com netease | mail.naver.com naver
mail2.daum.net daum | mail.yahoo.co.jp yahoo | mail.rediff.com rediff
webmail.bigpond.com telstra | webmail2.bigpond.com telstra | webmail.iinet.net.au iinet
webmail.vodafone.co.nz vodafone | outlook.live.com outlook | outlook.office365.com outlook
mail.live.com outlook | eur01.safelinks.protection.outlook.com outlook | mail.google.com gmail
mail.aol.com aol | mail.proton.me protonmail | mail.zoho.eu zoho | connect.xfinity.com xfinity
email.uol.com.br uol | urldefense.proofpoint.com proofpoint | urldefense.com proofpoint
protect-eu.mimecast.com mimecast | linkprotect.cudasvc.com barracuda | secure-web.cisco.com cisco
webmail.ziggo.nl ziggo
"""


@pytest.mark.parametrize("case", WEBMAILS.replace("\n", "|").split("|"))
def test_webmails(case: str) -> None:
    if case.strip():
        host, source = case.split()
        assert come_from(f"https://{host}") == f"{source} / email"


# What the owners of search engines run besides.
PRODUCTS = """
docs.google.com google | meet.google.com google | calendar.google.com google
drive.google.com google | maps.google.com google | maps.google.de google
classroom.google.com google | news.google.com google | translate.google.com google
sites.google.com google | play.google.com google | www.google.fr/maps/x google
docs.google.co.jp google | maps.yandex.ru yandex | yandex.ru/maps/213 yandex
disk.yandex.ru yandex | music.yandex.ru yandex | market.yandex.ru yandex | pan.baidu.com baidu
map.baidu.com baidu | www.bing.com/maps bing
"""


@pytest.mark.parametrize("case", PRODUCTS.replace("\n", "|").split("|"))
def test_other_products_are_no_search(case: str) -> None:
    if case.strip():
        host, source = case.split()
        assert come_from(f"https://{host}") == f"{source} / referral"


SEARCHES = """
www.google.co.uk google | lens.google.com google | images.google.de google
www.google.com.tn google | google.com/url?q=x google | m.baidu.com baidu | cn.bing.com bing
de.search.yahoo.com yahoo | search.yahoo.co.jp yahoo | yandex.eu yandex | ya.ru yandex
www.yandex.com.tr yandex | yandex.ru/clck/x yandex | html.duckduckgo.com duckduckgo
lite.qwant.com qwant | images.search.yahoo.com yahoo | search.naver.com naver
m.search.naver.com naver | so.360.cn so360
"""


@pytest.mark.parametrize("case", SEARCHES.replace("\n", "|").split("|"))
def test_searches(case: str) -> None:
    if case.strip():
        host, source = case.split()
        assert come_from(f"https://{host}") == f"{source} / organic"


# Where networks send clicks through, and servers of one network.
SHIMS = """
t.umblr.com tumblr | href.li tumblr | l.facebook.com facebook | lm.facebook.com facebook
l.instagram.com instagram | l.threads.com threads | lnkd.in linkedin | t.co twitter
out.reddit.com reddit | away.vk.com vk | youtu.be youtube | l.wl.co whatsapp | exit.sc soundcloud
slack-redir.net slack | steamcommunity.com/linkfilter steam | store.steampowered.com steam
go.bsky.app bluesky | disq.us disqus | statics.teams.cdn.office.net teams
mastodon.social mastodon | fosstodon.org mastodon | mas.to mastodon | chaos.social mastodon
mastodon.town.example mastodon | mstdn.town.example mastodon | lemmy.world lemmy
"""


@pytest.mark.parametrize("case", SHIMS.replace("\n", "|").split("|"))
def test_social_networks(case: str) -> None:
    if case.strip():
        host, source = case.split()
        assert come_from(f"https://{host}") == f"{source} / social"


APP_CASES = [
    ("android-app://de.idealo.android", "de.idealo.android / referral"),
    ("android-app://com.google.android.apps.searchlite/", "google / organic"),
    (
        "android-app://com.google.android.googlequicksearchbox/https/www.google.com",
        "google / organic",
    ),
    ("android-app://com.google.android.gm/", "gmail / email"),
    ("android-app://com.google.android.apps.docs", "google / referral"),
    ("android-app://com.openai.chatgpt", "chatgpt / ai"),
    ("android-app://com.reddit.frontpage/https/reddit.com", "reddit / social"),
    ("android-app://org.telegram.messenger", "telegram / social"),
    ("android-app://com.facebook.katana.evil", "com.facebook.katana.evil / referral"),
    ("android-app://evil.com.facebook.katana", "evil.com.facebook.katana / referral"),
    ("android-app://com.android.chrome", "direct / direct"),
    ("android-app://org.mozilla.firefox", "direct / direct"),
    ("android-app://com.sec.android.app.sbrowser/", "direct / direct"),
    ("android-app://com.stickypassword.android", "com.stickypassword.android / referral"),
    ("ios-app://284882215/", "facebook / social"),
    ("ios-app://333903271", "twitter / social"),
    ("ios-app://998877665", "998877665 / referral"),
    ("ios-app://com.apple.mobilemail", "apple_mail / email"),
    ("chrome-extension://abcdef/popup.html", "direct / direct"),
    ("moz-extension://0a1b/x.html", "direct / direct"),
    ("safari-web-extension://0a1b/", "direct / direct"),
    ("file:///home/ada/page.html", "direct / direct"),
    ("content://com.android.providers/1", "direct / direct"),
    ("https://com.facebook.katana/", "com.facebook.katana / referral"),
]


@pytest.mark.parametrize(("referrer", "expected"), APP_CASES)
def test_apps_go_by_their_whole_names(referrer: str, expected: str) -> None:
    if expected.startswith("com.facebook.katana / "):
        expected = "facebook.katana / referral"  # a host, cut like one
    assert come_from(referrer) == expected


def test_every_listed_app_is_known_and_browsers_say_nothing() -> None:
    for package, by in APPS.items():
        expected = "direct / direct" if by.kind == "browsers" else f"{by.source} / {by.medium}"
        assert come_from(f"android-app://{package}/x") == expected


def test_pages_of_an_app_lead_to_its_other_pages() -> None:
    assert classify("capacitor://localhost/b", "capacitor://localhost/a").medium == "internal"
    assert classify("https://localhost/b", "capacitor://localhost/a").medium == "direct"


# (page, referrer, source / medium)
COPIES = [
    (PAGE, "https://shop-example.cdn.ampproject.org/v/s/shop.example/p", "internal / internal"),
    (PAGE, "https://www-shop-example.cdn.ampproject.org/", "internal / internal"),
    (PAGE, "https://cdn.ampproject.org/c/s/www.shop.example/p", "internal / internal"),
    (PAGE, "https://shop-example.translate.goog/p?_x_tr_sl=en", "internal / internal"),
    ("https://my-shop.example/", "https://my--shop-example.translate.goog/", "internal / internal"),
    (PAGE, "https://blog-shop-example.translate.goog/", "internal / internal"),
    (
        PAGE,
        "https://webcache.googleusercontent.com/search?q=cache:Ab1-x:https://www.shop.example/p&hl=en",
        "internal / internal",
    ),
    (
        PAGE,
        "https://webcache.googleusercontent.com/search?q=cache:shop.example/p",
        "internal / internal",
    ),
    (PAGE, "https://webcache.googleusercontent.com/", "internal / internal"),
    (PAGE, "https://cc.bingj.com/cache.aspx?q=shop&d=1", "internal / internal"),
    (PAGE, "https://web.archive.org/web/20240101/https://shop.example/p", "internal / internal"),
    (PAGE, "https://archive.ph/2024/http://shop.example/", "internal / internal"),
    (PAGE, "https://other-example.cdn.ampproject.org/", "other.example / referral"),
    (
        PAGE,
        "https://web.archive.org/web/2024/https://blog.other.example/",
        "other.example / referral",
    ),
    (PAGE, "https://old-reddit-com.translate.goog/r/x", "reddit / social"),
    ("https://shop-example.translate.goog/p", "https://shop.example/", "internal / internal"),
    ("https://shop-example.translate.goog/p", "https://www.google.com/", "google / organic"),
    ("", "https://web.archive.org/", "archive.org / referral"),
    (PAGE, "https://shop-example.evil.test/", "evil.test / referral"),
    (PAGE, "https://shop-example.translate.goog.evil.test/", "evil.test / referral"),
]


@pytest.mark.parametrize(("page", "referrer", "expected"), COPIES)
def test_copies_of_pages_are_the_pages(page: str, referrer: str, expected: str) -> None:
    found = classify(page, referrer)
    assert f"{found.source} / {found.medium}" == expected


def test_spam_gets_no_credit_whatever_it_says() -> None:
    for query in ("", "?gclid=1", "?utm_source=google&utm_medium=cpc"):
        found = classify(f"{PAGE}{query}", "http://site.free-share-buttons.com/")
        assert (found.medium, found.channel) == ("spam", "Other")
        assert found.source == "free-share-buttons.com"
        assert found.rule_id == "referrer_spam"


def test_a_listed_site_may_measure_itself() -> None:
    assert classify("https://www.facebook.com/b", "https://www.facebook.com/a").medium == "internal"
    assert classify("https://pay.klarna.com/b", "https://pay.klarna.com/a").medium == "internal"
