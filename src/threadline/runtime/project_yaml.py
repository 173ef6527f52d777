"""All settings of a project as one YAML file: written in a stable order, so that it can live in
git, and read with the line of whatever is wrong. Keys are no part of it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import yaml
from yaml.nodes import Node, ScalarNode

from threadline.classify import RulesError, read_rules
from threadline.contract.definitions import (
    Annotation,
    Board,
    BoardTile,
    Definitions,
    GoalDefinition,
    Insight,
    Segment,
)
from threadline.contract.policies import POLICIES
from threadline.contract.zones import check_zone
from threadline.control import ControlError, Project, normalise_origin
from threadline.control.changes import VISIT_TIMEOUTS
from threadline.control.keeping import ByEvent, checked_by_event, read_days
from threadline.control.names import checked_name
from threadline.lined_yaml import compose
from threadline.questions.annotations import checked_annotation
from threadline.questions.boards import check_insight
from threadline.questions.definitions import check_goal, check_name
from threadline.runtime.yaml_nodes import (
    NULL,
    checked,
    choice,
    entries,
    fail,
    items,
    scalar,
    struct,
)

MAX_BYTES = 1024 * 1024
SUBDOMAINS = ("same", "separate")
HEAD = """\
# Settings of a project of Threadline, without its keys.
# `threadline project import FILE` says what they would change, and with --yes changes it.
"""
# Of an annotation without an id, until it is known whether there is the same already.
NO_ID = "new"

Place = tuple[str, str]


class ProjectFile(NamedTuple):
    """`settings`: those that the file has, by name. `definitions`: of the sections that it has;
    `lines`: where each segment and goal is."""

    settings: dict[str, Any]
    definitions: dict[str, dict[str, Any]]
    lines: dict[Place, int]


# -- writing ------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Lists are indented, and texts of several lines stay such."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _text)


def write(project: Project, definitions: Definitions) -> str:
    """The file. What a goal or annotation does not have is not there."""
    settings: dict[str, Any] = {
        "name": project.name,
        "stitch": project.stitch,
        "visit_timeout_minutes": project.visit_timeout_minutes,
        "timezone": project.timezone,
        "subdomains": project.subdomains,
        "keep_days": project.keep_days,
        "keep_days_by_event": dict(project.keep_days_by_event),
        "keep_first_touch": project.keep_first_touch,
        "origins": sorted(project.origins),
        "rules": project.rules,
        "segments": {name: one.filters for name, one in sorted(definitions.segments.items())},
        "goals": {name: _filled(one, "name") for name, one in sorted(definitions.goals.items())},
        "annotations": [
            _filled(one) for one in sorted(definitions.annotations.values(), key=_by_time)
        ],
        "insights": {
            name: _filled(one, "name") for name, one in sorted(definitions.insights.items())
        },
        "boards": {name: _filled(one, "name") for name, one in sorted(definitions.boards.items())},
    }
    parts = [
        yaml.dump({name: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
        for name, value in settings.items()
    ]
    return HEAD + "".join(parts)


def _filled(one: msgspec.Struct, *but: str) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(one)
    return {name: value for name, value in fields.items() if value and name not in but}


def _by_time(annotation: Annotation) -> tuple[str, str]:
    return annotation.at, annotation.annotation_id


# -- reading ------------------------------------------------------------------------------------


def read(text: str) -> ProjectFile:
    """Raises `ControlError` that names the line."""
    try:
        root = compose(text, "The file is", MAX_BYTES)
    except ValueError as error:
        raise ControlError(str(error)) from None
    file = ProjectFile({}, {}, {})
    for name, node in entries(root, (*SETTINGS, *SECTIONS)) if root else ():
        if name in SETTINGS:
            file.settings[name] = SETTINGS[name](node)
        else:
            file.definitions[name] = dict(SECTIONS[name](node, file.lines))
    return file


def _name(node: Node) -> str:
    return checked(node, checked_name, "project", scalar(node))


def _stitch(node: Node) -> str | None:
    if node.tag == NULL:
        return None
    return choice(node, POLICIES, " or null, for each question's own")


def _timeout(node: Node) -> int:
    text = scalar(node)
    if not text.isascii() or not text.isdigit() or int(text[:9]) not in VISIT_TIMEOUTS:
        fail(node, f"write whole minutes from {VISIT_TIMEOUTS[0]} to {VISIT_TIMEOUTS[-1]}")
    return int(text)


def _timezone(node: Node) -> str | None:
    return None if node.tag == NULL else checked(node, check_zone, scalar(node))


def _subdomains(node: Node) -> str:
    return choice(node, SUBDOMAINS)


def _keep_days(node: Node) -> int | None:
    return None if node.tag == NULL else checked(node, read_days, scalar(node))


def _keep_days_by_event(node: Node) -> ByEvent:
    given = {name: _keep_days(value) for name, value in entries(node)}
    return checked(node, checked_by_event, given)


def _keep_first_touch(node: Node) -> bool:
    return choice(node, ("true", "false")) == "true"


def _origins(node: Node) -> frozenset[str]:
    return frozenset(
        checked(each, normalise_origin, scalar(each))
        for each in items(node, "origins, each as `- https://shop.example`")
    )


def _rules(node: Node) -> str:
    """As text; of a block the line of what is wrong in it is one of the file."""
    if not isinstance(node, ScalarNode):
        fail(node, "write the rules as text: `rules: |`, and they follow indented")
    text = "" if node.tag == NULL else str(node.value)
    try:
        read_rules(text)
    except RulesError as error:
        said = str(error)
        number, _, rest = said.removeprefix("Line ").partition(": ")
        if node.style == "|" and number.isdigit():
            raise ControlError(f"Line {node.start_mark.line + 1 + int(number)}: {rest}") from None
        fail(node, f"in the rules: {said.rstrip('.')}")
    return text


SETTINGS: dict[str, Callable[[Node], Any]] = {
    "name": _name,
    "stitch": _stitch,
    "visit_timeout_minutes": _timeout,
    "timezone": _timezone,
    "subdomains": _subdomains,
    "keep_days": _keep_days,
    "keep_days_by_event": _keep_days_by_event,
    "keep_first_touch": _keep_first_touch,
    "origins": _origins,
    "rules": _rules,
}


def _segments(node: Node, lines: dict[Place, int]) -> Iterator[tuple[str, Segment]]:
    """What they refer to may be anywhere, so their filters are read when all is known."""
    for name, value in entries(node):
        checked(value, check_name, "segment", name)
        lines["segments", name] = value.start_mark.line + 1
        yield name, Segment(name=name, filters=scalar(value))


def _goals(node: Node, lines: dict[Place, int]) -> Iterator[tuple[str, GoalDefinition]]:
    for name, value in entries(node):
        lines["goals", name] = value.start_mark.line + 1
        goal = struct(value, GoalDefinition, {"name": name})
        checked(value, check_name, "goal", name)
        checked(value, check_goal, goal)
        yield name, goal


def _annotations(node: Node, lines: dict[Place, int]) -> Iterator[tuple[str, Annotation]]:
    seen: set[str] = set()
    for nth, each in enumerate(items(node, "annotations, each beginning with `- at:`")):
        given = struct(each, Annotation, {})
        wanted = given.annotation_id or f"{NO_ID}{nth}"
        one = msgspec.structs.replace(given, annotation_id=wanted)
        kept = checked(each, checked_annotation, one)
        if wanted in seen:
            fail(each, f"there is another annotation {wanted}")
        seen.add(wanted)
        yield (
            wanted,
            kept if given.annotation_id else msgspec.structs.replace(kept, annotation_id=""),
        )


def _insights(node: Node, lines: dict[Place, int]) -> Iterator[tuple[str, Insight]]:
    for name, value in entries(node):
        lines["insights", name] = value.start_mark.line + 1
        insight = struct(value, Insight, {"name": name}, {"params": _params})
        checked(value, check_insight, insight)
        yield name, insight


def _params(node: Node) -> dict[str, str]:
    return {name: scalar(value) for name, value in entries(node)}


def _boards(node: Node, lines: dict[Place, int]) -> Iterator[tuple[str, Board]]:
    """Which insights there are is known when all is read."""
    for name, value in entries(node):
        lines["boards", name] = value.start_mark.line + 1
        yield name, struct(value, Board, {"name": name}, {"insights": _tiles})


def _tiles(node: Node) -> list[BoardTile]:
    listed = items(node, "insights, each beginning with `- insight:` or `- part:`")
    return [struct(each, BoardTile, {}) for each in listed]


SECTIONS: dict[str, Callable[[Node, dict[Place, int]], Iterator[tuple[str, Any]]]] = {
    "segments": _segments,
    "goals": _goals,
    "annotations": _annotations,
    "insights": _insights,
    "boards": _boards,
}
