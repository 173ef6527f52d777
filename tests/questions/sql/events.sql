SELECT e.timestamp AS timestamp, e.event_id AS event_id, e.event_name AS event_name, e.anonymous_id AS anonymous_id, e.user_id AS user_id, e.session_id AS session_id, e.source AS source, e.medium AS medium, e.campaign AS campaign, e.channel AS channel, e.source_confidence AS source_confidence, e.source_rule_id AS source_rule_id, e.referrer AS referrer, e.url AS url, e.path AS path, e.country AS country, e.device_type AS device_type, e.browser AS browser, e.os AS os, e.properties AS properties, e.project_id AS project_id
FROM events AS e
WHERE e.project_id = {project_id:String}
    AND NOT e.is_bot
    AND timestamp >= {from_:DateTime64(3, 'UTC')}
    AND event_name = {event:String}
    AND user_id = {user_id:String} AND visitor IN (
        SELECT visitor FROM links WHERE project_id = {project_id:String} AND user_id = {user_id:String}
        UNION ALL SELECT sipHash64('user', {user_id:String}))
ORDER BY e.timestamp DESC, e.event_id DESC
LIMIT 101;
