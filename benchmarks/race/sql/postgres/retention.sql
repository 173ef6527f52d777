-- Of those who came first in a week, how many were there in each of the weeks after it.
WITH owned AS (
    $owned
), active AS MATERIALIZED (
    SELECT person, CAST(date_trunc('week', timestamp) AS date) AS week
    FROM owned
    GROUP BY 1, 2
), cohorts AS (
    SELECT person, min(week) AS began FROM active GROUP BY person
)
SELECT CAST(began AS text) AS cohort, (week - began) / 7 AS nth, count(*) AS persons
FROM active
INNER JOIN cohorts USING (person)
WHERE (week - began) / 7 < 8
GROUP BY 1, 2
ORDER BY 1, 2
