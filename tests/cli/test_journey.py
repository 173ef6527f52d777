"""The journey as it is drawn, character by character: threads, ties, zone, amounts."""

from typing import Any

import pytest
from rich.cells import cell_len

from tests.cli.test_commands import fails, ok
from tests.support import Json, Project, Server
from threadline.cli import journey
from threadline.cli.user import _zone

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)
TWO_DEVICES = """
  ┊     Sunday 1 November 2026
  ┊     09:00  $pageview  facebook / paid   /
  ┢━━ phone is u ━━
  ┃     10:00  $identify                    /login
  ┃     23 hours later
  ┃  ┊  Monday 2 November 2026
  ┃  ○  09:00  $pageview  google / organic  /pricing
  ┣━━┻━━ laptop is u ━━
  ┃     10:00  $identify                    /login    plan=pro
"""
# The first one tied is not the first one seen; one thread is crossed by another's tie; one device
# was never anonymous; one event has no device.
MANY_DEVICES = """
     ┊     Sunday 1 November 2026
     ┊     08:00  $pageview                    /
  ○  ┊     09:00  $pageview     google / paid  /
  ┊  ┊  ○  09:30  $pageview                    /blog
  ┢━━ mob is u ━━
  ●  ┊  ┊  10:00  signup                       /signup
  ┃  ┊  ┊  1 day 1 hour later
  ┃  ┊  ┊  Monday 2 November 2026
  ●  ┊  ┊  11:00  invoice_paid                          4,900 USD
  ┣━━┿━━┻━━ work is u ━━
  ●  ┊     12:00  $identify                    /login
  ┃  ┊     1 day later
  ┃  ┊     Tuesday 3 November 2026
  ┣━━┻━━ tab is u ━━
  ┃        12:00  $identify                    /login
  ┃        13:00  $pageview                    /app
  ┣━━ new is u ━━
  ┃        14:00  $pageview                    /app
"""
SERVER_ONLY = """
solo

  first touch   direct, Sunday 1 November 2026, 22:55
  known since   Sunday 1 November 2026, 22:55
  last seen     Sunday 1 November 2026, 22:55
  times         UTC

  ┃  Sunday 1 November 2026
  ┃  22:55  purchase  49.5 EUR order=A-17
"""


def row(device: str, at: str, user_id: str | None = None, **fields: Any) -> Json:
    """As the journey answers it: a page view, but for these fields."""
    plain = {"event_name": "$pageview", "url": "", "source": "direct", "medium": "direct"}
    unknown = dict.fromkeys(("device_type", "browser", "os"), "")
    event = {"anonymous_id": device, "user_id": user_id, "timestamp": f"2026-11-{at}:00.000Z"}
    return {**plain, **unknown, **event, "properties": "{}", **fields}


def drawn(rows: list[Json], devices: list[str], width: int = 100, tz: str = "UTC") -> str:
    profile = {"user_id": "u", "devices": [{"anonymous_id": device} for device in devices]}
    lines = journey.draw(profile, {"rows": rows}, _zone(tz), width)
    assert all(cell_len(line.plain) <= width for line in lines)
    return "\n" + "".join(f"{line.plain}\n" for line in lines)


def story(project: Project, *events: Json, agent: str = "") -> None:
    project.batch([{**event, "user_agent": agent} for event in events])


def told(server: Server, project: Project, user: str, *options: str) -> str:
    where = ["--data", str(server.folder), "--project", project.project_id]
    return ok("user", user, *where, *options)


def event(device: str | None, at: str, path: str | None = None, **fields: object) -> Json:
    sent: Json = {"event": "$pageview", "timestamp": f"2026-11-{at}:00Z", **fields}
    if device:
        sent["anonymous_id"] = device
    if path:
        sent["url"] = f"https://shop.example{path}"
    return sent


def test_two_devices_have_two_ties(server: Server, project: Project) -> None:
    story(
        project,
        event("phone", "01T09:00", "/?utm_source=facebook&utm_medium=cpc"),
        event("phone", "01T10:00", "/login", event="$identify", user_id="u"),
        event("laptop", "02T09:00", "/pricing", referrer="https://www.google.com/"),
        event("laptop", "02T10:00", "/login", event="$identify", user_id="u",
              properties={"plan": "pro"}),
    )  # fmt: skip
    assert told(server, project, "u").endswith(f"\n{TWO_DEVICES}\n")


def test_many_devices_of_which_one_is_tied_first(server: Server, project: Project) -> None:
    story(
        project,
        event("tab", "01T08:00", "/"),
        event("mob", "01T09:00", "/?gclid=x"),
        event("work", "01T09:30", "/blog"),
        event("mob", "01T10:00", "/signup", event="signup", user_id="u"),
        event(None, "02T11:00", event="invoice_paid", user_id="u",
              properties={"amount": 4900, "currency": "USD"}),
        event("work", "02T12:00", "/login", event="$identify", user_id="u"),
        event("tab", "03T12:00", "/login", event="$identify", user_id="u"),
        event("work", "03T13:00", "/app"),
        event("new", "03T14:00", "/app", user_id="u"),
    )  # fmt: skip
    assert told(server, project, "u").endswith(f"\n{MANY_DEVICES}\n")


def test_a_user_without_a_device_has_no_tie(server: Server, project: Project) -> None:
    story(
        project,
        event(None, "01T22:55", event="purchase", user_id="solo",
              properties={"order": "A-17", "value": 49.5, "currency": "EUR"}),
    )  # fmt: skip
    assert told(server, project, "solo") == f"{SERVER_ONLY}\n"


