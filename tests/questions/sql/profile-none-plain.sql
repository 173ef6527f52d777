SELECT groupUniqArray(visitor) AS devices,
    arrayMap(u -> sipHash64('user', u), {user_ids:Array(String)}) AS homes
FROM links
WHERE project_id = {project_id:String} AND user_id IN {user_ids:Array(String)};

SELECT min(first_touch.timestamp) AS known_since FROM user_touches
WHERE project_id = {project_id:String} AND user_id IN {user_ids:Array(String)}
    AND NOT is_bot
HAVING count() > 0;

WITH user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {lies_at:Array(UInt64)}
)
SELECT visitor, any(anonymous_id) AS anonymous_id,
    uniqExact(user_id) > 1 AS shared,
    argMin(user_id, (first_seen, user_id)) = {user_id:String} AS seen_first,
    argMax(user_id, (last_seen, user_id)) = {user_id:String} AS seen_last
FROM user_links
GROUP BY visitor
HAVING countIf(user_id = {user_id:String}) > 0
ORDER BY anonymous_id;

WITH owned_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND visitor IN {lies_at:Array(UInt64)}
        AND (user_id IN {user_ids:Array(String)} OR (user_id IS NULL AND visitor IN {exclusive:Array(UInt64)}))
), touches AS (
    SELECT (e.timestamp, e.event_id, e.anonymous_id, toString(e.source), toString(e.medium),
        toString(e.campaign), e.url, e.referrer) AS touch
    FROM owned_events AS e
)
SELECT min(touch) AS first, max(touch) AS last
FROM touches
HAVING count() > 0;

WITH owned_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND visitor IN {lies_at:Array(UInt64)}
        AND (user_id IN {user_ids:Array(String)} OR (user_id IS NULL AND visitor IN {exclusive:Array(UInt64)}))
)
SELECT anonymous_id, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM owned_events
WHERE NOT anonymous_id_generated
GROUP BY anonymous_id
ORDER BY first_seen, anonymous_id;

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
)
SELECT properties
FROM counted_events
WHERE visitor IN {lies_at:Array(UInt64)} AND user_id IN {user_ids:Array(String)}
    AND event_name = '$identify' AND properties != '{}'
ORDER BY timestamp DESC, event_id DESC
LIMIT 1000;
