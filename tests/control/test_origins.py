"""Origins are read strictly: when they are listed, and when a request brings one."""

import pytest

from threadline.control import normalise_origin, origin_allowed
from threadline.control.origins import origin_host

KEPT = [
    ("https://shop.example", "https://shop.example"),
    ("HTTPS://Shop.Example/", "https://shop.example"),
    ("https://shop.example:443", "https://shop.example"),
    ("http://shop.example:80", "http://shop.example"),
    ("http://shop.example:443", "http://shop.example:443"),
    ("https://shop.example:08443", "https://shop.example:8443"),
    ("https://shop.example:65535", "https://shop.example:65535"),
    ("http://localhost:3000", "http://localhost:3000"),
    ("http://my_app:3000", "http://my_app:3000"),
    ("http://192.168.0.10:8080", "http://192.168.0.10:8080"),
    ("http://[::1]:3000", "http://[::1]:3000"),
    ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
    ("http://[2001:DB8::0001]", "http://[2001:db8::1]"),
    ("http://[::ffff:192.168.0.1]", "http://[::ffff:c0a8:1]"),
    ("https://münchen.example", "https://xn--mnchen-3ya.example"),
    ("https://MÜNCHEN.example", "https://xn--mnchen-3ya.example"),
    ("https://straße.example", "https://xn--strae-oqa.example"),
    ("https://*.münchen.example", "https://*.xn--mnchen-3ya.example"),
    ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example"),
    ("https://例え。テスト", "https://xn--r8jz45g.xn--zckzah"),
    ("https://*.example.com", "https://*.example.com"),
    ("https://*.shop.co.uk", "https://*.shop.co.uk"),
    ("https://*.me.github.io", "https://*.me.github.io"),
    ("http://*.localhost:3000", "http://*.localhost:3000"),
    ("https://r3---sn.shop.example", "https://r3---sn.shop.example"),
    (f"https://{'a' * 63}.example", f"https://{'a' * 63}.example"),
    (
        f"https://{'.'.join(['a' * 49] * 5)}.abc",
        f"https://{'.'.join(['a' * 49] * 5)}.abc",
    ),
]


@pytest.mark.parametrize(("written", "kept"), KEPT)
def test_they_are_kept_as_browsers_send_them(written: str, kept: str) -> None:
    assert normalise_origin(written) == kept
    assert normalise_origin(kept) == kept
    if "*" not in kept:
        assert origin_allowed(kept, {kept})


REFUSED = """
    https://.. https://- https://-a.example https://a-.example https://.shop.example
    https://shop..example https://shop.example. https://a_b-.example https://shop.example:0
    https://shop.example:65536 https://shop.example:99999 https://shop.example:123456
    https://shop.example: https://shop.example:-1 https://shop.example:80a
    https://shop.example/path https://shop.example// https://shop.example? https://shop.example#
    https://user@shop.example https://user:pass@shop.example https://shop.example\\ https://a%00b
    https://* https://*. https://*.*.example.com https://a.*.example.com https://**.example.com
    https://*shop.example https://*.com https://*.co.uk https://*.github.io https://*.kobe.jp
    https://*.xn--p1ai https://*.рф https://*.unheard-of https://*.1.2.3.4 https://*.[::1]
    https://1.2.3 https://1.2.3.256 https://0x7f.1 https://01.2.3.4 https://256
    https://[::1 https://::1 https://[] https://[1.2.3.4] https://[::1%25eth0] https://[g::]
    https:/shop.example https:shop.example //shop.example ftp://shop.example null *
    javascript:alert(1) https://xn--ü.example
""".split()


@pytest.mark.parametrize(
    "written",
    [
        *REFUSED,
        "",
        "https://",
        "https://a b",
        "https://a\nb.example",
        "https://a\x00b",
        "https://" + ".".join(["a" * 60] * 5),
        f"https://{'a' * 64}.example",
        "https://" + "a." * 5000,
        "https://" + "ü" * 70 + ".example",
    ],
)
def test_what_is_none_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not an origin") as refused:
        normalise_origin(written)
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("suffix", ["com", "co.uk", "github.io", "рф"])
def test_a_wildcard_on_a_public_suffix_says_why(suffix: str) -> None:
    with pytest.raises(ValueError, match="anybody can have a name under"):
        normalise_origin(f"https://*.{suffix}")


WILD = {"https://*.wild.example", "https://*.wild.example:8443", "https://shop.example"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://www.wild.example",
        "https://a.b.c.wild.example",
        "https://a_b.wild.example",
        "https://xn--mnchen-3ya.wild.example",
        "https://1.wild.example",
        "https://www.wild.example:8443",
        "https://shop.example",
    ],
)
def test_subdomains_match_a_wildcard(origin: str) -> None:
    assert origin_allowed(origin, WILD)


JUNK_BEFORE = [
    *("https://evil.example/", "https://evil.example#", "https://evil.example?"),
    *("https://evil.example\\", "https://evil.example%00", "https://evil.example%2f"),
    *("https://evil.example@", "https://evil.example:80@", "https://evil.example:"),
    *("https://evil.example ", "https://evil.example\t", "https://evil.example\x00"),
    *("https://evil.example;", "https://evil.example,", "https://evil.example&"),
    *("https://", "https://*", "https://a.*", "https://a.", "https://ü", "https://[::1]"),
    *("https://user:pass@a", "//a", "a", "", "ftp://a", "http://a", "https:a", "https:///a"),
]


@pytest.mark.parametrize("junk", JUNK_BEFORE)
def test_what_no_browser_sends_matches_nothing(junk: str) -> None:
    assert not origin_allowed(f"{junk}.wild.example", WILD)
    assert not origin_allowed(f"{junk}..wild.example", WILD)


@pytest.mark.parametrize(
    "origin",
    [
        *("", "null", "*", "https://*.wild.example", "https://wild.example"),
        *("https://www.wild.example/", "https://www.wild.example.", "https://www.wild.example:0"),
        *(
            "https://www.wild.example:443000",
            "https://www.wild.example:99",
            "https://shop.example\n",
        ),
        *(" https://shop.example", "https://shop.example, https://shop.example"),
        "https://www.wild.example\n",
        "https://evilwild.example",
        "https://www.wild.example.evil.example",
        "https://" + "a" * 64 + ".wild.example",
        "https://" + "a." * 125 + "wild.example",
        "https://" + "a." * 100_000 + "wild.example",
    ],
)
def test_what_is_not_listed_matches_nothing(origin: str) -> None:
    assert not origin_allowed(origin, WILD)
    assert not origin_allowed(origin, sorted(WILD))


def test_a_listed_pattern_is_no_origin_itself() -> None:
    """Nor is what an older version took for one."""
    listed = {"https://*.wild.example", "https://..", "null", "", "https://a/b"}
    assert not any(origin_allowed(origin, listed) for origin in listed)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://shop.example", "shop.example"),
        ("https://*.example.com:8443", "*.example.com"),
        ("http://[::1]:3000", "::1"),
        ("http://[2001:db8::1]", "2001:db8::1"),
        ("http://127.0.0.1:80", "127.0.0.1"),
    ],
)
def test_hosts_of_origins(origin: str, host: str) -> None:
    assert origin_host(origin) == host
