-- Of a device with one user all is theirs. Elsewhere it is of whoever is seen next, else was last.
SELECT coalesce(e.user_id, n.owner, d.last) AS owner,
    coalesce(e.user_id, n.owner, d.last, e.anonymous_id) AS person, e.event_id, e.timestamp, e.event,
    e.anonymous_id, e.user_id, e.on_page, e.source, e.medium, e.campaign, e.channel
FROM events AS e
LEFT JOIN (
    SELECT l.anonymous_id, l.last, s.anonymous_id IS NOT NULL AS is_shared
    FROM (
        SELECT DISTINCT ON (anonymous_id) anonymous_id, user_id AS last
        FROM events
        WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
        ORDER BY anonymous_id DESC, timestamp DESC, user_id DESC
    ) AS l
    LEFT JOIN (
        SELECT anonymous_id
        FROM events
        WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
        GROUP BY anonymous_id
        HAVING min(user_id) != max(user_id)
    ) AS s ON s.anonymous_id = l.anonymous_id
) AS d ON d.anonymous_id = e.anonymous_id
LEFT JOIN LATERAL (
    SELECT o.user_id AS owner
    FROM events AS o
    WHERE e.user_id IS NULL AND d.is_shared AND o.anonymous_id = e.anonymous_id
        AND o.user_id IS NOT NULL AND o.timestamp >= e.timestamp
    ORDER BY o.timestamp, o.user_id
    LIMIT 1
) AS n ON TRUE
