-- Since when a user is known, their first event, and their devices.
WITH owned AS MATERIALIZED (
    SELECT * FROM events WHERE user_id = %(user)s
    UNION ALL
    SELECT * FROM events
    WHERE user_id IS NULL AND anonymous_id IN (
        SELECT anonymous_id FROM events WHERE user_id = %(user)s AND anonymous_id IS NOT NULL
    )
), firsts AS (
    SELECT event_id, source, medium
    FROM owned
    ORDER BY NOT on_page, timestamp, event_id
    LIMIT 1
), known AS (
    SELECT min(timestamp) AS since FROM owned WHERE user_id IS NOT NULL
)
SELECT CAST(extract(epoch FROM k.since) * 1000 AS bigint), f.event_id, f.source, f.medium,
    o.anonymous_id, CAST(extract(epoch FROM min(o.timestamp)) * 1000 AS bigint),
    CAST(extract(epoch FROM max(o.timestamp)) * 1000 AS bigint)
FROM owned AS o
CROSS JOIN firsts AS f
CROSS JOIN known AS k
WHERE o.anonymous_id IS NOT NULL
GROUP BY k.since, f.event_id, f.source, f.medium, o.anonymous_id
ORDER BY 6, 5
