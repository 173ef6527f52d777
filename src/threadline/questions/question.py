"""What a question is: parameters in, an answer out, and what is known of it beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from threadline.contract.errors import ApiError
from threadline.contract.policies import Policy
from threadline.questions.context import Context
from threadline.questions.dimensions import Scope

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: a struct of parameters in, a struct out.

    `counts_people`: it counts them, so each event needs one owner: policies that give it several
    are refused. `in_path`: parameters that are parts of the path. `errors`: beside those that any
    question may end with. `media_types`: of its answer; the first is the default.
    `is_stream`: its answer comes as slowly as it is taken. `also`: another path, of before.
    `narrows`: of each scope of filters that it takes, what these narrow.
    `of_accounts`: it is about accounts in the place of people.
    `default_policy`: where neither the question nor the project says one, and it counts nobody.
    """

    name: str
    path: str
    summary: str
    tag: str
    params: type
    answer: type
    ask: Callable[[Context, Any], Any]
    counts_people: bool = False
    in_path: tuple[str, ...] = ()
    errors: tuple[type[ApiError], ...] = ()
    media_types: tuple[str, ...] = (JSON,)
    is_stream: bool = False
    also: str = ""
    narrows: Mapping[Scope, str] = field(default_factory=dict)
    default_policy: Policy = "any"
    of_accounts: bool = False

    @property
    def notes(self) -> dict[str, str]:
        """What there is to say here of parameters that several questions share."""
        of_people = "next" if self.counts_people else self.default_policy
        narrows = "; ".join(f"{scope}s: {what}" for scope, what in self.narrows.items())
        return {
            "stitch": f"Default: the project's, else `{of_people}`.",
            "filters": f"What a filter narrows depends on what it is about. {narrows}.",
        }

    @property
    def paths(self) -> list[str]:
        return [self.path, self.also] if self.also else [self.path]
