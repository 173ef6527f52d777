"""What is known of the event that a touch came with, for `attribution`: where it landed, and where
the person was first. `c` are its `credits`."""

from collections.abc import Mapping
from typing import NamedTuple

from threadline.questions.traffic_sources import OUTSIDE, OUTSIDE_WINDOW


class Joined(NamedTuple):
    """A relation of a question, how it is joined to `credits`, and the column that comes of it."""

    relation: str
    join: str
    column: str


# Of several events of the same millisecond, one of this person or of nobody, that came from there,
# or of a direct visit (0) any; with a path, and the smallest id.
LANDED = """, landed AS (
    SELECT r.visitor AS visitor, toUnixTimestamp64Milli(r.timestamp) AS landed_at, came_from,
        if(r.user_hash = 0, 0, $person_hash) AS of_person,
        min((r.path = '', r.event_id, r.path)) AS landing
    FROM counted_events AS r
    ARRAY JOIN [r.traffic_source, 0] AS came_from
    WHERE r.visitor IN (SELECT touch.3 FROM credits)
    GROUP BY visitor, landed_at, came_from, of_person
)"""
LANDINGS = """LEFT ANY JOIN landed AS l ON l.visitor = c.touch.3 AND l.landed_at = c.touch.1
    AND l.came_from = if(c.traffic_source % 2 = 0, c.traffic_source, 0) AND l.of_person = c.person
LEFT ANY JOIN (SELECT * FROM landed WHERE of_person = 0) AS u ON u.visitor = c.touch.3
    AND u.landed_at = c.touch.1
    AND u.came_from = if(c.traffic_source % 2 = 0, c.traffic_source, 0)"""
LANDING_PATH = "arrayMin(arrayFilter(x -> x.2 != '', [l.landing, u.landing])).3"
# Of whatever is known of that.
COUNTRIES = """, countries AS (
    SELECT f.person AS person, any(e.country) AS country
    FROM first_events AS f
    INNER JOIN counted_events AS e ON e.visitor = f.first_touch.visitor
    WHERE e.event_id = f.first_touch.event_id
        AND f.person IN (SELECT person FROM converted)
    GROUP BY f.person
)"""
# What is outside of the window has no event here.


def _named(column: str) -> str:
    return f"if(c.traffic_source = {OUTSIDE}, '{OUTSIDE_WINDOW}', {column})"


OF_EVENTS: Mapping[str, Joined] = {
    "landing_path": Joined(LANDED, LANDINGS, _named(LANDING_PATH)),
    "first_country": Joined(
        COUNTRIES,
        "LEFT ANY JOIN countries AS o ON o.person = c.person",
        _named("o.country"),
    ),
}
