on_pages AS (
    SELECT person, anonymous_id, timestamp, event, source, medium, campaign, channel,
        medium = 'return' AS is_return,
        source NOT IN ('direct', 'internal') AND medium NOT IN ('internal', 'return', 'spam')
            AS is_touch,
        timestamp - lag(timestamp) OVER (
            PARTITION BY person, anonymous_id ORDER BY timestamp, medium != 'return'
        ) AS pause
    FROM owned
    WHERE on_page
), numbered AS (
    SELECT *, count(*) FILTER (
            pause IS NULL
            OR pause > CASE WHEN is_return THEN INTERVAL 4 HOUR ELSE INTERVAL 30 MINUTE END
        ) OVER (PARTITION BY person, anonymous_id ORDER BY timestamp, NOT is_return) AS visit
    FROM on_pages
), visits AS (
    SELECT person, anonymous_id, visit, min(timestamp) AS started,
        epoch_ms(max(timestamp) - min(timestamp)) / 1000 AS seconds, count(*) AS events,
        count(*) FILTER (event = '$pageview') AS page_views,
        count(*) FILTER (event[1] != '$') AS actions,
        coalesce(arg_min(source, timestamp) FILTER (is_touch), 'direct') AS source,
        coalesce(arg_min(medium, timestamp) FILTER (is_touch), 'direct') AS medium,
        bool_or(is_touch) AS has_touch,
        arg_min(is_return, (timestamp, NOT is_return)) AS resumed
    FROM numbered
    GROUP BY person, anonymous_id, visit
)
