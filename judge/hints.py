"""The "did you mean" part of an error message."""

from collections.abc import Iterable

_LONGEST = 100  # characters of a word worth comparing: strangers can send megabytes
_NEAR = 0.4  # edits per character of the longer word, up to which it is taken for a slip


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause to append to a message: the nearest known word, or all of them.

    Args:
        word: what was written.
        known: what could have been meant.
    """
    words = sorted(known)
    if not words or len(word) > _LONGEST:
        return ""
    nearest = min(words, key=lambda candidate: _edits(word, candidate))
    if _edits(word, nearest) <= _NEAR * max(len(word), len(nearest)):
        return f"; did you mean `{nearest}`?"
    return f"; known: {', '.join(words)}"


def shorten(text: str) -> str:
    """The text, cut to what an error message can bear."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _edits(one: str, other: str) -> int:
    """Letters to insert, delete, replace or swap with their neighbour.

    difflib's ratio is for longer texts: it takes `lisence` for `tolerance` rather than `license`.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1]
