"""All tools, and one call of one of them: which may be used by whom, what is logged of it, and
what becomes of errors."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from threadline.contract.errors import ApiError
from threadline.mcp.api import ACCOUNT, EXPLAINED, Json, RouteRefused, Session, invalid
from threadline.mcp.more_tools import account_tools, reading_tools
from threadline.mcp.summaries import summary
from threadline.mcp.tools import Tool, question_tools
from threadline.mcp.words import one_line
from threadline.mcp.writing_tools import writing_tools
from threadline.questions.near import did_you_mean
from threadline.runtime.failures import as_api_error

# Errors of JSON-RPC, in the range that it leaves to servers. What is wrong with arguments is none
# of them: that is a result, which a model reads and mends.
NOT_NOW = -32000  # the server cannot answer, or has a bug: try again
NO_RESOURCE = -32002  # as the protocol has it
NOT_ALLOWED = -32004  # the key may not
TOO_MUCH = -32005  # too many calls, or too large
UNKNOWN_TOOL = -32602  # as the protocol has it
OF_STATUS = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 413: TOO_MUCH, 429: TOO_MUCH}

Found = TypeVar("Found")

_logger = structlog.get_logger("threadline.mcp")


class Failed(Exception):
    """An error of the protocol. `data`: as the API has it, with where it is explained."""

    def __init__(self, code: int, message: str, data: Json) -> None:
        super().__init__(message)
        self.code, self.data = code, {"docs_url": EXPLAINED, **data}


class CallResult(NamedTuple):
    """What a call comes to. `is_error`: something is wrong with the arguments."""

    text: str
    structured: Json
    is_error: bool = False


@cache
def _of_project() -> tuple[Tool, ...]:
    return (*question_tools(), *reading_tools(), *writing_tools())


@cache
def _of_account() -> tuple[Tool, ...]:
    return tuple(account_tools([*_of_project()]))


@cache
def tools_for(kind: str) -> Mapping[str, Tool]:
    """By name, those that a key of this kind may use."""
    every = _of_account() if kind in ACCOUNT else _of_project()
    return {tool.name: tool for tool in every if kind in tool.keys}


def input_schema(name: str) -> Json | None:
    """Of any tool of this name, whoever may use it; None where there is none."""
    every = {tool.name: tool for tool in (*_of_account(), *_of_project())}
    return every[name].input if name in every else None


async def call(session: Session, name: str, arguments: Json) -> CallResult:
    """One call. Raises `Failed`."""

    async def asked() -> CallResult:
        tool = _found(session, name)
        try:
            _refuse_unknown(tool, arguments)
            answered = await tool.call(session, arguments)
        except RouteRefused as error:
            return refused(error)
        return CallResult(summary(tool.name, arguments, answered), answered.found)

    return await logged(session, name, asked)


async def logged(session: Session, what: str, asked: Callable[[], Awaitable[Found]]) -> Found:
    """What `asked` finds, within the limits of the session, with a line in the log. Raises
    `Failed` for everything that goes wrong."""
    began, outcome = time.monotonic(), "cancelled"
    try:
        session.take()
        found = await asked()
        outcome = _outcome(found)
        return found
    except Failed as error:
        outcome = str(error.data.get("error", error.code))
        raise
    except Exception as error:  # noqa: BLE001 - logged there if it is a bug
        said = as_api_error(error, what=what[:64])
        outcome = said.code
        raise failed(said) from None
    finally:
        _logger.info(
            "mcp_call",
            what=what[:64],
            key=session.label,
            project_id=session.project_id,
            outcome=outcome,
            ms=round((time.monotonic() - began) * 1000),
        )


def _outcome(found: object) -> str:
    """One word for the log."""
    if isinstance(found, CallResult) and found.is_error:
        return str(found.structured["error"])
    return "ok"


def refused(error: RouteRefused) -> CallResult:
    """What is wrong with the arguments, for the model. Raises `Failed` for what no other arguments
    would mend."""
    data = error.data
    if error.status in OF_STATUS or error.status >= 500:
        raise Failed(OF_STATUS.get(error.status, NOT_NOW), str(error), data) from None
    fields: Json = error.details.get("fieldErrors") or {}
    each = [(field, "; ".join(said)) for field, said in fields.items()]
    more = [f"{field}: {said}." for field, said in each if said not in str(error)]
    text = one_line(" ".join([f"{error.code}: {error}", *more]))
    return CallResult(text, data, is_error=True)


def failed(error: ApiError) -> Failed:
    """An error of ours as the protocol has it."""
    data = {"error": error.code, "details": error.details}
    return Failed(OF_STATUS.get(error.status, NOT_NOW), str(error), data)


def _found(session: Session, name: str) -> Tool:
    tools = tools_for(session.kind)
    if name in tools:
        return tools[name]
    elsewhere = [tool for tool in (*_of_project(), *_of_account()) if tool.name == name]
    if elsewhere:
        keys = sorted({kind for tool in elsewhere for kind in tool.keys})
        message = f"A key of kind {session.kind} may not use {name}; use {' or '.join(keys)}."
        details = {"message": message, "allowed": keys}
        raise Failed(NOT_ALLOWED, message, {"error": "insufficient_scope", "details": details})
    hint = did_you_mean(name, tools) or f"there are {', '.join(tools)}."
    message = f"There is no tool {name[:64]!r}; {hint}"
    details = {"message": message, "allowed": list(tools)}
    raise Failed(UNKNOWN_TOOL, message, {"error": "not_found", "details": details})


def _refuse_unknown(tool: Tool, arguments: Json) -> None:
    """Raises `RouteRefused` for an argument that there is not."""
    known: list[str] = [*tool.input["properties"]]
    for name in arguments:
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {', '.join(known) or 'none'}"
            raise invalid(name, f"{tool.name} has no such argument; {hint}", allowed=known)


def as_text(structured: Json) -> str:
    """The answer for clients that read text only."""
    return msgspec.json.encode(structured).decode()
