"""How every question is asked, whoever asks: under which policy, after what was acknowledged before
it, a bounded number at once, and with one set of errors.

The store bounds what one may take: its time, its memory, and the disk beyond that (`store/engine`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec

from threadline.contract.errors import Busy, Unavailable
from threadline.contract.times import format_ms, now_ms
from threadline.control import Control, Project
from threadline.control.errors import ControlFileError
from threadline.identity.kept import Keeper
from threadline.ingest.writer import Writer
from threadline.questions.asked_names import events_asked, names_in, warn
from threadline.questions.context import Context
from threadline.questions.parameters import Range, Ranged
from threadline.questions.question import Question
from threadline.questions.warned import (
    AnswerWarning,
    Warned,
    noted,
    older_than_kept,
    unknown_names,
)
from threadline.runtime.contexts import answered, context_of
from threadline.runtime.failures import STORE_AWAY
from threadline.runtime.kept_answers import KeptAnswers, asked, minute
from threadline.runtime.slots import Slots
from threadline.runtime.this_node import ThisNode
from threadline.settings import Settings
from threadline.store import (
    SAVERS,
    QueryTimeout,
    QueryTooLarge,
    Store,
    StoreAway,
    StoreBusy,
)

# How long a question waits for what was acknowledged before it. Past that it is answered, and says
# so.
CATCH_UP_S = 5.0
MOST_STREAMS_WAITING = 8

Result = TypeVar("Result")


class Answered(NamedTuple):
    """`fresh`: it holds everything that was acknowledged before it was asked. `body`: it as JSON,
    where that was made already. `age_s`: for so long nothing changed it; None: it was asked now."""

    answer: Any
    fresh: bool
    body: bytes | None = None
    age_s: int | None = None


class Asking:
    """The questions of all projects of one data folder."""

    def __init__(
        self,
        settings: Settings,
        control: Control,
        store: Store,
        writer: Writer,
        refused: Callable[[], None],
        node: ThisNode | None = None,
    ) -> None:
        """`refused` is called for each whose turn does not come. `node`: this one, where several
        write into the store."""
        self._settings = settings
        self._control = control
        self._store = store
        # Dictionaries are on one node; a cluster joins on all of them.
        self._keeper = None if store.cluster else Keeper(store)
        self._answers = KeptAnswers()
        self._writer = writer
        self._node = node
        self._refused = refused
        self._slots = Slots(settings.query_seconds, refused)
        # They wait for each other to be taken, which questions must not wait for.
        self._streams = Slots(settings.query_seconds, refused, SAVERS, MOST_STREAMS_WAITING)

    async def ask(
        self,
        question: Question,
        project: Project,
        params: msgspec.Struct,
        anew: bool = False,
        written: str = "",
    ) -> Answered:
        """As `answer`, in turn with the others, so that nothing else waits behind it. Raises `Busy`
        if its turn does not come soon."""
        slots = self._streams if question.is_stream else self._slots
        return await slots.run(
            lambda: self.answer(question, project, params, anew=anew, written=written)
        )

    async def in_turn(self, step: Callable[[], Result]) -> Result:
        """Have something done that asks the store and is no question of the registry: in turn with
        the questions, after what was acknowledged before, and with the same errors."""

        def done() -> Result:
            self._writer.catch_up(CATCH_UP_S)
            with self._store_errors():
                return step()

        return await self._slots.run(done)

    def let_go(self, project_id: str) -> None:
        """Of all that is kept in memory of a project."""
        if self._keeper:
            self._keeper.let_go(project_id)

    def close(self) -> None:
        self._slots.close()
        self._streams.close()
        if self._keeper:
            self._keeper.close()

    def answer(
        self,
        question: Question,
        project: Project,
        params: msgspec.Struct,
        catch_up_s: float = CATCH_UP_S,
        anew: bool = False,
        written: str = "",
    ) -> Answered:
        """Ask now, and wait `catch_up_s` at most for what was acknowledged before. `anew`: even
        where the answer is kept. `written`: what another node said of what it acknowledged.

        Raises `StitchNotAPartition` for a policy under which the question cannot be asked,
        `Busy` or `Unavailable` if the store does not answer, and what the question raises.
        """
        placeholder_ids = self._control.placeholder_ids(project.project_id)
        definitions = self._control.definitions(project.project_id)
        context = context_of(
            question, project, params, self._store, placeholder_ids, definitions, self._keeper
        )
        fresh = self.catch_up(catch_up_s, written)
        # Others may write to a server, and its answers come over a wire: they are not kept.
        keeps = self._store.is_embedded and not question.is_stream
        key = (question.name, project.project_id, asked(params)) if keeps else ()
        state = (self._store.changes, minute(), project, definitions, placeholder_ids)
        if keeps and not anew and (kept := self._answers.get(key, state)):
            return Answered(kept.answer, fresh, kept.body, int(time.monotonic() - kept.at_s))
        with self._store_errors():
            answer = warn(context, params, answered(question, context, params))
            _warn_old(answer, project, params)
            answer = _echoed(answer, project, params)
        return Answered(answer, fresh, self._answers.put(key, state, answer) if keeps else None)

    def catch_up(self, within_s: float, written: str = "") -> bool:
        """Wait until the store has what was acknowledged before; whether it has. What another node
        acknowledged a moment ago counts where `written` says so. Raises `InvalidParams`."""
        fresh = self._writer.catch_up(within_s)
        if self._node is None:
            return fresh
        if written:
            try:
                fresh = self._node.is_written(written, within_s) and fresh
            except ControlFileError:
                return False
        return fresh and not self._node.away

    async def doubts(self, project: Project, definition: msgspec.Struct) -> list[AnswerWarning]:
        """What to say of a goal or segment that is kept: names in it that never came. Nothing where
        the store does not answer: it is kept anyway, and each question says the same."""
        context = Context(self._store, project.project_id)

        def ask() -> list[AnswerWarning]:
            self._writer.catch_up(CATCH_UP_S)
            with self._store_errors():
                # Who names things before the first event has not made a slip.
                return unknown_names(context, names_in(definition), also_first=False)

        try:
            return await self._slots.run(ask)
        except (Busy, Unavailable):
            return []

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except QueryTimeout as error:
            raise Unavailable(
                f"The question took longer than {self._settings.query_seconds} s; "
                "narrow it with from and to, or raise THREADLINE_QUERY_SECONDS."
            ) from error
        except QueryTooLarge as error:
            raise Unavailable(
                "The question needs more memory than a question may take; narrow it with from and "
                "to, ask for fewer groups, or raise THREADLINE_QUERY_MEMORY."
            ) from error
        except StoreBusy as error:
            self._refused()
            message = "Too many questions are being answered; try again in a few seconds."
            raise Busy(message) from error
        except StoreAway as error:
            raise Unavailable(STORE_AWAY) from error


def _echoed(answer: Any, project: Project, params: msgspec.Struct) -> Any:
    """The answer with what `from` and `to` came to; and by whose clocks, where the project has a
    say in that."""
    if isinstance(params, Range | Ranged) and isinstance(answer, Warned):
        for name in ("from_", "to"):
            if (timestamp := getattr(params, name)) is not None:
                setattr(answer, name, format_ms(timestamp.ms))
        if project.timezone:
            answer.tz = params.tz
    return answer


def _warn_old(answer: Any, project: Project, params: msgspec.Struct) -> None:
    """That the time which is asked about begins before what the project keeps."""
    if not (project.keeping.is_limited and isinstance(params, Range | Ranged)):
        return
    if isinstance(answer, Warned) and params.from_ is not None:
        said = older_than_kept(project.keeping, params.from_.ms, now_ms(), events_asked(params))
        if said:
            answer.warnings = noted([*(answer.warnings or []), *said])