def test_a_device_after_the_server_spoke_first(server: Server, project: Project) -> None:
    story(
        project,
        event(None, "01T08:00", event="imported", user_id="u"),
        event("d", "01T09:00", "/"),
        event("d", "01T10:00", "/", event="$identify", user_id="u"),
    )
    lines = told(server, project, "u").splitlines()
    assert lines[-6:-1] == [
        "  ┃     Sunday 1 November 2026",
        "  ┃     08:00  imported",
        "  ┃  ○  09:00  $pageview  /",
        "  ┣━━┻━━ d is u ━━",
        "  ┃     10:00  $identify  /",
    ]


def test_times_are_those_of_the_zone(server: Server, project: Project) -> None:
    story(
        project,
        event("d", "01T22:30", "/"),
        event("d", "01T23:30", "/login", event="$identify", user_id="u"),
    )
    utc = told(server, project, "u")
    assert "times         UTC" in utc
    assert "┃  23:30" in utc
    berlin = told(server, project, "u", "--tz", "Europe/Berlin")
    assert "times         Europe/Berlin" in berlin
    assert "┊  Sunday 1 November 2026\n  ┊  23:30" in berlin
    assert "┃  00:30" in berlin
    assert "first touch   direct, Sunday 1 November 2026, 23:30, /" in berlin
    assert "known since   Monday 2 November 2026, 00:30, 1 hour later" in berlin
    for zone in ("Mars/Olympus", "", "../etc/passwd", "Europe"):
        message = fails("user", "u", "--tz", zone, "--data", str(server.folder))
        assert f"--tz {zone}: there is no such time zone" in message


def test_browsers_are_shown_and_programs_are_not(server: Server, project: Project) -> None:
    story(project, event("d", "01T09:00", "/", user_id="u"), agent=PHONE)
    story(project, event("d", "01T10:00", "/a", user_id="u"), agent="Python-urllib/3.11")
    story(project, event("d", "01T11:00", "/b", user_id="u"), agent="curl/8.14.1")
    lines = told(server, project, "u").splitlines()
    assert "mobile" in lines[-4]
    assert [line.rstrip()[-2:] for line in lines[-3:-1]] == ["/a", "/b"]


@pytest.mark.parametrize(
    ("properties", "shown"),
    [
        ('{"value":1234.5,"currency":"EUR"}', "1,234.5 EUR"),
        ('{"plan":"pro","revenue":10,"currency":"USD"}', "10 USD plan=pro"),
        ('{"value":49}', "value=49"),
        ('{"currency":"EUR","value":"49"}', "currency=EUR value=49"),
        ('{"value":true,"currency":"EUR"}', "value=true currency=EUR"),
        ('{"gclid":"x","fbclid":"y"}', ""),
        ('{"a":null,"b":[1,"ü"]}', 'a=null b=[1, "ü"]'),
        ('{"note":"0123456789012345678901234567890"}', "note=012345678901234567890123456…"),
        ("[1]", ""),
        ("no JSON", ""),
        ("", ""),
    ],
)
def test_properties_are_short(properties: str, shown: str) -> None:
    (line,) = drawn([row("d", "01T09:00", "u", properties=properties)], []).splitlines()[2:]
    assert line == f"  ┃  09:00  $pageview  {shown}".rstrip()


def test_lines_are_cut_to_the_terminal() -> None:
    long = {"event_name": "e" * 60, "url": f"https://x.example/{'p' * 60}", "source": "s" * 60}
    rows = [
        row("a", "01T08:00", **long),
        row("b", "01T09:00", **long),
        row("a", "01T10:00", "u", properties='{"text":"' + "漢" * 60 + '"}', **long),
    ]
    for width in (40, 60, 80, 130):
        assert "…" in drawn(rows, ["a", "b"], width)
    at_80 = drawn(rows, ["a", "b"], 80).splitlines()[2]
    assert at_80.startswith("  ┊     08:00  eeeeeeeeeeeee…")


def test_texts_of_strangers_do_not_move_the_cursor() -> None:
    text = "\x1b[2J\r\n\u202e[bold]x"
    fields = {"event_name": text, "source": text, "url": f"https://x.example/{text}"}
    shown = drawn([row(text, "01T09:00", "u", properties='{"a\\u001b":"\\u001b[0m"}', **fields)],
                  [text])  # fmt: skip
    assert not [letter for letter in shown if letter != "\n" and not letter.isprintable()]
    assert "·[2J···[bold]x is u" in shown


def test_more_devices_than_there_is_room_for() -> None:
    devices = [f"d{number}" for number in range(12)]
    rows = [row(device, f"01T08:{n:02}") for n, device in enumerate(devices)]
    rows += [row(device, f"01T09:{n:02}", "u") for n, device in enumerate(devices)]
    shown = drawn(rows, devices)
    for device in devices:
        assert shown.count(f"━━ {device} is u ━━") == 1


def test_a_device_that_is_tied_later_than_what_is_shown() -> None:
    shown = drawn([row("a", "01T08:00"), row("b", "01T09:00"), row("a", "01T10:00")], ["a", "b"])
    assert (
        shown
        == """
  ┊     Sunday 1 November 2026
  ┊     08:00  $pageview
  ┊  ○  09:00  $pageview
  ○  ┊  10:00  $pageview
"""
    )
    assert drawn([row("a", "01T08:00")], ["a"]).endswith("\n  ┊  08:00  $pageview\n")
    assert drawn([], ["a"]) == "\n"
