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
), person_events AS (
    SELECT if(e.owner = 0, e.seen, e.owner) AS person, e.owner = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'last', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
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
