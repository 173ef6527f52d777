"""Insights and boards: what may be in them. As `definitions`, all of it is pure."""

import msgspec

from threadline.contract.definitions import PARTS, Board, Definitions, Insight
from threadline.contract.errors import InUse
from threadline.questions.defined import added, check_shown, invalid, one_of, removed
from threadline.questions.filters import near
from threadline.questions.registry import QUESTIONS


def put_insight(definitions: Definitions, insight: Insight) -> Definitions:
    """With this insight, in place of one of its name. Raises `InvalidPayload`."""
    check_insight(insight)
    return definitions._replace(insights=added(definitions.insights, insight.name, insight))


def put_board(definitions: Definitions, board: Board) -> Definitions:
    """With this board, in place of one of its name. Raises `InvalidPayload`."""
    check_board(definitions, board)
    return definitions._replace(boards=added(definitions.boards, board.name, board))


def delete_insight(definitions: Definitions, name: str) -> Definitions:
    """Without it. Raises `NotFound`, or `InUse` with the boards that show it."""
    one_of(definitions.insights, name, "insight")
    boards = [
        board.name
        for board in definitions.boards.values()
        if name in (tile.insight for tile in board.insights)
    ]
    if boards:
        many = f"board{'s' if len(boards) > 1 else ''} {', '.join(boards)}"
        message = f"The insight {name} is on {many}; take it off there first."
        raise InUse(message, used_by=boards)
    return definitions._replace(insights=removed(definitions.insights, name))


def delete_board(definitions: Definitions, name: str) -> Definitions:
    """Without it; its insights stay. Raises `NotFound`."""
    one_of(definitions.boards, name, "board")
    return definitions._replace(boards=removed(definitions.boards, name))


def check_insight(insight: Insight) -> None:
    """Raises `InvalidPayload`, also for parameters that the question does not have."""
    check_shown("insight", insight.name)
    question = QUESTIONS.get(insight.question)
    if question is None or question.is_stream:
        there = [name for name, each in QUESTIONS.items() if not each.is_stream]
        hint = near(insight.question, there, "question")
        raise invalid("question", f"there is no question {insight.question!r}; {hint}")
    fields = {each.encode_name: each for each in msgspec.structs.fields(question.params)}
    for name in insight.params:
        if name not in fields:
            hint = near(name, fields, "parameter")
            raise invalid("params", f"{question.name} has no parameter {name!r}; {hint}")
    for name, field in fields.items():
        if field.required and name not in insight.params:
            raise invalid("params", f"{question.name} needs the parameter {name}")
    _on_one_line(insight.description)


def check_board(definitions: Definitions, board: Board) -> None:
    """Among these definitions. Raises `InvalidPayload`."""
    check_shown("board", board.name)
    for tile in board.insights:
        if (tile.insight is msgspec.UNSET) == (tile.part is msgspec.UNSET):
            raise invalid("insights", "give each either an insight or a part of the Overview")
        if tile.part is not msgspec.UNSET and tile.part not in PARTS:
            raise invalid(
                "insights", f"the Overview has no {tile.part!r}; {near(tile.part, PARTS, 'part')}"
            )
        if tile.insight is not msgspec.UNSET and tile.insight not in definitions.insights:
            hint = near(tile.insight, definitions.insights, "insight")
            raise invalid("insights", f"there is no insight {tile.insight!r}; {hint}")
    _on_one_line(board.description)


def _on_one_line(description: str) -> None:
    if not description.isprintable():
        raise invalid("description", "write it on one line, without control characters")
