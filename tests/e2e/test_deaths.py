"""Everything may be killed at any moment: one verdict for each submission, no process left."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from judge.verdict import Verdict
from tests.e2e.stack import BASELINE, SLOW, Stack, running
from tests.judge.machinery import gone, until

pytestmark = pytest.mark.slow

Start = Callable[..., AbstractContextManager[Stack]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return partial(running, tmp_path)


@pytest.fixture
def stack(start: Start) -> Iterator[Stack]:
    with start() as stack:
        stack.register()
        yield stack


def test_a_killed_worker_costs_an_attempt_and_nothing_else(stack: Stack) -> None:
    submission = stack.submit(SLOW)
    stack.being_judged(submission)
    worker = stack.child("worker")
    below = [child.pid for child in worker.children(recursive=True)]
    assert len(below) >= 4, "a child, the template and the sandboxes it made"
    worker.kill()
    until(lambda: gone(below), "the end of every sandbox")
    judged = stack.judged(submission)
    assert (judged.verdict, judged.attempt) == (Verdict.AC, 2)
    ids = [item["id"] for item in stack.json("submissions")["items"]]
    assert ids == [str(submission.id)]


@pytest.mark.parametrize("what", ["server", "valkey"])
def test_a_killed_server_or_queue_costs_nothing(stack: Stack, what: str) -> None:
    submission = stack.submit(SLOW)
    stack.being_judged(submission)
    stack.child(what).kill()
    until(partial(answers, stack), "the server")
    assert stack.judged(submission).verdict is Verdict.AC
    assert stack.json("submit", stack.write(BASELINE), "--mode", "test")["verdict"] == "AC"


def answers(stack: Stack) -> bool:
    return stack.run("problems", code=None) != ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_no_process_and_gives_back(start: Start, number: int) -> None:
    with start() as stack:
        stack.register()
        submission = stack.submit(SLOW)
        stack.being_judged(submission)
        everything = stack.everything()
        assert stack.stop(number) == 0
        assert gone(everything)
    with start() as again:
        judged = again.judged(submission)
        assert judged.verdict is Verdict.AC


def test_killed_outright_it_leaves_no_process_and_loses_nothing(start: Start) -> None:
    with start() as stack:
        stack.register()
        submission = stack.submit(SLOW)
        stack.being_judged(submission)
        everything = stack.everything()
        stack.process.kill()
        until(lambda: gone(everything), "the end of everything")
    with start() as again:
        assert again.judged(submission).verdict is Verdict.AC
