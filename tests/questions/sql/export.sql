SELECT countIf(NOT e.is_bot OR {bots:Bool}) AS events, countIf(e.is_bot AND NOT {bots:Bool}) AS bots
FROM events AS e
WHERE e.project_id = {project_id:String}
    AND anonymous_id = {anonymous_id:String} AND (visitor = sipHash64({anonymous_id:String}) OR anonymous_id_generated);

SELECT e.timestamp AS timestamp, e.event_id AS event_id, e.event_name AS event, e.anonymous_id AS anonymous_id, e.user_id AS user_id, e.session_id AS session_id, e.source AS source, e.medium AS medium, e.campaign AS campaign, e.channel AS channel, e.source_confidence AS source_confidence, e.source_rule_id AS source_rule_id, e.referrer AS referrer, e.url AS url, e.path AS path, e.country AS country, e.device_type AS device_type, e.browser AS browser, e.os AS os, e.properties AS properties, e.received_at AS received_at
FROM events AS e
WHERE e.project_id = {project_id:String}
    AND NOT e.is_bot
    AND anonymous_id = {anonymous_id:String} AND (visitor = sipHash64({anonymous_id:String}) OR anonymous_id_generated)
ORDER BY e.project_id, e.visitor, e.timestamp;
