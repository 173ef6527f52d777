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
        ) AS Tuple(amount Decimal(76, 9), code String, counted Bool, skipped Bool, rounded Bool)) AS money
    FROM counted_events AS e
    WHERE e.event_name = {event:String}
), summed AS (
    SELECT if((length(money.code) = 3 AND NOT match(money.code, '[^A-Z]')), money.code, '') AS currency, sum(money.amount) AS amount,
        countIf(money.counted) AS counted, countIf(money.skipped) AS skipped,
        countIf(money.rounded) AS rounded, if((money.code != '' AND NOT (length(money.code) = 3 AND NOT match(money.code, '[^A-Z]'))), counted, 0) AS miscoded
    FROM considered AS p
    GROUP BY money.code
)
SELECT sumMap([s.currency], [s.amount], [s.counted]) AS amounts,
    sum(s.skipped) AS skipped, sum(s.rounded) AS rounded, sum(s.miscoded) AS miscoded
FROM summed AS s
ORDER BY arrayMax(amounts.2) DESC
LIMIT 101;
