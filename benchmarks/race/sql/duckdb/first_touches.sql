-- Everybody's first event, one on a page if there is any, on any device that they were seen on.
WITH links AS (
    SELECT DISTINCT user_id, anonymous_id
    FROM events
    WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
), owned AS (
    SELECT user_id AS owner, on_page, timestamp, event_id, source, medium
    FROM events
    WHERE user_id IS NOT NULL
    UNION ALL
    SELECT l.user_id, e.on_page, e.timestamp, e.event_id, e.source, e.medium
    FROM events AS e
    INNER JOIN links AS l ON l.anonymous_id = e.anonymous_id
    WHERE e.user_id IS NULL
), firsts AS (
    SELECT owner, arg_min((event_id, source, medium), (NOT on_page, timestamp, event_id)) AS touch
    FROM owned
    GROUP BY owner
)
SELECT owner AS user_id, touch[1] AS event_id, touch[2] AS source, touch[3] AS medium FROM firsts
