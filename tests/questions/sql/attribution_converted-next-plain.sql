WITH stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), device_states AS (
    SELECT visitor, least, greatest
    FROM device_users FINAL
    WHERE project_id = {project_id:String} AND NOT is_bot
), devices AS (
    SELECT visitor, least, greatest FROM device_states
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), changing_half_hours AS (
    SELECT visitor, half_hour
    FROM stretches
    WHERE visitor IN (SELECT visitor FROM shared_devices)
    GROUP BY visitor, half_hour
    HAVING max(known) AND (
        minIf(user_hash, known) != maxIf(user_hash, known)
        OR maxIf(ended, NOT known) > maxIf(ended, known)
    )
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), changing_events AS (
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
    WHERE TRUE AND ((e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (
            SELECT visitor, half_hour FROM changing_half_hours
        ))
), page_stretches AS (
    SELECT visitor, user_hash,
        fromUnixTimestamp64Milli(ends, 'UTC') AS timestamp, visitor AS device,
        toInt64(half_hour) * 3600000 + first.at AS begins,
        toInt64(half_hour) * 1800000 + last.at AS ends,
        first.path AS entry, last.path AS exit, events, page_views, actions,
        if(
            empty(touches.1), [],
            arrayZip(arrayMap(ms -> toInt64(half_hour) * 1800000 + ms, touches.2), touches.1)
        )::Array(Tuple(Int64, UInt64)) AS touches
    FROM stretches
    WHERE page > 0
        AND (visitor, half_hour) NOT IN (SELECT visitor, half_hour FROM changing_half_hours)
    UNION ALL
    SELECT visitor, user_hash,
        fromUnixTimestamp64Milli(ends, 'UTC') AS timestamp, visitor AS device,
        toInt64(half_hour) * 3600000 + first.at AS begins,
        toInt64(half_hour) * 1800000 + last.at AS ends,
        first.path AS entry, last.path AS exit, events, page_views, actions,
        if(
            empty(touches.1), [],
            arrayZip(arrayMap(ms -> toInt64(half_hour) * 1800000 + ms, touches.2), touches.1)
        )::Array(Tuple(Int64, UInt64)) AS touches
    FROM changing_events
    WHERE page > 0
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), known_stretches AS (
    SELECT visitor, half_hour, ended AS timestamp, user_hash
    FROM stretches
    WHERE known AND visitor IN (SELECT visitor FROM shared_devices)
), telling_stretches AS (
    SELECT visitor, timestamp, user_hash, '' AS user_id
    FROM known_stretches
    UNION ALL
    SELECT e.visitor AS visitor, e.timestamp AS timestamp, e.user_hash AS user_hash,
        assumeNotNull(e.user_id) AS user_id
    FROM counted_events AS e
    WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated
        AND (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (
            SELECT visitor, half_hour
            FROM known_stretches
            GROUP BY visitor, half_hour
            HAVING min(user_hash) != max(user_hash)
        )
), observations AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, r.user_hash AS user_hash,
        max(r.user_id) AS user_id
    FROM telling_stretches AS r
    GROUP BY visitor, timestamp, user_hash
), ownership AS (
    SELECT visitor, user_hash, if(next_hash = 0, toDateTime64('2299-01-01 00:00:00', 3, 'UTC'), timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, toDateTime64('2299-01-01 00:00:00', 3, 'UTC')) OVER seen AS previous,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM observations
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)
), person_stretches AS (
    SELECT
        multiIf(o.person = 0, e.seen, o.person != 1, o.person, c.user_hash) AS person,
        o.person = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM page_stretches AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    ASOF LEFT JOIN ownership AS c
        ON c.visitor = if(o.person = 1, e.seen, 0) AND e.timestamp <= c.until
), in_order AS (
    SELECT any(s.person) AS person, any(s.device) AS device,
        groupArray(s.begins) AS all_begins, groupArray(s.ends) AS all_ends,
        arraySort(
            (stretch, at) -> at, arrayZip(all_begins, all_ends, groupArray(touches)), all_begins
        ) AS stretches,
        arrayPushFront(arrayPopBack(arraySort(all_ends)), 0) AS before
    FROM person_stretches AS s
    GROUP BY cityHash64(s.person, s.device)
), visits AS (
    SELECT person, device, intDiv(visit[1].1, 2) AS started,
        arrayMax(visit.2) AS ended, visit[1].1 % 2 = 0 AS resumed,
        arraySort(arrayFlatten(visit.3)) AS arrivals
    FROM in_order
    ARRAY JOIN arraySplit(
        (s, b) -> s.1 > 1 + 2 * (b + if(s.1 % 2 = 0,
            greatest(14400000, {visit_timeout_ms:Int64}), {visit_timeout_ms:Int64}
        )),
        stretches, before
    ) AS visit
), touches AS (
    SELECT person, arraySort(groupArrayArray(arrayMap(t -> (t.1, t.2, device), touched))) AS touches
    FROM (
        SELECT person, device,
            arrayFilter((t, nth) -> nth = 1, arrivals, arrayEnumerateUniq(arrivals.2)) AS found,
            multiIf(
                notEmpty(found), found, resumed, [], [(started, cityHash64('direct', 'direct', '', 'Direct') * 2 + 1)]
            ) AS touched
        FROM visits
    )
    GROUP BY person
), considered AS (
        SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
    CAST((
                multiIf(
                    NOT (ifNull(abs(toFloat64OrNull(
                        ifNull(tupleElement(JSONExtract(e.properties, {amount_shape:String}) AS amount_found, 1), '') AS amount_text
                    ) AS amount_float) < 1e30, FALSE) AS amount_usable),
                    0,
                    abs(amount_float) < 1e6,
                    toDecimal256(reinterpret(
                        toInt64(round(assumeNotNull(amount_float) * 1e9)), 'Decimal(18, 9)'
                    ), 9),
                    toDecimal256(
                        round(assumeNotNull(toDecimal256OrNull(amount_text, 18)), 9), 9
                    )
                ) AS amount_exact,
                substring(upper(trimBoth(ifNull(tupleElement(amount_found, 2), ''))), 1, 4),
                amount_usable,
                if(
                    isNull(tupleElement(amount_found, 1)),
                    position(e.properties, {amount:String}) > 0 AND NOT isValidJSON(e.properties),
                    NOT amount_usable
                ),
                amount_usable
                    AND abs(amount_float - toFloat64(amount_exact)) > abs(amount_float) * 1e-9
            ) AS Tuple(amount Decimal(76, 9), code String, counted Bool, skipped Bool, rounded Bool)) AS money
        FROM counted_events AS e
        WHERE e.event_name = {conversion:String}
), person_events AS (
    SELECT
        multiIf(o.person = 0, e.seen, o.person != 1, o.person, c.user_hash) AS person,
        o.person = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    ASOF LEFT JOIN ownership AS c
        ON c.visitor = if(o.person = 1, e.seen, 0) AND e.timestamp <= c.until
), converted AS (
    SELECT person, groupArray(tuple(toUnixTimestamp64Milli(timestamp), money)) AS conversions
    FROM person_events
    GROUP BY person
), found AS (
    SELECT c.person AS person, conversion, conversion.1 AS at,
        arrayFilter(t -> t.1 <= at, t.touches) AS before,
        arrayFilter(t -> t.1 >= at - {lookback_ms:Int64}, before) AS inside
    FROM touches AS t
    RIGHT JOIN converted AS c ON t.person = c.person
    ARRAY JOIN c.conversions AS conversion
), weighed AS (
    SELECT person, conversion, at,
        multiIf(
            notEmpty(inside), inside,
            empty(before), [(at, cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 0)],
            [(at, toUInt64(0), toUInt64(0))]
        ) AS touches,
        if(
            FALSE AND length(before) > length(inside),
            arrayPushFront(touches, before[1]), touches
        ) AS credited,
        toInt64(length(touches)) AS n,
        toInt64(arrayLastIndex(t -> t.2 % 2 = 0, touches)) AS last_other,
        arrayMap(t -> exp2((t.1 - at) / 604800000), touches) AS decayed,
        arrayMap(
                    i -> toFloat64(i = if(last_other = 0, n, last_other)), arrayEnumerate(touches)
                ) AS w1,
        indexOf(w1, arrayMax(w1)) AS a1_most,
                arrayMap(
                    (weight, nth) -> toDecimal256(
                        if(nth = a1_most, 0, toFloat64(tupleElement(conversion.2, 'amount')) * weight)
                            + if(tupleElement(conversion.2, 'amount') < 0, -5e-10, 5e-10),
                        9
                    ),
                    w1, arrayEnumerate(w1)
                ) AS a1_others,
                arrayMap(
                    (part, nth) -> if(nth = a1_most, tupleElement(conversion.2, 'amount') - arraySum(a1_others), part),
                    a1_others, arrayEnumerate(a1_others)
                ) AS a1
    FROM found
), credits AS (
    SELECT person, at, share.1 AS touch, touch.2 AS traffic_source,
        touch.3 != 0 AND nth > length(credited) - n AS is_touch, share.2 AS s1, share.3 AS amount_1, s1 * conversion.2.counted AS counted_1, conversion.2 AS money, if((length(money.code) = 3 AND NOT match(money.code, '[^A-Z]')), money.code, '') AS currency,
        toDate32(fromUnixTimestamp64Milli(at, 'UTC')) AS day,
        share.2 * money.skipped AS skipped, share.2 * money.rounded AS rounded,
        share.2 * money.counted * (money.code != '' AND NOT (length(money.code) = 3 AND NOT match(money.code, '[^A-Z]'))) AS miscoded
    FROM weighed
    ARRAY JOIN arrayZip(credited, w1, a1) AS share, arrayEnumerate(credited) AS nth
), named_sources AS (
    SELECT traffic_source, source, medium, campaign, channel FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '', 'Direct') * 2 + 1, 'direct', 'direct', '', 'Direct'
    UNION ALL
    SELECT 0, 'outside_window', 'outside_window', 'outside_window', 'outside_window'
), known_rates AS (
    SELECT toString(currency) AS currency, day, latest.2 AS per_euro
    FROM exchange_rates FINAL
    WHERE latest.2 > 0
), rates AS (
    SELECT k.currency AS currency, k.day AS day, k.per_euro AS per_euro, w.per_euro AS wanted_per_euro
    FROM known_rates AS k
    INNER JOIN (
        SELECT day, per_euro FROM known_rates WHERE currency = {currency:String}
    ) AS w ON w.day = k.day
)
SELECT n.source AS source, n.medium AS medium, grouping(source) AS is_total,
    round(sum(s1), 9) AS conversions_1, uniqExactIf(c.person, s1 > 0) AS persons_1,
