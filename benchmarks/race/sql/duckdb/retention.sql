-- Of those who came first in a week, how many were there in each of the weeks after it.
WITH owned AS (
    $owned
), active AS MATERIALIZED (
    SELECT DISTINCT person, date_trunc('week', timestamp) AS week FROM owned
), cohorts AS (
    SELECT person, min(week) AS began FROM active GROUP BY person
)
SELECT CAST(CAST(began AS DATE) AS VARCHAR) AS cohort, date_diff('week', began, week) AS nth,
    count(*) AS persons
FROM active
INNER JOIN cohorts USING (person)
WHERE date_diff('week', began, week) < 8
GROUP BY 1, 2
ORDER BY 1, 2
