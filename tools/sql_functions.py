"""Writes the list of functions that people may use in SQL: all that the engine has, but those that
read anything else than their arguments.

    python -m tools.sql_functions

Look at what it adds before it is committed: with a newer engine a function may have come that reads
files, other tables, the network, settings or the server.
"""

import re
from importlib.resources import files
from pathlib import Path

import clickhouse_connect

# By name, in lower case.
OUTSIDE = re.compile(
    # Files, dictionaries, models and other tables; what somebody installed.
    r"file|dict.*|joinget.*|hascolumnintable|catboostevaluate|modelevaluate|evalmlmethod"
    r"|naivebayes.*|region(to|in|hierarchy).*|ai[a-z]+|executable.*|mergetreepartinfo|pg.*"
    # Waits, or calculates on a single row for longer than the engine looks at the clock.
    r"|sleep|sleepeachrow|.*levenshteindistance.*|editdistance.*|arraysimilarity|jaro.*"
    r"|hierarchicalkmeans|assigncentroid"
    # Who asks, with what settings, on which server.
    r"|current_?(database|user|schemas|roles|profiles|queryid|query_id|requesturl|handler)"
    r"|database|schema|user|session_user|authenticateduser|authuser|(default|enabled)(roles|profiles)"
    r"|host_?name|fqdn|fullhostname|displayname|serveruuid|tcpport|uptime|buildid|revision|version"
    r"|(server)?timezone|shard(num|count)|filesystem.*|zookeeper.*|transaction.*|connection_?id"
    r"|get(settingordefault|setting|serversetting|mergetreesetting|macro|oskernelversion|serverport"
    r"|clienthttpheader|maxtablenamelengthfordatabase)|globalvariable|showcertificate"
    r"|(initial_?)?query_?(id|starttime|start_time)|reversednsquery|generateserialid"
    # The engine's insides, and SQL as text.
    r"|_.*|address_?to.*|demangle|logtrace|tid|hasthreadfuzzer|structureto.*|blocknumber"
    r"|blockserializedsize|dumpcolumnstructure|errorcodetoname|gettypeserializationstreams"
    r"|ismergetreepartcoveredby|partition_?id|indexhint|generaterandomstructure|nested"
    r"|validatenestedarraysizes|(format|fuzz|highlight|obfuscate|normalized?|parse|tokenize)query.*"
    r"|timeseries.*(tag|group).*"
)
ALL = "SELECT DISTINCT lower(name) FROM system.functions WHERE origin = 'System' ORDER BY 1"
LIST = "sql_functions.txt"


def functions() -> tuple[list[str], list[str]]:
    """Those that may be used, and all others."""
    client = clickhouse_connect.get_client(interface="chdb")
    try:
        found = [str(name) for (name,) in client.query(ALL).result_rows]
    finally:
        client.close()
    outside = {name for name in found if OUTSIDE.fullmatch(name)}
    return [name for name in found if name not in outside], sorted(outside)


def main() -> None:
    allowed, outside = functions()
    path = Path(str(files("threadline.questions") / LIST))
    path.write_text("\n".join(allowed) + "\n")
    print(f"{len(allowed)} functions are in {path.name}, {len(outside)} are not.")


if __name__ == "__main__":
    main()
