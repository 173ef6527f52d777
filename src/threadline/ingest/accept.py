"""Events of one request as rows for the log: each goes through `steps`, and is encoded once.

Pure given its inputs, so a whole batch either becomes rows or raises before anything is stored.
"""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from threadline.contract.bodies import Event, Identify
from threadline.contract.errors import PlaceholderId
from threadline.contract.ids import PLACEHOLDERS, Placeholders, is_placeholder
from threadline.contract.replies import Notice
from threadline.ingest.checking import Checked
from threadline.ingest.context import IngestContext
from threadline.ingest.row import Rows, StoredEvent
from threadline.ingest.steps import Warnings, stored_event

MAX_WARNINGS = 100


class Accepted(NamedTuple):
    """Rows for the log, and what the answer says of them. `bots`: of each event that is stored as a
    bot's, which kind."""

    rows: Rows
    first_event_id: str
    warnings: list[Notice]
    bots: Sequence[str] = ()

    @property
    def placeholder_ids(self) -> int:
        """How many ids were left out because they were placeholders."""
        return sum(notice.code == PlaceholderId.code for notice in self.warnings)


def accept(
    events: list[Event],
    context: IngestContext,
    in_batch: bool,
    checked: Sequence[Checked] | None = None,
) -> Accepted:
    """The events as rows. `checked`: what `checking.check` found of each, if it was asked already.

    Raises `InvalidPayload` for the first event that is not acceptable, with its index if it came
    in a batch.
    """
    warnings = Warnings(in_batch)
    stored: list[StoredEvent] = []
    hashes = array("Q")
    id_key, project_id = context.id_key, context.project_id
    for index, sent in enumerate(events):
        warnings.index = index
        found = checked[index] if checked else None
        stored.append(stored_event(sent, context, warnings, found))
        hashes.append(event_id_hash(id_key, project_id, sent.event_id) if sent.event_id else 0)
    rows = Rows.encode(stored, hashes)
    return Accepted(rows, stored[0].event_id, warnings.notices, warnings.bots)


def event_id_hash(id_key: int, project_id: str, event_id: str) -> int:
    """64 bits that stand for this event of this project; never 0.

    Keyed, so that nobody can make an id that passes for another project's.
    """
    return xxh3_64_intdigest(f"{project_id}\0{event_id}".encode(), id_key) or 1


def identify_event(body: Identify, placeholders: Placeholders = PLACEHOLDERS) -> Event:
    """An identify call as the `$identify` event it is stored as. Raises `PlaceholderId`."""
    for field in ("user_id", "anonymous_id"):
        value = getattr(body, field)
        if is_placeholder(value, placeholders):
            raise PlaceholderId(
                f"{field} {value!r} is a placeholder, not an id; it would merge every caller that "
                "sends it into one person. Call identify only when the user is known.",
                fieldErrors={field: ["Placeholder, not an id"]},
            )
    return Event(
        event="$identify",
        event_id=body.event_id,
        timestamp=body.timestamp,
        anonymous_id=body.anonymous_id,
        user_id=body.user_id,
        properties=body.traits,
    )


def few(warnings: list[Notice]) -> list[Notice]:
    """The first hundred, and how many more there are."""
    if len(warnings) <= MAX_WARNINGS:
        return warnings
    more = len(warnings) - MAX_WARNINGS
    return [*warnings[:MAX_WARNINGS], Notice(0, "", "more", f"And {more:,} more warnings.")]
