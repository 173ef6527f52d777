"""Loading the demo log into a running server, over HTTP, as everybody's events come."""

import threading
import time
from collections import defaultdict
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from threadline.cli.demo_log import DAYS, DemoLog, DemoPerson, Event
from threadline.cli.demo_money import rates
from threadline.cli.opening import open_store
from threadline.cli.server import Server
from threadline.contract.bodies import MAX_BATCH_EVENTS
from threadline.ingest.exchange_rates import RatesFile, save
from threadline.settings import Settings

# As a proxy says where a visitor is.
COUNTRY_HEADER = "X-Demo-Country"


class DemoNotes(msgspec.Struct):
    """What a second start needs to know. The keys are of a demo, so they may lie here."""

    keys: dict[str, str]
    events: int
    visitors: int
    users: int
    seed: int
    until_ms: int
    loaded: bool = False
    user_id: str = ""
    # What the user does that is worth asking about.
    conversion: str = "signup"
    # What the server has of the events.
    stored: int = 0


def load_rates(chosen: Settings, folder: Path, notes: DemoNotes) -> None:
    """Exchange rates for the days of the log; the same as `threadline rates import` of the file
    that this leaves in the folder. Raises `StoreError`, `ServerStarting`, `OSError`."""
    path = folder / "rates.csv"
    path.write_text(rates(notes.seed, DAYS, notes.until_ms))
    with open_store(chosen) as store:
        save(store, RatesFile(path).read())


def load(url: str, notes: DemoNotes, stopped: threading.Event, console: Console) -> bool:
    """Post the log in batches, as a server that passes on what browsers send. False if stopped
    before the end. Raises `ApiError`."""
    log = DemoLog(notes.events, notes.visitors, notes.users, notes.seed, notes.until_ms)
    columns = (
        TextColumn("Loading events"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("load", total=notes.events, rate="")
        started = time.monotonic()

        def progressed(sent: int) -> None:
            rate = f"{sent / (time.monotonic() - started):,.0f} events/s"
            progress.update(bar, completed=sent, rate=rate)

        batches = _Batches(Server(url, notes.keys["sk"]))
        shown = 0
        for person in log.people():
            if stopped.is_set():
                return False
            if (worth := _worth_showing(person)) > shown:
                shown = worth
                notes.user_id = person.user_id or ""
                notes.conversion = "purchase" if worth > 1 else "signup"
            if batches.add(person):
                progressed(batches.sent)
        batches.post_all()
        progressed(batches.sent)
    return True


class _Batches:
    """What is waiting to be sent, by country: one request has one. Our own server is in none."""

    def __init__(self, server: Server) -> None:
        self.sent = 0
        self._server = server
        self._waiting: dict[str, list[Event]] = defaultdict(list)

    def add(self, person: DemoPerson) -> bool:
        """Whether something was sent."""
        before = self.sent
        for agent, event in person.sent:
            country = person.country if agent else ""
            self._waiting[country].append(event | {"user_agent": agent} if agent else event)
            if len(self._waiting[country]) == MAX_BATCH_EVENTS:
                self._post(country)
        return self.sent > before

    def post_all(self) -> None:
        for country in list(self._waiting):
            self._post(country)

    def _post(self, country: str) -> None:
        events = self._waiting.pop(country)
        body = msgspec.json.encode({"events": events})
        self._server.post("/v1/batch", body, {COUNTRY_HEADER: country} if country else {})
        self.sent += len(events)


def count(url: str, key: str, stopped: threading.Event) -> int:
    """Events that questions see, once all that were sent are among them. Raises `OSError`."""
    server = Server(url, key)
    while not stopped.is_set():
        reply = server.reply("/v1/stats?metric=count&include_bots=true")
        if reply.status == 200 and not reply.headers.get("Threadline-Stale"):
            return int(reply.json()["rows"][0]["value"])
    raise OSError("stopped")


def _worth_showing(person: DemoPerson) -> int:
    """1: an ad on one day, a signup on another, and a second device. 2: and a purchase."""
    if len(person.devices) < 2 or "utm_medium=cpc" not in person.sent[0].event["url"]:
        return 0
    known = next((event for _, event in person.sent if "user_id" in event), None)
    if known is None or known["timestamp"][:10] == person.sent[0].event["timestamp"][:10]:
        return 0
    return 2 if any(event["event"] == "purchase" for _, event in person.sent) else 1
