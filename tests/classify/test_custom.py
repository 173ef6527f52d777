"""A project's own rules, and what it counts as itself."""

from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.test_commands import fails, ok
from tests.support import ORIGIN, ROOT, Project, Server
from threadline.classify import NO_SITE, RulesError, classify, explain, read_rules, read_site
from threadline.classify.lists import glob
from threadline.classify.site import _digest, _texts

RULES = """
# What our partners send us.
- id: podcast
  when:
    params: {utm_source: "pod-*", ref: [radio, Podcast]}
    page: shop.example
  source: Podcast
  medium: audio
- id: partner
  when:
    referrer: [partner.example, bücher.example]
  source: partner
  medium: affiliate
  campaign: Autumn
  confidence: medium
- id: catalogue
  when: {path: "/katalog/*"}
  source: catalogue
  medium: print
"""
SITE = read_site(frozenset(), "same", RULES)

# (url, referrer, source / medium, rule)
CASES = [
    (
        "https://www.shop.example/?utm_source=POD-7&ref=podcast&gclid=1",
        "",
        "podcast / audio",
        "custom:podcast",
    ),
    (
        "https://de.shop.example/?utm_source=pod-&ref=radio",
        "",
        "podcast / audio",
        "custom:podcast",
    ),
    (
        "https://notshop.example/?utm_source=pod-7&ref=radio",
        "",
        "pod-7 / unknown",
        "utm_source",
    ),
    ("https://shop.example/?utm_source=pod-7", "", "pod-7 / unknown", "utm_source"),
    ("", "https://www.partner.example/a", "partner / affiliate", "custom:partner"),
    ("", "https://eu.partner.example/", "partner / affiliate", "custom:partner"),
    ("", "https://xn--bcher-kva.example/", "partner / affiliate", "custom:partner"),
    (
        "",
        "https://partner.example.evil.test/",
        "evil.test / referral",
        "referrer_other",
    ),
    ("https://x.example/Katalog/7?gclid=1", "", "catalogue / print", "custom:catalogue"),
    ("https://x.example/katalog", "", "direct / direct", "direct"),
]


@pytest.mark.parametrize(("url", "referrer", "expected", "rule"), CASES)
def test_own_rules_come_first(url: str, referrer: str, expected: str, rule: str) -> None:
    found = classify(url, referrer, SITE)
    assert (f"{found.source} / {found.medium}", found.rule_id) == (expected, rule)
    said = explain(url, referrer, SITE)
    assert [tried.rule_id for tried in said.rules][-1] == rule
    assert said.rules[0].rule_id == "custom:podcast"


def test_a_rule_may_name_the_campaign_and_how_sure_it_is() -> None:
    found = classify("https://x/?utm_campaign=May", "https://partner.example/", SITE)
    assert (found.campaign, found.confidence) == ("Autumn", "medium")
    found = classify("https://x/katalog/?utm_campaign=May", "", SITE)
    assert (found.campaign, found.confidence) == ("May", "high")
    said = explain("", "https://partner.example/", SITE).because
    assert said == "There is a referrer on partner.example or xn--bcher-kva.example."


def rule(**changed: str | None) -> str:
    """A good rule of five lines, but for what is changed."""
    lines = {
        "id": "a",
        "when": "{path: /x}",
        "source": "s",
        "medium": "m",
        "confidence": "low",
    } | changed
    given = [f"{name}: {value}" for name, value in lines.items() if value is not None]
    return "- " + "\n  ".join(given)


# (rules, the line that is wrong, what is said of it)
WRONG = [
    ("a: b", 1, "expected a list of rules"),
    ("- just text", 1, "expected entries `name: value`, as id"),
    (rule(medium=None), 1, "medium is missing"),
    (rule(id="Has Space"), 1, "'Has Space' is not an id"),
    (f"{rule()}\n{rule()}", 6, "there is another rule a"),
    (rule(medium="''"), 4, "expected a text"),
    (rule(source="[x]"), 3, "expected a text"),
    (rule(source="x" * 129), 3, "over 128 characters"),
    (rule(confidence="sure"), 5, "confidence is high, medium or low"),
    (rule(sorce="x"), 6, "there is no 'sorce'; did you mean source?"),
    (rule(zzz="x"), 6, "there is no 'zzz'; known: id, when"),
    (rule(when="{}"), 2, "needs at least one of page, path, referrer and params"),
    (rule(when="\n    refferer: x.example"), 3, "did you mean referrer?"),
    (rule(when="\n    referrer:\n    - https://x.example/"), 4, "is not a host: write partner"),
    (rule(when='{referrer: "*.x.example"}'), 2, "is not a host"),
    (rule(when="{params: utm_source}"), 2, "expected entries"),
    (rule(when="{params: {}}"), 2, "name at least one parameter"),
    (rule(when="{path: [a, {b: c}]}"), 2, "expected a text"),
    (rule(when="{path: []}"), 2, "expected a text"),
    (f"{rule()}\n  id: b", 6, "id comes twice"),
    (f"{rule()}\n  {{", 6, "not YAML"),
    ("- &a [*a]", 1, "expected entries"),
    ("x: \t- y", 1, "not YAML"),
]


