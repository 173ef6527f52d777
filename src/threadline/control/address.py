"""What THREADLINE_CONTROL names: a file of the data folder, or a PostgreSQL database."""

from threadline.control.errors import ControlError

IN_FOLDER = "control.db"
SCHEMES = ("postgresql://", "postgres://")


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
