SELECT coalesce(e.user_id, d.owner) AS owner, coalesce(e.user_id, d.owner, e.anonymous_id) AS person,
    e.*
FROM events AS e
LEFT ANY JOIN (
    SELECT anonymous_id AS device, argMin(user_id, (timestamp, user_id)) AS owner
    FROM events
    WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
    GROUP BY device
) AS d ON d.device = e.anonymous_id
