"""What a name may be, of whatever has one."""

from threadline.control.errors import ControlError

MAX_NAME = 200


def checked_name(what: str, text: str) -> str:
    """The name without spaces around it. Raises `ControlError`."""
    name = text.strip()
    if not name:
        raise ControlError(f"A {what} needs a name, such as shop; the one you gave is empty.")
    if len(name) > MAX_NAME or not name.isprintable():
        raise ControlError(
            f"The name of a {what} is at most {MAX_NAME} characters long and holds no line breaks "
            "or other control characters."
        )
    return name
