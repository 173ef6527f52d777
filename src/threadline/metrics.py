"""What the server counts of itself, for `GET /metrics` in Prometheus' text format."""

from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

INSERT_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One set of counters a server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.accepted = self._counter("events_accepted", "Events acknowledged, by route.", "route")
        self.rejected = self._counter("requests_rejected", "Ingest requests refused.", "code")
        self.warned = self._counter(
            "events_warned", "Warnings: parts of events that were changed or ignored.", "reason"
        )
        self.bots = self._counter(
            "bot_events", "Events stored as a bot's, by the kind of bot.", "reason"
        )
        self.dropped = self._counter(
            "events_dropped",
            "Events rejected from a batch whose other events were stored.",
            "reason",
        )
        self.dropped_by_senders = self._counter(
            "events_dropped_by_senders",
            "Events that browsers dropped because their queue was full.",
        )
        self.placeholders = self._counter(
            "placeholder_ids", "Placeholder ids that were dropped or refused."
        )
        self.duplicates = self._counter(
            "events_duplicate", "Events not stored because their event_id was stored before."
        )
        self.written = self._counter("events_written", "Events written to the store.")
        self.dead_letters = self._gauge("dead_letters", "Events that the store refuses.")
        self.forgets = self._gauge("forgets_pending", "Requests to forget not yet carried out.")
        self.unfinished_work = self._gauge(
            "unfinished_work", "Rebuilds and reclassifies under way, or interrupted."
        )
        self.forgets_on_disk = self._gauge(
            "forgets_on_disk",
            "Requests to forget whose events are in no answer any more, but still on the disk.",
        )
        self.backup_at = self._gauge(
            "last_backup_timestamp_seconds", "Time of the latest backup that the server made."
        )
        self.backup_failures = self._counter("backup_failures", "The server's backups that failed.")
        self.expired = self._counter(
            "events_expired", "Events older than their projects keep them."
        )
        self.retention_ran = self._gauge(
            "retention_ran_timestamp_seconds",
            "When retention last ran for the project that has waited longest; 0: never.",
        )
        self.write_failures = self._counter(
            "write_failures", "Failed attempts to write to the store.", "kind"
        )
        self.logs_lost = self._gauge("logs_lost", "Logs that were lost, replaced or cut so far.")
        self.log_events = self._gauge("log_events", "Acknowledged events not yet in the store.")
        self.log_bytes = self._gauge(
            "log_bytes", "Bytes of acknowledged events not yet in the store."
        )
        self.lag_s = self._gauge("writer_lag_seconds", "Age of the oldest event not in the store.")
        self.nodes_away = self._gauge(
            "nodes_away",
            "Other nodes that are silent and may have events that are not in the store.",
        )
        self.store_up = self._gauge("store_up", "1: the last write to the store succeeded.")
        self.control_up = self._gauge(
            "control_up", "1: projects and keys could be read at the last attempt."
        )
        self.sql = self._counter("sql_questions", "SQL queries, by how they ended.", "outcome")
        self.sign_ins = self._counter(
            "sign_ins", "Attempts to sign in to the dashboard, by how they ended.", "outcome"
        )
        self.busy = self._counter("questions_busy", "Questions refused: too many at once.")
        self.behind_proxy = self._counter(
            "forwarded_unread",
            "Requests by a proxy while THREADLINE_CLIENT_ADDRESS_HEADER is empty: all visitors have"
            " the proxy's address.",
        )
        self.body_bytes = self._gauge("body_bytes", "Memory held by large request bodies.")
        self.insert_s = Histogram(
            "threadline_insert_seconds",
            "Time of one block's insert into the store.",
            buckets=INSERT_BUCKETS_S,
            registry=self._registry,
        )

    def count_warnings(self, reasons: Iterable[str]) -> None:
        """One for each warning, by its code."""
        for reason, times in Tally(reasons).items():
            self.warned.labels(reason).inc(times)

    def count_bots(self, reasons: Iterable[str]) -> None:
        """One for each event that is stored as a bot's, by which kind it is."""
        for reason, times in Tally(reasons).items():
            self.bots.labels(reason).inc(times)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"threadline_{name}", meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"threadline_{name}", meaning, registry=self._registry)
