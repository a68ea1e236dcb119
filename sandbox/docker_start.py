"""From a command to a container whose program waits to be let go, held by the host."""

import contextlib
import functools
from dataclasses import dataclass

from sandbox import landlock
from sandbox.base import Command, SandboxError
from sandbox.docker_config import Handed, Plan, Wanted, container
from sandbox.docker_cover import cover
from sandbox.docker_engine import (
    OWNER_LABEL,
    TOKEN_LABEL,
    engine,
    launch,
    main_process,
    remove,
)
from sandbox.docker_gate import Gate, meet
from sandbox.docker_places import WRITABLE, Folder, Places
from sandbox.docker_resident import DockerTree, group_of
from sandbox.limits import Limits
from sandbox.process import Handle, Threads


@dataclass(frozen=True, slots=True)
class Starter:
    """Makes containers that wait.

    Args:
        url: the engine; see `sandbox.docker_engine.engine`.
    """

    plan: Plan
    url: str | None

    def rules(self) -> landlock.Ruleset | None:
        """An empty rule set, where the kernel has Landlock."""
        abi = landlock.abi() if self.plan.layers.landlock else 0
        return landlock.Ruleset(abi) if abi else None

    def hold(
        self, command: Command, limits: Limits, rules: landlock.Ruleset | None, handed: Handed
    ) -> DockerTree:
        """A container, complete, whose program waits at its gate.

        Args:
            rules: filled for what is there.
            handed: the descriptors that its process comes for before it becomes the program.
        """
        with contextlib.ExitStack() as undo:
            folder = Folder()
            undo.callback(folder.close)
            places = Places(folder.path, limits)
            undo.callback(places.remove)
            undo.callback(places.close)
            gate = Gate(folder.path, sharing=handed.later or bool(handed.numbers))
            undo.callback(gate.close)
            wanted = Wanted(command, limits, folder.path, labels(folder))
            config = container(self.plan, wanted, gate.shown, handed)
            with engine(self.url) as client:
                ident = launch(client, config, folder.name)
                undo.callback(self.remove, ident)
                init = main_process(client, ident)
            grip = functools.partial(DockerTree, ident=ident, places=places, gate=gate,
                                     folder=folder, remove=self.remove)  # fmt: skip
            tree = self._grip(init, grip, places)
            if rules is not None:
                rules.fill(tree.program.pid, WRITABLE)
            undo.pop_all()
        return tree

    def _grip(self, init: int, tree: "functools.partial[DockerTree]", places: Places) -> DockerTree:
        """Take hold of the processes of a container whose program still waits."""
        try:
            with contextlib.ExitStack() as undo:
                keeper = Handle(init)
                undo.callback(keeper.close)
                program = Handle(meet(init))
                undo.callback(program.close)
                places.check_seen(f"/proc/{init}/root")
                threads = Threads(program.pid)
                undo.callback(threads.close)
                group = group_of(init)
                self._cover(init)
                undo.pop_all()
        except OSError as error:
            raise SandboxError(f"the container ended while it was started: {error}") from error
        return tree(
            program=program, init=keeper, threads=threads, group=group,
            stdout=places.stdout, stderr=places.stderr,
        )  # fmt: skip

    def _cover(self, init: int) -> None:
        if self.plan.layers.procless:
            try:
                cover(init)
            except OSError as error:
                raise SandboxError(f"a container's /proc cannot be hidden: {error}") from error

    def remove(self, ident: str) -> None:
        """Kill a container and see that the engine has forgotten it."""
        with engine(self.url) as client:
            remove(client, ident)


def labels(folder: Folder) -> dict[str, str]:
    """Whose a container is."""
    return {OWNER_LABEL: folder.owner, TOKEN_LABEL: folder.name}
