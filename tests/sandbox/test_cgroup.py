"""Control groups: version 1 and 2 as files in a made-up tree, and whatever is really here."""

import os
from pathlib import Path

import pytest

from sandbox import cgroup
from sandbox.cgroup import GroupV1, GroupV2, create, own_groups
from sandbox.limits import Limits

LIMITS = Limits(memory_bytes=123456, processes=7)
DEAD = 2**22 + 1  # above the kernel's largest process id


def v2_tree(root: Path, controllers: str, enabled: str) -> Path:
    base = root / "slice" / "worker"
    base.mkdir(parents=True)
    (base / "cgroup.controllers").write_text(controllers)
    (base / "cgroup.subtree_control").write_text(enabled)
    (root / "own").write_text("0::/slice/worker\n")
    return base


def v1_tree(root: Path, *controllers: str) -> None:
    for name in controllers:
        (root / name / "job").mkdir(parents=True)
        (root / name / "job" / "cgroup.procs").touch()
    lines = [f"{n}:{name}:/job" for n, name in enumerate(controllers, 1)]
    (root / "own").write_text("\n".join([*lines, "0::/"]) + "\n")


def test_own_groups_are_parsed() -> None:
    text = "9:name=systemd:/x\n4:cpu,cpuacct:/a/b\n1:memory:/c:d\n0::/e\n"
    groups = own_groups(text)
    assert (groups["cpu"], groups["cpuacct"], groups["memory"]) == ("/a/b", "/a/b", "/c:d")
    assert groups[""] == "/e"


