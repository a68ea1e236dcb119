"""Both languages say everything, and readers get the one they want."""

import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from judge.problem import ProblemLimits
from judge.tolerance import Tolerance
from judge.verdict import Language, Mode, Status, Verdict
from leaderboard.pages.labels import LANGUAGES, Labels, chosen_language
from leaderboard.pages.phrases import PHRASES
from tests.leaderboard.pages.browser import Browser
from tests.leaderboard.world import PROBLEM

PAGES = Path(__file__).parents[3] / "leaderboard"
SOURCES = [*(PAGES / "templates").glob("*.html"), *(PAGES / "pages").glob("*.py")]
KINDS = get_args(get_args(Tolerance)[0])
GATES = (
    *("pattern", "element", "ratio", "share", "limit", "mean", "distribution", "independence"),
    *("structure", "residual", "orthogonality", "check", "inputs", "guards", "late-write"),
)
BUILT = {
    *(f"verdict.{word.value}" for word in Verdict),
    *(f"status.{word.value}" for word in Status),
    *(f"mode.{word.value}" for word in Mode),
    *(f"mode_hint.{word.value}" for word in Mode),
    *(f"language.{word.value}" for word in Language),
    *(f"limits.{name}" for name in ProblemLimits.model_fields),
    *(f"tolerance.{name}" for kind in KINDS for name in kind.model_fields),
    *(f"gate.{name}" for name in GATES),
    *(f"http.{status}" for status in (400, 403, 404, 405, 409, 413, 422, 429, 500, 503)),
    *("nav.login", "nav.register", "register.bad_name", "register.bad_password"),
}


def written_out() -> set[str]:
    """Keys that stand in a template or in the code as they are."""
    text = "\n".join(source.read_text(encoding="utf-8") for source in SOURCES)
    text = text.replace((PAGES / "pages" / "phrases.py").read_text(encoding="utf-8"), "")
    return {key for key in re.findall(r"""['"]([a-z_]+\.[a-z_]+)['"]""", text) if key in PHRASES}


@pytest.mark.parametrize("key", PHRASES)
def test_every_label_is_there_in_every_language(key: str) -> None:
    assert len(PHRASES[key]) == len(LANGUAGES)
    assert all(phrase.strip() == phrase != "" for phrase in PHRASES[key])


@pytest.mark.parametrize("key", PHRASES)
def test_translations_fill_in_the_same_values(key: str) -> None:
    fields = [{field for _, field, _, _ in Formatter().parse(p) if field} for p in PHRASES[key]]

    assert fields[0] == fields[1]


def test_the_chinese_labels_are_chinese() -> None:
    same = {key for key, (english, chinese) in PHRASES.items() if english == chinese}

    assert same == {"language.python", "language.cpp"}


def test_every_label_in_a_template_exists() -> None:
    used = {
        key
        for source in SOURCES
        for key in re.findall(r"\bt\(\s*'([^']+)'\s*[,)]", source.read_text(encoding="utf-8"))
    }

    assert used
    assert used <= set(PHRASES)


def test_no_label_is_left_over_and_no_word_is_without_one() -> None:
    assert written_out() | BUILT == set(PHRASES)


def test_a_label_that_does_not_exist_is_named() -> None:
    with pytest.raises(KeyError, match=r"did you mean `nav\.login`"):
        Labels("en")("nav.logn")


def test_words_without_a_label_speak_for_themselves() -> None:
    assert Labels("zh").term("limits", "memory_mib") == "内存 (MiB)"
    assert Labels("zh").term("limits", "disk_mib") == "disk_mib"


@pytest.mark.parametrize(
    ("query", "cookie", "accepted", "language"),
    [
        (None, None, None, "en"),
        ("zh", "en", "en", "zh"),
        (None, "zh", "en", "zh"),
        (None, None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, None, "ZH", "zh"),
        (None, None, "de,zh;q=0.9", "en"),
        ("xx", "yy", "", "en"),
        ("xx", "zh", None, "zh"),
        ("", "", "*", "en"),
    ],
)
def test_who_gets_which_language(
    query: str | None, cookie: str | None, accepted: str | None, language: str
) -> None:
    assert chosen_language(query, cookie, accepted) == language


# --- on pages -----------------------------------------------------------------------------


def test_the_switch_is_remembered(visitor: Browser) -> None:
    assert 'lang="en"' in visitor.get("/").text

    switched = visitor.get("/?lang=zh")

    assert 'lang="zh-CN"' in switched.text
    assert "opjudge_lang=zh" in switched.headers["set-cookie"]
    assert "题目" in visitor.page("/").text
    visitor.get("/?lang=en")
    assert "Problems" in visitor.page("/").text


def test_the_switch_keeps_the_page_and_its_filter(visitor: Browser) -> None:
    document = visitor.page("/submissions?user=ada&lang=en")

    assert "/submissions?user=ada&lang=zh" in document.links()


def test_an_unknown_language_is_not_remembered(visitor: Browser) -> None:
    response = visitor.get("/?lang=xx")

    assert 'lang="en"' in response.text
    assert "set-cookie" not in response.headers


def test_statements_come_in_the_readers_language(visitor: Browser) -> None:
    english = visitor.page(f"/problems/{PROBLEM}")
    chinese = visitor.page(f"/problems/{PROBLEM}?lang=zh")

    assert "Row scale" in english.text
    assert "Multiply by 1 + eps." in english.text
    assert "行缩放" in chinese.text
    assert "测试数据" in chinese.text


def test_pages_say_that_they_depend_on_the_reader(visitor: Browser) -> None:
    headers = visitor.get("/").headers

    assert headers["vary"] == "Cookie, Accept-Language"
    assert headers["cache-control"] == "private, no-cache"
