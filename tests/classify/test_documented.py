"""What `docs/sources.md` says in tables is what comes out."""

import re

import pytest

from tests.support import ROOT
from threadline.classify import classify
from threadline.classify.channels import CHANNELS, NAMES

PAGE = (ROOT / "docs" / "sources.md").read_text()
SHOP = "https://shop.example/"
ROW = re.compile(r"\| (.*) \|")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    _, _, below = PAGE.partition(f"## {heading}\n")
    rows = re.findall(r"^\|.*\|$", below.partition("\n## ")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


ARRIVALS = table("What others say of the same arrivals")


@pytest.mark.parametrize("row", ARRIVALS, ids=lambda row: row[0])
def test_arrivals_are_as_the_comparison_says(row: list[str]) -> None:
    quoted = re.findall(r"`([^`]+)`", row[0])
    query = next((text for text in quoted if text.startswith("?")), "")
    referrer = next((text for text in quoted if "://" in text), "")
    found = classify(f"{SHOP}{query}", referrer)
    assert len(row) == 6
    assert f"{found.source} / {found.medium}, {found.channel}" == row[-1]


def test_there_are_twenty_of_them() -> None:
    assert len({row[0] for row in ARRIVALS}) >= 20
    assert all(cell for row in ARRIVALS for cell in row)


def test_channels_are_documented_in_their_order() -> None:
    assert table("Channels") == [[channel.name, channel.when] for channel in CHANNELS]


def test_there_are_fifteen_channels() -> None:
    expected = """Direct, Organic Search, Paid Search, Organic Social, Paid Social, Email, AI,
        Referral, Affiliate, Display, Video, SMS/Push, Return, Internal, Other"""
    assert sorted(NAMES) == sorted(name.strip() for name in expected.split(","))
