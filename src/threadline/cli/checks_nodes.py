"""A check of the Threadlines that write into one store."""

from pathlib import Path

from threadline.cli.finding import Finding
from threadline.control import ControlError
from threadline.control.opened import open_nodes
from threadline.settings import Settings


def nodes(chosen: Settings, folder: Path) -> Finding | None:
    """None where the store is one Threadline's alone."""
    if not chosen.is_one_of_several:
        return None
    try:
        with open_nodes(chosen.control) as known:
            listed = known.listed()
    except ControlError as error:
        return Finding(str(error), "Until then events wait in the log of each node.")
    away = [node.name for node in listed if node.is_away]
    if away:
        return Finding(
            f"{', '.join(away)}: away, perhaps with events that are not in the store",
            "Start it again, or let it reach PostgreSQL; or, if its data folder is lost for good,"
            " threadline node remove.",
        )
    running = sum(not node.stopped and not node.is_silent for node in listed)
    return Finding(f"{len(listed)} known, {running} running; those that stopped left nothing")
