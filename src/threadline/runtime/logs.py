"""The log on stderr: one JSON object a line, or something readable where a person watches."""

import logging
import os

import structlog

# They tell of each attempt, in their own words; that the store is away is said once, by us.
SILENT = ("urllib3", "clickhouse_connect")


class _Passed(logging.Handler):
    """Lines of libraries, in the form of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger("threadline")
        logger.log(record.levelno, "library", library=record.name, message=record.getMessage())


def log_to_stderr(least: int = logging.INFO) -> None:
    """From now on, and from this level on."""
    level = max(least, logging.WARNING)
    logging.basicConfig(level=level, handlers=[_Passed()], force=True)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    person = os.isatty(2)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if person else "iso", utc=not person),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if person else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(file=open(2, "w", closefd=False)),  # noqa: SIM115
    )
