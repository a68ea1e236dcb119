"""A submission's source is read alike through every door, or refused for a named reason."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.archive import write_zip
from judge.errors import SubmissionError
from judge.source import MAX_FILES, Source, from_files, parse_upload, read_source
from judge.verdict import Language
from judge.wire import SourceFile

LIMIT = 1000
PY = b"def solve(x, y): ...\n"
CPP = b'extern "C" void solve() {}\n'

Files = dict[str, bytes]


def upload(name: str, data: bytes, language: Language | None = None) -> Source:
    return parse_upload(name, data, limit_bytes=LIMIT, language=language)


def of(files: Files, language: Language | None = None) -> Source:
    given = [SourceFile(path=path, content=content) for path, content in files.items()]
    return from_files(given, limit_bytes=LIMIT, language=language)


def refusal(action: Callable[[], Source]) -> SubmissionError:
    with pytest.raises(SubmissionError) as caught:
        action()
    return caught.value


def write(folder: Path, files: Files) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


# --- one file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.py", Language.PYTHON),
        ("a.PY", Language.PYTHON),
        ("a.cpp", Language.CPP),
        ("a.cc", Language.CPP),
        ("a.cxx", Language.CPP),
        ("核函数.py", Language.PYTHON),
    ],
)
def test_one_file(name: str, language: Language) -> None:
    source = upload(name, PY)
    assert source.files == (SourceFile(path=name, content=PY),)
    assert (source.language, source.entry, dict(source.directives)) == (language, name, {})


@pytest.mark.parametrize("name", ["dir/a.py", "../a.py", "C:\\fakepath\\a.py", "/tmp/a.py"])
def test_folders_in_an_upload_name_are_dropped(name: str) -> None:
    assert upload(name, PY).entry == "a.py"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.py", b"", "empty-submission"),
        ("a.py", b" \n\t\n", "empty-submission"),
        ("a.py", b"\xef\xbb\xbf", "empty-submission"),
        (".a.py", PY, "empty-submission"),
        ("a.py", b"#" * (LIMIT + 1), "too-large"),
        ("a.py", b"\xff\xfe", "not-utf8"),
        ("a.py", b"x = 1\0\n", "not-utf8"),
        ("a.py", b"\x7fELF\x02\x01\x01\0", "not-utf8"),
        ("a.cu", CPP, "unknown-language"),
        ("a.h", CPP, "unknown-language"),
        ("a", PY, "unknown-language"),
        ("", PY, "unsafe-path"),
        ("a\n.py", PY, "unsafe-path"),
        ("a" * 300 + ".py", PY, "unsafe-path"),
        ("a.zip", PY, "corrupt-archive"),
    ],
)
def test_refused_files(name: str, data: bytes, code: str) -> None:
    assert refusal(lambda: upload(name, data)).code == code


def test_messages_name_the_numbers_and_the_remedy() -> None:
    error = refusal(lambda: upload("a.py", b"#" * 1234))
    assert error.message == "1234 bytes are too much, the limit is 1000 bytes"
    assert "save it as UTF-8" in refusal(lambda: upload("a.py", b"ok \xff")).message
    assert ".py, .cpp, .cc, .cxx" in refusal(lambda: upload("a.cu", CPP)).message


def test_exactly_the_limit_is_fine() -> None:
    assert len(upload("a.py", b"#" * LIMIT).files[0].content) == LIMIT
    assert upload("a.zip", write_zip({"a.py": b"#" * LIMIT})).entry == "a.py"


# --- several files ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "entry"),
    [
        (["solution.py", "helper.py"], "solution.py"),
        (["kernel.py", "table.json"], "kernel.py"),
        (["lib/kernel.py", "notes.txt"], "lib/kernel.py"),
        (["b.cpp", "a.cpp", "a.h"], "a.cpp"),
        (["b.cc", "solution.cpp", "a.cpp"], "solution.cpp"),
    ],
)
def test_the_entry(paths: list[str], entry: str) -> None:
    source = of(dict.fromkeys(paths, PY))
    assert source.entry == entry
    assert [f.path for f in source.files] == sorted(paths)


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        ([], "empty-submission"),
        ([".hidden.py", "__pycache__/a.py"], "empty-submission"),
        (["a.py", "b.py"], "no-entry"),
        (["lib/solution.py", "b.py"], "no-entry"),
        (["a.h", "b.txt"], "no-entry"),
        (["a.py", "a.cpp"], "mixed-languages"),
        (["../a.py"], "unsafe-path"),
        (["a.py", "a.py/b.py"], "duplicate-name"),
        ([f"{i}.h" for i in range(MAX_FILES)] + ["a.cpp"], "too-many-files"),
    ],
)
def test_refused_sets_of_files(paths: list[str], code: str) -> None:
    assert refusal(lambda: of(dict.fromkeys(paths, PY))).code == code


def test_sixty_four_files_are_fine() -> None:
    assert len(of({f"{i}.h": b"" for i in range(63)} | {"a.cpp": CPP}).files) == 64


def test_a_file_twice_is_refused_rather_than_chosen_from() -> None:
    twice = [SourceFile(path="a.py", content=PY), SourceFile(path="a.py", content=b"#")]
    assert refusal(lambda: from_files(twice)).code == "duplicate-name"


def test_binaries_are_refused_whatever_they_are_called() -> None:
    assert refusal(lambda: of({"a.py": PY, "fast.so": b"\x7fELF\0"})).code == "not-utf8"


def test_sizes_add_up() -> None:
    assert refusal(lambda: of({"a.cpp": b"x" * 600, "a.h": b"x" * 401})).code == "too-large"


def test_a_word_about_the_language_settles_a_mixture() -> None:
    files = {"a.py": PY, "a.cpp": CPP}
    assert of(files, Language.PYTHON).entry == "a.py"
    assert of(files, Language.CPP).entry == "a.cpp"


def test_a_language_that_is_not_there() -> None:
    assert refusal(lambda: upload("a.py", PY, Language.CPP)).code == "language-mismatch"


def test_an_empty_helper_is_fine_an_empty_entry_is_not() -> None:
    assert of({"solution.py": PY, "lib/__init__.py": b""}).entry == "solution.py"
    assert refusal(lambda: of({"solution.py": b"", "a.py": PY})).code == "empty-submission"


# --- zips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.zip", "A.ZIP", "solution.py", "upload"])
def test_a_zip_is_known_by_its_content(name: str) -> None:
    files = {"top/solution.py": PY, "top/lib/a.py": PY}
    source = upload(name, write_zip(files))
    assert [f.path for f in source.files] == ["lib/a.py", "solution.py"]


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({}, "empty-submission"),
        ({"../a.py": PY}, "unsafe-path"),
        ({"a.py": b"\0" * 2000}, "too-large"),
        ({f"{i}.h": b"" for i in range(65)}, "too-many-files"),
        ({"a.py": b"\xff"}, "not-utf8"),
    ],
)
def test_refused_zips(files: Files, code: str) -> None:
    assert refusal(lambda: upload("a.zip", write_zip(files))).code == code


# --- on disk ------------------------------------------------------------------------------


def test_a_folder_a_zip_and_files_are_one_source(tmp_path: Path) -> None:
    files = {"solution.py": b"#!OPJUDGE arrays=numpy\n" + PY, "lib/a.py": PY}
    folder = write(tmp_path / "mine", {**files, ".git/config": b"x", "__pycache__/a.pyc": b"\0"})
    (tmp_path / "a.zip").write_bytes(write_zip({f"mine/{p}": c for p, c in files.items()}))
    assert read_source(folder, limit_bytes=LIMIT) == of(files)
    assert read_source(tmp_path / "a.zip", limit_bytes=LIMIT) == of(files)


def test_a_file_on_disk(tmp_path: Path) -> None:
    write(tmp_path, {"a.cpp": CPP})
    assert read_source(tmp_path / "a.cpp", limit_bytes=LIMIT) == upload("a.cpp", CPP)


def on_disk(path: Path) -> Callable[[], Source]:
    return lambda: read_source(path, limit_bytes=LIMIT)


def test_what_is_refused_on_disk(tmp_path: Path) -> None:
    write(tmp_path, {"large.py": b"#" * 1001, "many/a.py": b"#" * 600, "many/b.py": b"#" * 600})
    write(tmp_path, {f"files/{i}.h": b"" for i in range(65)})
    (tmp_path / "empty").mkdir()
    assert refusal(on_disk(tmp_path / "gone.py")).code == "no-such-file"
    assert refusal(on_disk(tmp_path / "large.py" / "x.py")).code == "unreadable"
    assert refusal(on_disk(tmp_path / "large.py")).code == "too-large"
    many = refusal(on_disk(tmp_path / "many"))
    assert many.code == "too-large"
    assert "many' is too large, the limit is 1000 bytes" in many.message
    assert refusal(on_disk(tmp_path / "files")).code == "too-many-files"
    assert refusal(on_disk(tmp_path / "empty")).code == "empty-submission"


def test_links_inside_a_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", {"solution.py": PY})
    (folder / "table.txt").symlink_to("/etc/passwd")
    assert refusal(on_disk(folder)).code == "symlink"
    (folder / "table.txt").unlink()
    (folder / "lib").symlink_to(tmp_path)
    assert refusal(on_disk(folder)).code == "symlink"


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", {"solution.py": PY})
    os.mkfifo(folder / "pipe.py")
    assert refusal(on_disk(folder)).code == "special-file"
    assert refusal(on_disk(folder / "pipe.py")).code == "special-file"
    assert refusal(on_disk(Path("/dev/zero"))).code == "special-file"


def test_a_huge_tree_is_given_up_early(tmp_path: Path) -> None:
    for i in range(1001):
        (tmp_path / str(i)).mkdir()
    assert refusal(on_disk(tmp_path)).code == "too-many-files"


# --- directives ---------------------------------------------------------------------------


def test_directives_of_python() -> None:
    head = b"#!/usr/bin/env python\n#!OPJUDGE problem=softmax device=cpu\n#!OPJUDGE mode=ranked\n"
    assert dict(upload("a.py", head + PY).directives) == {
        "problem": "softmax",
        "device": "cpu",
        "mode": "ranked",
    }


def test_directives_of_cpp() -> None:
    head = b"//!OPJUDGE problem=gemm language=cpp\r\n"
    assert dict(upload("a.cpp", head + CPP).directives) == {"problem": "gemm", "language": "cpp"}


def test_directives_come_from_the_entry_only() -> None:
    files = {"solution.py": PY, "a.py": b"#!OPJUDGE arrays=numpy\n"}
    assert dict(of(files).directives) == {}


@pytest.mark.parametrize(("blank", "seen"), [(19, True), (20, False)])
def test_only_the_first_twenty_lines_count(blank: int, seen: bool) -> None:
    source = upload("a.py", b"\n" * blank + b"#!OPJUDGE arrays=numpy\n" + PY)
    assert ("arrays" in source.directives) is seen


@pytest.mark.parametrize("line", [b"# OPJUDGE arrays=x", b"#!OPJUDGES a", b"x = '#!OPJUDGE a'"])
def test_what_is_not_a_directive(line: bytes) -> None:
    assert dict(upload("a.py", line + b"\n").directives) == {}


def test_a_byte_order_mark_does_not_hide_a_directive() -> None:
    assert upload("a.py", b"\xef\xbb\xbf#!OPJUDGE arrays=numpy\n").directives["arrays"] == "numpy"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("aray=torch", "a.py:2: unknown directive `aray`; did you mean `arrays`?"),
        (
            "gpu=1",
            "a.py:2: unknown directive `gpu`; known: arrays, device, language, mode, problem",
        ),
        ("arrays=nump", "a.py:2: `arrays` cannot be `nump`; did you mean `numpy`?"),
        ("mode=fast", "a.py:2: `mode` cannot be `fast`; known: benchmark, ranked, test"),
        ("problem", "a.py:2: `problem` is not of the form key=value"),
        ("problem=", "a.py:2: `problem=` is not of the form key=value"),
        ("problem = x", "a.py:2: `problem` is not of the form key=value"),
        ("device=a device=b", "a.py:2: `device` is set twice, to a and to b"),
    ],
)
def test_faults_in_directives(line: str, expected: str) -> None:
    error = refusal(lambda: upload("a.py", f"\n#!OPJUDGE {line}\n".encode()))
    assert (error.code, error.message) == ("bad-directive", expected)


@pytest.mark.parametrize("word", ["{}", "{}=1", "arrays={}", "problem=a problem={}", "{}="])
def test_a_long_directive_gives_a_short_message(word: str) -> None:
    data = f"#!OPJUDGE {word.format('x' * 1_000_000)}\n".encode()
    error = refusal(lambda: parse_upload("a.py", data, limit_bytes=1 << 21))
    assert error.code == "bad-directive"
    assert len(error.message) < 400


def test_a_directive_that_contradicts_the_language() -> None:
    error = refusal(lambda: upload("a.py", b"#!OPJUDGE language=cpp\n"))
    assert error.code == "language-mismatch"


# --- hash ---------------------------------------------------------------------------------


def test_the_hash_is_of_what_is_judged() -> None:
    assert upload("a.py", PY).hash == upload("renamed.py", PY).hash
    assert upload("a.py", PY).hash == upload("a.zip", write_zip({"a.py": PY})).hash
    different = [
        upload("a.py", PY),
        upload("a.py", PY + b"\n"),
        upload("a.cpp", PY),
        of({"a.py": PY, "t.txt": b""}),
        of({"a.py": PY, "u.txt": b""}),
        of({"a.py": PY, "t.txt": b"1"}),
        of({"a.py": PY, "a.cpp": CPP}, Language.PYTHON),
        of({"a.py": PY, "a.cpp": CPP}, Language.CPP),
    ]
    assert len({source.hash for source in different}) == len(different)


contents = st.text("ab\n #", max_size=20).map(str.encode)
trees = st.dictionaries(
    st.sampled_from(["solution.py", "a.py", "lib/a.py", "b.cpp", "b.h", "t.json", ".x", "lib"]),
    contents,
    max_size=5,
)


@given(trees, st.sampled_from([None, *Language]), st.randoms())
def test_reading_a_source_again_changes_nothing(
    files: Files, language: Language | None, random: Random
) -> None:
    try:
        source = of(files, language)
    except SubmissionError:
        return
    again = list(source.files)
    random.shuffle(again)
    assert from_files(again, language=source.language) == source


@given(st.text(max_size=20), st.binary(max_size=100), st.sampled_from([None, *Language]))
def test_junk_is_refused_with_a_submission_error(
    name: str, data: bytes, language: Language | None
) -> None:
    try:
        code, source = None, upload(name, data, language)
    except SubmissionError as error:
        code, source = error.code, None
    assert code != SubmissionError.code
    assert source is None or source.entry in {f.path for f in source.files}
