"""Statements on a cluster: what follows from one visitor's events is made where these are.

All that is of a visitor lies on one shard. So a relation whose joins and groups are all by visitor
is the sum of what each shard makes of its own rows, by the same text. Only what comes out of it
travels; where it is summed up at once, only sums do. People are of several visitors, and meet where
the question was asked.

Of people, those who are nobody's are of one visitor. A question that counts them says in a relation
of its own, `finished`, what each shard makes of its rows, and sums these up (see
`questions/finished`).
"""

import re
from collections.abc import Callable, Mapping
from textwrap import indent

from threadline.identity.compose import NAMED, compose, defined

# As long as all that they name is by visitor, too (see `relations`, `stitch`, `visits`). Each shard
# has the names of all traffic sources that its own events come from.
BY_VISITOR = frozenset(
    """
    counted_events considered user_links observed_events observations ownership user_ownership
    device_states devices shared_devices decided_devices
    stretches known_stretches telling_stretches event_stretches page_stretches person_stretches
    changing_half_hours changing_events in_order visits all_visits met events_met in_visits
    owners first_owners last_owners device_owners person_events owned_events
    chosen_visits met_visits events_of_visits
    untagged_touches tagged_touches owned_touches owned_touch_times nobodys_touches
    links_then half_hours_then visitor_touches_then user_touches_then
    counted begun people_here ways_here walks_here finished named_sources
    """.split()
)
# And those of single conditions (`narrowing`): who did what, and what was before it was narrowed.
OF_CONDITION = re.compile(r"(?:done|doers)_\w+")
EVERY = "every_"

READ = re.compile(r"\b(FROM|JOIN)\s+(\w+)\b(?!\s*[.(])(?:\s+AS\s+(\w+))?")
JOINED = re.compile(r"\bJOIN\b")
# A join, or IN, of two that lie on all shards was forgotten here, and would be made of everything
# everywhere: the engine refuses it.
GUARD = "\nSETTINGS distributed_product_mode = 'deny'"
# What is looked for among rows of all shards is found out once, and sent to each.
AMONG = re.compile(r"\b((?:NOT )?IN \(\s*SELECT)\b")


def on_shards(sql: str, cluster: str, local: str) -> str:
    """The statement (see `compose`), in which shards make what is by visitor. `cluster`: their
    name; `local`: the database in which each has its own tables."""
    relations, asked = defined(sql)
    here = _by_visitor(relations)
    # What reads no table is the same on every shard.
    everywhere = {name for name, body in here.items() if not NAMED.search(body)}
    of_shard = {name: READ.sub(_in_database(local, here), body) for name, body in here.items()}

    def sent(text: str) -> str:
        def read(found: re.Match[str]) -> str:
            before, name, alias = found.groups()
            if name not in here or name in everywhere:
                return found[0]
            body = indent(compose(f"SELECT * FROM {name}", of_shard), "    ")
            rows = f"cluster('{cluster}', view(\n{body}\n))"
            # A join is made here: its other side would be sent to every shard.
            rows = f"(SELECT * FROM {rows})" if JOINED.search(text) else rows
            return f"{before} {rows} AS {alias or name}"

        return AMONG.sub(r"GLOBAL \1", READ.sub(read, text))

    left = relations.keys() - (here.keys() - everywhere)
    return compose(sent(asked), {name: sent(relations[name]) for name in left}) + GUARD


def _by_visitor(relations: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, body in relations.items():  # each behind what it stands on
        known = name.removeprefix(EVERY) in BY_VISITOR or OF_CONDITION.fullmatch(name)
        if known and all(other in found for other in NAMED.findall(body) if other in relations):
            found[name] = body
    return found


def _in_database(database: str, relations: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def qualified(found: re.Match[str]) -> str:
        read, table = found[0], found[2]
        return read if table in relations else read.replace(table, f"{database}.{table}", 1)

    return qualified
