"""Places that people come from, as numbers: source, medium and campaign in one column, `place`.

A number is carried through joins and sorted far faster than three names. Of the same moment the
smaller number comes first, which is always the same one. Numbers of direct visits are odd.
"""

from threadline.identity.resolution import PROJECT

# As events have it that say no more.
DIRECT = "cityHash64('direct', 'direct', '') * 2 + 1"
# Of a session without anything else.
INTERNAL = "0"

# Events that may be where a visit comes from. Internal ones go on from a page of the site itself.
FROM_ELSEWHERE = "e.source != 'internal'"

NAMES = f"""(
        SELECT place, source, medium, campaign FROM places WHERE {PROJECT}
        UNION ALL SELECT {DIRECT}, 'direct', 'direct', ''
        UNION ALL SELECT {INTERNAL}, 'internal', 'internal', ''
    )"""


def named(place: str) -> str:
    """SQL for joining `names` (source, medium, campaign) to what has this place."""
    return f"LEFT ANY JOIN {NAMES} AS names ON names.place = {place}"
