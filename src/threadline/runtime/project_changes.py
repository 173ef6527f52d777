"""What a file of settings changes in a project: what there is to be, and each difference."""

import difflib
from collections.abc import Iterator
from typing import Any

import msgspec

from threadline.contract.definitions import Annotation, Definitions
from threadline.control import ControlError
from threadline.control.definitions import Settings
from threadline.control.keeping import NEVER
from threadline.questions.annotations import new_id, same_annotation
from threadline.questions.defined import MAX_EACH
from threadline.questions.definitions import check_all
from threadline.runtime.project_yaml import ProjectFile

WHAT = {
    "segments": "segment",
    "goals": "goal",
    "annotations": "annotation",
    "insights": "insight",
    "boards": "board",
}
SETTINGS = (
    "name",
    "stitch",
    "visit_timeout_minutes",
    "timezone",
    "subdomains",
    "keep_days",
    "keep_first_touch",
)
NAMED_BY = ("name", "annotation_id")


class SettingChange(msgspec.Struct):
    """`kind`: a setting, `origin`, or one of `WHAT`; `name`: which of these.
    `before` and `after`: None where it was not, or will not be."""

    kind: str
    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        called = f"{self.kind} {self.name}".strip()
        if self.kind == "origin":
            return f"{'+' if self.before is None else '-'} {called}"
        if self.kind == "rules":
            return "\n".join([f"~ {called}", *_changed_lines(self.before, self.after)])
        before, after = _shown(self.before), _shown(self.after)
        if self.before is None and self.name:
            return f"+ {called}: {after}"
        if self.after is None and self.name:
            return f"- {called}: {before}"
        return f"~ {called}: {before} → {after}"


def merged(file: ProjectFile, now: Settings, prune: bool) -> Settings:
    """What there is to be. What the file does not have stays; `prune`: but not of the lists that it
    has. Raises `ControlError` with the line for what cannot be."""
    project, definitions = now
    settings = dict(file.settings)
    if "origins" in settings and not prune:
        settings["origins"] |= project.origins
    after = {
        table: (
            {**({} if prune else getattr(definitions, table)), **_named(table, wanted, definitions)}
            if wanted is not None
            else getattr(definitions, table)
        )
        for table, wanted in ((table, file.definitions.get(table)) for table in WHAT)
    }
    found = Definitions(**after)
    _check(file, found)
    return project._replace(**settings), found


def _named(table: str, wanted: dict[str, Any], there: Definitions) -> dict[str, Any]:
    """By their names; an annotation without an id is the one that says the same, or a new one."""
    if table != "annotations":
        return wanted
    found: dict[str, Any] = {}
    for one in wanted.values():
        annotation_id = one.annotation_id or _id_of_same(one, there) or new_id()
        found[annotation_id] = msgspec.structs.replace(one, annotation_id=annotation_id)
    return found


def _check(file: ProjectFile, found: Definitions) -> None:
    for table, what in WHAT.items():
        if len(getattr(found, table)) > MAX_EACH:
            raise ControlError(f"A project has at most {MAX_EACH} {what}s; delete some.")
    for table, name, error in check_all(found):
        line = file.lines.get((table, name))
        where = f"Line {line}: " if line else ""
        raise ControlError(f"{where}{WHAT[table]} {name}: {error}")


def differences(before: Settings, after: Settings) -> list[SettingChange]:
    """In the order of the file."""
    return list(_differences(before, after))


def _differences(before: Settings, after: Settings) -> Iterator[SettingChange]:
    (project, definitions), (wanted, found) = before, after
    for name in SETTINGS:
        if getattr(project, name) != getattr(wanted, name):
            yield SettingChange(name, "", getattr(project, name), getattr(wanted, name))
    days, wanted_days = (
        {name: NEVER if kept is None else kept for name, kept in each.keep_days_by_event}
        for each in (project, wanted)
    )
    for name in sorted(days.keys() | wanted_days.keys()):
        if days.get(name) != wanted_days.get(name):
            yield SettingChange("keep_days", name, days.get(name), wanted_days.get(name))
    for origin in sorted(project.origins ^ wanted.origins):
        there = origin in project.origins
        yield SettingChange("origin", origin, origin if there else None, None if there else origin)
    if project.rules != wanted.rules:
        yield SettingChange("rules", "", project.rules or None, wanted.rules or None)
    for table, what in WHAT.items():
        olds, news = getattr(definitions, table), getattr(found, table)
        for name in sorted(olds.keys() | news.keys()):
            if olds.get(name) != news.get(name):
                yield SettingChange(what, name, olds.get(name), news.get(name))


def not_in(file: ProjectFile, after: Settings) -> list[str]:
    """What stays though the file has other ones of its kind, as `segment old`."""
    project, found = after
    names = [
        f"{what} {name}"
        for table, what in WHAT.items()
        if table in file.definitions
        for name in getattr(found, table)
        if name not in _kept(file, table, found)
    ]
    origins = project.origins - file.settings.get("origins", project.origins)
    return [*(f"origin {origin}" for origin in sorted(origins)), *names]


def _kept(file: ProjectFile, table: str, found: Definitions) -> set[str]:
    wanted = file.definitions[table]
    if table != "annotations":
        return set(wanted)
    return {one.annotation_id or _id_of_same(one, found) for one in wanted.values()}


def _id_of_same(one: Annotation, there: Definitions) -> str:
    same = same_annotation(there, one)
    return same.annotation_id if same else ""


def _changed_lines(before: str | None, after: str | None) -> Iterator[str]:
    lines = difflib.ndiff((before or "").splitlines(), (after or "").splitlines())
    return (f"    {line}" for line in lines if line[0] in "+-")


def _shown(value: object) -> str:
    """On one line; a policy may be called none."""
    if value is None:
        return "not set"
    if not isinstance(value, msgspec.Struct):
        return str(value)
    fields = msgspec.structs.asdict(value)
    texts = [
        f"{name} {_text(found)}" for name, found in fields.items() if found and name not in NAMED_BY
    ]
    # What it is comes first, and needs no name.
    return ", ".join(texts).partition(" ")[2]


def _text(value: object) -> str:
    """Parameters as in an address; of a board its insights and their widths."""
    if isinstance(value, dict):
        return "&".join(f"{name}={text}" for name, text in value.items())
    if isinstance(value, list):
        return " | ".join(f"{tile.insight or tile.part} ({tile.width})" for tile in value)
    return str(value)
