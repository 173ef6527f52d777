"""What of archives comes into which project here: decided before anything is written."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from threadline.contract.definitions import Definitions
from threadline.control import Control, ControlError, Project
from threadline.control.names import checked_name
from threadline.runtime.archive import OfProject
from threadline.runtime.archive_check import Archive
from threadline.runtime.project_changes import merged
from threadline.runtime.project_yaml import ProjectFile


class Arriving(NamedTuple):
    """A project of an archive. `into`: the one here that it comes into; None: a new one."""

    of: OfProject
    settings: ProjectFile
    name: str
    into: Project | None


def arriving(
    archives: Sequence[Archive],
    control: Control | None,
    project: str | None,
    only: str | None,
    name: str | None,
) -> list[list[Arriving]]:
    """What comes into which project, of each archive. `control`: None where there is no folder yet.
    `project`: the one here that a single one comes into. `only`: leave out all others. `name`: of a
    single one, here. Raises `ControlError`."""
    found = [_chosen(archive, only) for archive in archives]
    several = sum(map(len, found)) > 1
    if project is not None and several:
        raise ControlError(
            f"--project is for one project, and there are {_named(found)}: leave it out, or choose"
            " one with --only NAME."
        )
    if name is not None and several:
        raise ControlError(
            f"--as is for one project, and there are {_named(found)}: choose one with --only NAME."
        )
    if name is not None and project is not None:
        raise ControlError("--as names a new project, --project one that is here: leave one out.")
    wanted = None if project is None else _project_here(control, project)
    here = {each.project_id: each for each in control.projects()} if control else {}
    taken = {each.name: each.project_id for each in here.values()}
    planned = []
    for archive, ids in zip(archives, found, strict=True):
        planned.append([_arriving(archive, each, wanted, here, name) for each in ids])
        for each in planned[-1]:
            _check_name(archive.path, each, taken, several)
            _check_settings(archive.path, each, control)
    return planned


def _chosen(archive: Archive, only: str | None) -> list[str]:
    if only is None:
        return [*archive.projects]
    found = [each for each, (of, _) in archive.projects.items() if only in (each, of.name)]
    if not found:
        names = ", ".join(archive.head.projects.values())
        raise ControlError(f"{archive.path} has no project {only!r}; it has {names}.")
    return found


def _named(found: Sequence[Sequence[str]]) -> str:
    return ", ".join(chain.from_iterable(found))


def _project_here(control: Control | None, project: str) -> Project:
    if control is None:
        raise ControlError(
            f"There is no project {project!r} in a folder that is not made yet: leave out"
            " --project, or name another folder with --data."
        )
    return control.project(project)


def _arriving(
    archive: Archive,
    project_id: str,
    wanted: Project | None,
    here: dict[str, Project],
    name: str | None,
) -> Arriving:
    of, settings = archive.projects[project_id]
    values = dict(settings.settings)
    theirs = values.pop("name", of.name)
    if wanted is not None:
        return Arriving(of, settings._replace(settings=values), wanted.name, wanted)
    called = checked_name("project", theirs if name is None else name)
    settings = settings._replace(settings={**values, "name": called})
    return Arriving(of, settings, called, here.get(project_id))


def _check_name(path: Path, each: Arriving, taken: dict[str, str], several: bool) -> None:
    into = each.into.project_id if each.into else each.of.project_id
    if taken.setdefault(each.name, into) == into:
        return
    alone = f"--only {each.of.project_id} " if several else ""
    others = " Import the others with an --only each." if several else ""
    raise ControlError(
        f"Another project here, {taken[each.name]}, is named {each.name!r} already, so nothing of"
        f" {path} was imported. Choose another name with {alone}--as NAME, or add it to that one"
        f" with {alone}--project {taken[each.name]}.{others}"
    )


def _check_settings(path: Path, each: Arriving, control: Control | None) -> None:
    if each.into and control:
        now = each.into, control.definitions(each.into.project_id)
    else:
        now = Project("", each.name, None, frozenset(), frozenset()), Definitions()
    try:
        merged(each.settings, now, prune=False)
    except ControlError as error:
        raise ControlError(
            f"The settings of {each.of.name} in {path} do not fit, so nothing was imported: {error}"
        ) from None
