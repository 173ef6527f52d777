WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT CAST((
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
        ) AS Tuple(amount Decimal(76, 9), code String, counted Bool, skipped Bool, rounded Bool)) AS money,
        toString(e.country) AS country,
        toDate32(e.timestamp) AS day
    FROM counted_events AS e
), summed AS (
    SELECT p.country AS country, p.day AS day, if((length(money.code) = 3 AND NOT match(money.code, '[^A-Z]')), money.code, '') AS currency, sum(money.amount) AS amount,
        countIf(money.counted) AS counted, countIf(money.skipped) AS skipped,
        countIf(money.rounded) AS rounded, if((money.code != '' AND NOT (length(money.code) = 3 AND NOT match(money.code, '[^A-Z]'))), counted, 0) AS miscoded
    FROM considered AS p
    GROUP BY country, day, money.code
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
SELECT s.country AS country, sumIf(
        if(
            s.currency = {currency:String},
            toDecimal256(s.amount, 21),
            if((abs(s.amount) < toDecimal256('1e18', 0)), s.amount, 0) * r.wanted_per_euro / if(r.per_euro > 0, r.per_euro, 1) + toDecimal256(
                if((abs(s.amount) < toDecimal256('1e18', 0)), 0, toFloat64(s.amount)) * toFloat64(r.wanted_per_euro)
                    / toFloat64(if(r.per_euro > 0, r.per_euro, 1)),
                9
            )
        ),
        (
        s.currency = {currency:String}
        OR (r.per_euro > 0 AND s.day <= r.day + 7)
    )
    ) AS converted,
    sumIf(s.counted, (
        s.currency = {currency:String}
        OR (r.per_euro > 0 AND s.day <= r.day + 7)
    )) AS have_rate,
    sumMapIf(
        [s.currency], [s.amount], [s.counted], NOT (
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
