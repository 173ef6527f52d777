SELECT sipHash64({anonymous_id:String}) AS visitor,
    arrayMap(u -> sipHash64('user', u), {user_ids:Array(String)}) AS hashes;

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id, e.event_id AS event_id
    FROM counted_events AS e
    WHERE e.visitor IN {devices:Array(UInt64)} AND e.user_hash = 0
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {devices:Array(UInt64)}
), device_owners AS (
    SELECT visitor, user_id
    FROM user_links
    GROUP BY visitor, user_id
), owned_events AS (
    SELECT assumeNotNull(r.user_id) AS owner, r.*
    FROM considered AS r
    WHERE r.user_hash != 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    INNER JOIN device_owners AS o ON o.visitor = e.visitor
    WHERE e.user_hash = 0
)
SELECT owner, count() AS events, groupBitXor(sipHash64(visitor, timestamp, event_id)) AS mark
FROM owned_events
GROUP BY owner;

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id, e.event_id AS event_id
    FROM counted_events AS e
    WHERE e.visitor IN {devices:Array(UInt64)} AND e.user_hash = 0
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {devices:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), device_owners AS (
    SELECT visitor, user_id
    FROM user_links
    GROUP BY visitor, user_id
), owned_events AS (
    SELECT assumeNotNull(r.user_id) AS owner, r.*
    FROM considered AS r
    WHERE r.user_hash != 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    INNER JOIN device_owners AS o ON o.visitor = e.visitor
    WHERE e.user_hash = 0
)
SELECT owner, count() AS events, groupBitXor(sipHash64(visitor, timestamp, event_id)) AS mark
FROM owned_events
GROUP BY owner;

SELECT groupUniqArray(visitor) AS devices,
    arrayMap(u -> sipHash64('user', u), {user_ids:Array(String)}) AS homes
FROM links
WHERE project_id = {project_id:String} AND user_id IN {user_ids:Array(String)};

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id, e.anonymous_id AS anonymous_id, e.source_rule_id = 'no_page' AS off_page,
        (e.timestamp, e.event_id, toString(e.source), toString(e.medium), toString(e.campaign),
            toString(e.channel)) AS touch,
        emptyArrayUInt8() AS met
    FROM counted_events AS e
    WHERE e.visitor IN {lies_at:Array(UInt64)}
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {lies_at:Array(UInt64)}
), device_owners AS (
    SELECT visitor, user_id
    FROM user_links
    GROUP BY visitor, user_id
), owned_events AS (
    SELECT assumeNotNull(r.user_id) AS owner, r.*
    FROM considered AS r
    WHERE r.user_hash != 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    INNER JOIN device_owners AS o ON o.visitor = e.visitor
    WHERE e.user_hash = 0
), theirs AS (
    SELECT TRUE AS known, owner, off_page, touch, met
    FROM owned_events
    WHERE owner IN {concerned:Array(String)}
    UNION ALL
    SELECT FALSE AS known, anonymous_id AS owner, off_page, touch, met
    FROM considered
    WHERE user_hash = 0 AND visitor IN {named:Array(UInt64)}
        AND visitor NOT IN (SELECT visitor FROM user_links)
)
SELECT known, owner, count() AS events, min((off_page, touch)).2 AS first,
    sumForEach(met) AS conversions
FROM theirs
GROUP BY known, owner;

WITH user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {lies_at:Array(UInt64)}
)
SELECT user_id, uniqExact(visitor) AS devices
FROM user_links
WHERE user_id IN {concerned:Array(String)}
GROUP BY user_id;

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id, e.anonymous_id AS anonymous_id, e.source_rule_id = 'no_page' AS off_page,
        (e.timestamp, e.event_id, toString(e.source), toString(e.medium), toString(e.campaign),
            toString(e.channel)) AS touch,
        emptyArrayUInt8() AS met
    FROM counted_events AS e
    WHERE e.visitor IN {lies_at:Array(UInt64)}
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {lies_at:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), device_owners AS (
    SELECT visitor, user_id
    FROM user_links
    GROUP BY visitor, user_id
), owned_events AS (
    SELECT assumeNotNull(r.user_id) AS owner, r.*
    FROM considered AS r
    WHERE r.user_hash != 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    INNER JOIN device_owners AS o ON o.visitor = e.visitor
    WHERE e.user_hash = 0
), theirs AS (
    SELECT TRUE AS known, owner, off_page, touch, met
    FROM owned_events
    WHERE owner IN {concerned:Array(String)}
    UNION ALL
    SELECT FALSE AS known, anonymous_id AS owner, off_page, touch, met
    FROM considered
    WHERE user_hash = 0 AND visitor IN {named:Array(UInt64)}
        AND visitor NOT IN (SELECT visitor FROM user_links)
)
SELECT known, owner, count() AS events, min((off_page, touch)).2 AS first,
    sumForEach(met) AS conversions
FROM theirs
GROUP BY known, owner;

WITH user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {lies_at:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
)
SELECT user_id, uniqExact(visitor) AS devices
FROM user_links
WHERE user_id IN {concerned:Array(String)}
GROUP BY user_id;
