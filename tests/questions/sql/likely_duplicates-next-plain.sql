WITH tagged_touches AS (
    SELECT r.user_id AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), of_trait_1 AS (
    SELECT person, argMax(said, (timestamp, event_id)) AS value
    FROM (
        SELECT r.user_hash AS person, r.timestamp AS timestamp, r.event_id AS event_id,
            multiIf(JSONType(r.properties, {trait_1:String}) = 'String', JSONExtractString(r.properties, {trait_1:String}), JSONType(r.properties, {trait_1:String}) IN ('Null', ''), '', JSONExtractRaw(r.properties, {trait_1:String})) AS said
        FROM counted_events AS r
        WHERE r.event_name = '$identify' AND r.user_hash != 0
            AND JSONHas(r.properties, {trait_1:String})
    )
    GROUP BY person
), said AS (
    SELECT person, lowerUTF8(replaceRegexpAll(value, '\\s+', '')) AS email
    FROM of_trait_1
), same AS (
    SELECT email, groupUniqArray(person) AS persons
    FROM said
    WHERE position(email, '@') > 0
    GROUP BY email
    HAVING length(persons) > 1
), named AS (
    SELECT s.email AS email, t.user_id AS user_id, t.known_since AS known_since
    FROM (
        SELECT user_id, sipHash64('user', user_id) AS person, min(known_since) AS known_since
        FROM tagged_touches
        GROUP BY user_id
    ) AS t
    INNER JOIN (
        SELECT email, arrayJoin(persons) AS person FROM same
    ) AS s ON s.person = t.person
)
SELECT email, count() AS number, min(user_id) AS least,
    arrayMap(
        one -> one.2, arraySlice(arraySort(groupArray((known_since, user_id))), 1, 20)
    ) AS users
FROM named
GROUP BY email
HAVING number > 1 
ORDER BY number DESC, least
LIMIT 26;
