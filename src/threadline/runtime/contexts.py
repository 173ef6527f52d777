"""What a question is asked with: what was asked for, and where that says nothing what its project
has, or the question takes by itself."""

from typing import Any, cast

import msgspec

from threadline.contract.definitions import Definitions
from threadline.contract.errors import StitchNotAPartition
from threadline.contract.policies import PARTITIONS, Policy
from threadline.control import Project
from threadline.identity.kept import Keeper
from threadline.questions.context import Context
from threadline.questions.definitions import names_of
from threadline.questions.filters import Condition, Filtered, read_filters, refused
from threadline.questions.parameters import Stitched
from threadline.questions.question import Question
from threadline.questions.warned import left_out, noted
from threadline.store import Store

NO_DEFINITIONS = Definitions()


def context_of(
    question: Question,
    project: Project,
    params: msgspec.Struct,
    store: Store,
    placeholder_ids: int = 0,
    definitions: Definitions = NO_DEFINITIONS,
    keeper: Keeper | None = None,
) -> Context:
    """What the question is asked with. `keeper`: of the store's owners. Raises
    `StitchNotAPartition`, or `InvalidParams` for filters that it does not take."""
    per_account = getattr(params, "per", "person") == "account"
    stitched = params if isinstance(params, Stitched) else Stitched()
    filters = read_filters(params.filters) if isinstance(params, Filtered) else []
    for condition in filters:
        if condition.scope not in question.narrows:
            raise refused("filters", _not_here(question, condition))
    return Context(
        store=store,
        project_id=project.project_id,
        policy=policy(question, project, stitched.stitch, per_account),
        as_of_ms=stitched.as_of.ms if stitched.as_of else None,
        bots=stitched.include_bots,
        visit_timeout_ms=project.visit_timeout_minutes * 60_000,
        placeholder_ids=placeholder_ids,
        filters=filters,
        names=names_of(definitions),
        notes=definitions.annotations.values(),
        per_account=per_account or question.of_accounts,
        keeper=keeper,
        touches_outlive=project.keep_first_touch,
    )


def answered(question: Question, context: Context, params: msgspec.Struct) -> Any:
    """The answer, which says whom it leaves out."""
    answer = question.ask(context, params)
    if context.per_account and not question.of_accounts:
        said, of_accounts = list(answer.warnings or []), left_out(context)
        if of_accounts:
            # That programs' events do not count is not why there is nothing.
            said = [warning for warning in said if warning.code != "bots_left_out"]
        answer.warnings = noted([*said, *of_accounts])
    return answer


def _not_here(question: Question, condition: Condition) -> str:
    taken = " and ".join(f"of {scope}s" for scope in question.narrows)
    return (
        f"{question.path} takes conditions {taken}, and {condition.text!r} is of {condition.scope}s"
    )


def policy(
    question: Question, project: Project, asked: Policy | None, per_account: bool = False
) -> Policy:
    """What was asked for, else the project's default; else `any`, or `next` where people are
    counted, as they are for accounts. Raises `StitchNotAPartition`."""
    default = cast(Policy | None, project.stitch)
    if not (question.counts_people or per_account):
        return asked or default or question.default_policy
    if asked == "any":
        raise StitchNotAPartition(
            "stitch=any counts an event for several people; choose one of "
            f"{', '.join(PARTITIONS)}.",
            allowed=list(PARTITIONS),
        )
    return asked or (default if default in PARTITIONS else None) or "next"
