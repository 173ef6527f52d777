WITH stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT visitor, user_hash, ended AS timestamp, known
    FROM stretches
), person_events AS (
    SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS person, r.user_hash = 0 AS is_nobodys, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
), device_states AS (
    SELECT visitor, least, greatest
    FROM device_users FINAL
    WHERE project_id = {project_id:String} AND NOT is_bot
), devices AS (
    SELECT visitor, least, greatest FROM device_states
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), tagged_touches AS (
    SELECT r.user_id AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), owned_touch_times AS (
    SELECT user_id, first_touch.off_page AS off_page, first_touch.timestamp AS at, known_since AS known
    FROM tagged_touches
), first_touch_times AS (
    SELECT user_id, if(min(off_page), min(at), minIf(at, NOT off_page)) AS first_touched_at, min(known) AS known_since
    FROM owned_touch_times
    GROUP BY user_id
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), linked AS (
    SELECT user_id, uniqExact(visitor) AS devices
    FROM user_links
    GROUP BY user_id
)
SELECT
    (SELECT uniqExact(person) FROM person_events) AS persons,
    (SELECT count() FROM shared_devices) AS shared_count,
    (
        SELECT (count(), quantileExactInclusiveOrNull(0.5)(
            greatest(0, dateDiff('millisecond', first_touched_at, known_since))
        ))
        FROM first_touch_times
    ) AS known,
    (SELECT (sum(devices), max(devices), avg(devices)) FROM linked) AS linked_devices;
