-- Of a device with one user all is theirs. Elsewhere it is of whoever is seen next, else was last.
WITH devices AS (
    SELECT anonymous_id, min(user_id) AS least, least = max(user_id) AS is_own,
        arg_max(user_id, (timestamp, user_id)) AS last
    FROM events
    WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
    GROUP BY anonymous_id
), seen AS (
    SELECT e.anonymous_id, e.timestamp, min(e.user_id) AS user_id
    FROM events AS e
    INNER JOIN devices AS d ON d.anonymous_id = e.anonymous_id
    WHERE e.user_id IS NOT NULL AND NOT d.is_own
    GROUP BY ALL
), shared AS (
    SELECT coalesce(e.user_id, s.user_id, e.last) AS owner, e.* EXCLUDE (last)
    FROM (
        SELECT e.*, d.last
        FROM events AS e
        INNER JOIN devices AS d ON d.anonymous_id = e.anonymous_id
        WHERE NOT d.is_own
    ) AS e
    ASOF LEFT JOIN seen AS s ON s.anonymous_id = e.anonymous_id AND e.timestamp <= s.timestamp
)
SELECT coalesce(e.user_id, d.least) AS owner, coalesce(e.user_id, d.least, e.anonymous_id) AS person,
    e.*
FROM events AS e
LEFT JOIN devices AS d ON d.anonymous_id = e.anonymous_id
WHERE d.is_own IS DISTINCT FROM FALSE
UNION ALL
SELECT owner, owner AS person, * EXCLUDE (owner) FROM shared
