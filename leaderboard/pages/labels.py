"""What the pages say, in every language side by side, so that none can lag behind."""

from judge.hints import did_you_mean
from leaderboard.pages.phrases import PHRASES

LANGUAGES = {"en": "English", "zh": "中文"}


class Labels:
    """The labels in one language.

    Args:
        language: a key of `LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._column = list(LANGUAGES).index(language)

    def __call__(self, key: str, **values: object) -> str:
        """A label with its values filled in. Raises KeyError for one that does not exist."""
        if key not in PHRASES:
            raise KeyError(f"there is no label {key!r}{did_you_mean(key, PHRASES)}")
        return PHRASES[key][self._column].format(**values)

    def term(self, group: str, word: str) -> str:
        """The label of a word that a problem or a worker uses; the word itself if it is new."""
        key = f"{group}.{word}"
        return self(key) if key in PHRASES else word


def chosen_language(query: str | None, cookie: str | None, accepted: str | None) -> str:
    """The reader's language: asked for now, asked for before, or the browser's first."""
    first = (accepted or "").split(",")[0].split(";")[0].strip().lower().split("-")[0]
    for choice in (query, cookie, first):
        if choice in LANGUAGES:
            return choice
    return "en"
