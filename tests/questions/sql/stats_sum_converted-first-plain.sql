WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT CAST((
            if(
                ifNull(abs(toFloat64OrNull(
                    trimBoth(ifNull(tupleElement(JSONExtract(e.properties, {amount_shape:String}) AS amount_found, 1), '')) AS amount_text
                ) AS amount_float) < 1e18, FALSE) AS amount_usable,
                toDecimal128(round(assumeNotNull(toDecimal128OrNull(amount_text, 18)), 9), 9),
                0
            ) AS amount_exact,
            if(
                amount_usable AND match(
                    upper(trimBoth(ifNull(tupleElement(amount_found, 2), ''))) AS amount_code,
                    '^[A-Z]{3}$'
                ),
                amount_code,
                ''
            ) AS amount_currency,
            amount_usable,
            if(
                isNull(tupleElement(amount_found, 1)),
                position(e.properties, {amount:String}) > 0 AND NOT isValidJSON(e.properties),
                NOT amount_usable
            ),
            amount_usable
                AND abs(amount_float - toFloat64(amount_exact)) > abs(amount_float) * 1e-9,
            amount_usable AND amount_currency = '' AND amount_code != ''
        ) AS Tuple(amount Decimal(38, 9), currency String, counted Bool, skipped Bool, rounded Bool, miscoded Bool)) AS money,
        toString(e.country) AS country,
        toDate32(e.timestamp) AS day
    FROM counted_events AS e
), summed AS (
    SELECT country, day, money.currency AS currency, sum(money.amount) AS amount,
        countIf(money.counted) AS counted, countIf(money.skipped) AS skipped,
        countIf(money.rounded) AS rounded, countIf(money.miscoded) AS miscoded
    FROM considered
    GROUP BY country, day, money.currency AS currency
), known_rates AS (
    SELECT toString(currency) AS currency, day, latest.per_euro AS per_euro
    FROM exchange_rates FINAL
    WHERE latest.per_euro > 0
), rates AS (
    SELECT k.currency AS currency, k.day AS day, k.per_euro AS per_euro, w.per_euro AS wanted_per_euro
    FROM known_rates AS k
    INNER JOIN (
        SELECT day, per_euro FROM known_rates WHERE currency = {currency:String}
    ) AS w ON w.day = k.day
)
SELECT s.country AS country, sumIf(
        if(
            s.currency = {currency:String},
            toDecimal256(s.amount, 9 + 12),
            toDecimal256(s.amount, 9) * r.wanted_per_euro
                / if(r.per_euro > 0, r.per_euro, 1)
        ),
        (
        s.currency = {currency:String}
        OR (r.per_euro > 0 AND s.day <= r.day + 7)
    )
    ) AS converted,
    sumIf(toUInt64(s.counted), (
        s.currency = {currency:String}
        OR (r.per_euro > 0 AND s.day <= r.day + 7)
    )) AS have_rate,
    sumMapIf(
        [s.currency], [s.amount], [toUInt64(s.counted)], NOT (
        s.currency = {currency:String}
        OR (r.per_euro > 0 AND s.day <= r.day + 7)
    )
    ) AS amounts,
    sum(s.skipped) AS skipped, sum(s.rounded) AS rounded, sum(s.miscoded) AS miscoded
FROM summed AS s
ASOF LEFT JOIN rates AS r ON r.currency = s.currency AND r.day <= s.day
GROUP BY country
ORDER BY converted DESC, country
LIMIT 101;
