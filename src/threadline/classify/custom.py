"""A project's own rules, from YAML. They come before the built-in ones, in the order of the file.

- id: podcast
  when:
    params: {utm_source: "pod-*"}
  source: podcast
  medium: audio
"""

import difflib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from threadline.classify.lists import glob
from threadline.classify.rules import HIGH, LOW, MEDIUM, Rule
from threadline.classify.visit import Visit
from threadline.lined_yaml import at_line, compose

MAX_BYTES = 64 * 1024
MAX_TEXT = 128
PREFIX = "custom:"
ID = re.compile(r"[a-z0-9_-]{1,64}")
HOST = re.compile(r"[^\s/:?#@*]+")

RETURN = "return"
KEYS = ("id", "when", "source", "medium", "campaign", "confidence")
REQUIRED = ("id", "when", "source", "medium")

Test = Callable[[Visit], bool]


class RulesError(Exception):
    """The rules cannot be used; the message names the line and says what is expected there."""


class Clause(NamedTuple):
    """One entry of `when`: whether a visit passes, and the same in words."""

    passes: Test
    words: str


# Coming back is no arrival, but following the link of a campaign is one, wherever it was.
NOT_TAGGED = Clause(lambda visit: not visit.named, "no utm parameter or click id")


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a file; none of an empty one. Raises `RulesError`."""
    try:
        root = compose(text, "The rules are", MAX_BYTES)
    except ValueError as error:
        raise RulesError(str(error)) from None
    if root is None:
        return ()
    if not isinstance(root, SequenceNode):
        _fail(root, "expected a list of rules, each beginning with `- id:`")
    rules: list[Rule] = []
    for node in root.value:
        rule = _rule(node)
        if rule.rule_id in (other.rule_id for other in rules):
            _fail(node, f"there is another rule {rule.rule_id.removeprefix(PREFIX)}")
        rules.append(rule)
    return tuple(rules)


def _rule(node: Node) -> Rule:
    found = dict(_entries(node, KEYS))
    for name in REQUIRED:
        if name not in found:
            _fail(node, f"{name} is missing")
    rule_id = _text(found["id"])
    if not ID.fullmatch(rule_id):
        _fail(
            found["id"], f"{rule_id!r} is not an id: use small letters, digits, _ and -, at most 64"
        )
    verdict = (_text(found["source"]).casefold(), _text(found["medium"]).casefold())
    confidence = _text(found["confidence"]) if "confidence" in found else HIGH
    if confidence not in (HIGH, MEDIUM, LOW):
        _fail(found["confidence"], f"confidence is {HIGH}, {MEDIUM} or {LOW}")
    clauses = list(_when(found["when"]))
    if verdict[1] == RETURN and not any(name == "params" for name, _ in _entries(found["when"])):
        clauses.append(NOT_TAGGED)
    return Rule(
        f"{PREFIX}{rule_id}",
        lambda visit: verdict if all(clause.passes(visit) for clause in clauses) else None,
        confidence,
        " and ".join(clause.words for clause in clauses),
        _text(found["campaign"]) if "campaign" in found else "",
    )


def _when(node: Node) -> Iterator[Clause]:
    """The clauses, of which all have to hold."""
    entries = _entries(node, ("page", "path", "referrer", "params"))
    for name, value in entries:
        if name == "params":
            params = _entries(value)
            if not params:
                _fail(value, "name at least one parameter; none of them would be any visit")
            for param, pattern in params:
                yield _param(param.lower(), _texts(pattern))
        elif name == "path":
            yield _path(_texts(value))
        else:
            yield _host(name, [_host_name(each) for each in _scalars(value)])
    if not entries:
        _fail(node, "a rule needs at least one of page, path, referrer and params")


def _param(name: str, patterns: list[str]) -> Clause:
    def passes(visit: Visit) -> bool:
        value = visit.params.get(name, "").casefold()
        return bool(value) and any(glob(pattern, value) for pattern in patterns)

    return Clause(passes, f"a parameter {name} like {' or '.join(patterns)}")


def _path(patterns: list[str]) -> Clause:
    def passes(visit: Visit) -> bool:
        path = visit.page_path.casefold()
        return any(glob(pattern, path) for pattern in patterns)

    return Clause(passes, f"a path like {' or '.join(patterns)}")


def _host(name: str, hosts: list[str]) -> Clause:
    """`page` or `referrer`: one of these hosts, or below one."""
    ends = tuple(f".{host}" for host in hosts)

    def passes(visit: Visit) -> bool:
        host = visit.page_host if name == "page" else visit.referrer_host
        return f".{host}".endswith(ends)

    return Clause(passes, f"a {name} on {' or '.join(hosts)}")


# -- reading, with the line of what is wrong --------------------------------------------------


def _entries(node: Node, allowed: tuple[str, ...] = ()) -> list[tuple[str, Node]]:
    """The names and values of a mapping; `allowed`: names there may be, if not any."""
    if not isinstance(node, MappingNode):
        _fail(node, f"expected entries `name: value`{f', as {allowed[0]}' if allowed else ''}")
    found: list[tuple[str, Node]] = []
    for key, value in node.value:
        name = _text(key)
        if allowed and name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(allowed)}"
            _fail(key, f"there is no {name!r}; {hint}")
        if name in (other for other, _ in found):
            _fail(key, f"{name} comes twice")
        found.append((name, value))
    return found


def _scalars(node: Node) -> list[Node]:
    """One text, or a list of texts of which any will do."""
    if isinstance(node, SequenceNode) and node.value:
        return list(node.value)
    return [node]


def _texts(node: Node) -> list[str]:
    return [_text(each).casefold() for each in _scalars(node)]


def _text(node: Node) -> str:
    if not isinstance(node, ScalarNode) or not node.value.strip():
        _fail(node, "expected a text")
    text = str(node.value).strip()
    if len(text) > MAX_TEXT:
        _fail(node, f"the text is over {MAX_TEXT} characters")
    return text


def _host_name(node: Node) -> str:
    host = _text(node).lower().removeprefix("www.")
    if not HOST.fullmatch(host):
        _fail(node, f"{host!r} is not a host: write partner.example, which stands for all below it")
    try:
        return host.encode("idna").decode()  # browsers send it so
    except UnicodeError:
        _fail(node, f"{host!r} is not a host")


def _fail(node: Node, problem: str) -> NoReturn:
    raise RulesError(at_line(node, problem))
