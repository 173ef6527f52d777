"""SQL that somebody wrote: is it one SELECT, and does it name only what it may?

The engine parses it, as data; nothing is decided by looking at the text. What passes here is asked
on a handle that can only read and sees the rows of one project only (`runtime/sql`), so this is
the first of two checks.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec

Node = dict[str, Any]

EVENTS, STITCHED, VISITS = "events", "stitched_events", "visits"
PERSONS, ACCOUNTS = "persons", "accounts"
TABLES = (STITCHED, EVENTS, VISITS, PERSONS, ACCOUNTS)
# Those that are statements of ours rather than tables of the store.
COMPOSED = frozenset(TABLES) - {EVENTS}
TABLE_FUNCTIONS = frozenset(["numbers", "generateseries", "generate_series", "zeros"])

# What belongs to a query as a whole, and is for the command's options to say.
CLAUSES = {
    "settings": "SETTINGS",
    "format_ast": "FORMAT",
    "out_file": "INTO OUTFILE",
    "compression": "COMPRESSION",
}
QUERIES = frozenset(["SelectWithUnionQuery", "SelectQuery", "SelectIntersectExceptQuery"])
PARTS = QUERIES | {"TablesInSelectQuery"}

# Functions that look at nothing but their arguments, by name in lower case: what the engine has,
# but for those that `tools/sql_functions.py` leaves out. The parser makes some more of words.
FUNCTIONS = frozenset((files(__package__) / "sql_functions.txt").read_text().split())
OF_THE_PARSER = frozenset(["lambda", "exists", "untuple", "grouping", "arrayjoin", "cast"])
# sumIf, countDistinctIf: what stands behind the name of a function that sums up.
COMBINED = re.compile(
    r"(.+?)(?:if|array|distinct|ordefault|ornull|state|merge|foreach|map|simplestate|resample"
    r"|argmin|argmax|tuple|null)+"
)
# Functions without an argument, which may well be the name of a column.
PLAIN_WORDS = frozenset("user database schema revision uptime version timezone".split())
IN = re.compile(r"(global)?(not)?(null)?in(ignoreset)?")

DESCRIBE = re.compile(r"\s*DESC(?:RIBE)?\s+(?:TABLE\s+)?[`\"]?(\w+)[`\"]?\s*;?\s*", re.IGNORECASE)
SHOW_TABLES = re.compile(r"\s*SHOW\s+TABLES\s*;?\s*", re.IGNORECASE)
POSITION = re.compile(r"failed at position (\d+)")

# A value that is bound. Of other types one could be a name, such as Identifier.
# Names that begin so are those of our own values.
OURS = "threadline_"
PARAM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
PARAM_TYPE = re.compile(
    r"(?:(?:Nullable|Array|LowCardinality)\()*"
    r"(?:String|Bool|UUID|Date|Date32|U?Int(?:8|16|32|64|128|256)|Float(?:32|64)"
    r"|DateTime(?:\('[\w/+-]+'\))?|DateTime64(?:\(\d(?:, *'[\w/+-]+')?\))?"
    r"|Decimal(?:32|64|128)?\(\d+(?:, *\d+)?\))\)*"
)


class NotAllowed(Exception):
    """The statement is not carried out; the message says what may be asked instead."""


class CheckedStatement(NamedTuple):
    """What to ask instead of the text. `described`: one of `TABLES`, to say its columns.
    `composed`: those of `COMPOSED` that it reads."""

    sql: str = ""
    described: str = ""
    show_tables: bool = False
    composed: frozenset[str] = frozenset()


def read_statement(
    text: str,
    parse: Callable[[str, str], str],
    tables: frozenset[str],
    databases: frozenset[str],
    functions: frozenset[str],
    given: Mapping[str, object] | None = None,
) -> CheckedStatement:
    """The one SELECT that the text is, written by the engine without comments.

    `parse`: has the engine apply a function to the text, and raises what the engine says.
    `tables`, `databases`, `functions`: those that there are, the latter in lower case. `given`:
    values for its `{name:Type}`. Raises `NotAllowed`.
    """
    given = given or {}
    if found := DESCRIBE.fullmatch(text):
        if found[1] not in TABLES:
            raise NotAllowed(f"There is no {found[1]} to ask; there are {' and '.join(TABLES)}.")
        _check_given(given, {})
        return CheckedStatement(described=found[1], composed=frozenset([found[1]]) & COMPOSED)
    if SHOW_TABLES.fullmatch(text):
        _check_given(given, {})
        return CheckedStatement(show_tables=True)
    try:
        tree: Node = msgspec.json.decode(parse("parseQueryToJSON", text))
    except RecursionError:
        raise NotAllowed("The query is nested too deeply; write it in fewer levels.") from None
    if tree.get("type") not in QUERIES:
        raise NotAllowed(f"Only SELECT is answered, and this is {_kind(tree)}.")
    nodes = list(_nodes(tree))
    named = {node["name"] for _, node in nodes if node["type"] == "WithElement"}
    # Outside of its scope a name would be the table's again.
    allowed = frozenset(TABLES) | (named - tables)
    for _, node in nodes:
        if _is_param(node):
            _check_param(node["name"], node["param_type"])
    for place, node in nodes:
        _check(place, node, allowed, tables, databases)
        _check_name(node, functions)
    bound = {node["name"]: node["param_type"] for _, node in nodes if _is_param(node)}
    _check_given(given, bound)
    composed = (COMPOSED & set(_tables_read(nodes))) - named
    # A name in WITH holds in everything below it, also in what stands behind a table of ours.
    if composed and (taken := sorted(named & tables)):
        raise NotAllowed(f"Choose another name than {taken[0]} in WITH; that is a table's.")
    return CheckedStatement(parse("formatQuery", text).strip(), composed=composed)


def _tables_read(nodes: list[tuple[str, Node]]) -> Iterator[str]:
    """The names of tables, and what may be one: what stands to the right of IN."""
    for _, node in nodes:
        if node["type"] == "TableIdentifier":
            yield node["name"]
        elif node["type"] == "Function" and IN.fullmatch(node["name"].casefold()):
            for right in _right_of(node):
                yield str(right.get("name"))


def _right_of(node: Node) -> list[Node]:
    """What stands to the right of IN."""
    return list(node.get("arguments", {}).get("children", [])[1:])


def _is_param(node: Node) -> bool:
    return bool(node["type"] == "QueryParameter")


def _check_given(given: Mapping[str, object], bound: Mapping[str, str]) -> None:
    """Each value has its place, and each place a value."""
    for name, kind in bound.items():
        if name not in given:
            raise NotAllowed(f"There is no value for {{{name}:{kind}}}; give it in params.")
    for name in given:
        if name not in bound:
            raise NotAllowed(f"params: the query has no {{{name}:Type}}.")


def _check(
    place: str,
    node: Node,
    allowed: frozenset[str],
    tables: frozenset[str],
    databases: frozenset[str],
) -> None:
    kind = node["type"]
    for clause, words in CLAUSES.items():
        if node.get(clause):
            raise NotAllowed(
                f"{words} is not for the query to say; it is said beside it (docs/sql.md)."
            )
    if node.get("prewhere"):
        raise NotAllowed("Write WHERE instead of PREWHERE.")
    if kind.endswith("Query") and kind not in PARTS:
        raise NotAllowed(f"Only SELECT is answered, and this is {_kind(node)}.")
    if kind == "TableIdentifier" and node["name"] not in allowed:
        raise _no_table(node["name"], tables)
    if kind == "Function":
        name = node["name"].casefold()
        if place == "table_function":
            if name not in TABLE_FUNCTIONS:
                raise NotAllowed(
                    f"{node['name']}(…) is not a table here; use {' or '.join(TABLES)}."
                )
        else:
            _check_function(node["name"])
        if IN.fullmatch(name):
            _check_set(node, allowed, tables, databases)
    if kind == "ColumnsApplyTransformer" and node.get("func_name"):
        _check_function(node["func_name"])


def _check_param(name: str, kind: str) -> None:
    if name.startswith(OURS):
        raise NotAllowed(f"{{{name}}}: choose a name that does not begin with {OURS}.")
    if not PARAM_NAME.fullmatch(name):
        raise NotAllowed(f"{{{name}}}: a name is letters, digits and _, and at most 64 of them.")
    if not PARAM_TYPE.fullmatch(kind):
        raise NotAllowed(
            f"{{{name}:{kind}}}: a value is a String, Bool, number, date, time or UUID, or a"
            " Nullable or Array of these."
        )


def _check_name(node: Node, functions: frozenset[str]) -> None:
    """A name alone is a function, too, where one is to be applied: arrayMap(file, …)."""
    if node["type"] == "Identifier":
        name = node["name"].casefold()
        if name in functions and name not in PLAIN_WORDS:
            _check_function(node["name"])


def _check_function(name: str) -> None:
    if not is_allowed(name):
        raise NotAllowed(
            f"{name}() is not answered here: it asks for more than events, or waits, or there is no"
            f" such function. Where {name} is a name of yours, choose another."
        )


def is_allowed(function: str) -> bool:
    """Whether it looks at nothing but its arguments."""
    name = function.casefold()
    if name in FUNCTIONS or name in OF_THE_PARSER:
        return True
    combined = COMBINED.fullmatch(name)
    while combined:
        if combined[1] in FUNCTIONS:
            return True
        combined = COMBINED.fullmatch(combined[1])
    return False


def _check_set(
    node: Node, allowed: frozenset[str], tables: frozenset[str], databases: frozenset[str]
) -> None:
    """What stands to the right of IN may be a table, too."""
    for right in _right_of(node):
        if right.get("type") == "Function" and right["name"].casefold() in TABLE_FUNCTIONS:
            raise NotAllowed(f"Write IN (SELECT … FROM {right['name']}(…)).")
        if right.get("type") != "Identifier" or right["name"] in allowed:
            continue
        first, _, rest = right["name"].partition(".")
        if first in tables or (rest and first in databases):
            raise _no_table(right["name"], tables)


def _nodes(node: Any, place: str = "") -> Iterator[tuple[str, Node]]:
    """Every node of the tree, each with the name under which its parent has it."""
    stack = [(place, node)]
    while stack:
        under, found = stack.pop()
        if isinstance(found, list):
            stack += [(under, part) for part in found]
        elif isinstance(found, dict):
            if "type" in found:
                yield under, found
            stack += [(name, part) for name, part in found.items() if isinstance(part, dict | list)]


def _kind(node: Node) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", str(node.get("type", "")).removesuffix("Query"))
    return words.upper() or "none"


def _no_table(name: str, tables: frozenset[str]) -> NotAllowed:
    why = "is not for questions" if name in tables or "." in name else "does not exist"
    return NotAllowed(f"The table {name} {why}; ask {' or '.join(TABLES)}.")


def place_of(message: str, text: str) -> tuple[int, int, str] | None:
    """Line and column, counted from 1, that the engine's message means, and what stands there."""
    found = POSITION.search(message)
    if not found:
        return None
    before = text.encode()[: int(found[1]) - 1].decode(errors="replace")
    rest = text[len(before) :].split()
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return line, column, rest[0][:20] if rest else ""
