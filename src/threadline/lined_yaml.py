"""YAML that people wrote, as nodes that know their lines, by which it is said what is wrong."""

import yaml
from yaml.nodes import Node


def compose(text: str, subject: str, max_bytes: int) -> Node | None:
    """The nodes of a text; None of an empty one. `subject`: what it is, with its verb: "The rules
    are". Raises `ValueError` with a sentence for whoever wrote it."""
    if len(text.encode()) > max_bytes:
        raise ValueError(f"{subject} over {max_bytes // 1024} KiB.")
    try:
        root: Node | None = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"Line {line}: not YAML: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{subject} not YAML: {error}.") from None
    return root


def at_line(node: Node, problem: str) -> str:
    """A sentence about a node, with its line."""
    end = "" if problem.endswith("?") else "."
    return f"Line {node.start_mark.line + 1}: {problem}{end}"
