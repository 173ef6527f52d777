"""Where the users of the demo log work: most of them for one of a few dozen companies."""

from zlib import crc32

ACCOUNTS = (
    *("amber-labs", "birchwood", "blue-ferry", "brightline", "cedar-health", "clearwater"),
    *("copperfield", "delta-freight", "eastgate", "elm-and-oak", "fairhaven", "foxglove"),
    *("granite-works", "greenleaf", "harbour-bank", "highfield", "ironbridge", "juniper"),
    *("kestrel", "lakeside", "larkspur", "maple-media", "millstone", "northgate"),
    *("oakridge", "orchard-foods", "pine-street", "quarry-park", "redwood", "riverbend"),
    *("silverline", "stonehaven", "summit-legal", "tidewater", "westbrook", "willow-care"),
)
WITH_ACCOUNT = 0.7


def account_of(user_id: str) -> str | None:
    """The account of a user, the same whatever else is drawn; none of those who work alone."""
    drawn = crc32(f"account of {user_id}".encode()) / 2**32
    if drawn >= WITH_ACCOUNT:
        return None
    # The first are the largest.
    return ACCOUNTS[int((drawn / WITH_ACCOUNT) ** 2 * len(ACCOUNTS))]
