"""What people decide about identity, and whom they have forgotten, whoever takes the request."""

import asyncio
from collections.abc import Callable

from threadline.contract.errors import PlaceholderId, Unavailable
from threadline.contract.ids import Placeholders, is_placeholder
from threadline.enrich import address_hash, time_ordered_id
from threadline.ingest.log import Done, ForgetRequest
from threadline.runtime.ask import CATCH_UP_S
from threadline.runtime.services import Services


async def decide(
    services: Services,
    decision: Callable[..., bool],
    project_id: str,
    by: str,
    given: dict[str, str],
) -> bool:
    """Have it decided, by the key of this prefix; whether it changed anything.

    Raises `Unavailable` while what was seen before is not in the store."""

    def one_by_one() -> bool:
        if not services.writer.catch_up(CATCH_UP_S):
            raise Unavailable("The store does not keep up, so nothing was decided; try again.")
        # Because each looks at those before it.
        with services.writer.deciding():
            return decision(services.store, project_id, by, **given)

    return await asyncio.to_thread(one_by_one)


def refuse_placeholders(given: dict[str, str], placeholders: Placeholders) -> None:
    """Raises `PlaceholderId`."""
    for name, user_id in given.items():
        if is_placeholder(user_id, placeholders):
            message = f"{name} {user_id!r} is a placeholder; it would merge strangers."
            raise PlaceholderId(message, fieldErrors={name: ["Placeholder, not an id"]})


async def forget(
    services: Services,
    project_id: str,
    user_id: str | None,
    anonymous_id: str | None,
    anonymise: bool = False,
) -> str:
    """Have somebody forgotten: a user, or a device. `anonymise`: copies of somebody random take the
    place of the user's events. The receipt's id, once it is on disk. Raises `Unavailable`."""
    request = ForgetRequest(time_ordered_id(), project_id, user_id, anonymous_id, anonymise)
    on_disk = asyncio.get_running_loop().create_future()
    ask_to_forget(services, request, on_disk)
    await on_disk
    return request.receipt_id


def ask_to_forget(services: Services, request: ForgetRequest, on_disk: Done) -> None:
    """The same for who has no event loop: `on_disk` completes, or fails with `Unavailable`."""
    of = request.user_id or request.anonymous_id or ""
    id_hash = address_hash(services.control.pepper, request.project_id, of)
    services.log.append_forget(request, id_hash, on_disk)
