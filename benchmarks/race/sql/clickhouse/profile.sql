-- Since when a user is known, their first event, and their devices.
WITH owned AS (
    SELECT event_id, timestamp, anonymous_id, user_id, on_page, source, medium
    FROM events
    WHERE user_id = {user:String} OR user_id IS NULL AND anonymous_id IN (
        SELECT anonymous_id FROM events WHERE user_id = {user:String} AND anonymous_id IS NOT NULL
    )
), firsts AS (
    SELECT minIf(timestamp, user_id IS NOT NULL) AS known_since,
        argMin((event_id, source, medium), (NOT on_page, timestamp, event_id)) AS touch
    FROM owned
)
SELECT toUnixTimestamp64Milli(any(f.known_since)), any(f.touch.1), any(f.touch.2), any(f.touch.3),
    o.anonymous_id AS device, toUnixTimestamp64Milli(min(o.timestamp)) AS first_seen,
    toUnixTimestamp64Milli(max(o.timestamp))
FROM owned AS o
CROSS JOIN firsts AS f
WHERE o.anonymous_id IS NOT NULL
GROUP BY device
ORDER BY first_seen, device