sumIf(
        if(
            c.currency = {currency:String},
            toDecimal256(c.amount_1, 21),
            if((abs(c.amount_1) < toDecimal256('1e18', 0)), c.amount_1, 0) * r.wanted_per_euro / if(r.per_euro > 0, r.per_euro, 1) + toDecimal256(
                if((abs(c.amount_1) < toDecimal256('1e18', 0)), 0, toFloat64(c.amount_1)) * toFloat64(r.wanted_per_euro)
                    / toFloat64(if(r.per_euro > 0, r.per_euro, 1)),
                9
            )
        ),
        (
        c.currency = {currency:String}
        OR (r.per_euro > 0 AND c.day <= r.day + 7)
    )
    ) AS converted_1,
    sumIf(c.counted_1, (
        c.currency = {currency:String}
        OR (r.per_euro > 0 AND c.day <= r.day + 7)
    )) AS have_rate_1,
    sumMapIf(
        [c.currency], [c.amount_1], [c.counted_1], NOT (
        c.currency = {currency:String}
        OR (r.per_euro > 0 AND c.day <= r.day + 7)
    )
    ) AS amounts_1,
    uniqExactIf(c.person, is_touch) AS influenced, countIf(is_touch) AS touches,
    quantilesExactInclusiveIf(0.25, 0.5, 0.75, 0.9)((c.at - c.touch.1) / 1000, is_touch) AS lags,
    round(sumIf(s1, c.traffic_source = 0), 9) AS outside,
    sum(c.skipped) AS skipped, sum(c.rounded) AS rounded, sum(c.miscoded) AS miscoded
FROM credits AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
ASOF LEFT JOIN rates AS r ON r.currency = c.currency AND r.day <= c.day
GROUP BY GROUPING SETS ((source, medium), ())
ORDER BY conversions_1 DESC, source, medium;
