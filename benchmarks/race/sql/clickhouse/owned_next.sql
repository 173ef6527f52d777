-- An untagged event is of whoever is seen next on its device, else of whoever was last.
SELECT coalesce(e.user_id, n.owner, d.owner) AS owner,
    coalesce(e.user_id, n.owner, d.owner, e.anonymous_id) AS person, e.*
FROM events AS e
ASOF LEFT JOIN (
    SELECT anonymous_id AS device, timestamp AS seen_at, min(user_id) AS owner
    FROM events
    WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
    GROUP BY device, seen_at
) AS n ON n.device = e.anonymous_id AND e.timestamp <= n.seen_at
LEFT ANY JOIN (
    SELECT anonymous_id AS device, argMax(user_id, (timestamp, user_id)) AS owner
    FROM events
    WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
    GROUP BY device
) AS d ON d.device = e.anonymous_id
