"""Words of a contestant's program, made safe to show: a terminal obeys some characters."""

import re

_CONTROL = re.compile(
    r"\x1b\[[0-9;]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|[^\x20-\x7e\n\t\u00a0-\ud7ff\ue000-\U0010ffff]"
)
_HIDDEN = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ue000-\uf8ff]")


def plain(data: bytes) -> str:
    """Decoded, without control characters, escape sequences and characters that cannot be seen."""
    return _HIDDEN.sub("", _CONTROL.sub("", data.decode("utf-8", "replace")))
