"""YAML is read strictly, within bounds, and complaints point at the line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from judge.errors import ProblemError
from judge.strict import Strict
from judge.yamlfile import LIMIT_BYTES, dump_yaml, parse_yaml


class Leaf(Strict):
    size: int | str
    name: str = ""


class Tree(Strict):
    title: str
    leaves: tuple[Leaf, ...] = ()
    by_name: dict[str, Leaf] = Field(default_factory=dict)
    scale: float = 1.0


def complaint(text: str) -> str:
    with pytest.raises(ProblemError) as caught:
        parse_yaml("a.yaml", text.encode()).validate(Tree)
    return caught.value.message


def test_values_and_lines() -> None:
    file = parse_yaml("a.yaml", b"title: x\nleaves:\n  - size: 1\n  - size: 2\n")
    assert file.data == {"title": "x", "leaves": [{"size": 1}, {"size": 2}]}
    assert file.line(("leaves", 1, "size")) == 4
    assert file.line(("leaves", 1, "not there")) == 4
    assert file.line(("nowhere",)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: x\ntitel: y\n", "a.yaml:2: `titel`: unknown key; did you mean `title`?"),
        (
            "title: x\nleaves:\n  - size: 1\n    nmae: a\n",
            "a.yaml:4: `leaves[0].nmae`: unknown key; did you mean `name`?",
        ),
        (
            "title: x\nby_name:\n  a:\n    size: 1\n    siz: 1\n",
            "a.yaml:5: `by_name.a.siz`: unknown key; did you mean `size`?",
        ),
        (
            "title: x\nqqq: 1\n",
            "a.yaml:2: `qqq`: unknown key; known: by_name, leaves, scale, title",
        ),
        ("scale: 2.0\n", "a.yaml:1: the key `title` is missing"),
        (
            "title: x\nleaves:\n  - {}\n",
            "a.yaml:3: `leaves[0]`: the key `size` is missing",
        ),
        (
            "title: x\n\nscale: '2'\n",
            "a.yaml:3: `scale`: Input should be a valid number (got '2')",
        ),
        ("title: 1.0\n", "a.yaml:1: `title`: Input should be a valid string (got 1.0)"),
        (
            "title: x\nleaves:\n  - size: [1]\n",
            "a.yaml:3: `leaves[0].size`: Input should be a valid integer, "
            "or: Input should be a valid string",
        ),
        ("title: x\ntitle: y\n", "a.yaml:2: the key `title` is there twice; keep one"),
        ("title: [x\n", "a.yaml:2: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("", "a.yaml:1: expected `key: value` lines at the top"),
        ("- title\n", "a.yaml:1: expected `key: value` lines at the top"),
        ("title: &a x\nleaves: *a\n", "aliases (`*name`) are not supported"),
        ("title: x\nleaves: " + "[" * 40, "a.yaml:2: not valid YAML: nested deeper than 32"),
        ("title: !!python/name:os.system x\n", "a.yaml:1: the tag"),
        ("title: !!binary aGk=\n", "a.yaml:1: the tag"),
        ("title: x\nscale: .inf\n", "a.yaml:2: inf is not a finite number"),
        ("title: x\nscale: .nan\n", "a.yaml:2: nan is not a finite number"),
        (f"title: x\nscale: {1 << 63}\n", "a.yaml:2: the number does not fit 64 bits"),
        (f"title: x\nscale: {'9' * 5000}\n", "a.yaml:2: cannot read this value"),
        ("1: x\n", "a.yaml:1: a key must be a plain word"),
        ("<<: {title: x}\n", "a.yaml:1: a key must be a plain word"),
        ("[1, 2]: x\n", "a.yaml:1: a key must be a plain word"),
        ("title: x\n---\ntitle: y\n", "a.yaml:2: not valid YAML: but found another document"),
        ('title: "\\ud800"\n', "a.yaml:1: the text contains half a surrogate pair"),
        ("title: \x01\n", "a.yaml: not valid YAML"),
    ],
)
def test_complaints(text: str, expected: str) -> None:
    assert expected in complaint(text)


@pytest.mark.parametrize("text", ["{}: 1\n", "title: x\nscale: {}\n", "{}: 1\n{}: 1\n"])
def test_long_values_give_short_messages(text: str) -> None:
    assert len(complaint(text.replace("{}", '"' + "y" * 900 + '"'))) < 500


def test_every_fault_is_named_at_once() -> None:
    lines = complaint("titel: x\nscale: big\n").splitlines()
    assert len(lines) == 3
    assert {line.split(":")[1] for line in lines} == {"1", "2"}


def test_not_utf8_and_too_large() -> None:
    with pytest.raises(ProblemError, match="not UTF-8"):
        parse_yaml("a.yaml", b"title: \xff\n")
    with pytest.raises(ProblemError, match=f"limit is {LIMIT_BYTES} bytes"):
        parse_yaml("a.yaml", b"#" * (LIMIT_BYTES + 1))
    assert parse_yaml("a.yaml", b"a: 1\n#".ljust(LIMIT_BYTES, b"#")).data == {"a": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), ("-2E+3", -2000.0), ("1.5e3", 1500.0), ("2026-01-01", "2026-01-01")],
)
def test_scalars_that_yaml_1_1_reads_otherwise(text: str, value: float | str) -> None:
    assert parse_yaml("a.yaml", f"a: {text}\n".encode()).data == {"a": value}


def test_a_byte_order_mark_is_harmless() -> None:
    assert parse_yaml("a.yaml", b"\xef\xbb\xbfa: 1\n").data == {"a": 1}


text_values = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"], exclude_characters="\ufeff"),
    max_size=20,
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 62), 1 << 62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text_values
    | st.sampled_from(["1e5", "1E-3", "2026-01-01", "yes", "null", "0x10", "~", "<<"])
)
documents = st.dictionaries(
    text_values,
    st.recursive(
        scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(text_values, v, max_size=3)
    ),
)


@given(documents)
def test_what_is_dumped_is_read_back(data: dict[str, object]) -> None:
    assert parse_yaml("a.yaml", dump_yaml(data)).data == data


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_junk_is_an_error_or_finite_data(content: bytes) -> None:
    try:
        message, data = "a.yaml", parse_yaml("a.yaml", content).data
    except ProblemError as error:
        message, data = error.message, {}
    assert message.startswith("a.yaml")
    assert all(isinstance(key, str) for key in data)
    assert not any(isinstance(v, float) and not math.isfinite(v) for v in data.values())
