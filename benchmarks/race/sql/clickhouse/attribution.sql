-- The last touch of 30 days that is not direct, else the last, gets the signup.
WITH owned AS (
    $owned
), $visits, touches AS (
    SELECT person, source, medium, min(timestamp) AS touched_at
    FROM numbered
    WHERE is_touch
    GROUP BY person, anonymous_id, visit, source, medium, campaign, channel
    UNION ALL
    SELECT person, 'direct', 'direct', started FROM visits WHERE NOT has_touch AND NOT resumed
), conversions AS (
    SELECT person, event_id, timestamp AS converted_at FROM owned WHERE event = 'signup'
), found AS (
    SELECT c.person AS person, c.event_id AS event_id, t.source AS source, t.medium AS medium,
        t.touched_at AS touched_at, isNotNull(t.person) AND touched_at <= converted_at AS before,
        before AND touched_at >= converted_at - INTERVAL 30 DAY AS inside
    FROM touches AS t
    RIGHT JOIN conversions AS c ON t.person = c.person
), credits AS (
    SELECT any(person) AS person,
        multiIf(
            max(inside), argMaxIf((source, medium), (source != 'direct', touched_at), inside),
            max(before), ('outside_window', 'outside_window'),
            ('direct', 'direct')
        ) AS touch
    FROM found
    GROUP BY event_id
), credited AS (
    SELECT touch.1 AS source, touch.2 AS medium, count() AS conversions,
        uniqExact(person) AS persons
    FROM credits
    GROUP BY source, medium
), touched AS (
    SELECT source, medium, uniqExact(person) AS influenced, count() AS touches
    FROM found
    WHERE inside
    GROUP BY source, medium
)
SELECT source, medium, conversions, persons, influenced, touches
FROM credited
LEFT JOIN touched USING (source, medium)
ORDER BY conversions DESC, source, medium
