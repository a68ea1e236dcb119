"""The worker's settings: arguments before environment, and a token from somewhere."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from judge.errors import UserError
from judge.settings import TOKEN_FILE, WorkerSettings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in WorkerSettings.model_fields:
        monkeypatch.delenv(f"OPJUDGE_{field.upper()}", raising=False)


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPJUDGE_DEVICE", "h100")
    monkeypatch.setenv("OPJUDGE_NAME", "rack-7")
    settings = WorkerSettings(device="cpu")
    assert (settings.device, settings.name) == ("cpu", "rack-7")


def test_the_queue_is_named_after_the_device() -> None:
    assert WorkerSettings(device="ascend910b").queue == "judge-ascend910b"


@pytest.mark.parametrize("device", ["", "CPU", "a b", "../x", "x" * 40])
def test_a_device_class_is_a_plain_word(device: str) -> None:
    with pytest.raises(ValidationError):
        WorkerSettings(device=device)


def test_a_token_given_is_the_token(tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).write_text("from the file\n")
    assert WorkerSettings(worker_token="given", data_dir=tmp_path).token() == "given"


def test_without_one_it_is_in_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).write_text("from the file\n")
    assert WorkerSettings(data_dir=tmp_path).token() == "from the file"


def test_without_any_the_message_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path / TOKEN_FILE)):
        WorkerSettings(data_dir=tmp_path).token()


def test_the_workers_folder_is_not_the_services(tmp_path: Path) -> None:
    assert WorkerSettings(data_dir=tmp_path).home == tmp_path / "worker"
