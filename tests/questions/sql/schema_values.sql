SELECT toString(event_name) AS event, sumIf(s.events, type = 0) AS having,
    sumIf(s.events, type = 0) AS events
FROM names AS s
WHERE project_id = {project_id:String} AND NOT is_bot
GROUP BY event;

SELECT toString(e.source) AS value, count() AS count
FROM events AS e
WHERE project_id = {project_id:String} AND NOT is_bot AND e.visitor <= {until:UInt64} AND e.event_name IN {named:Array(String)}
GROUP BY value
HAVING value != '' AND length(value) <= 200
    AND startsWith(lowerUTF8(value), lowerUTF8({search:String}))
ORDER BY count DESC, value
LIMIT 101;
