"""Every limit, met by a program that goes over it; with control groups and without."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import cgroup, held
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.limits import Limits
from sandbox.outcome import Status
from tests.sandbox.conftest import LIMITS, dies, eventually, python, shell

HERE = cgroup.create(LIMITS)
if HERE is not None:
    HERE.close()
CONTAINED = [True, False] if HERE is not None else [False]


@pytest.fixture(params=CONTAINED, ids=lambda on: "cgroup" if on else "polled")
def box(request: pytest.FixtureRequest) -> Bubblewrap:
    return Bubblewrap(layers=Layers(cgroup=request.param))


def test_a_program_within_its_limits(box: Bubblewrap) -> None:
    outcome = box.run(shell("cat; echo out; echo err >&2; exit 3"), LIMITS)
    assert (outcome.status, outcome.exit_code, outcome.signal) == (Status.NONZERO_EXIT, 3, None)
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert 0 < outcome.wall_s < 10


@pytest.mark.parametrize("number", [6, 9, 11, 15])
def test_a_signal_is_reported_as_it_was(box: Bubblewrap, number: int) -> None:
    outcome = box.run(shell(f"kill -{number} $$"), LIMITS)
    assert (outcome.status, outcome.exit_code) == (Status.SIGNALLED, 128 + number)
    assert outcome.signal == number


def test_wall_time(box: Bubblewrap) -> None:
    outcome = box.run(shell("sleep 1000"), replace(LIMITS, wall_s=0.3))
    assert (outcome.status, outcome.exit_code) == (Status.WALL_LIMIT, None)
    assert 0.3 <= outcome.wall_s < 10


def test_a_program_that_stops_itself_is_over_its_wall_time(box: Bubblewrap) -> None:
    assert box.run(shell("kill -STOP $$"), replace(LIMITS, wall_s=0.3)).status is Status.WALL_LIMIT


def test_cpu_time(box: Bubblewrap) -> None:
    outcome = box.run(shell("while :; do :; done"), replace(LIMITS, cpu_s=1))
    assert outcome.status is Status.CPU_LIMIT


def test_cpu_time_of_children_adds_up(box: Bubblewrap) -> None:
    spin = "(while :; do :; done) &" * 4
    outcome = box.run(shell(f"{spin} wait"), replace(LIMITS, cpu_s=1))
    assert outcome.status is Status.CPU_LIMIT
    assert outcome.wall_s < LIMITS.wall_s


def test_cpu_time_with_its_signal_ignored(box: Bubblewrap) -> None:
    command = shell("trap '' XCPU; while :; do :; done")
    assert box.run(command, replace(LIMITS, cpu_s=1)).status is Status.CPU_LIMIT


EAT = "block = b'x' * (1 << 20); kept = [bytearray(block) for _ in range(4000)]"


def test_memory(box: Bubblewrap) -> None:
    outcome = box.run(python(EAT), replace(LIMITS, memory_bytes=128 << 20))
    assert (outcome.status, outcome.exit_code) == (Status.MEMORY_LIMIT, None)


def test_memory_of_children_adds_up(box: Bubblewrap) -> None:
    code = "import os; [os.fork() for _ in range(3)]; kept = bytearray(40 << 20); input"
    code += "; import time; time.sleep(1000)"
    outcome = box.run(python(code), replace(LIMITS, memory_bytes=160 << 20))
    assert outcome.status is Status.MEMORY_LIMIT


SHARED = """
import mmap, os, time
block = mmap.mmap(-1, {size} << 20)
for at in range(0, len(block), 4096):
    block[at] = 1
children = [os.fork() for _ in range({forks})]
sum(block[at] for at in range(0, len(block), 4096))
time.sleep({hold})
"""


def test_shared_pages_count_as_memory(box: Bubblewrap) -> None:
    code = SHARED.format(size=256, forks=0, hold=1000)
    outcome = box.run(python(code), replace(LIMITS, memory_bytes=128 << 20))
    assert (outcome.status, outcome.exit_code) == (Status.MEMORY_LIMIT, None)


def test_shared_pages_count_once_however_many_have_them(box: Bubblewrap) -> None:
    code = SHARED.format(size=40, forks=2, hold=0.1)
    outcome = box.run(python(code), replace(LIMITS, memory_bytes=128 << 20))
    assert outcome.status is Status.OK
    assert outcome.peak_bytes > 40 << 20


FILE = """
import mmap, time
with open("big", "wb") as file:
    for _ in range(48):
        file.write(bytes(1 << 20))
with open("big", "rb") as file:
    block = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(block[at] for at in range(0, len(block), 4096))
time.sleep(0.1)
"""


def test_a_file_that_is_mapped_counts_once(box: Bubblewrap) -> None:
    limits = replace(LIMITS, memory_bytes=88 << 20, file_bytes=64 << 20)
    assert box.run(python(FILE), limits).status is Status.OK


FILL = """
import mmap, sys, time
block = mmap.mmap(int(sys.argv[1]), 0)
for at in range(0, int(sys.argv[2]) << 20, 4096):
    block[at] = 1
time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("filled", "lent", "status"),
    [(40, 0, Status.OK), (200, 0, Status.MEMORY_LIMIT), (200, 200, Status.OK)],
)
def test_memory_of_the_host_is_the_programs_where_it_fills_it(
    box: Bubblewrap, filled: int, lent: int, status: Status
) -> None:
    fd = os.memfd_create("arena")
    try:
        os.ftruncate(fd, 1 << 30)
        if lent:
            os.posix_fallocate(fd, 0, lent << 20)
        command = python(FILL, fd, filled, share=[fd])
        assert box.run(command, replace(LIMITS, memory_bytes=128 << 20)).status is status
    finally:
        os.close(fd)


