"""Places that people come from, as numbers: source, medium and campaign in one column.

A number is carried through joins and sorted far faster than three names. Of the same moment the
smaller number comes first, which is always the same one.
"""

from threadline.identity.ground import Ground

# Odd where people come from nowhere in particular.
PLACE = "cityHash64(e.source, e.medium, e.campaign) * 2 + (e.source = 'direct')"
DIRECT = "cityHash64('direct', 'direct', '') * 2 + 1"
INTERNAL = "0"

# Events that may be where a visit comes from. Internal ones go on from a page of the site itself.
FROM_ELSEWHERE = "e.source != 'internal'"


def names(ground: Ground) -> str:
    """SQL for (place, source, medium, campaign)."""
    return f"""
        SELECT {PLACE} AS place, toString(any(e.source)) AS source,
            toString(any(e.medium)) AS medium, toString(any(e.campaign)) AS campaign
        FROM events AS e
        WHERE {ground.received} AND {FROM_ELSEWHERE}
        GROUP BY place
        UNION ALL
        SELECT {DIRECT}, 'direct', 'direct', ''
        UNION ALL
        SELECT {INTERNAL}, 'internal', 'internal', ''"""
