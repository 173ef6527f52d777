WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toUnixTimestamp64Milli(e.timestamp) AS at, if(e.event_name = '$pageview' AND e.path != '', cityHash64(e.path), cityHash64(e.event_name)) AS node, e.event_name = {event:String} AS is_anchor
    FROM counted_events AS e
    WHERE e.timestamp BETWEEN {earliest:DateTime64(3, 'UTC')} AND {latest:DateTime64(3, 'UTC')}
    AND (e.event_name != '$identify' OR e.event_name = {event:String})
), device_states AS (
    SELECT visitor, least, greatest
    FROM device_users FINAL
    WHERE project_id = {project_id:String} AND NOT is_bot
), devices AS (
    SELECT visitor, least, greatest FROM device_states
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), known_stretches AS (
    SELECT visitor, half_hour, ended AS timestamp, user_hash
    FROM stretches
    WHERE known AND visitor IN (SELECT visitor FROM shared_devices)
), telling_stretches AS (
    SELECT visitor, timestamp, user_hash, '' AS user_id
    FROM known_stretches
    UNION ALL
    SELECT e.visitor AS visitor, e.timestamp AS timestamp, e.user_hash AS user_hash,
        assumeNotNull(e.user_id) AS user_id
    FROM counted_events AS e
    WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated
        AND (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (
            SELECT visitor, half_hour
            FROM known_stretches
            GROUP BY visitor, half_hour
            HAVING min(user_hash) != max(user_hash)
        )
), observations AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, r.user_hash AS user_hash,
        max(r.user_id) AS user_id
    FROM telling_stretches AS r
    GROUP BY visitor, timestamp, user_hash
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
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
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
        arrayCompact(
            arrayMap(p -> p.2, arraySort(groupArrayIf((e.at, e.node), e.at != a.anchor)))
        ) AS passed,
        arraySlice(passed, -{steps:Int8}) AS path, arrayPushBack(path, 0) AS way
    FROM person_events AS e
    INNER JOIN anchors AS a ON a.person = e.person
    WHERE e.at BETWEEN a.anchor - {window_ms:Int64} AND a.anchor
    GROUP BY e.person
)
SELECT counted.1 AS kind, counted.2 AS nodes, count() AS persons
FROM ways
ARRAY JOIN arrayConcat(
    [(0, emptyArrayUInt64()), (1, path)],
    arrayMap(k -> (2, [toUInt64(length(path) - k + 1), way[k], way[k + 1]]), arrayEnumerate(path))
) AS counted
GROUP BY kind, nodes
ORDER BY kind, if(kind = 2, nodes[1], 0), persons DESC, nodes
LIMIT 21 BY kind, if(kind = 2, nodes[1], 0);

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
)
SELECT DISTINCT if(e.event_name = '$pageview' AND e.path != '', cityHash64(e.path), cityHash64(e.event_name)) AS id, if(e.event_name = '$pageview' AND e.path != '', e.path, toString(e.event_name)) AS name
FROM counted_events AS e
WHERE e.timestamp BETWEEN {earliest:DateTime64(3, 'UTC')} AND {latest:DateTime64(3, 'UTC')}
    AND (e.event_name != '$identify' OR e.event_name = {event:String}) AND id IN {ids:Array(UInt64)}
LIMIT 1;
