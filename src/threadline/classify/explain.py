"""Why a visit got its source, rule by rule."""

from urllib.parse import urlsplit

import msgspec

from threadline.classify.rules import RULES
from threadline.classify.site import NO_SITE, Site
from threadline.classify.source import classify


class Tried(msgspec.Struct):
    """One rule, in the order in which they are asked. It matches if there is `when`."""

    rule_id: str
    when: str
    matches: bool


class Classification(msgspec.Struct):
    """`channel`: the group that reports speak of. `because`: what decided. `rules`: all up to the
    one that matched; those after it were never asked."""

    source: str
    medium: str
    campaign: str
    channel: str
    confidence: str
    rule_id: str
    term: str
    content: str
    click_ids: dict[str, str]
    because: str
    rules: list[Tried]


def no_address(name: str, address: str) -> str:
    """What to say of an address without a host; of any other, nothing. `name`: of the field."""
    if not address or urlsplit(address).netloc:
        return ""
    return f"{name} {address} is not an address with a host, so nothing is read from its host."


def explain(url: str, referrer: str, site: Site = NO_SITE) -> Classification:
    """What `classify` says, and why."""
    found = classify(url, referrer, site)
    rules = (*site.rules, *RULES)
    asked = [rule.rule_id for rule in rules].index(found.rule_id) + 1
    tried = [
        Tried(rule.rule_id, rule.when, rule.rule_id == found.rule_id) for rule in rules[:asked]
    ]
    because = f"There is {tried[-1].when}."
    return Classification(*found[:8], dict(found.click_ids), because, tried)
