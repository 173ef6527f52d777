WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toUnixTimestamp64Milli(e.timestamp) AS at, if(e.event_name = '$pageview' AND e.path != '', cityHash64(e.path), cityHash64(e.event_name)) AS node, e.event_name = {event:String} AS is_anchor
    FROM counted_events AS e
    WHERE e.timestamp BETWEEN {earliest:DateTime64(3, 'UTC')} AND {latest:DateTime64(3, 'UTC')}
    AND (e.event_name != '$identify' OR e.event_name = {event:String})
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
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
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
), person_events AS (
    SELECT
        multiIf(o.person = 0, e.seen, o.person != 1, o.person, c.user_hash) AS person,
        o.person = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, untagged)
    FROM (
        SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    ASOF LEFT JOIN ownership AS c
        ON c.visitor = if(o.person = 1, e.seen, 0) AND e.timestamp <= c.until
), anchors AS (
    SELECT person, min(at) AS anchor
    FROM person_events
    WHERE is_anchor
    GROUP BY person
), ways AS (
    SELECT
        e.person AS person, any(a.anchor) AS did_ms,
        arrayCompact(
            arrayMap(p -> p.2, arraySort(groupArrayIf((e.at, e.node), e.at != a.anchor)))
        ) AS passed,
        arraySlice(passed, -{steps:Int8}) AS path, arrayPushBack(path, 0) AS way
    FROM person_events AS e
    INNER JOIN anchors AS a ON a.person = e.person
    WHERE e.at BETWEEN a.anchor - {window_ms:Int64} AND a.anchor
    GROUP BY e.person
), asked_for AS (
    SELECT person, did_ms, path, count() OVER () AS persons
    FROM ways
    WHERE length(way) >= {node_step:Int8} AND way[-{node_step:Int8}] IN (cityHash64({node_name:String}))
), user_touches_then AS (
    SELECT *
    FROM (
        SELECT e.project_id AS project_id,
            assumeNotNull(e.user_id) AS user_id,
            e.is_bot AS is_bot,
            min((NOT (e.source_rule_id != 'no_page'), e.timestamp, e.event_id, e.visitor, e.traffic_source)::Tuple(off_page Bool, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64, traffic_source UInt64)) AS first_touch,
            min(e.timestamp) AS known_since
        FROM counted_events AS e
        WHERE e.user_id IS NOT NULL AND (TRUE)
        GROUP BY e.project_id, assumeNotNull(e.user_id), e.is_bot
    )
), tagged_touches AS (
    SELECT transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), visitor_touches_then AS (
    SELECT *
    FROM (
        SELECT e.project_id AS project_id,
            e.visitor AS visitor,
            e.is_bot AS is_bot,
            min((NOT (e.source_rule_id != 'no_page'), e.timestamp, e.event_id, e.traffic_source)::Tuple(off_page Bool, timestamp DateTime64(3, 'UTC'), event_id String, traffic_source UInt64)) AS first_touch
        FROM counted_events AS e
        WHERE e.user_id IS NULL AND (TRUE)
        GROUP BY e.project_id, e.visitor, e.is_bot
    )
), untagged_touches AS (
    SELECT r.visitor AS visitor, (
        r.first_touch.off_page, r.first_touch.timestamp, r.first_touch.event_id, r.visitor,
        r.first_touch.traffic_source
    )::Tuple(
            off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
            traffic_source UInt64
        ) AS first_touch
    FROM visitor_touches_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), device_owners AS (
    SELECT visitor, any(user_id) AS user_id
    FROM user_links
    GROUP BY visitor
    HAVING min(user_hash) = max(user_hash)
), user_ownership AS (
    SELECT o.visitor AS visitor, n.user_id AS user_id, o.until AS until
    FROM ownership AS o
    INNER JOIN (
        SELECT visitor, user_hash, any(user_id) AS user_id
        FROM user_links
        GROUP BY visitor, user_hash
    ) AS n ON n.visitor = o.visitor AND n.user_hash = o.user_hash
), owned_touches AS (
    SELECT user_id, first_touch AS touch, known_since AS known
    FROM tagged_touches
    UNION ALL
    SELECT o.user_id AS user_id, first_touch AS touch, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
    FROM untagged_touches AS t
    INNER JOIN device_owners AS o ON o.visitor = t.visitor
    UNION ALL
    SELECT o.user_id AS user_id, (e.source_rule_id = 'no_page', e.timestamp, e.event_id, e.visitor, e.traffic_source)::Tuple(
            off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
            traffic_source UInt64
        ) AS touch, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
    FROM counted_events AS e
    ASOF INNER JOIN user_ownership AS o ON o.visitor = e.visitor AND e.timestamp <= o.until
    WHERE e.user_hash = 0 AND e.visitor IN (SELECT visitor FROM shared_devices)
), first_touches AS (
    SELECT user_id, arrayMin(groupArray(touch)) AS first_touch, min(known) AS known_since
    FROM owned_touches
    GROUP BY user_id
), nobodys_touches AS (
    SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
    FROM untagged_touches AS t
    WHERE t.visitor NOT IN (SELECT visitor FROM user_links)
    GROUP BY t.visitor
), first_events AS (
    SELECT sipHash64('user', user_id) AS person, first_touch
    FROM first_touches
    UNION ALL
    SELECT person, first_touch
    FROM nobodys_touches
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
)
SELECT toString(w.person) AS id, fromUnixTimestamp64Milli(w.did_ms, 'UTC') AS did_at,
    w.path AS path, w.persons AS persons, fn.source AS first_source, fn.medium AS first_medium,
    fn.campaign AS first_campaign, fn.channel AS first_channel
FROM asked_for AS w
LEFT ANY JOIN (
    SELECT person, first_touch.traffic_source AS traffic_source FROM first_events
) AS ft ON ft.person = w.person
LEFT ANY JOIN named_sources AS fn ON fn.traffic_source = ft.traffic_source
WHERE 1
ORDER BY did_at DESC, id
LIMIT 101;

SELECT DISTINCT toString(event_name) AS event, name, type = 0 AS is_event
FROM names
WHERE project_id = {project_id:String} AND (
    (type = 0 AND event_name IN {events:Array(String)})
    OR (type != 0 AND name IN {keys:Array(String)})
);
