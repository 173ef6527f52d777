"""Asking questions: answers as typed objects, lists that follow their cursors, tables."""

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from threadline.client.answers import EventRow, Row, User, UserRow, read
from threadline.client.errors import Unreachable
from threadline.client.wire import Json, QueryParams, in_path

if TYPE_CHECKING:
    import pandas
    import polars

# Of a step's name, unless it is escaped already.
COMMA = re.compile(r"(?<!\\),")
# What would mean something else than itself.
MEANT = re.compile(r"[\\,]|^[\s(]|\s$")


def _escaped(steps: Sequence[str]) -> list[str]:
    return [COMMA.sub(r"\\,", step) for step in steps]


class Frames(ABC):
    """What can become a table of pandas or polars, where those are installed."""

    @abstractmethod
    def to_dicts(self) -> list[Json]:
        """All rows as dictionaries."""

    def to_pandas(self) -> "pandas.DataFrame":
        """All rows as a `pandas.DataFrame`."""
        import pandas

        return pandas.json_normalize(self.to_dicts())

    def to_polars(self) -> "polars.DataFrame":
        """All rows as a `polars.DataFrame`."""
        import polars

        return polars.DataFrame(self.to_dicts(), infer_schema_length=None)


class Pages(Frames, Generic[Row]):
    """Rows, fetched page by page while you iterate; each `for` starts from the first."""

    def __init__(self, kind: type[Row], fetch: Callable[[str | None], Json]) -> None:
        self._kind = kind
        self._fetch = fetch

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[list[Row]]:
        """The same as lists, one a request."""
        cursor: str | None = None
        while True:
            page = self._fetch(cursor)
            yield [read(self._kind, row) for row in page.get("rows", [])]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def to_dicts(self) -> list[Json]:
        return [asdict(row) for row in self]


@dataclass(frozen=True)
class Table(Frames):
    """An answer in rows whose columns depend on the question. `answer`: all that the route said."""

    rows: list[Json]
    answer: Json

    def __iter__(self) -> Iterator[Json]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dicts(self) -> list[Json]:
        return self.rows


