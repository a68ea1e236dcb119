"""What the self-check found."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from sandbox.probes.catalog import LAYERS, Layer, Probe


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one probe.

    Attributes:
        contained: whether the attack was stopped. A probe that gives no answer was not.
        seen: the kernel's answer, or what the attack got.
    """

    probe: Probe
    contained: bool
    seen: str

    @property
    def name(self) -> str:
        """The probe's name."""
        return self.probe.name


@dataclass(frozen=True, slots=True)
class Level:
    """Which layers hold, by experiment.

    Attributes:
        limits: who keeps them: ``"control group"``, ``"polled"`` or ``"none"``.
    """

    namespaces: bool
    seccomp: bool
    landlock: bool
    limits: str
    user: bool

    def __str__(self) -> str:
        words = [
            name if getattr(self, name) else f"no {name}"
            for name in ("namespaces", "seccomp", "landlock", "user")
        ]
        return ", ".join([*words, f"limits: {self.limits}"])


@dataclass(frozen=True, slots=True)
class Report:
    """All findings on one sandbox.

    Attributes:
        polled: whether the sandbox says that it watches its limits from outside; recorded.
        landlocked: whether the kernel has Landlock. What nothing else stops is put up with, and
            recorded, where it has not.
    """

    findings: tuple[Finding, ...]
    polled: bool
    landlocked: bool = True

    def worst(self, other: "Report") -> "Report":
        """Of every probe the finding that is not contained, if either is not."""
        pairs = zip(self.findings, other.findings, strict=True)
        return replace(self, findings=tuple(b if a.contained else a for a, b in pairs))

    @property
    def level(self) -> Level:
        """The layers whose every probe was contained."""
        limits = "polled" if self.polled else "control group"
        return Level(
            namespaces=self._holds(Layer.NAMESPACES),
            seccomp=self._holds(Layer.SECCOMP),
            landlock=self.landlocked and self._holds(Layer.LANDLOCK),
            limits=limits if self._holds(Layer.LIMITS) else "none",
            user=self._holds(Layer.USER),
        )

    def breaches(self, allowed: Collection[str] = ()) -> list[Finding]:
        """What got through, less what is put up with: `allowed` names layers and probes."""
        return [f for f in self._through() if not self._put_up_with(f, allowed)]

    def lowered(self, allowed: Collection[str] = ()) -> list[str]:
        """Names of what got through and is put up with."""
        return [f.name for f in self._through() if self._put_up_with(f, allowed)]

    def explain(self, allowed: Collection[str] = ()) -> str:
        """The breaches in one paragraph, each layer with its remedy; empty if there is none."""
        breaches = self.breaches(allowed)
        if not breaches:
            return ""
        what = "; ".join(f"{f.name} ({f.probe.tries}: {f.seen})" for f in breaches)
        layers = [layer for layer in LAYERS if any(f.probe.layer is layer for f in breaches)]
        how = "; ".join(f"{layer}: {LAYERS[layer]}" for layer in layers)
        names = ",".join(layers)
        return (
            f"the self-check of the sandbox failed, {len(breaches)} of {len(self.findings)} "
            f"probes got through: {what}. To mend it: {how}. "
            f"To do without: --allow {names} or OPJUDGE_ALLOW={names}"
        )

    def _holds(self, layer: Layer) -> bool:
        return not any(f.probe.layer is layer for f in self._through() if not self._excused(f))

    def _through(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.contained]

    def _excused(self, finding: Finding) -> bool:
        return not self.landlocked and finding.probe.layer is Layer.LANDLOCK

    def _put_up_with(self, finding: Finding, allowed: Collection[str]) -> bool:
        return self._excused(finding) or bool({finding.name, finding.probe.layer} & set(allowed))
