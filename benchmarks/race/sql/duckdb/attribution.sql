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
), found AS MATERIALIZED (
    SELECT c.person, c.event_id, t.source, t.medium, t.touched_at, t.touched_at >= c.converted_at - INTERVAL 30 DAY AS inside
    FROM conversions AS c
    LEFT JOIN touches AS t ON t.person = c.person AND t.touched_at <= c.converted_at
), credits AS (
    SELECT person, CASE
            WHEN bool_or(inside)
            THEN arg_max((source, medium), (source != 'direct', touched_at)) FILTER (inside)
            WHEN count(touched_at) = 0 THEN ('direct', 'direct')
            ELSE ('outside_window', 'outside_window')
        END AS touch
    FROM found
    GROUP BY person, event_id
), credited AS (
    SELECT touch[1] AS source, touch[2] AS medium, count(*) AS conversions,
        count(DISTINCT person) AS persons
    FROM credits
    GROUP BY 1, 2
), touched AS (
    SELECT source, medium, count(DISTINCT person) AS influenced, count(*) AS touches
    FROM found
    WHERE inside
    GROUP BY 1, 2
)
SELECT source, medium, conversions, persons, coalesce(influenced, 0), coalesce(touches, 0)
FROM credited
LEFT JOIN touched USING (source, medium)
ORDER BY conversions DESC, source, medium
