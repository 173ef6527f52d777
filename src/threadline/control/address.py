"""What THREADLINE_CONTROL names: a file of the data folder, or a PostgreSQL database."""

import re

from threadline.control.errors import ControlError

IN_FOLDER = "control.db"
# For sentences about its schema.
WHAT = "The control plane (PostgreSQL)"
SCHEMES = ("postgresql://", "postgres://")
_SHAPE = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:@/?#]*)(?::[^@/?#]*)?@)?(?P<hosts>[^@/?#]*)"
    r"(?:/(?P<database>[^@/?#]*))?(?:\?[^#]*)?"
)


def is_postgres(url: str) -> bool:
    """Raises `ControlError` for what is neither."""
    if url.startswith(SCHEMES):
        return True
    if url != IN_FOLDER:
        # It is not repeated: it may have a password in it.
        raise ControlError(
            f"THREADLINE_CONTROL is neither {IN_FOLDER}, the file in the data folder, nor a URL"
            " such as postgresql://user:password@host:5432/database. Correct it or leave it out."
        )
    return False


def without_password(url: str) -> str:
    """To be shown. Raises `ControlError` for what is no URL, without repeating it."""
    if not is_postgres(url):
        return url
    found = _SHAPE.fullmatch(url)
    if not found:
        raise no_url()
    who = f"{found['user']}@" if found["user"] else ""
    return f"postgresql://{who}{found['hosts']}/{found['database'] or ''}"


def no_url() -> ControlError:
    """The error for what PostgreSQL would not understand."""
    return ControlError(
        "THREADLINE_CONTROL is no URL that PostgreSQL understands: write"
        " postgresql://user:password@host:5432/database. In a password, %40 stands for @, %2F for /"
        " and %3A for a colon."
    )
