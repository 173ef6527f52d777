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
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {devices:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), device_owners AS (
    SELECT visitor, any(user_id) AS user_id
    FROM user_links
    GROUP BY visitor
    HAVING min(user_hash) = max(user_hash)
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND r.visitor IN {devices:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), observations AS (
    SELECT DISTINCT visitor, timestamp, user_hash, user_id
    FROM observed_events
    WHERE visitor IN (SELECT visitor FROM shared_devices)
), ownership AS (
    SELECT visitor, user_hash, if(next_hash = 0, toDateTime64('2299-01-01 00:00:00', 3, 'UTC'), timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, toDateTime64('2299-01-01 00:00:00', 3, 'UTC')) OVER seen AS previous,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM observations
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)
), user_ownership AS (
    SELECT o.visitor AS visitor, n.user_id AS user_id, o.until AS until
    FROM ownership AS o
    INNER JOIN (
        SELECT visitor, user_hash, any(user_id) AS user_id
        FROM user_links
        GROUP BY visitor, user_hash
    ) AS n ON n.visitor = o.visitor AND n.user_hash = o.user_hash
), owned_events AS (
    SELECT transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS owner, r.*
    FROM considered AS r
    WHERE r.user_hash != 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    INNER JOIN device_owners AS o ON o.visitor = e.visitor
    WHERE e.user_hash = 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
    WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)
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
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {devices:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), device_owners AS (
    SELECT visitor, any(user_id) AS user_id
    FROM user_links
    GROUP BY visitor
    HAVING min(user_hash) = max(user_hash)
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND r.visitor IN {devices:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), observations AS (
    SELECT DISTINCT visitor, timestamp, user_hash, user_id
    FROM observed_events
    WHERE visitor IN (SELECT visitor FROM shared_devices)
), ownership AS (
    SELECT visitor, user_hash, if(next_hash = 0, toDateTime64('2299-01-01 00:00:00', 3, 'UTC'), timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, toDateTime64('2299-01-01 00:00:00', 3, 'UTC')) OVER seen AS previous,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM observations
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)
), user_ownership AS (
    SELECT o.visitor AS visitor, n.user_id AS user_id, o.until AS until
    FROM ownership AS o
    INNER JOIN (
        SELECT visitor, user_hash, any(user_id) AS user_id
        FROM user_links
        GROUP BY visitor, user_hash
    ) AS n ON n.visitor = o.visitor AND n.user_hash = o.user_hash
), owned_events AS (
    SELECT transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS owner, r.*
    FROM considered AS r
    WHERE r.user_hash != 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    INNER JOIN device_owners AS o ON o.visitor = e.visitor
    WHERE e.user_hash = 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
    WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)
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
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {lies_at:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), device_owners AS (
    SELECT visitor, any(user_id) AS user_id
    FROM user_links
    GROUP BY visitor
    HAVING min(user_hash) = max(user_hash)
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND r.visitor IN {lies_at:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), observations AS (
    SELECT DISTINCT visitor, timestamp, user_hash, user_id
    FROM observed_events
    WHERE visitor IN (SELECT visitor FROM shared_devices)
), ownership AS (
    SELECT visitor, user_hash, if(next_hash = 0, toDateTime64('2299-01-01 00:00:00', 3, 'UTC'), timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, toDateTime64('2299-01-01 00:00:00', 3, 'UTC')) OVER seen AS previous,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM observations
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)
), user_ownership AS (
    SELECT o.visitor AS visitor, n.user_id AS user_id, o.until AS until
    FROM ownership AS o
    INNER JOIN (
        SELECT visitor, user_hash, any(user_id) AS user_id
        FROM user_links
        GROUP BY visitor, user_hash
    ) AS n ON n.visitor = o.visitor AND n.user_hash = o.user_hash
), owned_events AS (
    SELECT transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS owner, r.*
    FROM considered AS r
    WHERE r.user_hash != 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    INNER JOIN device_owners AS o ON o.visitor = e.visitor
    WHERE e.user_hash = 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
    WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)
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
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
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
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND r.visitor IN {lies_at:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), device_owners AS (
    SELECT visitor, any(user_id) AS user_id
    FROM user_links
    GROUP BY visitor
    HAVING min(user_hash) = max(user_hash)
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND r.visitor IN {lies_at:Array(UInt64)}
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), observations AS (
    SELECT DISTINCT visitor, timestamp, user_hash, user_id
    FROM observed_events
    WHERE visitor IN (SELECT visitor FROM shared_devices)
), ownership AS (
    SELECT visitor, user_hash, if(next_hash = 0, toDateTime64('2299-01-01 00:00:00', 3, 'UTC'), timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, toDateTime64('2299-01-01 00:00:00', 3, 'UTC')) OVER seen AS previous,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM observations
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)
), user_ownership AS (
    SELECT o.visitor AS visitor, n.user_id AS user_id, o.until AS until
    FROM ownership AS o
    INNER JOIN (
        SELECT visitor, user_hash, any(user_id) AS user_id
        FROM user_links
        GROUP BY visitor, user_hash
    ) AS n ON n.visitor = o.visitor AND n.user_hash = o.user_hash
), owned_events AS (
    SELECT transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS owner, r.*
    FROM considered AS r
    WHERE r.user_hash != 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    INNER JOIN device_owners AS o ON o.visitor = e.visitor
    WHERE e.user_hash = 0
    UNION ALL
    SELECT o.user_id AS owner, e.*
    FROM considered AS e
    ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
    WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)
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
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
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