@pytest.mark.parametrize(("text", "line", "said"), WRONG)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(RulesError) as refused:
        read_rules(text)
    assert str(refused.value).startswith(f"Line {line}: "), refused.value
    assert said in str(refused.value)


def test_no_rules_are_fine_and_too_many_are_not() -> None:
    assert read_rules("") == read_rules("# nothing yet\n") == ()
    with pytest.raises(RulesError, match="over 64 KiB"):
        read_rules("#" * 70_000)
    with pytest.raises(RulesError, match="not YAML"):
        read_rules("[" * 5_000)


@given(text=st.text(alphabet="-: {}[]\n abid*&!'\"#,|>"))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(RulesError):
        read_rules(text)


GLOBS = [
    ("a", "a", True),
    ("a", "ab", False),
    ("a*", "ab", True),
    ("*b", "ab", True),
    ("*", "", True),
    ("a*a", "a", False),
    ("a*b*c", "a-b-b-c", True),
    ("a*bb*b", "abb", False),
    ("**x**", "--x--", True),
    ("a.c", "abc", False),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), GLOBS)
def test_a_star_is_any_text(pattern: str, text: str, expected: bool) -> None:
    assert glob(pattern, text) is expected


SUBDOMAINS = [
    ("https://shop.example/", "https://blog.shop.example/", "internal", "referral"),
    ("https://a.shop.co.uk/", "https://b.shop.co.uk/", "internal", "referral"),
    ("https://shop.example/", "https://www.shop.example/", "internal", "internal"),
    ("https://shop.example/", "https://pay.own.test/", "internal", "internal"),
    ("https://a.github.io/", "https://b.github.io/", "referral", "referral"),
    ("https://10.0.0.1/", "https://10.0.0.2/", "referral", "referral"),
    ("", "https://shop.example/", "referral", "referral"),
]


@pytest.mark.parametrize(("page", "referrer", "same", "separate"), SUBDOMAINS)
def test_subdomains_are_the_same_site_or_not(
    page: str, referrer: str, same: str, separate: str
) -> None:
    own = frozenset({"*.own.test"})
    assert classify(page, referrer, read_site(own, "same", "")).medium == same
    assert classify(page, referrer, read_site(own, "separate", "")).medium == separate


def test_a_site_is_another_version_when_anything_of_it_changes() -> None:
    versions = {
        NO_SITE.version,
        read_site(frozenset(), "same", "").version,
        read_site(frozenset(), "separate", "").version,
        read_site(frozenset({"a.test"}), "same", "").version,
        SITE.version,
    }
    assert len(versions) == 5
    assert all(version.startswith(NO_SITE.version) for version in versions)


def test_every_list_and_all_code_are_of_the_version() -> None:
    folder = ROOT / "src" / "threadline" / "classify"
    names = {
        f"{path.parent.name}/{path.name}"
        for path in folder.rglob("*")
        if path.suffix in (".py", ".txt")
    }
    assert len(names) > 40
    assert {text.partition("\n")[0] for text in _texts(files("threadline.classify"))} == names
    listed = [text for text in _texts(files("threadline.classify")) if text.startswith("hosts/ai")]
    assert _digest(*listed) != _digest(f"{listed[0]}new: new.example\n")


def test_they_count_for_the_next_event(server: Server, project: Project, tmp_path: Path) -> None:
    data = ("--project", project.project_id, "--data", str(server.folder))
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    visit = {"url": f"{ORIGIN}/", "referrer": "https://partner.example/"}
    project.track("before", **visit)
    assert "custom:partner: a referrer on partner.example" in ok("rules", "check", str(path))
    assert "has 3 rules of its own" in ok("rules", "set", str(path), *data)
    project.track("after", **visit)
    assert project.ask("/v1/classify", **visit)["rule_id"] == "custom:partner"
    assert "✓ custom:partner" in ok(
        "classify", visit["url"], "--referrer", visit["referrer"], *data
    )
    assert ok("rules", "show", *data) == RULES

    path.write_text(f"{RULES}\n- id: x")
    assert "Line 21: when is missing" in fails("rules", "set", str(path), *data)
    assert "Line 21: when is missing" in fails("rules", "check", str(path))
    assert "no rules of its own any more" in ok("rules", "clear", *data)
    assert "has no rules of its own" in ok("rules", "show", *data)
    project.track("at last", **visit)
    rules = {row["event_name"]: row["source_rule_id"] for row in project.stored()}
    assert rules == {
        "before": "referrer_other",
        "after": "custom:partner",
        "at last": "referrer_other",
    }


def test_a_project_decides_on_its_subdomains(server: Server, project: Project) -> None:
    data = ("--data", str(server.folder))
    visit = {"url": "https://x.test/", "referrer": "https://blog.x.test/"}
    assert project.ask("/v1/classify", **visit)["medium"] == "internal"
    said = ok("project", "set", project.project_id, "--subdomains", "separate", *data)
    assert "subdomains separate" in said
    assert project.ask("/v1/classify", **visit)["medium"] == "referral"
    refused = fails("project", "set", project.project_id, "--subdomains", "all", *data)
    assert "choose one of same, separate" in refused
