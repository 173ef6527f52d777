"""Ids are opaque, case-sensitive strings; the only thing known about them is which are not ids."""

# What buggy callers send when they have no id. Compared without case, and without the white space
# around it; the id itself is never changed.
PLACEHOLDERS = frozenset(
    {
        "",
        "undefined",
        "null",
        "none",
        "nil",
        "nan",
        "[object object]",
        "true",
        "false",
        "0",
        "-1",
        "guest",
        "anonymous",
        "not_authenticated",
        "00000000-0000-0000-0000-000000000000",
    }
)


def is_placeholder(identifier: str) -> bool:
    """Whether this id would merge every caller with the same bug into one person."""
    return identifier.strip().casefold() in PLACEHOLDERS
