SELECT groupUniqArray(visitor) AS devices,
    arrayMap(u -> sipHash64('user', u), {user_ids:Array(String)}) AS homes
FROM links
WHERE project_id = {project_id:String} AND user_id IN {user_ids:Array(String)};

SELECT min(r.known_since) AS known_since FROM user_touches AS r
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
), pairs AS (
    SELECT min((e.source_rule_id = 'no_page', e.timestamp, e.event_id, e.visitor, e.traffic_source)::Tuple(
        off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
        traffic_source UInt64
    )) AS first_touch, first_touch.timestamp AS touched_at,
        first_touch.traffic_source AS traffic_source,
        minIf(e.timestamp, e.event_name = {conversion:String}) AS converted_at
    FROM owned_events AS e
    HAVING countIf(e.event_name = {conversion:String}) > 0
), times AS (
    SELECT *, greatest(0, dateDiff('millisecond', touched_at, converted_at)) / 1000 AS seconds
    FROM pairs
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
)
SELECT n.medium AS medium, 
    count() AS persons,
    round(avg(seconds), 6) AS mean_seconds,
    quantilesExactInclusive(0.25, 0.5, 0.75, 0.9, 0.99)(seconds) AS quantiles,
    sumMap(map(roundDown(toUInt64(seconds), [0, 60, 600, 3600, 21600, 86400, 172800, 259200, 432000, 604800, 1209600, 2592000, 5184000, 7776000]), 1)) AS histogram
FROM times AS t
LEFT ANY JOIN named_sources AS n ON n.traffic_source = t.traffic_source
GROUP BY medium
ORDER BY persons DESC, medium;
