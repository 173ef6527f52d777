-- Since when a user is known, their first event, and their devices.
WITH devices AS (
    SELECT DISTINCT anonymous_id FROM events WHERE user_id = $user AND anonymous_id IS NOT NULL
), owned AS MATERIALIZED (
    SELECT *
    FROM events
    WHERE user_id = $user
        OR user_id IS NULL AND anonymous_id IN (SELECT anonymous_id FROM devices)
), firsts AS (
    SELECT min(timestamp) FILTER (user_id IS NOT NULL) AS known_since,
        arg_min((event_id, source, medium), (NOT on_page, timestamp, event_id)) AS touch
    FROM owned
)
SELECT epoch_ms(f.known_since), touch[1], touch[2], touch[3], o.anonymous_id,
    epoch_ms(min(o.timestamp)), epoch_ms(max(o.timestamp))
FROM owned AS o
CROSS JOIN firsts AS f
WHERE o.anonymous_id IS NOT NULL
GROUP BY ALL
ORDER BY 6, 5
