WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), links_then AS (
    SELECT *, sipHash64('user', user_id) AS user_hash
    FROM (
        SELECT e.project_id AS project_id,
            assumeNotNull(e.user_id) AS user_id,
            e.visitor AS visitor,
            e.is_bot AS is_bot,
            any(e.anonymous_id) AS anonymous_id,
            min(e.timestamp) AS first_seen,
            max(e.timestamp) AS last_seen
        FROM counted_events AS e
        WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated AND (TRUE)
        GROUP BY e.project_id, assumeNotNull(e.user_id), e.visitor, e.is_bot
    )
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
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

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), links_then AS (
    SELECT *, sipHash64('user', user_id) AS user_hash
    FROM (
        SELECT e.project_id AS project_id,
            assumeNotNull(e.user_id) AS user_id,
            e.visitor AS visitor,
            e.is_bot AS is_bot,
            any(e.anonymous_id) AS anonymous_id,
            min(e.timestamp) AS first_seen,
            max(e.timestamp) AS last_seen
        FROM counted_events AS e
        WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated AND (TRUE)
        GROUP BY e.project_id, assumeNotNull(e.user_id), e.visitor, e.is_bot
    )
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
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
