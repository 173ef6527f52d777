"""Where a visit came from: the first rule that matches says so.

Pure: no I/O, no clock. Each rule has an id that is stored with the event, so that a credit can be
explained months later.
"""

from functools import lru_cache
from typing import NamedTuple

from threadline.classify.channels import channel_of
from threadline.classify.rules import rules_for
from threadline.classify.site import NO_SITE, Site
from threadline.classify.visit import read_visit


class Source(NamedTuple):
    """The classifier's verdict on one event. `term`, `content`: what else the link says of its
    campaign. `channel`: one of `channels.NAMES`. `click_ids`, `utm`: name and value."""

    source: str
    medium: str
    campaign: str
    channel: str
    confidence: str
    rule_id: str
    term: str = ""
    content: str = ""
    click_ids: tuple[tuple[str, str], ...] = ()
    utm: tuple[tuple[str, str], ...] = ()


# Longer ones hardly come twice, and would fill the memory of strangers' visits.
MAX_REMEMBERED = 1024


def classify(url: str, referrer: str, site: Site = NO_SITE) -> Source:
    """The source of a visit to `url` that came from `referrer` (both may be empty).

    Never raises: what cannot be parsed counts as absent.
    """
    if len(url) + len(referrer) > MAX_REMEMBERED:
        return _classify(url, referrer, site)
    return _remembered(url, referrer, site)


def _classify(url: str, referrer: str, site: Site) -> Source:
    visit = read_visit(url, referrer, site.own)
    said = visit.params.get
    for rules in (site.rules, rules_for(visit)):
        for rule in rules:
            if verdict := rule.condition(visit):
                return Source(
                    *verdict,
                    rule.campaign or said("utm_campaign", ""),
                    channel_of(*verdict, visit.words),
                    rule.confidence,
                    rule.rule_id,
                    said("utm_term", ""),
                    said("utm_content", ""),
                    visit.click_ids,
                    visit.utm,
                )
    raise AssertionError("the last rule always matches")


# Visits repeat the same pages, and parsing costs more than all the rules.
_remembered = lru_cache(maxsize=16_384)(_classify)
