WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
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
), owned_touches AS (
    SELECT user_id, first_touch AS touch, known_since AS known
    FROM tagged_touches
), first_touches AS (
    SELECT user_id, arrayMin(groupArray(touch)) AS first_touch, min(known) AS known_since
    FROM owned_touches
    GROUP BY user_id
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
)
SELECT t.user_id AS user_id, t.first_touch AS first_touch, t.known_since AS known_since,
    n.source AS source, n.medium AS medium, n.campaign AS campaign, n.channel AS channel
FROM first_touches AS t
LEFT ANY JOIN named_sources AS n ON n.traffic_source = t.first_touch.traffic_source
WHERE n.source = {source:String}
ORDER BY known_since DESC, user_id
LIMIT 101;

SELECT DISTINCT toString(event_name) AS event, name, type = 0 AS is_event
FROM names
WHERE project_id = {project_id:String} AND (
    (type = 0 AND event_name IN {events:Array(String)})
    OR (type != 0 AND name IN {keys:Array(String)})
);

SELECT groupUniqArray(source) AS source, groupUniqArray(medium) AS medium,
    groupUniqArray(campaign) AS campaign, groupUniqArray(channel) AS channel
FROM traffic_sources
WHERE project_id = {project_id:String};
