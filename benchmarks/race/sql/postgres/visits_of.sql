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
            WHERE pause IS NULL
            OR pause > CASE WHEN is_return THEN interval '4 hours' ELSE interval '30 minutes' END
        ) OVER (PARTITION BY person, anonymous_id ORDER BY timestamp, NOT is_return) AS visit
    FROM on_pages
), visits AS (
    SELECT person, anonymous_id, visit, min(timestamp) AS started,
        extract(epoch FROM max(timestamp) - min(timestamp)) AS seconds, count(*) AS events,
        count(*) FILTER (WHERE event = '$pageview') AS page_views,
        count(*) FILTER (WHERE left(event, 1) != '$') AS actions,
        coalesce((array_agg(source ORDER BY timestamp) FILTER (WHERE is_touch))[1], 'direct')
            AS source,
        coalesce((array_agg(medium ORDER BY timestamp) FILTER (WHERE is_touch))[1], 'direct')
            AS medium,
        bool_or(is_touch) AS has_touch,
        (array_agg(is_return ORDER BY timestamp, NOT is_return))[1] AS resumed
    FROM numbered
    GROUP BY person, anonymous_id, visit
)