def test_files_in_memory_count_as_memory(box: Bubblewrap) -> None:
    limits = replace(LIMITS, memory_bytes=64 << 20, file_bytes=512 << 20)
    outcome = box.run(shell("head -c 200M /dev/zero >/tmp/big; sleep 1000"), limits)
    assert outcome.status is Status.MEMORY_LIMIT


def test_a_fork_bomb(box: Bubblewrap) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    outcome = box.run(python(bomb), replace(LIMITS, wall_s=5, processes=16))
    # Without a control group root's polled count may be late; then time or memory ends it.
    assert outcome.status in (Status.VIOLATION, Status.MEMORY_LIMIT)


def test_a_thread_bomb(box: Bubblewrap) -> None:
    bomb = "while True: threading.Thread(target=time.sleep, args=(1000,)).start()"
    outcome = box.run(
        python(f"import threading, time\n{bomb}"), replace(LIMITS, wall_s=5, processes=16)
    )
    assert outcome.status in (Status.VIOLATION, Status.NONZERO_EXIT)


def test_one_big_file(box: Bubblewrap) -> None:
    outcome = box.run(shell("head -c 9M /dev/zero >big"), LIMITS)
    assert outcome.status is Status.FILE_LIMIT


def test_a_sparse_file_is_as_big_as_it_looks(box: Bubblewrap) -> None:
    outcome = box.run(shell("truncate -s 1T big"), LIMITS)
    assert outcome.status is Status.FILE_LIMIT


@pytest.mark.parametrize("where", ["/work", "/tmp", "/dev/shm"])
def test_many_files_share_one_quota(box: Bubblewrap, where: str) -> None:
    script = f"for i in $(seq 20); do head -c 1M /dev/zero >{where}/f$i || exit 1; done"
    assert box.run(shell(script), LIMITS).status is Status.FILE_LIMIT


EMPTY = "for i in range({}): open(f'/tmp/{{i}}', 'w').close()\nimport time; time.sleep({})"


@pytest.mark.parametrize("hold_s", [0, 1000])
def test_the_number_of_files(box: Bubblewrap, hold_s: int) -> None:
    limits = replace(LIMITS, files=2000)
    assert box.run(python(EMPTY.format(1900, 0)), limits).status is Status.OK
    assert box.run(python(EMPTY.format(2100, hold_s)), limits).status is Status.FILE_LIMIT


def test_files_that_nobody_counts(box: Bubblewrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "files_in", lambda _directories: 0)
    outcome = box.run(python(EMPTY.format(30_000, 0)), LIMITS)
    assert outcome.status is Status.OK


@pytest.mark.parametrize("stream", ["1", "2"])
def test_output(box: Bubblewrap, stream: str) -> None:
    outcome = box.run(shell(f"yes >&{stream}"), LIMITS)
    assert outcome.status in (Status.OUTPUT_LIMIT, Status.FILE_LIMIT)
    printed = outcome.stdout if stream == "1" else outcome.stderr
    assert printed == b"y\n" * (LIMITS.output_bytes // 2)


@pytest.mark.parametrize(("size", "status"), [(0, Status.OK), (1, Status.OUTPUT_LIMIT)])
def test_output_at_its_limit(box: Bubblewrap, size: int, status: Status) -> None:
    outcome = box.run(shell(f"head -c {LIMITS.output_bytes + size} /dev/zero"), LIMITS)
    assert outcome.status is status
    assert outcome.stdout == b"\0" * LIMITS.output_bytes


MARKER = "31536001.{}"

LEAVERS = {
    "child": "sleep {} &",
    "setsid": "setsid sleep {} & ",
    "daemon": "(setsid sh -c 'sleep {} & exec sleep {}' &) &",
    "deaf": "(trap '' HUP INT TERM; sleep {}) & sleep 0",
}


def command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return " ".join(found)


@pytest.mark.parametrize("kind", LEAVERS)
def test_nothing_is_left_alive(box: Bubblewrap, kind: str) -> None:
    marker = MARKER.format(time.monotonic_ns())
    script = LEAVERS[kind].replace("{}", marker)
    outcome = box.run(shell(script), LIMITS)
    assert outcome.status is Status.OK
    assert marker not in command_lines()


def test_what_would_be_left_is_seen(box: Bubblewrap) -> None:
    marker = MARKER.format(time.monotonic_ns())
    with box.start(shell(f"sleep {marker}"), LIMITS):
        assert eventually(lambda: marker in command_lines())
    assert marker not in command_lines()


def groups() -> list[Path]:
    return [p for p in Path("/sys/fs/cgroup").rglob(f"opjudge-{os.getpid()}-*") if p.is_dir()]


def test_control_groups_are_removed(box: Bubblewrap) -> None:
    before = groups()  # a template's, in another test's sandbox
    with box.start(shell("sleep 1000 & sleep 1000"), LIMITS):
        assert (groups() != before) == (box.describe()["cgroup"] in ("v1", "v2"))
    assert groups() == before


def test_no_descriptor_leaks(box: Bubblewrap) -> None:
    box.run(shell("true"), LIMITS)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        box.run(shell("true", files={"a": b""}), LIMITS)
    assert os.listdir("/proc/self/fd") == before


def test_the_end_is_the_end_of_all(box: Bubblewrap, closing: list[int]) -> None:
    resident = box.start(shell("sleep 1000"), LIMITS)
    closing.append(os.pidfd_open(resident.pid))
    outcome = resident.end()
    assert (outcome.status, outcome.exit_code) == (Status.OK, None)
    assert dies(closing[0], 0)
    assert resident.end() is outcome


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="wall_s"):
        Limits(wall_s=0)
