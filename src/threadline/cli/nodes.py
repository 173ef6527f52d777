"""`threadline node …`: the Threadlines that write into one store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from threadline.cli import folders
from threadline.cli.options import AsJson, Data
from threadline.cli.table import as_table, terminal_width
from threadline.control import ControlError
from threadline.control.opened import open_nodes
from threadline.control.others import Node

if TYPE_CHECKING:  # what speaks to PostgreSQL is an extra
    from threadline.control.nodes import Nodes

app = typer.Typer(
    help="Threadline servers that write into one store: list them, or take one off the list.",
    no_args_is_help=True,
)

Named = Annotated[
    str, typer.Argument(help="The node's id or name; `threadline node list` shows both.")
]
COLUMNS = "node state unwritten heard name".split()


@app.command("list")
def list_nodes(data: Data = None, as_json: AsJson = False) -> None:
    """List all nodes, with how much each has acknowledged that is not in the store yet.

    Example: `threadline node list`
    """
    with _nodes(data) as nodes:
        found = nodes.listed()
    if as_json:
        typer.echo(json.dumps([{**node._asdict(), "state": _state(node)} for node in found]))
        return
    if not found:
        typer.echo("No Threadline has been started on this store yet.")
        return
    rows = [
        [node.node, _state(node), f"{node.unwritten:,}", f"{node.silent_s:.0f} s ago", node.name]
        for node in found
    ]
    typer.echo(as_table(COLUMNS, rows, terminal_width())[0])


@app.command()
def remove(node: Named, data: Data = None) -> None:
    """Take a node that will not come back off the list, so that nothing waits for it.

    Events that it had acknowledged but not written to the store are lost with its data folder.
    Requests to forget that wait for it go on.

    Example: `threadline node remove 1f2e3d4c5b6a7988`
    """
    with _nodes(data) as nodes:
        chosen = _chosen(nodes.listed(), node)
        if not chosen.stopped and not chosen.is_silent:
            raise ControlError(
                f"{chosen.name} runs. Stop it first: what it has goes into the store then."
            )
        nodes.remove(chosen.node)
    lost = (
        f" {chosen.unwritten:,} records of its log, of some events each, were never written."
        if chosen.unwritten
        else ""
    )
    typer.echo(f"Took {chosen.name} off the list.{lost}")


@app.command()
def restore(node: Named, data: Data = None) -> None:
    """Put a removed node back on the list, because its data folder has turned up again.

    If its log has events of people who were forgotten meanwhile, these are stored again: forget
    those people once more.

    Example: `threadline node restore 1f2e3d4c5b6a7988`
    """
    with _nodes(data) as nodes:
        chosen = _chosen(nodes.listed(removed=True), node)
        nodes.remove(chosen.node, removed=False)
    typer.echo(f"{chosen.name} may start again.")


def _state(node: Node) -> str:
    if node.stopped:
        return "stopped"
    return "away" if node.is_silent else "runs"


def _chosen(listed: list[Node], named: str) -> Node:
    found = [node for node in listed if named in (node.node, node.name)]
    if len(found) != 1:
        known = ", ".join(f"{node.node} ({node.name})" for node in listed) or "none"
        raise ControlError(f"There is no node {named!r}; there are: {known}.")
    return found[0]


@contextmanager
def _nodes(data: str | None) -> Iterator["Nodes"]:
    chosen = folders.load(data)
    if not chosen.is_one_of_several:
        raise ControlError(
            "This server does not share its store. Several servers can write into one store if "
            "THREADLINE_CONTROL names a PostgreSQL database and THREADLINE_STORE a ClickHouse "
            "server; see docs/scaling.md."
        )
    with open_nodes(chosen.control) as nodes:
        yield nodes
