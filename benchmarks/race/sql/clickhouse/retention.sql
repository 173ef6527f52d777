-- Of those who came first in a week, how many were there in each of the weeks after it.
WITH owned AS (
    $owned
), people AS (
    SELECT person, groupUniqArray(toMonday(timestamp)) AS weeks, arrayMin(weeks) AS began
    FROM owned
    GROUP BY person
)
SELECT toString(began) AS cohort, intDiv(week - began, 7) AS nth, count() AS persons
FROM people
ARRAY JOIN weeks AS week
WHERE nth < 8
GROUP BY cohort, nth
ORDER BY cohort, nth
