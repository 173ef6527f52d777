"""The visitor whom the running code serves, with their page and their browser.

Middleware sets it for a request, a worker for a job; `track` and `identify` fill in from it what
they were not given.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from threadline.client.values import id_text

UserId = str | int | None
GENERATED = "generated"
INJECTED = ("anonymous_id", "user_id", "url", "referrer", "user_agent", "ip")


@dataclass(slots=True)
class Context:
    """`anonymous_id` and `user_id` may be functions, for what is known only when somebody asks.

    `generated`: the visitor's id is new, the request brought none. `known`: the id if there is one
    already, where `anonymous_id` would generate one.
    """

    anonymous_id: str | Callable[[], str | None] | None = None
    user_id: UserId | Callable[[], UserId] = None
    url: str | None = None
    referrer: str | None = None
    user_agent: str | None = None
    ip: str | None = None
    generated: bool | Callable[[], bool] = False
    known: Callable[[], str | None] | None = None
    # Whom `identify` named, where nobody brought an id.
    named: str | None = field(default=None, init=False)

    def visitor(self) -> str | None:
        """The visitor, if they have an id."""
        return self.anonymous_id() if callable(self.anonymous_id) else self.anonymous_id

    def user(self) -> str | None:
        """The user, if it is known who that is."""
        found = self.user_id() if callable(self.user_id) else self.user_id
        return id_text(found) or None

    def visitor_so_far(self) -> str | None:
        """The same, but none is generated."""
        return self.visitor() if self.known is None else self.known()

    def is_new(self) -> bool:
        """Whether the request brought no id: perhaps it is no visitor's, but another program's."""
        return self.generated() if callable(self.generated) else self.generated


_current: ContextVar[Context | None] = ContextVar("threadline_context", default=None)
# The very method: it is asked on every event.
current = _current.get


@contextmanager
def use_context(context: Context) -> Iterator[Context]:
    """Serve this visitor for the length of the block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def inject() -> dict[str, str]:
    """The context as plain strings, for a job that goes on elsewhere; {} where there is none."""
    context = current()
    if context is None:
        return {}
    found = {name: getattr(context, name) for name in INJECTED}
    found |= {"anonymous_id": context.visitor(), "user_id": context.user()}
    found[GENERATED] = GENERATED if context.is_new() else None
    return {name: value for name, value in found.items() if value is not None}


def extract(fields: Mapping[str, str]) -> Context:
    """What `inject` gave, as a context again."""
    found = {name: fields[name] for name in INJECTED if name in fields}
    context = Context(**found)  # type: ignore[arg-type]  # none of these is a function
    context.generated = GENERATED in fields
    return context


def fill(event: dict[str, object], context: Context) -> None:
    """Add what the event does not say itself.

    An event of another user than the one being served, or of another visitor, gets nothing: an
    administrator's browser is not the customer's, and where nobody brought an id of ours, it may
    be the server of a payment provider that asks.
    """
    anonymous_id, user_id = event.get("anonymous_id"), event.get("user_id")
    if anonymous_id is not None and anonymous_id != context.visitor_so_far():
        return
    served = context.user()
    if user_id is not None and user_id != served:
        if served is not None:
            return
        if anonymous_id is None and context.is_new():
            if event["event"] == "$identify":
                context.named = id_text(user_id) or None
            return
    elif user_id is None and anonymous_id is None and served is None and context.named:
        event["user_id"] = context.named
        return
    visitor = context.visitor()
    for name, value in (
        ("anonymous_id", visitor),
        ("user_id", served),
        ("url", context.url),
        ("referrer", context.referrer),
        ("user_agent", context.user_agent),
        ("ip", context.ip),
    ):
        if value is not None and event.get(name) is None:
            event[name] = value
