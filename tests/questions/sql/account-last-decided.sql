WITH account_unlinked AS (
    SELECT account, user_hash, visitor
    FROM account_unlinks
    WHERE project_id = {project_id:String}
    GROUP BY account, user_hash, visitor
    HAVING argMax(unlinked, decided_at)
), account_sightings AS (
    SELECT r.visitor AS visitor, r.user_hash AS user_hash, r.timestamp AS timestamp,
        r.user_id AS user_id, r.account AS account, r.account_id AS account_id
    FROM account_links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.account, if(r.user_hash = 0, r.visitor, 0)) NOT IN (
            SELECT account, visitor FROM account_unlinked WHERE user_hash = 0
        )
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), owners AS (
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), account_unlinked_people AS (
    SELECT transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS person, r.account AS account
    FROM account_unlinked AS r
    WHERE r.user_hash != 0
), account_observations AS (
    SELECT person, timestamp, account, account_id
    FROM (
        SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
            e.* EXCEPT (seen, untagged)
        FROM (
            SELECT transform(
                if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
            ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
            FROM account_sightings AS r
        ) AS e
        LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    )
    WHERE (person, account) NOT IN (SELECT person, account FROM account_unlinked_people)
), account_people AS (
    SELECT person, account, any(account_id) AS account_id,
        min(timestamp) AS first_seen, max(timestamp) AS last_seen
    FROM account_observations
    GROUP BY person, account
), members AS (
    SELECT p.account AS account, any(p.account_id) AS account_id, uniqExact(p.person) AS people
    FROM account_people AS p
    WHERE p.account_id = {account_id:String}
    GROUP BY p.account
), stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), account_members AS (
    SELECT person, if(min(account) = max(account), min(account), 1) AS account
    FROM account_observations
    GROUP BY person
), account_intervals AS (
    SELECT person, account, if(previous = 0, toDateTime64('1970-01-01 00:00:00', 3, 'UTC'), timestamp) AS since
    FROM (
        SELECT person, timestamp, account,
            lagInFrame(account) OVER (
                PARTITION BY person ORDER BY timestamp ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
            ) AS previous
        FROM (
            SELECT person, timestamp, argMax(account, account_id) AS account
            FROM account_observations
            WHERE person IN (SELECT person FROM account_members WHERE account = 1)
            GROUP BY person, timestamp
        )
    )
    WHERE account != previous
), account_changes AS (
    SELECT r.visitor AS visitor, r.half_hour AS half_hour
    FROM stretches AS r
    WHERE r.half_hour IN (
            SELECT toUInt32(intDiv(toUnixTimestamp64Milli(since), 1800000))
            FROM account_intervals
            WHERE since > toDateTime64('1970-01-01 00:00:00', 3, 'UTC')
        )
        AND (
        r.visitor IN (SELECT visitor FROM user_links WHERE user_hash IN (SELECT person FROM account_members WHERE account = 1))
        OR transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) IN (SELECT person FROM account_members WHERE account = 1)
    )
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), account_changed_events AS (
    SELECT e.project_id AS project_id,
        e.is_bot AS is_bot,
        e.user_hash != 0 AS known,
        e.visitor AS visitor,
        e.user_hash AS user_hash,
        toUInt32(intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) AS half_hour,
        multiIf(NOT (e.source_rule_id != 'no_page'), 0, e.path = '', 1, 2) AS page,
        (toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000)) * 2 + NOT (e.medium = 'return'), e.path)::Tuple(at UInt32, path String) AS first,
        (toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000)), e.path)::Tuple(at UInt32, path String) AS last,
        toUInt64(1) AS events,
        toUInt64(e.event_name IN ('$pageview', '$screen')) AS page_views,
        toUInt64(NOT startsWith(e.event_name, '$')) AS actions,
        (if((e.source NOT IN ('direct', 'internal') AND e.medium NOT IN ('internal', 'return', 'spam')), [e.traffic_source], emptyArrayUInt64()), if((e.source NOT IN ('direct', 'internal') AND e.medium NOT IN ('internal', 'return', 'spam')), [toUInt32(modulo(toUnixTimestamp64Milli(e.timestamp), 1800000))], emptyArrayUInt32())) AS touches
    FROM counted_events AS e
    WHERE TRUE AND ((e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (SELECT visitor, half_hour FROM account_changes))
), account_stretches AS (
    SELECT *
    FROM stretches
    WHERE (visitor, half_hour) NOT IN (SELECT visitor, half_hour FROM account_changes)
    UNION ALL
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM account_changed_events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT s.visitor AS visitor, s.user_hash AS user_hash, s.ended AS timestamp,
        s.began AS began, s.events AS events
    FROM account_stretches AS s
), person_events AS (
    SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, untagged)
    FROM (
        SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
), account_person_events AS (
    SELECT if(m.account != 1, m.account, c.account) AS person, e.* EXCEPT (person)
    FROM person_events AS e
    INNER JOIN account_members AS m ON m.person = e.person
    ASOF LEFT JOIN account_intervals AS c
        ON c.person = if(m.account = 1, e.person, 0) AND e.timestamp >= c.since
), seen AS (
    SELECT person, min(began) AS first_seen, max(timestamp) AS last_seen, sum(events) AS events
    FROM account_person_events
    GROUP BY person
), tagged_touches AS (
    SELECT transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
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
), device_owners AS (
    SELECT visitor, argMax(user_id, (last_seen, user_id)) AS user_id
    FROM user_links
    GROUP BY visitor
), owned_touches AS (
    SELECT user_id, first_touch AS touch, known_since AS known
    FROM tagged_touches
    UNION ALL
    SELECT o.user_id AS user_id, first_touch AS touch, toDateTime64('2299-01-01 00:00:00', 3, 'UTC') AS known
    FROM untagged_touches AS t
    INNER JOIN device_owners AS o ON o.visitor = t.visitor
), first_touches AS (
    SELECT user_id, arrayMin(groupArray(touch)) AS first_touch, min(known) AS known_since
    FROM owned_touches
    GROUP BY user_id
), nobodys_touches AS (
    SELECT t.visitor AS person, arrayMin(groupArray(t.first_touch)) AS first_touch
    FROM untagged_touches AS t
    WHERE t.visitor NOT IN (SELECT visitor FROM user_links)
    GROUP BY t.visitor
), first_events AS (
    SELECT sipHash64('user', user_id) AS person, first_touch
    FROM first_touches
    UNION ALL
    SELECT person, first_touch
    FROM nobodys_touches
), severals_touches AS (
    SELECT r.visitor AS visitor, r.user_hash AS user_hash, r.timestamp AS timestamp,
        (r.source_rule_id = 'no_page', r.timestamp, r.event_id, r.visitor, r.traffic_source)::Tuple(
            off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
            traffic_source UInt64
        ) AS touch
    FROM counted_events AS r
    WHERE (
        r.visitor IN (SELECT visitor FROM user_links WHERE user_hash IN (SELECT person FROM account_members WHERE account = 1))
        OR transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) IN (SELECT person FROM account_members WHERE account = 1)
    )
), severals_events AS (
    SELECT *
    FROM (
        SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
            e.* EXCEPT (seen, untagged)
        FROM (
            SELECT transform(
                if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
            ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
            FROM severals_touches AS r
        ) AS e
        LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    )
    WHERE person IN (SELECT person FROM account_members WHERE account = 1)
), account_several_events AS (
    SELECT if(m.account != 1, m.account, c.account) AS person, e.* EXCEPT (person)
    FROM severals_events AS e
    INNER JOIN account_members AS m ON m.person = e.person
    ASOF LEFT JOIN account_intervals AS c
        ON c.person = if(m.account = 1, e.person, 0) AND e.timestamp >= c.since
), account_first_events AS (
    SELECT person, min(first_touch) AS first_touch
    FROM (
        SELECT m.account AS person, f.first_touch AS first_touch
        FROM first_events AS f
        INNER JOIN account_members AS m ON m.person = f.person
        WHERE m.account != 1
        UNION ALL
        SELECT person, touch AS first_touch
        FROM account_several_events
    )
    GROUP BY person
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
), listed AS (
    SELECT m.account_id AS account_id, m.people AS people, s.events AS events,
        s.first_seen AS first_seen, s.last_seen AS last_seen, f.first_touch AS first_touch,
        n.source AS source, n.medium AS medium, n.campaign AS campaign, n.channel AS channel,
        toUnixTimestamp64Milli(last_seen) AS order_number
    FROM members AS m
    INNER JOIN seen AS s ON s.person = m.account
    INNER JOIN account_first_events AS f ON f.person = m.account
    LEFT ANY JOIN named_sources AS n ON n.traffic_source = f.first_touch.traffic_source
)
SELECT *
FROM listed
ORDER BY order_number , account_id
LIMIT 1;

SELECT event_id, anonymous_id, url, referrer
FROM events
WHERE project_id = {project_id:String} AND visitor IN {visitors:Array(UInt64)}
    AND event_id IN {event_ids:Array(String)};

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), account_unlinked AS (
    SELECT account, user_hash, visitor
    FROM account_unlinks
    WHERE project_id = {project_id:String}
    GROUP BY account, user_hash, visitor
    HAVING argMax(unlinked, decided_at)
), account_sightings AS (
    SELECT r.visitor AS visitor, r.user_hash AS user_hash, r.timestamp AS timestamp,
        r.user_id AS user_id, r.account AS account, r.account_id AS account_id
    FROM account_links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.account, if(r.user_hash = 0, r.visitor, 0)) NOT IN (
            SELECT account, visitor FROM account_unlinked WHERE user_hash = 0
        )
), said AS (
    SELECT e.timestamp AS timestamp, e.event_id AS event_id, e.properties AS properties,
        JSONExtractKeys(e.properties) AS names
    FROM counted_events AS e
    WHERE e.event_name = '$group' AND if(e.event_name = '$group' AND multiIf(JSONType(e.properties, 'account_id') = 'String', JSONExtractString(e.properties, 'account_id'), JSONType(e.properties, 'account_id') IN ('Int64', 'UInt64'), JSONExtractRaw(e.properties, 'account_id'), '') = '', multiIf(JSONType(e.properties, 'group_id') = 'String', JSONExtractString(e.properties, 'group_id'), JSONType(e.properties, 'group_id') IN ('Int64', 'UInt64'), JSONExtractRaw(e.properties, 'group_id'), ''), multiIf(JSONType(e.properties, 'account_id') = 'String', JSONExtractString(e.properties, 'account_id'), JSONType(e.properties, 'account_id') IN ('Int64', 'UInt64'), JSONExtractRaw(e.properties, 'account_id'), '')) = {account_id:String}
        AND e.visitor IN (
            SELECT visitor FROM account_sightings WHERE account_id = {account_id:String}
        )
)
SELECT latest.3 AS properties
FROM (
    SELECT max((timestamp, event_id, properties)) AS latest
    FROM said
    ARRAY JOIN names AS name
    GROUP BY name, hasAny(names, ['group_id', 'viewport'])
)
GROUP BY latest
ORDER BY latest DESC;

