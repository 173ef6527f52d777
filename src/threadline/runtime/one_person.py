"""Everything that is stored of one person, as a ZIP of JSON and CSV: what forgetting them would
take, and what tells of them besides."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast
from zipfile import ZIP_DEFLATED, ZipFile

from threadline.contract.errors import NotFound
from threadline.contract.times import format_ms, now_ms
from threadline.control import Project
from threadline.enrich import address_hash
from threadline.identity.resolution import PROJECT, TOUCH_TYPE
from threadline.ingest import dead_letters, row
from threadline.ingest.dead_letters import Whose
from threadline.ingest.forget_plan import EVENTS, Share
from threadline.ingest.forget_search import find
from threadline.ingest.log import ForgetRequest, open_db
from threadline.runtime.services import Services

IN_MEMORY_BYTES = 8 * 1024**2
Table = Sequence[Mapping[str, Any]]

OF_USERS = "user_id IN {users:Array(String)}"
COLUMNS = ", ".join({"ip_hash": "hex(ip_hash) AS ip_hash"}.get(name, name) for name in row.COLUMNS)
ALL_EVENTS = f"SELECT {COLUMNS} FROM events WHERE {EVENTS} ORDER BY timestamp, event_id"
# (file, what is in it, statement); what a server made of the ids is of no use to anybody.
TABLES = (
    (
        "devices",
        "On which devices the person was seen, and whether somebody else was, too.",
        f"""
        SELECT user_id, any(anonymous_id) AS anonymous_id, min(first_seen) AS first_seen,
            max(last_seen) AS last_seen, is_bot,
            visitor IN {{shared:Array(UInt64)}} AS shared_with_others
        FROM links
        WHERE {PROJECT} AND {OF_USERS}
        GROUP BY user_id, visitor, is_bot
        ORDER BY first_seen, anonymous_id""",
    ),
    (
        "first_touches",
        "The first event that carried each id, and where it came from.",
        f"""
        SELECT t.user_id AS user_id, t.is_bot AS is_bot, t.known_since AS known_since,
            t.touch.timestamp AS timestamp, t.touch.event_id AS event_id, s.source AS source,
            s.medium AS medium, s.campaign AS campaign, s.channel AS channel
        FROM (
            SELECT user_id, is_bot, min(known_since) AS known_since,
                min(first_touch::{TOUCH_TYPE}) AS touch
            FROM user_touches
            WHERE {PROJECT} AND {OF_USERS}
            GROUP BY user_id, is_bot
        ) AS t
        LEFT JOIN (
            SELECT traffic_source, any(source) AS source, any(medium) AS medium,
                any(campaign) AS campaign, any(channel) AS channel
            FROM traffic_sources
            WHERE {PROJECT}
            GROUP BY traffic_source
        ) AS s ON s.traffic_source = t.touch.traffic_source
        ORDER BY user_id""",
    ),
    (
        "traits",
        "What was said last of the person by identify.",
        f"""
        SELECT user_id, trait, max(said).at AS said_at, max(said).value AS value
        FROM traits
        WHERE {PROJECT} AND {OF_USERS}
        GROUP BY user_id, trait
        ORDER BY user_id, trait""",
    ),
    (
        "accounts",
        "In which accounts the person was seen.",
        f"""
        SELECT account_id, user_id, min(timestamp) AS first_seen, max(timestamp) AS last_seen
        FROM account_links
        WHERE {PROJECT} AND (
            {OF_USERS} OR (user_id = '' AND visitor IN {{untagged:Array(UInt64)}})
        )
        GROUP BY account_id, user_id
        ORDER BY account_id, user_id""",
    ),
    (
        "alias_decisions",
        "Which ids somebody declared to be the same person, and took back; by which key.",
        f"""
        SELECT user_id, alias_of, decided_at, decided_by FROM alias_decisions
        WHERE {PROJECT} AND ({OF_USERS} OR alias_of IN {{users:Array(String)}})
        ORDER BY decided_at""",
    ),
    (
        "unlinks",
        "Which devices somebody took from the person, and gave back; by which key.",
        f"""
        SELECT anonymous_id, user_id, unlinked, decided_at, decided_by FROM unlinks
        WHERE {PROJECT} AND {OF_USERS}
        ORDER BY decided_at""",
    ),
    (
        "account_unlinks",
        "Which accounts somebody took from the person, and gave back; by which key.",
        f"""
        SELECT account_id, user_id, anonymous_id, unlinked, decided_at, decided_by
        FROM account_unlinks
        WHERE {PROJECT} AND ({OF_USERS} OR visitor IN {{untagged:Array(UInt64)}})
        ORDER BY decided_at""",
    ),
)
README = """\
Everything that is stored of {user_id} in the project {project}, at {at}.

These ids are one person: {users}.

What is here is what forgetting the person would delete:
- every event that carries one of these ids, on whatever device;
- what carries no id on devices that only this person was ever seen on;
- what follows from these events, and what people decided about the ids.

