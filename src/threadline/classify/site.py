"""What a project says of itself, as far as it decides where its visitors come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from threadline.classify.custom import read_rules
from threadline.classify.rules import Rule
from threadline.classify.visit import Own, Subdomains


def _digest(*texts: str) -> str:
    """Eight letters that change when any of the texts does."""
    return blake2b("\0".join(texts).encode(), digest_size=4).hexdigest()


def _built_in() -> str:
    texts = sorted(_texts(files("threadline.classify")))
    return _digest(version("publicsuffixlist"), *texts)


def _texts(folder: Traversable) -> Iterator[str]:
    """What code and lists say, in this folder and those below."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts(entry)
        elif entry.name.endswith((".py", ".txt")):
            yield f"{folder.name}/{entry.name}\n{entry.read_text(encoding='utf-8')}"


# Of the rules, the lists and the public suffixes of this Threadline.
BUILT_IN = _built_in()


@dataclass(frozen=True, eq=False, slots=True)
class Site:
    """`rules`: come before the built-in ones. `version`: of all that decides; another one may name
    other sources."""

    own: Own
    rules: tuple[Rule, ...]
    version: str


NO_SITE = Site(Own(), (), BUILT_IN)


@lru_cache(maxsize=1024)  # the same site stays the same object, by which verdicts are remembered
def read_site(own_hosts: frozenset[str], subdomains: Subdomains, rules: str) -> Site:
    """As `new_site`, remembered."""
    return new_site(own_hosts, subdomains, rules)


def new_site(own_hosts: frozenset[str], subdomains: Subdomains, rules: str) -> Site:
    """The site with these rules (YAML, may be empty). Raises `RulesError`."""
    said = _digest(*sorted(own_hosts), subdomains, rules)
    return Site(Own(own_hosts, subdomains), read_rules(rules), f"{BUILT_IN}-{said}")
