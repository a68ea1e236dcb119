"""What a judging is measured with and on; part of `judge.wire`, which all others import."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

WIRE = 1
"""Version of what worker and service say to each other. It counts up when one would not understand
the other any more; what is merely added to what a worker gets does not count."""


class Wire(BaseModel):
    """Frozen, strict about keys, bytes as base64."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


class FromNewer(Wire):
    """What a worker gets from a service that may be newer: it leaves out what it does not know."""

    model_config = ConfigDict(extra="ignore")


class Drift(Wire):
    """A baseline that was slower or faster than it had been on this worker (`judge.drift`)."""

    workload: str
    baseline_ns: float
    low_ns: float
    high_ns: float


class Overhead(Wire):
    """Cost of a null call through the same path, measured on the trusted side.

    Attributes:
        low_ns: the same low mean that samples are summarised by; what scores subtract.
        samples_ns: raw, in the order of the calls.
    """

    low_ns: float
    median_ns: float
    std_ns: float
    calls: int
    samples_ns: tuple[int, ...] = ()


class CpuUse(Wire):
    """What the kernel and the processor counted of the candidate (`judge.counters`).

    Attributes:
        inside_ns, outside_ns: CPU time of all its threads while its clock ran, and while it stood.
        charged_ns: how long its clock ran in all.
        instructions, cycles: outside of the kernel; None where the processor is not asked.
    """

    inside_ns: int
    outside_ns: int
    charged_ns: int
    instructions: int | None = None
    cycles: int | None = None


class Bandwidth(Wire):
    """How fast a working set of at least `set_bytes` can be moved, in bytes per nanosecond."""

    set_bytes: int
    gbps: float


class Peaks(Wire):
    """What a party's share of a device can do at best (`judge.roofline`).

    Attributes:
        gflops: of a float32 matrix product.
        bandwidth: small sets first.
        boot: which start of which machine they belong to.
    """

    gflops: float
    bandwidth: tuple[Bandwidth, ...]
    boot: str = ""


class Environment(Wire):
    """Where a judgement was made."""

    device: str
    device_name: str
    worker: str
    sandbox: dict[str, str]
    versions: dict[str, str]
    peaks: Peaks | None = None


class Formula(Wire):
    """How samples become a score: everything `judge.scoring` uses besides the runs themselves.

    Attributes:
        version: changes whenever the same samples would give another score.
        kept: share of the lowest samples whose mean stands for a side.
        least_share: of a measured time, at least so much is never taken for overhead.
    """

    kind: Literal["speedup"] = "speedup"
    version: int = 1
    kept: float
    resamples: int
    confidence: float
    least_share: float
    min_speedup: float
    max_speedup: float
