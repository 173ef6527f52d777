on_pages AS (
    SELECT person, anonymous_id, timestamp, event, source, medium, campaign, channel,
        medium = 'return' AS is_return,
        source NOT IN ('direct', 'internal') AND medium NOT IN ('internal', 'return', 'spam')
            AS is_touch,
        toUnixTimestamp64Milli(timestamp) AS at,
        at - lagInFrame(at, 1, 0) OVER (
            PARTITION BY person, anonymous_id ORDER BY timestamp, medium != 'return'
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS pause
    FROM owned
    WHERE on_page
), numbered AS (
    SELECT *, countIf(pause > if(is_return, 14400000, 1800000)) OVER (
            PARTITION BY person, anonymous_id ORDER BY timestamp, NOT is_return
        ) AS visit
    FROM on_pages
), visits AS (
    SELECT person, anonymous_id, visit, min(timestamp) AS started, (max(at) - min(at)) / 1000 AS seconds,
        count() AS events, countIf(event = '$pageview') AS page_views,
        countIf(NOT startsWith(event, '$')) AS actions,
        max(is_touch) AS has_touch,
        if(has_touch, argMinIf(source, timestamp, is_touch), 'direct') AS source,
        if(has_touch, argMinIf(medium, timestamp, is_touch), 'direct') AS medium,
        argMin(is_return, (timestamp, NOT is_return)) AS resumed
    FROM numbered
    GROUP BY person, anonymous_id, visit
)