WITH account_unlinked AS (
    SELECT account, user_hash, visitor
    FROM account_unlinks
    WHERE project_id = {project_id:String}
    GROUP BY account, user_hash, visitor
    HAVING argMax(unlinked, decided_at)
), account_sightings AS (
    SELECT r.visitor AS visitor, r.user_hash AS user_hash, r.timestamp AS timestamp,
        r.user_id AS user_id, r.account AS account, r.account_id AS account_id
    FROM account_links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.account, if(r.user_hash = 0, r.visitor, 0)) NOT IN (
            SELECT account, visitor FROM account_unlinked WHERE user_hash = 0
        )
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), owners AS (
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), account_unlinked_people AS (
    SELECT transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS person, r.account AS account
    FROM account_unlinked AS r
    WHERE r.user_hash != 0
), account_observations AS (
    SELECT person, timestamp, account, account_id
    FROM (
        SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
            e.* EXCEPT (seen, untagged)
        FROM (
            SELECT transform(
                if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
            ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
            FROM account_sightings AS r
        ) AS e
        LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    )
    WHERE (person, account) NOT IN (SELECT person, account FROM account_unlinked_people)
), account_people AS (
    SELECT person, account, any(account_id) AS account_id,
        min(timestamp) AS first_seen, max(timestamp) AS last_seen
    FROM account_observations
    GROUP BY person, account
), tagged_touches AS (
    SELECT transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
)
SELECT p.person AS person, u.user_id AS user_id, p.first_seen AS first_seen,
    p.last_seen AS last_seen
FROM account_people AS p
LEFT ANY JOIN (
    SELECT sipHash64('user', user_id) AS person, user_id FROM tagged_touches
) AS u ON u.person = p.person
WHERE p.account_id = {account_id:String}
ORDER BY last_seen DESC, person
LIMIT {limit:UInt32};
