WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.visitor AS device, e.medium = 'paid' AS is_paid, toString(e.term) AS term
    FROM counted_events AS e
), person_events AS (
    SELECT if(e.owner = 0, e.seen, e.owner) AS person, e.owner = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'last', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
)
SELECT term, count() AS events, uniqExact(device) AS uniques,
    countIf(is_paid) / events AS paid_share, uniqExact(person) AS persons
FROM person_events
GROUP BY term
ORDER BY events DESC, term
LIMIT 51;
