"""Text from outside, made fit for a database column and a log line."""


def plain(text: str, limit: int) -> str:
    """At most `limit` characters, control characters replaced: PostgreSQL refuses NUL."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])
