"""A program that stays in a container: the same pages, stopped for certain, gone with its owner."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import held
from sandbox.docker import Docker
from sandbox.docker_config import Layers
from sandbox.docker_resident import DockerResident
from sandbox.outcome import Status
from tests.docker_engine import Engine
from tests.sandbox.conftest import LIMITS, eventually, python, shell
from tests.sandbox.test_bubblewrap_resident import (  # noqa: F401
    LONG,
    WAKE,
    Counters,
    burner,
    counters,
    stat_state,
    test_a_dead_program_is_seen_and_can_be_stopped_and_continued,
    test_a_program_long_dead_is_not_over_its_wall_time,
    test_a_stopped_program_cannot_have_itself_woken,
    test_check_ends_what_is_over_a_limit,
    test_check_leaves_a_good_program_alone,
    test_cores,
    test_memory_is_told_from_a_crash,
)
from tests.sandbox.test_seccomp import (  # noqa: F401
    NO_PROCESSES,
    test_the_harness_can_give_up_processes,
    test_the_kernel_refuses_each_call_inside,
    test_without_that_it_could_start_them,
)

# The first run makes the image.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def box(docker_engine: Engine) -> Docker:
    return Docker(docker_engine.image, url=docker_engine.url)


@pytest.mark.parametrize("more", [[], ["spawn"]], ids=["burning", "spawning"])
def test_a_stop_stops_every_thread(
    box: Docker,
    burner: bytes,  # noqa: F811
    counters: Counters,  # noqa: F811
    more: list[str],
) -> None:
    words = " ".join([str(counters.fd), "3", *more])
    script = f"cp burn b && chmod 755 b && exec ./b {words}"
    with box.start(shell(script, files={"burn": burner}, share=[counters.fd]), LONG) as resident:
        assert eventually(lambda: all(counters.read()[:3]))
        for _ in range(50):
            resident.stop()
            seen = counters.read()
            states = {stat_state(p) for p in Path(f"/proc/{resident.pid}/task").iterdir()}
            assert states <= {"T", "Z"}
            assert counters.read() == seen
            resident.resume()
            assert eventually(lambda: counters.read() != seen)  # noqa: B023


def test_without_the_filter_it_can_have_itself_woken(
    docker_engine: Engine,
    counters: Counters,  # noqa: F811
) -> None:
    wide_open = Docker(docker_engine.image, url=docker_engine.url, layers=Layers(seccomp=False))
    command = python(WAKE, counters.fd, "timer", 0, share=[counters.fd])
    with wide_open.start(command, LONG) as resident:
        assert eventually(lambda: counters.read()[0] > 0)
        resident.stop()
        seen = counters.read()
        assert eventually(lambda: counters.read() != seen)


def test_a_program_that_does_not_run_when_its_descriptors_come(
    docker_engine: Engine,
    counters: Counters,  # noqa: F811
    box: Docker,
) -> None:
    """The receiver goes first; what it then cannot run is the program's failure, not ours."""
    with box.start(shell("exit 3", share=[counters.fd]), LIMITS) as resident:
        assert eventually(lambda: not resident.alive())
        assert resident.end().exit_code == 3


def test_the_quota_is_one_for_all_places(box: Docker) -> None:
    script = (
        "head -c 5M /dev/zero >/work/f; for d in /tmp /dev/shm; do head -c 5M /dev/zero >$d/f; done"
    )
    outcome = box.run(shell(f"{script}; stat -c %s /work/f /tmp/f /dev/shm/f"), LIMITS)
    sizes = [int(word) for word in outcome.stdout.split()]
    assert LIMITS.file_bytes - (1 << 16) < sum(sizes) <= LIMITS.file_bytes
    assert outcome.stderr.count(b"No space left") == 2


def test_files_are_counted_in_all_places_together(
    box: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import itertools, os
made = 0
for place in ("/work", "/tmp", "/dev/shm"):
    try:
        for i in itertools.count():
            os.close(os.open(f"{place}/{i}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError as error:
        print(error.strerror)
print(made)
"""
    assert box.run(python(code), LIMITS).status is Status.FILE_LIMIT
    # Nobody counting: there still is an end.
    monkeypatch.setattr(held, "files_in", lambda _directories: 0)
    *errors, made = box.run(python(code), LIMITS).stdout.splitlines()
    assert errors == [b"No space left on device"] * 3
    assert LIMITS.files < int(made) < LIMITS.inodes


HEIR = """
import os, sys
from sandbox.base import Command
from sandbox.docker import Docker
from sandbox.limits import Limits
box = Docker(sys.argv[1], url=sys.argv[2] or None)
script = "echo made >made; while ! [ -e /work/never ]; do :; done"
made = box.start(Command(["/bin/sh", "-c", script], collect=["made"]), Limits())
exits = box.start(Command(["/bin/sh", "-c", "exit 7"]), Limits())
pid = os.fork()
if pid == 0:
    for _ in range(50):
        made.stop(); made.resume(); made.check(); assert made.alive()
    while exits.alive():
        pass
    print(exits.end().exit_code, made.end().files, flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(made.alive(), exits.end().status, made.end().status)
"""


def test_a_forked_child_can_use_and_end_what_its_parent_started(docker_engine: Engine) -> None:
    argv = [sys.executable, "-W", "error", "-c", HEIR]
    done = subprocess.run(
        [*argv, docker_engine.image, docker_engine.url or ""], capture_output=True, check=False
    )
    assert done.stderr == b""
    assert done.stdout.splitlines() == [
        b"7 {'made': b'made\\n'}",
        b"False signalled signalled",
    ]


def test_a_dead_program_stays_on_record_until_the_end(box: Docker) -> None:
    with box.start(shell("kill -9 $$"), replace(LIMITS, wall_s=300)) as resident:
        assert isinstance(resident, DockerResident)
        assert eventually(lambda: not resident.alive())
        assert resident.tree.exit_code() == 137
        assert resident.tree.group.cpu_s() > 0
        assert os.path.exists(f"/proc/{resident.tree.init.pid}")
