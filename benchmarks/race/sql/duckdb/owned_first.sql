SELECT coalesce(e.user_id, d.owner) AS owner, coalesce(e.user_id, d.owner, e.anonymous_id) AS person,
    e.*
FROM events AS e
LEFT JOIN (
    SELECT anonymous_id, arg_min(user_id, (timestamp, user_id)) AS owner
    FROM events
    WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
    GROUP BY anonymous_id
) AS d ON d.anonymous_id = e.anonymous_id
