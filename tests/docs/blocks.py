"""The code blocks of a document: where they begin, of what kind they are, and what is said of them.

A block is fenced, or indented by four spaces. Its kind is the word behind the fence; where there is
none, it is what it looks like. A comment right before a block says why it is not run:

    <!-- not run: needs systemd -->

Where the words before a block end in a file's name, as in "for example, `events.csv`:", the block
is that file.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"(`{3,})(\w*)\s*")
MARK = re.compile(r"<!--\s*not run:?(.*?)-->")
FILE = re.compile(r"`([\w-]+\.(?:csv|mjs|ndjson|py|yaml|toml))`:$")
INDENT = "    "

KINDS = {
    "sh": "shell",
    "console": "console",
    "js": "script",
    "ts": "script",
    "tsx": "script",
    "py": "python",
}
# The first that is found decides.
LOOKS = [
    ("console", re.compile(r"\A\$ ")),
    ("html", re.compile(r"\A(<|\{\{|\{%)")),
    ("script", re.compile(r"\A(//|import .* from |mm\.|fetch\(|init\()")),
    ("python", re.compile(r"\A(from \w+ )?import \w+")),
    ("http", re.compile(r"\A(GET|POST|PUT|DELETE)\s+/")),
    ("shell", re.compile(r"\A(#.*\n)?(threadline|curl|pip|npm|make|git|python3?|export|sudo) ")),
    ("json", re.compile(r"\A[{\[]")),
    ("text", re.compile(r"\A[\w/]+/$|\A\w+:.* -> ", re.MULTILINE)),
]


class Block(NamedTuple):
    """`line`: of its first line. `why_not`: why it is not run; None where it is. `file`: the name
    of the file it is, or nothing."""

    document: str
    line: int
    kind: str
    text: str
    why_not: str | None = None
    file: str = ""

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks_of(path: Path, document: str) -> list[Block]:
    """All blocks of a document, in order. `document` is its name in what is reported."""
    return list(_blocks(path.read_text().splitlines(), document))


def _blocks(lines: list[str], document: str) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        start = number
        fence = FENCE.fullmatch(lines[number])
        if fence:
            end = next(at for at in range(start + 1, len(lines)) if lines[at].strip() == fence[1])
            text, kind, first = lines[start + 1 : end], fence[2], start + 1
            number = end + 1
        elif lines[number].startswith(INDENT) and _alone(lines, number):
            number = _end_of_indented(lines, number)
            text, kind, first = [line[len(INDENT) :] for line in lines[start:number]], "", start
        else:
            number += 1
            continue
        code = "\n".join(text).strip("\n")
        why_not, said = _before(lines, start)
        named = FILE.search(said)
        kind = KINDS.get(kind, kind) or _look(code)
        yield Block(document, first + 1, kind, code, why_not, named[1] if named else "")


def _alone(lines: list[str], number: int) -> bool:
    """Indented lines that go on a paragraph or an item of a list are no code."""
    before = lines[number - 1] if number else ""
    return not before.strip() or bool(MARK.match(before))


def _end_of_indented(lines: list[str], number: int) -> int:
    end = number
    while number < len(lines) and (lines[number].startswith(INDENT) or not lines[number].strip()):
        number += 1
        if lines[number - 1].strip():
            end = number
    return end


def _before(lines: list[str], number: int) -> tuple[str | None, str]:
    """The mark before the block that begins here, and the line of text before it."""
    there = [line.strip() for line in lines[max(0, number - 4) : number] if line.strip()]
    mark = MARK.fullmatch(there[-1]) if there else None
    if mark:
        return mark[1].strip(), there[-2] if len(there) > 1 else ""
    return None, there[-1] if there else ""


def _look(code: str) -> str:
    return next((kind for kind, looks in LOOKS if looks.search(code)), "")
