"""A few questions whose answers say whether a restored folder is what was backed up: asked of the
store alone, of all time until a moment, so that the same store gives the same bytes."""

import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec

from threadline.contract.errors import ApiError
from threadline.contract.times import format_ms
from threadline.control import Control
from threadline.questions.registry import QUESTIONS
from threadline.runtime.contexts import answered, context_of
from threadline.runtime.params import parse_params
from threadline.settings import Settings
from threadline.store import QueryTimeout, Store, store_url

# The writer is held meanwhile, so no more is asked when this is over.
SAMPLE_S = 2.0
# One that takes longer is left out.
ONE_S = 2
EVERY = {"include_bots": "true", "from": "2000-01-01"}
ASKED: dict[str, tuple[str, dict[str, str]]] = {
    "events by day": ("stats", {"metric": "count", "interval": "day", "group_by": "source"}),
    "persons": ("stats", {"metric": "persons", "stitch": "next"}),
    "visits": ("sources", {}),
    "identity": ("identity_stats", {}),
}


def sample(settings: Settings, control: Control, at_ms: int) -> dict[str, str]:
    """A digest of each answer, by project and question; those there was time for."""
    url = store_url(settings.store, Path(settings.data))
    until = time.monotonic() + SAMPLE_S
    found: dict[str, str] = {}
    with Store(url, query_seconds=ONE_S) as store:
        for key in keys(control):
            if time.monotonic() > until:
                break
            try:
                found[key] = digest(store, control, key, at_ms)
            except (QueryTimeout, ApiError):
                continue
    return found


def digest(store: Store, control: Control, key: str, at_ms: int) -> str:
    """Of the answer to one of these questions. Raises `StoreError`, `ControlError`."""
    project_id, _, asked = key.partition("/")
    return digest_of(store, control, project_id, *ASKED[asked], at_ms)


def digest_of(
    store: Store, control: Control, project_id: str, name: str, given: dict[str, str], at_ms: int
) -> str:
    """The same of any question of the registry. Raises also `ApiError`."""
    question, project = QUESTIONS[name], control.project(project_id)
    fields = {field.encode_name for field in msgspec.structs.fields(question.params)}
    bounds = {**EVERY, "to": format_ms(at_ms)}
    texts = {**given, **{name: text for name, text in bounds.items() if name in fields}}
    in_path = {name: texts.pop(name) for name in question.in_path if name in texts}
    params: msgspec.Struct = parse_params(texts, question.params, in_path=in_path)
    context = context_of(
        question, project, params, store, definitions=control.definitions(project_id)
    )
    # The day that was running then is over when a backup is restored on another one.
    context = replace(context, asked_at_ms=at_ms)
    return sha256(msgspec.json.encode(answered(question, context, params))).hexdigest()[:32]


def keys(control: Control) -> Iterator[str]:
    """One question of each project after the other, so that every project gets its turn."""
    projects = [project.project_id for project in control.projects()]
    for asked in ASKED:
        for project_id in projects:
            yield f"{project_id}/{asked}"