{shared}

Each file is there as JSON and as CSV. Times are UTC. Hashes that Threadline joins by follow from
the ids and are left out; ip_hash cannot be turned back into an address.

{files}
"""
ALONE = "No device of theirs is shared with anybody else."
SHARED = """\
On these devices others were seen, too: {devices}.
What happened there without an id may be anybody's: it is not here, and answers give it to one of
them by the policy that is asked for (the project's default: {stitch})."""


def write(services: Services, project: Project, user_id: str, target: IO[bytes]) -> int:
    """Write the ZIP; how many events are in it. Everything acknowledged has to be in the store.

    Raises `NotFound` where nothing is stored of them, or `StoreError`."""
    project_id = project.project_id
    found = find(
        services.store, services.log.id_key, [ForgetRequest("", project_id, user_id=user_id)]
    )
    (share,), (whose,) = found.shares, found.letters
    users = sorted(whose.users)
    tables = _tables(services, share, users)
    tables |= _of_log(services, project_id, users, whose)
    if not any(tables.values()) and not found.events[""]:
        raise NotFound(f"Nothing is stored of {user_id!r} in this project.")
    shared = [each["anonymous_id"] for each in tables["devices"] if each["shared_with_others"]]
    files = [("events", "All events, with all columns.", found.events[""])]
    files += [(name, what, len(tables[name])) for name, what in _said()]
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        archive.writestr(
            "README.txt",
            README.format(
                user_id=user_id,
                project=project.name,
                at=format_ms(now_ms()),
                users=", ".join(users),
                shared=_of_shared(shared, project),
                files="\n".join(f"{name}: {rows:,}. {what}" for name, what, rows in files),
            ),
        )
        _write_events(services, share, archive)
        for name, rows in tables.items():
            archive.writestr(f"{name}.json", json.dumps(rows, indent=2, ensure_ascii=False))
            archive.writestr(f"{name}.csv", _csv(rows))
    return found.events[""]


def _tables(services: Services, share: Share, users: list[str]) -> dict[str, Table]:
    params = {
        "project_id": share.project_id,
        "users": users,
        "shared": share.shared,
        "untagged": share.untagged,
    }
    return {
        name: [
            json.loads(line)
            for line in services.store.query_bytes(sql, params, "JSONEachRow").splitlines()
        ]
        for name, _, sql in TABLES
    }


def _of_log(
    services: Services, project_id: str, users: list[str], whose: Whose
) -> dict[str, Table]:
    """Events that the store refused, and requests to forget one of the ids."""
    hashes = [address_hash(services.control.pepper, project_id, user) for user in users]
    with closing(open_db(Path(services.settings.data))) as db:
        letters = [
            {"reason": letter.reason, "refused_at": format_ms(letter.refused_ms), **columns}
            for letter in dead_letters.listed(db, project_id)
            if (body := dead_letters.body(db, letter.letter_id))
            and whose.covers(columns := dict(row.by_column(body)))
        ]
        marks = ", ".join("?" * len(hashes))
        receipts = [
            {
                "receipt_id": receipt_id,
                "accepted_at": format_ms(accepted),
                "events": events,
                "hidden_at": hidden and format_ms(hidden),
                "erased_at": erased and format_ms(erased),
            }
            for receipt_id, accepted, events, hidden, erased in db.execute(
                "SELECT receipt_id, accepted_ms, events, finished_ms, erased_ms FROM receipts"
                f" WHERE project_id = ? AND id_hash IN ({marks}) ORDER BY accepted_ms",
                (project_id, *hashes),
            )
        ]
    for letter in letters:
        letter["ip_hash"] = cast(bytes, letter["ip_hash"]).hex()
    return {"dead_letters": letters, "receipts": receipts}


def _said() -> list[tuple[str, str]]:
    return [
        *((name, what) for name, what, _ in TABLES),
        ("dead_letters", "Events that the store refused, with the reason."),
        ("receipts", "Requests to forget one of the ids; of whom is kept as a keyed hash only."),
    ]


def _of_shared(devices: list[str], project: Project) -> str:
    if not devices:
        return ALONE
    return SHARED.format(
        devices=", ".join(devices), stitch=project.stitch or "that of each question"
    )


def _write_events(services: Services, share: Share, archive: ZipFile) -> None:
    slices = list(share.slices())
    with archive.open("events.json", "w", force_zip64=True) as file:
        file.write(b"[")
        before = b"\n"
        for params in slices:
            for line in services.store.query_bytes(ALL_EVENTS, params, "JSONEachRow").splitlines():
                file.write(before + line)
                before = b",\n"
        file.write(b"\n]\n")
    with archive.open("events.csv", "w", force_zip64=True) as file:
        format_ = "CSVWithNames"
        for params in slices:
            file.write(services.store.query_bytes(ALL_EVENTS, params, format_))
            format_ = "CSV"


def _csv(rows: Table) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
