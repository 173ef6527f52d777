"""Why a visit got its source, rule by rule."""

import msgspec

from threadline.classify.rules import RULES, classify


class Tried(msgspec.Struct):
    """One rule, in the order in which they are asked. It matches if there is `when`."""

    rule_id: str
    when: str
    matches: bool


class Classification(msgspec.Struct):
    """`because`: what decided. `rules`: all up to the one that matched; those after it were never
    asked."""

    source: str
    medium: str
    campaign: str
    confidence: str
    rule_id: str
    because: str
    rules: list[Tried]


def explain(url: str, referrer: str, own_hosts: frozenset[str] = frozenset()) -> Classification:
    """What `classify` says, and why."""
    found = classify(url, referrer, own_hosts)
    asked = [rule.rule_id for rule in RULES].index(found.rule_id) + 1
    rules = [
        Tried(rule.rule_id, rule.when, rule.rule_id == found.rule_id) for rule in RULES[:asked]
    ]
    return Classification(*found, f"There is {rules[-1].when}.", rules)
