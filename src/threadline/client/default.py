"""One client for the whole program: `threadline.init(…)`, then `threadline.track(…)` anywhere."""

import logging
import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from threadline.client.client import Client
from threadline.client.context import UserId
from threadline.client.options import DEFAULT_HOST

_logger = logging.getLogger("threadline")
_making = threading.Lock()
_client: Client | None = None
_stand_in: Client | None = None


def init(key: str | None = None, host: str | None = None, **options: Any) -> Client:
    """Make the program's client, as `Client` does; one that was there before is closed."""
    global _client
    made = Client(key, host, **options)
    close()
    _client = made
    return made


def get_client() -> Client:
    """The program's client. Without `init`, one by `THREADLINE_SDK_KEY` and `THREADLINE_SDK_HOST`;
    without a key, or with something else in its place, one that sends nothing and says so once, so
    that a program runs where nobody set it up."""
    global _client
    if _stand_in is not None:
        return _stand_in
    if _client is None:
        with _making:
            _client = _client or _by_environment()
    return _client


def _by_environment() -> Client:
    if not os.environ.get("THREADLINE_SDK_KEY"):
        _logger.warning("no key: nothing is sent; call threadline.init or set THREADLINE_SDK_KEY")
        return Client("none", DEFAULT_HOST, disabled=True, proxy="")
    try:
        return Client()
    except ValueError as error:  # the program tracks, it does not ask for a client
        _logger.error("nothing is sent: %s", error)
        return Client("none", DEFAULT_HOST, disabled=True, proxy="")


def stand_in(client: Client | None) -> Client | None:
    """Use this one instead, whatever is made in the meantime; the one that stood in before."""
    global _stand_in
    before, _stand_in = _stand_in, client
    return before


def close() -> None:
    """As `Client.close`; `init` may make a new one."""
    global _client
    before, _client = _client, None
    if before is not None:
        before.close()


def track(event: str, properties: Mapping[str, Any] | None = None, **fields: Any) -> str:
    """As `Client.track`."""
    return get_client().track(event, properties, **fields)


def identify(user_id: UserId, traits: Mapping[str, Any] | None = None, **fields: Any) -> str | None:
    """As `Client.identify`."""
    return get_client().identify(user_id, traits, **fields)


def group(account_id: UserId, traits: Mapping[str, Any] | None = None, **fields: Any) -> str | None:
    """As `Client.group`."""
    return get_client().group(account_id, traits, **fields)


def page(
    name: str | None = None, properties: Mapping[str, Any] | None = None, **fields: Any
) -> str:
    """As `Client.page`."""
    return get_client().page(name, properties, **fields)


def batch(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """As `Client.batch`."""
    return get_client().batch(events)


def alias(user_id: UserId, alias_of: UserId) -> bool:
    """As `Client.alias`."""
    return get_client().alias(user_id, alias_of)


def forget(user_id: UserId = None, *, anonymous_id: str | None = None) -> str:
    """As `Client.forget`."""
    return get_client().forget(user_id, anonymous_id=anonymous_id)


def flush(timeout_s: float = 30.0) -> bool:
    """As `Client.flush`; where no client was made, there is nothing to send."""
    made = _stand_in or _client
    return made is None or made.flush(timeout_s)
