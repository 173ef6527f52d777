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
    SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS person, r.user_hash = 0 AS is_nobodys, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
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
), tagged_touches AS (
    SELECT r.user_id AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), owned_touches AS (
    SELECT user_id, first_touch AS touch, known_since AS known
    FROM tagged_touches
), first_touches AS (
    SELECT user_id, arrayMin(groupArray(touch)) AS first_touch, min(known) AS known_since
    FROM owned_touches
    GROUP BY user_id
), untagged_touches AS (
    SELECT r.visitor AS visitor, (
        r.first_touch.off_page, r.first_touch.timestamp, r.first_touch.event_id, r.visitor,
        r.first_touch.traffic_source
    )::Tuple(
            off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
            traffic_source UInt64
        ) AS first_touch
    FROM visitor_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), nobodys_touches AS (
    SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
    FROM untagged_touches AS t
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