def test_v2_limits_and_figures(tmp_path: Path) -> None:
    base = v2_tree(tmp_path, "cpu memory pids\n", "memory pids\n")
    group = create(LIMITS, tmp_path, tmp_path / "own")
    assert isinstance(group, GroupV2)
    (directory,) = group.directories
    assert directory.parent == base
    assert (directory / "memory.max").read_text() == "123456"
    assert (directory / "pids.max").read_text() == "7"
    assert (directory / "memory.oom.group").read_text() == "1"
    group.add(42)
    assert (directory / "cgroup.procs").read_text() == "42"
    (directory / "memory.events").write_text("low 0\nmax 9\noom 2\noom_kill 1\n")
    (directory / "pids.events").write_text("max 3\n")
    (directory / "memory.peak").write_text("1000\n")
    (directory / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    assert (group.memory_kills(), group.refused_processes()) == (1, 3)
    assert (group.peak_bytes(), group.cpu_s()) == (1000, 2.5)


def test_v2_figures_that_are_missing_are_zero(tmp_path: Path) -> None:
    group = GroupV2(tmp_path)
    assert (group.memory_kills(), group.refused_processes(), group.peak_bytes()) == (0, 0, 0)
    assert group.cpu_s() == 0.0


def test_v2_controllers_are_enabled_where_they_are_not(tmp_path: Path) -> None:
    base = v2_tree(tmp_path, "memory pids\n", "")
    assert isinstance(create(LIMITS, tmp_path, tmp_path / "own"), GroupV2)
    assert (base / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_v2_without_the_controllers_there_is_no_group(tmp_path: Path) -> None:
    v2_tree(tmp_path, "hugetlb\n", "")
    assert create(LIMITS, tmp_path, tmp_path / "own") is None


def test_v2_moves_itself_aside_if_the_kernel_says_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = v2_tree(tmp_path, "memory pids\n", "")
    write = Path.write_text
    leaf = base / "opjudge.self" / "cgroup.procs"

    def kernel(path: Path, text: str) -> int:
        if path.name == "cgroup.subtree_control" and not leaf.exists():
            raise OSError(16, "busy")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", kernel)
    assert isinstance(create(LIMITS, tmp_path, tmp_path / "own"), GroupV2)
    assert leaf.read_text() == str(os.getpid())


def test_v2_once_aside_groups_are_still_made_in_the_same_place(tmp_path: Path) -> None:
    base = v2_tree(tmp_path, "memory pids\n", "memory pids\n")
    (base / "opjudge.self").mkdir()
    (tmp_path / "own").write_text("0::/slice/worker/opjudge.self\n")
    group = create(LIMITS, tmp_path, tmp_path / "own")
    assert group is not None
    assert group.directories[0].parent == base


def test_v1_limits_and_figures(tmp_path: Path) -> None:
    v1_tree(tmp_path, "memory", "pids", "cpuacct")
    group = create(LIMITS, tmp_path, tmp_path / "own")
    assert isinstance(group, GroupV1)
    memory, pids, cpuacct = group.directories
    assert [d.parent for d in group.directories] == [
        tmp_path / name / "job" for name in ("memory", "pids", "cpuacct")
    ]
    assert (memory / "memory.limit_in_bytes").read_text() == "123456"
    assert (pids / "pids.max").read_text() == "7"
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (memory / "memory.max_usage_in_bytes").write_text("999\n")
    (pids / "pids.events").write_text("max 1\n")
    (cpuacct / "cpuacct.usage").write_text("1500000000\n")
    assert (group.memory_kills(), group.refused_processes()) == (2, 1)
    assert (group.peak_bytes(), group.cpu_s()) == (999, 1.5)


def test_v1_without_pids_nothing_is_left_behind(tmp_path: Path) -> None:
    v1_tree(tmp_path, "memory")
    assert create(LIMITS, tmp_path, tmp_path / "own") is None
    assert [p.name for p in (tmp_path / "memory" / "job").iterdir()] == ["cgroup.procs"]


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    assert create(LIMITS, tmp_path, tmp_path / "absent") is None
    (tmp_path / "own").write_text("0::/\n")
    assert create(LIMITS, tmp_path, tmp_path / "own") is None


def test_groups_of_dead_makers_are_swept_and_others_kept(tmp_path: Path) -> None:
    base = v2_tree(tmp_path, "memory pids\n", "memory pids\n")
    for name in (f"opjudge-{DEAD}-ab", f"opjudge-{os.getpid()}-cd", "opjudge-x-ef", "other"):
        (base / name).mkdir()
    group = create(LIMITS, tmp_path, tmp_path / "own")
    assert group is not None
    left = {p.name for p in base.iterdir() if p.is_dir()} - {group.directories[0].name}
    assert left == {f"opjudge-{os.getpid()}-cd", "opjudge-x-ef", "other"}


@pytest.mark.parametrize("tree", [1, 2])
def test_groups_are_listed_with_their_makers(tree: int, tmp_path: Path) -> None:
    if tree == 1:
        v1_tree(tmp_path, "memory", "pids")
    else:
        v2_tree(tmp_path, "memory pids\n", "memory pids\n")
    group = create(LIMITS, tmp_path, tmp_path / "own")
    assert group is not None
    found = cgroup.existing(tmp_path, tmp_path / "own")
    assert sorted(found) == sorted((os.getpid(), path) for path in group.directories)
    assert cgroup.existing(tmp_path, tmp_path / "absent") == []


def test_closing_gives_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = GroupV2(tmp_path / "group")
    assert group.close()  # already gone
    (tmp_path / "group").mkdir()

    def busy(_: Path) -> None:
        raise OSError(16, "busy")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rmdir", busy)
        assert not group.close(timeout_s=0.01)
    assert group.close()
    assert not (tmp_path / "group").exists()


def test_the_real_kernel_takes_our_limits() -> None:
    group = create(Limits())
    if group is None:  # nothing here is ours to limit: then there must be nothing we left, either
        assert list(cgroup.ROOT.rglob(f"opjudge-{os.getpid()}-*")) == []
        return
    assert all(d.is_dir() for d in group.directories)
    assert group.memory_kills() == group.refused_processes() == 0
    assert group.close()
