"""Whether what an event says of an account is the id of one, as `store.states` reads it."""

from typing import Any

import msgspec

from threadline.contract.ids import OF_ACCOUNTS, is_placeholder
from threadline.store.states import MAX_ACCOUNT_ID

GROUP = "$group"
NAMED = '"account_id"'

Said = str | int | float | bool | list[Any] | dict[str, Any] | None


class _Properties(msgspec.Struct):
    account_id: Said = None
    group_id: Said = None


_decoder = msgspec.json.Decoder(_Properties)


def no_account(event_name: str, properties: str) -> str | None:
    """Why the event shows nobody in an account, for its sender; None if it does, or says none."""
    if NAMED not in properties and event_name != GROUP:
        return None
    try:
        said = _decoder.decode(properties)
    except (msgspec.MsgspecError, RecursionError):
        return None
    found = said.account_id
    if event_name == GROUP and found in (None, ""):
        found = said.group_id
        if found is None:
            return "A group call without account_id among its properties names no account."
    if found is None or _is_id(found):
        return None
    return (
        f"{str(found)[:80]!r} is not the id of an account, which is a text of at most"
        f" {MAX_ACCOUNT_ID} characters or a whole number; the event was stored, and puts nobody "
        "into an account."
    )


def _is_id(found: Said) -> bool:
    if not isinstance(found, str | int) or isinstance(found, bool):
        return False
    return len(str(found)) <= MAX_ACCOUNT_ID and not is_placeholder(str(found), OF_ACCOUNTS)
