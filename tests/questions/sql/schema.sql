WITH named AS (
    SELECT event_name, name, type = 0 AS is_event, sumMap([type], [s.events]) AS types,
        sum(s.events) AS count, min(s.first_seen) AS since, max(s.last_seen) AS until,
        TRUE AS is_found
    FROM names AS s
    WHERE project_id = {project_id:String} AND NOT is_bot
    GROUP BY event_name, name, is_event
), shown AS (
    SELECT event_name, sumIf(count, is_event) AS came, max(is_event AND is_found) AS is_all,
        toUInt64(count() OVER ()) AS all_events, sum(came) OVER () AS all_came
    FROM named
    GROUP BY event_name
    HAVING max(is_found)
    ORDER BY came DESC, event_name
    LIMIT 100
)
SELECT toString(n.event_name) AS event, n.name AS name, n.is_event AS is_event, n.types AS types,
    n.count AS count, n.since AS since, n.until AS until, s.all_events AS all_events,
    s.all_came AS all_came, toUInt64(count() OVER (PARTITION BY event)) - 1 AS properties,
    sum(n.count) OVER (PARTITION BY event) AS counted
FROM named AS n
INNER JOIN shown AS s ON s.event_name = n.event_name
WHERE n.is_event OR n.is_found OR s.is_all
ORDER BY s.came DESC, event, is_event DESC, count DESC, name
LIMIT 201 BY event;

SELECT sum(events) AS events FROM names WHERE project_id = {project_id:String} AND type = 0;

SELECT event, name, value
FROM (
    SELECT toString(e.event_name) AS event,
        arrayJoin(JSONExtractKeysAndValuesRaw(e.properties)) AS each, each.1 AS name,
        if(startsWith(each.2, '"'), JSONExtractString(each.2), each.2) AS value
    FROM events AS e
    WHERE project_id = {project_id:String} AND NOT is_bot AND e.visitor <= {until:UInt64} AND e.event_name IN {named:Array(String)} AND e.visitor <= transform(
        toString(e.event_name), {named:Array(String)}, {of_each:Array(UInt64)}, toUInt64(0)
    )
)
WHERE value NOT IN ('', 'null') AND length(value) <= 200
GROUP BY event, name, value
ORDER BY event, name, count() DESC, value
LIMIT 5 BY event, name;
