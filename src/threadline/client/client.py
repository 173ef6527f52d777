"""Sending events from Python: queued at once, delivered in batches by a thread of its own."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from time import time
from typing import Any, Self

from threadline.client.batches import said
from threadline.client.context import UserId, current, fill
from threadline.client.errors import Dropped, Unreachable
from threadline.client.fields import FIELDS, ignored
from threadline.client.losses import OnError
from threadline.client.options import WhenFull, check, find_host, find_key, log_to_stderr
from threadline.client.queue import MemoryQueue, Queue, QueuedEvent, open_spool
from threadline.client.read import Reader
from threadline.client.sending import Sender
from threadline.client.values import (
    Timestamp,
    Unfit,
    id_text,
    is_flat,
    read_timestamp,
    snapshot,
    text,
)
from threadline.client.wire import Json, QueryParams, Wire

# What callers send by mistake instead of an id; the server knows more of them.
NOBODY = ("undefined", "null", "None", "nan")

_logger = logging.getLogger("threadline")


class Client(Sender, Reader):
    """A connection to one project. Safe to share between threads, and to take through a fork.

    Every event gets its id here, so a batch that is sent twice is counted once. Nothing that goes
    wrong with events is raised into your program: it is logged under the name `threadline`, given
    to `on_error`, and counted in `dropped`.
    """

    def __init__(
        self,
        key: str | None = None,
        host: str | None = None,
        *,
        flush_at: int = 100,
        flush_interval_s: float = 1.0,
        flush_bytes: int = 1024 * 1024,
        max_queue: int = 10_000,
        when_full: WhenFull = "drop_oldest",
        timeout_s: float = 10.0,
        exit_timeout_s: float = 10.0,
        gzip: bool = True,
        proxy: str | None = None,
        spool: str | Path | None = None,
        spool_max_bytes: int = 256 * 1024 * 1024,
        sync: bool = False,
        disabled: bool = False,
        debug: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        """`key`: an sk key, or `THREADLINE_SDK_KEY`. `host`: the server, or `THREADLINE_SDK_HOST`.

        A batch leaves when `flush_at` events wait, `flush_interval_s` after the first of them, and
        holds about `flush_bytes` at most. `max_queue`: events kept while the server is away; then
        `when_full` says which go. `exit_timeout_s`: how long the end of the program may wait for
        what is queued. `proxy`: its address, or "" for none; default: as `HTTP_PROXY`,
        `HTTPS_PROXY` and `NO_PROXY` say. `spool`: a folder in which events wait instead, up to
        `spool_max_bytes`, and outlive the process. `sync`: every event is sent before `track`
        returns, by no thread, for programs that are frozen between requests. `disabled`: nothing
        is sent. `debug`: what is sent is logged to standard error.

        Raises `ValueError` for a host that is no address, a key that is missing, an option that
        cannot be meant, or `sync` with a spool: what is not queued would not be in it. Raises
        `OSError` for a spool that cannot be written.
        """
        check(locals())
        wire = Wire(find_host(host), find_key(key, disabled), timeout_s, gzip, proxy)
        queue: Queue = MemoryQueue(max_queue, when_full == "drop_oldest")
        if spool is not None:
            queue = open_spool(Path(spool), spool_max_bytes)
        if debug:
            log_to_stderr()
        super().__init__(
            wire,
            queue,
            flush_at=flush_at,
            flush_interval_s=flush_interval_s,
            flush_bytes=flush_bytes,
            exit_timeout_s=exit_timeout_s,
            sync=sync,
            disabled=disabled,
            debug=debug,
            on_error=on_error,
        )

    def track(
        self,
        event: str,
        properties: Mapping[str, Any] | None = None,
        *,
        user_id: UserId = None,
        anonymous_id: str | None = None,
        timestamp: Timestamp = None,
        url: str | None = None,
        path: str | None = None,
        referrer: str | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        user_agent: str | None = None,
        ip: str | None = None,
        **unknown: Any,
    ) -> str:
        """Queue one event and return its id. All is taken as it is now.

        `timestamp`: a datetime, which without a zone is the machine's, or ISO 8601, which without
        an offset is UTC, or seconds since 1970; default: now. Other names are ignored, which is
        logged. Within a request or job that middleware knows, the visitor and their page are
        filled in.
        """
        fit = event_id is None and type(event) is str and event
        if event_id is None:
            event_id = self._prefix + str(next(self._numbers))
        fields: QueuedEvent = {"event": event, "event_id": event_id}
        if user_id is not None:
            fields["user_id"] = user_id
            fit = fit and type(user_id) is str and user_id
        if anonymous_id is not None:
            fields["anonymous_id"] = anonymous_id
            fit = fit and type(anonymous_id) is str and anonymous_id
        if not (url is path is referrer is session_id is user_agent is ip is None):
            fields |= {"url": url, "path": path, "referrer": referrer, "session_id": session_id}
            fields |= {"user_agent": user_agent, "ip": ip}
            fit = False
        try:
            if not fit:
                self._make_text(fields)
            fields["timestamp"] = (
                time() if timestamp is None else read_timestamp(timestamp, self._note)
            )
            if type(properties) is dict and is_flat(map(type, properties.values())):
                fields["properties"] = properties.copy()
            elif properties is not None:
                fields["properties"] = snapshot(properties, self._note)
            if unknown:
                self._note(f"track ignored unknown fields: {ignored(unknown)}")
            context = current()
            if context is not None:
                fill(fields, context)
            self._put(fields)
        except Exception as error:  # noqa: BLE001 - whatever was given, the program goes on
            fields.setdefault("properties", properties)
            self._unfit(fields, error)
        return fields["event_id"]  # type: ignore[no-any-return]

    def _make_text(self, fields: QueuedEvent) -> None:
        """Fields as text, without those that are empty. Raises what a value's text form raises."""
        for name, value in tuple(fields.items()):
            if type(value) is str and value:
                continue
            found = text(value, self._note)
            if found is not None:
                fields[name] = found
            elif name == "event":
                raise Unfit("it has no name")
            elif name == "event_id":
                fields[name] = self._prefix + str(next(self._numbers))
            else:
                del fields[name]

    def identify(
        self,
        user_id: UserId,
        traits: Mapping[str, Any] | None = None,
        *,
        anonymous_id: str | None = None,
        timestamp: Timestamp = None,
        **fields: Any,
    ) -> str | None:
        """Say that this visitor is this user; within a request, the visitor is known. Without a
        user it warns and does nothing. Other fields as of `track`."""
        named: Any = user_id
        with suppress(Exception):  # `track` says what is wrong with it
            named = text(user_id, self._note)
        if named is None or (isinstance(named, str) and named.strip() in ("", *NOBODY)):
            _logger.warning("identify(%r) does nothing: call it when the user is known", named)
            return None
        fields |= {"user_id": named, "anonymous_id": anonymous_id, "timestamp": timestamp}
        return self._track("$identify", traits, fields)

    def group(
        self,
        account_id: UserId,
        traits: Mapping[str, Any] | None = None,
        *,
        user_id: UserId = None,
        anonymous_id: str | None = None,
        timestamp: Timestamp = None,
        **fields: Any,
    ) -> str | None:
        """Say that this visitor, or user, is of this account, and perhaps what the account is like.
        Without an account it warns and does nothing. Other fields as of `track`."""
        named: Any = account_id
        with suppress(Exception):  # `track` says what is wrong with it
            named = text(account_id, self._note)
        if named is None or (isinstance(named, str) and named.strip() in ("", *NOBODY)):
            _logger.warning("group(%r) does nothing: call it with the id of an account", named)
            return None
        fields |= {"user_id": user_id, "anonymous_id": anonymous_id, "timestamp": timestamp}
        if traits is not None and not isinstance(traits, Mapping):
            self._note(
                f"group ignored traits: a dictionary is needed, not a {type(traits).__name__}"
            )
            traits = None
        return self._track("$group", {**(traits or {}), "account_id": named}, fields)

    def page(
        self,
        name: str | None = None,
        properties: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """A page view that the server saw. Fields as of `track`."""
        if name is not None:
            with suppress(Exception):  # `track` says what is wrong with them
                given = {} if properties is None else snapshot(properties, self._note)
                properties = {"name": name, **given} if text(name, self._note) else properties
        return self._track("$pageview", properties, fields)

    def batch(self, events: Iterable[Mapping[str, Any]]) -> list[str]:
        """Queue events that are dictionaries of the fields of `track`; their ids. Other names are
        ignored, which is logged, and what is no dictionary is dropped."""
        sent: list[str] = []
        unknown: Counter[object] = Counter()
        try:
            for event in events:
                if not isinstance(event, Mapping):
                    kind = type(event).__name__
                    odd: QueuedEvent = {"event": "unreadable", "given": event}
                    self._drop(Dropped(f"an event has to be a dictionary, not a {kind}"), [odd])
                    continue
                unknown.update(name for name in event if name not in FIELDS)
                fields = {name: event[name] for name in FIELDS if name in event}
                name, properties = fields.pop("event", None), fields.pop("properties", None)
                sent.append(self.track(name, properties, **fields))
        except Exception as error:  # noqa: BLE001 - of what the events come from
            _logger.error("batch stopped after %d events: %s", len(sent), said(error))
        if unknown:
            _logger.warning("batch ignored unknown fields: %s", ignored(unknown))
        return sent

    def _track(self, event: str, properties: Any, fields: dict[str, Any]) -> str:
        """As `track`, with fields that anybody may have named."""
        own = {name: fields[name] for name in fields if name not in ("event", "properties")}
        if len(own) < len(fields):
            self._note(f"{event} ignored the fields event and properties: they are its own")
        return self.track(event, properties, **own)

    def alias(self, user_id: UserId, alias_of: UserId) -> bool:
        """Declare a user the same person as another; whether that is new. Asks the server at once.

        Raises `APIError` (409 where it would run in a circle) or `Unreachable`.
        """
        body = {"user_id": id_text(user_id), "alias_of": id_text(alias_of)}
        return bool(self._ask("PUT", "/v1/identity/aliases", body=body).get("changed"))

    def forget(self, user_id: UserId = None, *, anonymous_id: str | None = None) -> str:
        """Have everything about a user or a device deleted; the receipt's id. Asks the server at
        once, after what is queued.

        Raises `APIError` or `Unreachable`.
        """
        self.flush()
        by_device = {"anonymous_id": anonymous_id}
        body = by_device if user_id is None else {"user_id": id_text(user_id)}
        return str(self._ask("POST", "/v1/forget", body=body).get("receipt_id", ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self, path: str, params: QueryParams = None) -> HTTPResponse:
        if self.disabled:
            raise Unreachable("This client is disabled: it asks no server.")
        return self._wire.open(path, params)

    def _ask(self, method: str, path: str, params: QueryParams = None, body: object = None) -> Json:
        return {} if self.disabled else self._wire.ask(method, path, params, body)
