"""The race: one log in Threadline, PostgreSQL, DuckDB and plain ClickHouse, the same questions to
all of them.

    python -m benchmarks.race --events 100000

Answers are compared before anything is timed, and once more at the end. Each engine is asked in its
own best plain way: Threadline over HTTP, because that is how users ask it; PostgreSQL by prepared
statements over a local socket; DuckDB by prepared statements in a process of its own; ClickHouse
(chDB) in a process of its own, over raw events, with the joins that one would write. All end with
the answer as JSON. `questions.py` has the questions, `sql/` what they are in SQL.

It needs `psycopg[binary]` and Debian's package `postgresql` for PostgreSQL, and goes on without it.
"""
