WITH user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), of_users AS (
    SELECT user_id AS id, uniqExact(visitor) AS number, min(first_seen) AS since,
        max(last_seen) AS until
    FROM user_links
    GROUP BY user_id
), of_devices AS (
    SELECT any(anonymous_id) AS id, uniqExact(user_hash) AS number, min(first_seen) AS since,
        max(last_seen) AS until
    FROM user_links
    GROUP BY visitor
)
SELECT
    (SELECT quantileExact(0.5)(number) FROM of_users) AS devices,
    (SELECT quantileExact(0.5)(number) FROM of_devices) AS users;

WITH user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), of_users AS (
    SELECT user_id AS id, uniqExact(visitor) AS number, min(first_seen) AS since,
        max(last_seen) AS until
    FROM user_links
    GROUP BY user_id
), of_devices AS (
    SELECT any(anonymous_id) AS id, uniqExact(user_hash) AS number, min(first_seen) AS since,
        max(last_seen) AS until
    FROM user_links
    GROUP BY visitor
), both AS (
    SELECT 'user' AS kind, id, number, since, until
    FROM of_users
    WHERE number > {devices_over:UInt64} AND {kind:String} != 'device'
    UNION ALL
    SELECT 'device' AS kind, id, number, since, until
    FROM of_devices
    WHERE number > {users_over:UInt64} AND {kind:String} != 'user'
)
SELECT kind, id, number, since, until, concat(kind, ' ', id) AS place
FROM both
WHERE TRUE 
ORDER BY number DESC, place
LIMIT 101;
