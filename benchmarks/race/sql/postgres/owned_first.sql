SELECT coalesce(e.user_id, d.owner) AS owner, coalesce(e.user_id, d.owner, e.anonymous_id) AS person,
    e.event_id, e.timestamp, e.event, e.anonymous_id, e.user_id, e.on_page,
    e.source, e.medium, e.campaign, e.channel
FROM events AS e
LEFT JOIN (
    SELECT DISTINCT ON (anonymous_id) anonymous_id, user_id AS owner
    FROM events
    WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
    ORDER BY anonymous_id, timestamp, user_id
) AS d ON d.anonymous_id = e.anonymous_id