class Reader(ABC):
    """The questions, for whatever can ask the server."""

    @abstractmethod
    def _ask(
        self, method: str, path: str, params: QueryParams = None, body: object = None
    ) -> Json: ...

    @abstractmethod
    def _open(self, path: str, params: QueryParams = None) -> HTTPResponse: ...

    @property
    def users(self) -> "Users":
        """`users.get(id)`, `users.list()`, `users.journey(id)`."""
        return Users(self)

    def ask(self, path: str, **params: object) -> Json:
        """Any read route, such as `/v1/paths`; its JSON. Of names a trailing underscore is
        dropped (`from_`), lists are joined by commas.

        Raises `APIError` or `Unreachable`, as all questions do.
        """
        return self._ask("GET", path, params)

    def events(self, **filters: object) -> Pages[EventRow]:
        """Stored events, newest first. Filters: from_, to, event, source, medium, user_id, …"""
        return self._pages(EventRow, "/v1/query", {"limit": 1000, **filters})

    def export(self, path: str | Path, **filters: object) -> int:
        """Stored events into a file, as many as there are; how many. `format`: ndjson, csv or
        parquet. Filters: as of `events`. The file is there when it is complete."""
        path = Path(path)
        part = path.with_name(f".{path.name}.part")
        try:
            with self._open("/v1/export", filters) as answer, part.open("wb") as file:
                shutil.copyfileobj(answer, file)
            part.replace(path)
        except HTTPException as error:
            raise Unreachable(f"The export broke off: {error!r}") from error
        finally:
            part.unlink(missing_ok=True)
        return int(answer.headers["Threadline-Events"])

    def accounts(self, **params: object) -> Table:
        """Accounts, those seen last first; `next_cursor` in its `answer` leads on."""
        return self._table("/v1/accounts", params)

    def account(self, account_id: str | int, **params: object) -> Json:
        """One account. Raises `APIError` with status 404 if nobody was seen in it."""
        return self.ask(f"/v1/accounts/{in_path(account_id)}", **params)

    def stats(self, metric: str = "count", **params: object) -> Table:
        """Count, uniques, persons or sum, by `group_by` and `interval`."""
        return self._table("/v1/stats", {"metric": metric, **params})

    def changes(self, **params: object) -> Table:
        """What is out of the usual in the last seven days, or those before `to`, and which group
        carries it: a row for each number that moved, none where all is quiet."""
        return self._table("/v1/changes", params)

    def sources(self, **params: object) -> Table:
        """Where people came from."""
        return self._table("/v1/sources", params)

    def attribution(self, conversion: str, model: str | None = None, **params: object) -> Table:
        """Which sources conversions are credited to. `model`: as of the route, else its default."""
        return self._table("/v1/attribution", {"conversion": conversion, "model": model, **params})

    def funnel(self, steps: Sequence[str], **params: object) -> Table:
        """How many people get from step to step, across their devices: a row a step and group.
        A step is an event's name, which may hold commas, and perhaps `{property=value}`: as the
        route takes it, one by one."""
        answer = self.ask("/v1/funnel", steps=_escaped(steps), **params)
        rows = [
            {**{name: value for name, value in row.items() if name != "steps"}, **step}
            for row in answer["rows"]
            for step in row["steps"]
        ]
        return Table(rows, answer)

    def funnel_people(self, steps: Sequence[str], step: int, **params: object) -> Table:
        """Who got to a step, 1 the first; with `dropped=True`, who did not, but to the one before.
        Newest first; with `cursor=table.answer["next_cursor"]` those that follow."""
        return self._table("/v1/funnel/people", {"steps": _escaped(steps), "step": step, **params})

    def retention(self, **params: object) -> Table:
        """Who comes back, by cohort."""
        return self._table("/v1/retention", params)

    def retention_people(self, cohort_start: object, period: int, **params: object) -> Table:
        """Everybody behind one number of `retention`; `returned=False`: those who were not back."""
        asked = {"cohort_start": cohort_start, "period": period, **params}
        return self._whole("/v1/retention/people", asked)

    def why(self, user_id: str, conversion: str, **params: object) -> Json:
        """One conversion of a user: its touches, and why each has the credit it has."""
        return self.ask("/v1/attribution/why", user_id=user_id, conversion=conversion, **params)

    def visits(self, **params: object) -> Table:
        """How many visits, how long, and where they came from."""
        return self._table("/v1/visits", params)

    def sessions(self, **params: object) -> Table:
        """The same, as it was called before."""
        return self.visits(**params)

    def paths(self, event: str | None = None, **params: object) -> Table:
        """What people do before or after an event, or on the way from `start` to `end`."""
        return self._table("/v1/paths", {"event": event, **params})

    def paths_people(self, event: str | None = None, **params: object) -> Table:
        """Everybody behind one number of `paths`: who did `node` on their way, perhaps in `step`,
        or went just this `way`, as a list what a row of `paths` has."""
        if isinstance(way := params.get("way"), list):
            params["way"] = ",".join(MEANT.sub(r"\\\g<0>", name) for name in way) or "(none)"
        return self._whole("/v1/paths/people", {"event": event, **params})

    def schema(self, **params: object) -> Json:
        """Which events, properties and traits there are; with `values_of`, values of a
        dimension."""
        return self.ask("/v1/schema", **params)

    def identity_stats(self, **params: object) -> Json:
        """How well people are known."""
        return self.ask("/v1/identity/stats", **params)

    def shared_devices(self, **params: object) -> Table:
        """Devices that more than one person was seen on."""
        return self._table("/v1/identity/shared-devices", params)

    def suspicious(self, **params: object) -> Table:
        """Users on unusually many devices, and devices of unusually many users, those with most
        first; with `cursor=table.answer["next_cursor"]` those that follow."""
        return self._table("/v1/identity/suspicious", params)

    def likely_duplicates(self, **params: object) -> Table:
        """Users of the same e-mail address that nobody declared one person."""
        return self._table("/v1/identity/likely-duplicates", params)

    def explain(self, **params: object) -> Json:
        """Whose an event is under each policy, and why: of an `event_id`, or of an `anonymous_id`
        and a time, `at`."""
        return self.ask("/v1/identity/explain", **params)

    def time_to_conversion(self, conversion: str, **params: object) -> Table:
        """How long people take from their first touch."""
        return self._table("/v1/time-to-conversion", {"conversion": conversion, **params})

    def segments(self) -> Table:
        """The project's segments: name and filters."""
        return self._table("/v1/segments", {})

    def goals(self) -> Table:
        """The project's goals: what `goal:NAME` stands for."""
        return self._table("/v1/goals", {})

    def annotations(self) -> Table:
        """The project's dated notes, the earliest first."""
        return self._table("/v1/annotations", {})

    def insights(self) -> Table:
        """The project's insights: questions with their parameters, kept under a name."""
        return self._table("/v1/insights", {})

    def boards(self) -> Table:
        """The project's boards: insights arranged on a page."""
        return self._table("/v1/boards", {})

    def _table(self, path: str, params: Mapping[str, object]) -> Table:
        answer = self._ask("GET", path, params)
        return Table(answer.get("rows", []), answer)

    def _whole(self, path: str, params: Mapping[str, object]) -> Table:
        """All pages in one."""
        answer = self._ask("GET", path, {"limit": 1000, **params})
        rows = list(answer["rows"])
        while cursor := answer.get("next_cursor"):
            answer = self._ask("GET", path, {"limit": 1000, **params, "cursor": cursor})
            rows += answer["rows"]
        return Table(rows, answer)

    def _pages(self, kind: type[Row], path: str, params: Mapping[str, object]) -> Pages[Row]:
        return Pages(kind, lambda cursor: self._ask("GET", path, {**params, "cursor": cursor}))


@dataclass(frozen=True)
class Users:
    """Questions about users."""

    _reader: Reader

    def get(self, user_id: str | int, **params: object) -> User:
        """One user. Raises `APIError` with status 404 if no event carries it."""
        path = f"/v1/users/{in_path(user_id)}"
        return read(User, self._reader._ask("GET", path, params))

    def list(self, **filters: object) -> Pages[UserRow]:
        """Users, those known last first. Filters: search, source, conversion, order, …; columns of
        choice are for `table`."""
        return self._reader._pages(UserRow, "/v1/users", filters)

    def table(self, columns: Sequence[str], **filters: object) -> Table:
        """Users with columns of choice: user_id, last_seen, traits.plan, first.source, …"""
        return self._reader._whole("/v1/users", {"columns": columns, **filters})

    def journey(self, user_id: str | int, phase: str = "all", **params: object) -> Pages[EventRow]:
        """Everything they did, oldest first: `phase` before or after they were known, or all."""
        path = f"/v1/users/{in_path(user_id)}/events"
        return self._reader._pages(EventRow, path, {"phase": phase, "limit": 1000, **params})
