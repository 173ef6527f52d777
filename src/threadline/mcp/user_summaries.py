"""What is said of users and accounts, and of whose events are whose."""

from collections.abc import Callable, Mapping

from threadline.contract.words import counted
from threadline.mcp.api import Json
from threadline.mcp.words import (
    SHOWN,
    day,
    leads_on,
    listed,
    more,
    name,
    number,
    seconds,
    sentence,
    share,
    some,
    touch,
)


def _users(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No users match."
    first = [
        f"{name(row['user_id'])}, first by {name(row['first_touch']['source'])}/"
        f"{name(row['first_touch']['medium'])}"
        for row in rows[:SHOWN]
        if "first_touch" in row and "user_id" in row
    ]
    return sentence(
        [f"{counted(len(rows), 'user')}.", f"{'; '.join(first)}." * bool(first), leads_on(found)]
    )


def _first_touch(found: Json, arguments: Json) -> str:
    devices = counted(len(found["devices"]), "device")
    said = [f"{name(key)} {name(value)}" for key, value in found["traits"].items()]
    traits = f"{listed(said[:5])}{more(said, 5)}"
    return sentence(
        [
            f"{name(found['user_id'])} first came by {touch(found['first_touch'])}, and is known "
            f"since {found['known_since']}.",
            f"The last touch was {touch(found['last_touch'])}.",
            f"Seen on {devices}.",
            f"Traits: {traits}." if traits else "",
        ]
    )


def _journey(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No events in this part of the journey."
    steps = " → ".join(
        name(row["path"] if row["event_name"] == "$pageview" and row["path"] else row["event_name"])
        for row in rows[:8]
    )
    return (
        f"{counted(len(rows), 'event')}, known since {found['known_since']}: {steps}"
        f"{' → …' if len(rows) > 8 else ''}.{leads_on(found)}"
    )


def _accounts(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    shown = listed(
        [f"{name(row['account_id'])} ({counted(row['people'], 'person', 'people')})"
         for row in rows[:SHOWN]]
    )  # fmt: skip
    return f"{some(found, 'account')}: {shown}{more(rows)}." if rows else "No accounts."


def _account(found: Json, arguments: Json) -> str:
    return (
        f"{name(found['account_id'])} has {counted(found['people'], 'person', 'people')} and "
        f"{counted(found['events'], 'event')}, first seen {day(found['first_seen'])}, last "
        f"{day(found['last_seen'])}. It first came by {touch(found['first_touch'])}."
    )


def _identity_stats(found: Json, arguments: Json) -> str:
    return (
        f"{counted(found['persons'], 'person', 'people')}, {found['users']:,} of them known users "
        f"({share(found['known_share'])}), with {number(found['devices_per_user'])} devices each "
        f"on average; {counted(found['shared_devices'], 'shared device')}; it takes "
        f"{seconds(found['median_seconds_to_known'])} (median) until somebody is known."
    )


def _shared_devices(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No device was seen with more than one user."
    most = rows[0]
    return (
        f"{some(found, 'device')} with more than one user; the busiest, "
        f"{name(most['anonymous_id'])}, with {counted(len(most['users']), 'user')} and "
        f"{counted(most['events'], 'event')}."
    )


def _suspicious(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No user is on unusually many devices, and no device has unusually many users."
    shown = listed(
        [
            f"{row['kind']} {name(row['id'])} with {row['count']:,} "
            f"{'devices' if row['kind'] == 'user' else 'users'}"
            for row in rows[:SHOWN]
        ]
    )
    return f"Unusual: {shown}{more(rows)}."


def _likely_duplicates(found: Json, arguments: Json) -> str:
    rows = found["rows"]
    if not rows:
        return "No two users have the same e-mail address."
    shown = "; ".join(
        f"{name(row['email'])}: {listed([name(user['user_id']) for user in row['users'][:4]])}"
        f"{more(row['users'], 4)}"
        for row in rows[:SHOWN]
    )
    return f"{some(found, 'address', 'addresses')} of several users: {shown}{more(rows)}."


def _explain(found: Json, arguments: Json) -> str:
    said = "; ".join(
        f"{policy}: {listed([*map(name, owner['owners'])]) or 'nobody'}, {owner['because']}"
        for policy, owner in found["policies"].items()
    )
    return f"At {found['at']} on {name(found['anonymous_id'])}, by policy: {said}."


SUMMARIES: Mapping[str, Callable[[Json, Json], str]] = {
    "users": _users,
    "first_touch": _first_touch,
    "user_journey": _journey,
    "accounts": _accounts,
    "account": _account,
    "identity_stats": _identity_stats,
    "shared_devices": _shared_devices,
    "suspicious": _suspicious,
    "likely_duplicates": _likely_duplicates,
    "explain_identity": _explain,
}
