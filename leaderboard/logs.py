"""How the service logs: one line of key and value each, to stderr."""

import sys

import structlog


def configure() -> None:
    """Set logging up for this process.

    Tracebacks are plain: structlog's own choice, where it finds rich, is to print the value of
    every local variable as well, and those are people's tokens and passwords.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
