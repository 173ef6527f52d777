"""Words that users read, wherever they read them."""


def counted(many: int, one: str, more: str = "") -> str:
    """1 event, 2 events."""
    return f"{many:,} {one if many == 1 else more or one + 's'}"
