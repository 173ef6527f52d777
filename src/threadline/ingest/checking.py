"""An event's time and properties, past all limits that a type cannot say."""

from threadline.contract.bodies import MAX_PROPERTIES_BYTES, Event
from threadline.contract.decoding import FieldErrors
from threadline.contract.errors import InvalidPayload
from threadline.contract.values import address_text, properties_text, timestamp_ms

# The event's time and properties.
Checked = tuple[int, str]


def check(
    event: Event,
    now_ms: int,
    index: int | None = None,
    max_bytes: int = MAX_PROPERTIES_BYTES,
) -> Checked:
    """The event's time (milliseconds since 1970) and properties; its address gets its shortest
    form. Raises `InvalidPayload` for what is past the limits that a type cannot say, naming the
    event's index in its batch if there is one."""
    try:
        if event.ip is not None:
            event.ip = address_text(event.ip)
        return timestamp_ms(event.timestamp, now_ms), properties_text(event.properties, max_bytes)
    except ValueError:
        raise _explain(event, now_ms, index, max_bytes) from None


def _explain(event: Event, now_ms: int, index: int | None, max_bytes: int) -> InvalidPayload:
    errors: FieldErrors = {}
    try:
        timestamp_ms(event.timestamp, now_ms)
    except ValueError as error:
        errors["timestamp"] = [str(error)]
    try:
        address_text("::" if event.ip is None else event.ip)
    except ValueError as error:
        errors["ip"] = [str(error)]
    try:
        properties_text(event.properties, max_bytes)
    except ValueError as error:
        name = "traits" if index is None and event.event == "$identify" else "properties"
        errors[name] = [str(error)]
    if index is None:
        return InvalidPayload("The event is invalid; nothing was stored.", fieldErrors=errors)
    return InvalidPayload(
        f"Event {index} of the batch is invalid; nothing was stored.",
        index=index,
        fieldErrors=errors,
    )
