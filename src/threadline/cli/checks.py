"""What `threadline doctor` looks at: a table of named checks. One more is one line of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

from threadline import settings_given
from threadline.cli import checks_cluster, checks_nodes
from threadline.cli import checks_data as data_files
from threadline.cli import checks_machine as machine
from threadline.cli.finding import Check, Finding
from threadline.settings import Settings
from threadline.settings_files import SettingsError
from threadline.store import without_password


def examine(data: str | None) -> Iterator[tuple[str, Finding]]:
    """All findings with the names of their checks, in the order in which one thing rests on
    another; without those that make no sense any more once one of the first has failed."""
    try:
        chosen = settings_given.load(data=data)
        file, left_out = (
            settings_given.file_read(data=data),
            settings_given.file_left_out(data=data),
        )
    except SettingsError as error:
        mend = "Correct the setting; docs/settings.md lists all of them."
        yield "config", Finding(str(error), mend)
        return
    folder = Path(chosen.data)
    found = f"data = {folder}, store = {without_password(chosen.store)}"
    found += f", read from {file} and the environment" if file else ", no threadline.toml"
    mend = f"{left_out} is not read, because {file} is; keep one of them." if left_out else ""
    yield "config", Finding(found, mend)
    for name, check in FIRST.items():
        finding = check(chosen, folder)
        yield name, finding
        if finding.mend:
            return
    for name, check in CHECKS.items():
        yield name, check(chosen, folder)
    for name, only_there in WHERE_THERE_ARE.items():
        if found_there := only_there(chosen, folder):
            yield name, found_there


# Without these the others make no sense.
FIRST: dict[str, Check] = {
    "folder": machine.folder,
    "store": machine.store,
    "data": machine.data,
}
CHECKS: dict[str, Check] = {
    "access": machine.access,
    "engine": machine.engine,
    "disk": machine.disk,
    "clock": machine.clock,
    "log": data_files.log,
    "letters": data_files.letters,
    "work": data_files.work,
    "retention": data_files.retention,
    "continuity": data_files.continuity,
    "bots": data_files.bots,
    "sources": data_files.sources,
    "control": data_files.control,
    "projects": data_files.projects,
    "limits": machine.limits,
    "proxy": machine.proxy,
}
WHERE_THERE_ARE: dict[str, Callable[[Settings, Path], Finding | None]] = {
    "cluster": checks_cluster.cluster,
    "nodes": checks_nodes.nodes,
}
