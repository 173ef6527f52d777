WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        TRUE AS is_conversion, CAST((
            multiIf(
                NOT (ifNull(abs(toFloat64OrNull(
                    trimBoth(ifNull(tupleElement(JSONExtract(e.properties, {amount_shape:String}) AS amount_found, 1), '')) AS amount_text
                ) AS amount_float) < 1e18, FALSE) AS amount_usable),
                0,
                abs(amount_float) < 1e6,
                reinterpret(toInt128(round(assumeNotNull(amount_float) * 1e9)), 'Decimal(38, 9)'),
                toDecimal128(
                    round(assumeNotNull(toDecimal128OrNull(amount_text, 18)), 9),
                    9
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
        ) AS Tuple(amount Decimal(38, 9), code String, counted Bool, skipped Bool, rounded Bool)) AS money,
        0 AS traffic_source, 0 AS session
    FROM counted_events AS e
    WHERE e.event_name = {conversion:String}
    UNION ALL
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        FALSE AS is_conversion, CAST((0, '', FALSE, FALSE, FALSE) AS Tuple(amount Decimal(38, 9), code String, counted Bool, skipped Bool, rounded Bool)) AS money,
        e.traffic_source AS traffic_source, cityHash64(e.session_id) AS session
    FROM counted_events AS e
    WHERE e.source != 'internal'
), links_then AS (
    SELECT *, sipHash64('user', user_id) AS user_hash
    FROM (
        SELECT e.project_id AS project_id,
            assumeNotNull(e.user_id) AS user_id,
            e.visitor AS visitor,
            e.is_bot AS is_bot,
            any(e.anonymous_id) AS anonymous_id,
            min(e.timestamp) AS first_seen,
            max(e.timestamp) AS last_seen
        FROM counted_events AS e
        WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated AND (TRUE)
        GROUP BY e.project_id, assumeNotNull(e.user_id), e.visitor, e.is_bot
    )
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), observations AS (
    SELECT DISTINCT visitor, timestamp, user_hash, user_id
    FROM observed_events
    WHERE visitor IN (SELECT visitor FROM shared_devices)
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
), person_events AS (
    SELECT
        multiIf(o.person = 0, e.seen, o.person != 1, o.person, c.user_hash) AS person,
        e.* EXCEPT (seen)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        )) AS seen, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    ASOF LEFT JOIN ownership AS c
        ON c.visitor = if(o.person = 1, e.seen, 0) AND e.timestamp <= c.until
), people AS (
    SELECT person,
        groupArrayIf((timestamp, money), is_conversion) AS converted,
        arraySort(
            groupArrayIf((timestamp, traffic_source, session), NOT is_conversion)
        ) AS arrivals,
        arrayFilter(
            (arrival, nth) -> nth = 1, arrivals, arrayEnumerateUniq(arrivals.3)
        ) AS arrived
    FROM person_events
    GROUP BY person
    HAVING notEmpty(converted)
), conversions AS (
    SELECT person, conversion.1 AS at, conversion.2 AS money,
        arrayFilter(
            t -> t.1 <= at AND t.1 >= at - toIntervalDay({lookback_days:UInt16}), arrived
        ) AS found,
        if(empty(found), [(at, cityHash64('direct', 'direct', '') * 2 + 1, 0)], found) AS touches
    FROM people
    ARRAY JOIN converted AS conversion
), weighed AS (
    SELECT person, at, money, touches,
        toInt64(length(touches)) AS n,
        toInt64(arrayLastIndex(t -> t.2 % 2 = 0, touches)) AS last_other,
        arrayMap(t -> exp2(-dateDiff('millisecond', t.1, at) / 604800000), touches) AS decayed,
        arrayMap(
            i -> toFloat64(i = if(last_other = 0, n, last_other)), arrayEnumerate(touches)
        ) AS weights,
        indexOf(weights, arrayMax(weights)) AS amounts_most,
                arrayMap(
                    (weight, nth) -> toDecimal128(
                        if(nth = amounts_most, 0, toFloat64(money.amount) * weight)
                            + if(money.amount < 0, -5e-10, 5e-10),
                        9
                    ),
                    weights, arrayEnumerate(weights)
                ) AS amounts_others,
                arrayMap(
                    (part, nth) -> if(nth = amounts_most, money.amount - arraySum(amounts_others), part),
                    amounts_others, arrayEnumerate(amounts_others)
                ) AS amounts
    FROM conversions
), credits AS (
    SELECT person, credited.1.2 AS traffic_source, credited.2 AS weight,
        credited.3 AS amount, if((length(money.code) = 3 AND NOT match(money.code, '[^A-Z]')), money.code, '') AS currency, weight * money.counted AS counted,
        toDate32(at) AS day, weight * money.skipped AS skipped,
        weight * money.rounded AS rounded, (money.code != '' AND NOT (length(money.code) = 3 AND NOT match(money.code, '[^A-Z]'))) * counted AS miscoded
    FROM weighed
    ARRAY JOIN arrayZip(touches, weights, amounts) AS credited
    WHERE credited.2 > 0
), named_sources AS (
    SELECT traffic_source, source, medium, campaign FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '') * 2 + 1, 'direct', 'direct', ''
    UNION ALL
    SELECT 0, 'internal', 'internal', ''
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
    sum(weight) AS conversions, uniqExact(person) AS persons,
    sumIf(
        if(
            c.currency = {currency:String},
            toDecimal256(c.amount, 9 + 12),
            toDecimal256(c.amount, 9) * r.wanted_per_euro
                / if(r.per_euro > 0, r.per_euro, 1)
        ),
        (
        c.currency = {currency:String}
        OR (r.per_euro > 0 AND c.day <= r.day + 7)
    )
    ) AS converted,
    sumIf(c.counted, (
        c.currency = {currency:String}
        OR (r.per_euro > 0 AND c.day <= r.day + 7)
    )) AS have_rate,
    sumMapIf(
        [c.currency], [c.amount], [c.counted], NOT (
        c.currency = {currency:String}
        OR (r.per_euro > 0 AND c.day <= r.day + 7)
    )
    ) AS amounts,
    sum(c.skipped) AS skipped, sum(c.rounded) AS rounded, sum(c.miscoded) AS miscoded
FROM credits AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
ASOF LEFT JOIN rates AS r ON r.currency = c.currency AND r.day <= c.day
GROUP BY GROUPING SETS ((source, medium), ())
ORDER BY conversions DESC, source, medium;
