WITH owned AS (
    $owned
), walked AS (
    SELECT person, windowFunnel(2592000000)(
            toUInt64(toUnixTimestamp64Milli(timestamp)),
            event = '$pageview', event = 'signup', event = 'purchase'
        ) AS steps
    FROM owned
    WHERE event IN ('$pageview', 'signup', 'purchase')
    GROUP BY person
)
SELECT countIf(steps >= 1) AS viewed, countIf(steps >= 2) AS signed_up, countIf(steps >= 3) AS purchased
FROM walked
