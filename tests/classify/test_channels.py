"""Channels, by what reports would group."""

import pytest

from tests.ingest.test_steps import context, event
from tests.support import ORIGIN, Project
from threadline.classify import classify, read_site
from threadline.classify.channels import NAMES
from threadline.ingest.steps import Warnings, stored_event

PAGE = "https://www.shop.example/"

# (query, referrer, channel)
CASES = [
    ("", "", "Direct"),
    ("", "https://www.google.com/", "Organic Search"),
    ("gclid=1", "", "Paid Search"),
    ("msclkid=1", "", "Paid Search"),
    ("dclid=1", "", "Display"),
    ("gclid=1&utm_medium=display", "", "Display"),
    ("utm_source=google&utm_medium=cpc", "", "Paid Search"),
    ("utm_source=google&utm_medium=display", "", "Display"),
    ("utm_source=google&utm_medium=cpm", "", "Paid Search"),
    ("utm_source=acme&utm_medium=paid+search", "", "Paid Search"),
    ("utm_source=acme&utm_medium=paid+social", "", "Paid Social"),
    ("utm_source=acme&utm_medium=cpm", "", "Display"),
    ("utm_source=acme&utm_medium=banner", "", "Display"),
    ("utm_source=acme&utm_medium=cpc", "", "Other"),
    ("utm_source=acme&utm_medium=retargeting", "", "Other"),
    ("utm_source=facebook&utm_medium=cpc", "", "Paid Social"),
    ("utm_source=facebook&utm_medium=cpm", "", "Paid Social"),
    ("utm_source=facebook&utm_medium=paid_video", "", "Paid Social"),
    ("utm_source=facebook&utm_medium=display", "", "Display"),
    ("fbclid=1", "", "Paid Social"),
    ("li_fat_id=1", "", "Paid Social"),
    ("tblci=1", "", "Display"),
    ("utm_source=youtube&utm_medium=cpc", "", "Video"),
    ("utm_source=google&utm_medium=paid_video", "", "Video"),
    ("utm_source=acme&utm_medium=cpv", "", "Video"),
    ("utm_source=acme&utm_medium=video", "", "Video"),
    ("", "https://www.youtube.com/", "Video"),
    ("", "https://vimeo.com/", "Video"),
    ("", "https://t.co/", "Organic Social"),
    ("utm_source=facebook&utm_medium=referral", "", "Organic Social"),
    ("utm_source=instagram&utm_medium=story", "", "Organic Social"),
    ("utm_source=facebook&utm_medium=organic", "", "Organic Social"),
    ("utm_source=acme&utm_medium=social", "", "Organic Social"),
    ("", "https://mail.google.com/", "Email"),
    ("utm_source=acme&utm_medium=email", "", "Email"),
    ("utm_source=newsletter", "", "Email"),
    ("utm_source=mailchimp&utm_medium=weekly", "", "Email"),
    ("", "https://chatgpt.com/", "AI"),
    ("utm_source=chatgpt.com", "", "AI"),
    ("utm_source=chatgpt.com&utm_medium=referral", "", "AI"),
    ("", "https://blog.example/", "Referral"),
    ("", "https://docs.google.com/", "Referral"),
    ("", "android-app://de.idealo.android", "Referral"),
    ("utm_source=acme&utm_medium=referral", "", "Referral"),
    ("awc=1", "", "Affiliate"),
    ("utm_source=awin&utm_medium=x", "", "Affiliate"),
    ("utm_source=acme&utm_medium=affiliate", "", "Affiliate"),
    ("utm_source=acme&utm_medium=sms", "", "SMS/Push"),
    ("utm_source=acme&utm_medium=push", "", "SMS/Push"),
    ("utm_source=onesignal", "", "SMS/Push"),
    ("", "https://accounts.google.com/", "Return"),
    ("", "https://checkout.stripe.com/", "Return"),
    ("", "https://www.shop.example/a", "Internal"),
    ("", "https://semalt.com/", "Other"),
    ("utm_source=google", "", "Other"),
    ("utm_source=google&utm_medium=organic", "", "Organic Search"),
    ("utm_source=acme", "", "Other"),
    ("utm_campaign=may", "", "Other"),
    ("utm_source=acme&utm_medium=podcast", "", "Other"),
    ("utm_source=acme&utm_medium=direct", "", "Other"),
]


@pytest.mark.parametrize(("query", "referrer", "channel"), CASES)
def test_channel(query: str, referrer: str, channel: str) -> None:
    assert classify(f"{PAGE}?{query}", referrer).channel == channel


def test_every_channel_has_a_case() -> None:
    assert {channel for _, _, channel in CASES} == set(NAMES)


def test_own_rules_have_channels_as_well() -> None:
    rules = "- id: a\n  when: {path: /x}\n  source: fb\n  medium: %s"
    for medium, channel in {"return": "Return", "email": "Email", "print": "Other"}.items():
        site = read_site(frozenset(), "same", rules % medium)
        assert classify("https://shop.example/x", "", site).channel == channel


def test_it_is_stored_with_the_event_and_answered(project: Project) -> None:
    url = f"{ORIGIN}/?utm_source=acme&utm_medium=paid+social"
    assert project.ask("/v1/classify", url=url)["channel"] == "Paid Social"
    assert stored_event(event(url=url), context(), Warnings()).channel == "Paid Social"
    assert stored_event(event(), context(), Warnings()).channel in ("Direct", "")
