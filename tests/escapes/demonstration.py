"""Showing that an attack bites: the same program, run where one defence is off.

An attack that never succeeds anywhere proves nothing. Here the attack runs under a small driver
instead of the harness (whose own filter would refuse processes and sockets), in a sandbox that
lacks a layer, or in none at all. Only attacks that are harmless to this machine may name `dummy`.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from unittest.mock import patch

from judge import tracks
from judge.arena import Arena
from judge.building import BUILD_LIMITS, build
from judge.session import Session
from judge.verdict import Language, Verdict
from sandbox.base import Command, Sandbox
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.dummy import Dummy
from sandbox.jail import command_line
from sandbox.limits import Limits
from sandbox.resident import BubblewrapResident
from tests.escapes.attack import MARK, Attack
from tests.escapes.host import Host
from tests.escapes.trial import Trial, Watched

USUAL = Limits(wall_s=20, cpu_s=20, memory_bytes=832 << 20)
GENEROUS = Limits(
    wall_s=20,
    cpu_s=20,
    memory_bytes=4 << 30,
    processes=512,
    file_bytes=512 << 20,
    output_bytes=64 << 20,
)
_DRIVER = """\
import ctypes, os, sys
import numpy as np
sys.path.insert(0, os.getcwd())
sys.stdout.reconfigure(line_buffering=True)
x, y = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
if os.path.exists("solution.so"):
    at = lambda array: ctypes.c_void_p(array.ctypes.data)
    solve = ctypes.CDLL("./solution.so").solve
    arguments = at(x), at(y), ctypes.c_int64(2), ctypes.c_int64(3), ctypes.c_double(1e-5)
else:
    from solution import solve
    arguments = x, y, 1e-5
for _ in range(2):
    solve(*arguments)
"""


def _without(**layers: bool) -> Callable[[], Sandbox]:
    return lambda: Bubblewrap(layers=Layers(**layers))


OPEN: dict[str, tuple[Callable[[], Sandbox], Limits]] = {
    "dummy": (Dummy, USUAL),
    "no-seccomp": (_without(seccomp=False), USUAL),
    "no-seccomp-no-landlock": (_without(seccomp=False, landlock=False), USUAL),
    "network": (_without(network=True, seccomp=False, landlock=False), USUAL),
    "no-landlock": (_without(landlock=False), USUAL),
    "no-rlimits": (_without(rlimits=False), USUAL),
    "unwatched": (_without(cgroup=False), USUAL),
    "no-drop-root": (_without(drop_root=False), USUAL),
    "generous": (Bubblewrap, GENEROUS),
    "leak": (Bubblewrap, USUAL),
    "no-harness": (Bubblewrap, USUAL),
}
"""Sandboxes with a defence off, by name; `leak` hands a descriptor on.

`no-harness` lacks nothing of its own: what succeeds there is refused by the harness's own filter.
`unwatched` has no control group, and nobody polls in its place.

Two more are shown otherwise: `dummy-build`, compiling without a sandbox, and `unchecked`, judging
without a look at what the program has done to its pages.
"""


def succeeds(attack: Attack, where: str, host: Host) -> bool:
    """Whether an attack gets through with that defence off. The host is as before afterwards."""
    host.restore()
    try:
        if where == "unchecked":
            return _accepted_unchecked(attack, host)
        if where == "dummy-build":
            return _leaks_while_building(attack, host)
        make, limits = OPEN[where]
        with ExitStack() as stack:
            leaked = []
            if where == "leak":
                leaked.append(stack.enter_context(host.canary.open("r+b")).fileno())
            if where == "unwatched":
                stack.enter_context(patch.object(BubblewrapResident, "_excess", lambda *_: None))
            return _drive(attack, make(), limits, host, leaked)
    finally:
        host.restore()


def _accepted_unchecked(attack: Attack, host: Host) -> bool:
    with ExitStack() as stack:
        stack.enter_context(patch.object(Session, "_verify", lambda *_: None))
        stack.enter_context(patch.object(tracks, "unchanged", lambda *_: True))
        stack.enter_context(patch.object(Arena, "guards_intact", lambda *_: True))
        with Trial(host) as trial:
            return trial.judge(attack).verdict is Verdict.AC


def _leaks_while_building(attack: Attack, host: Host) -> bool:
    files = {f.path: f.content for f in attack.source(host.facts()).files}
    built = build(Dummy(), attack.language, files, 5)
    return host.secret in built.log or host.secret.encode() in built.artifact


def driven(attack: Attack, builder: Sandbox, host: Host, leaked: Sequence[int] = ()) -> Command:
    """The attack under the driver.

    Args:
        builder: where it is compiled, if it has to be.
        leaked: descriptors that it is handed.
    """
    files = {f.path: f.content for f in attack.source(host.facts()).files}
    if attack.language is Language.CPP:
        built = build(builder, attack.language, files, 5, BUILD_LIMITS)
        assert built.ok, built.log
        files = {"solution.so": built.artifact}
    argv = command_line(Command((), module="sandbox.harness"))
    argv[argv.index("-c") + 1] = _DRIVER
    # One core, so that a program has another to move to.
    return Command(argv, files, share=leaked, cores=(0,), interpreter=True)


def _drive(
    attack: Attack, sandbox: Sandbox, limits: Limits, host: Host, leaked: Sequence[int]
) -> bool:
    command = driven(attack, Bubblewrap(), host, leaked)
    watched = Watched(sandbox, host.nonce)
    for _ in range(1 + attack.twice):
        watched.run(command, limits)
    return MARK in watched.printed() or bool(host.damage())
