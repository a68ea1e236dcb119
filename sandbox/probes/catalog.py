"""The probes by name, the layer that each is to meet, and what to do when one gets through."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Layer(StrEnum):
    """What contains a program. Most attacks meet more than one; this names the one meant."""

    NAMESPACES = "namespaces"
    SECCOMP = "seccomp"
    LANDLOCK = "landlock"
    LIMITS = "limits"
    USER = "user"


LAYERS: dict[Layer, str] = {
    Layer.NAMESPACES: "run on a kernel that lets bwrap make user, network, PID and mount "
    "namespaces, with nothing of the host mounted into the sandbox",
    Layer.SECCOMP: "use a kernel with system-call filters (CONFIG_SECCOMP_FILTER)",
    Layer.LANDLOCK: "use Linux 5.13 or newer with Landlock switched on "
    "(kernel parameter lsm=landlock,...)",
    Layer.LIMITS: "give the worker a control group it may write to (systemd: Delegate=yes)",
    Layer.USER: "install setpriv (util-linux), or run the worker as an ordinary user",
}
"""Every layer, with its remedy."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One attack.

    Attributes:
        name: also the name of the function in `attacks`.
        layer: what is to contain it.
        tries: in words, for people.
        alone: in a sandbox of its own, since it is to be killed for it.
    """

    name: str
    layer: Layer
    tries: str
    alone: bool = False


PROBES = (
    Probe("connect", Layer.NAMESPACES, "connect to a TCP port of the host"),
    Probe("abstract_socket", Layer.NAMESPACES, "connect to an abstract unix socket of the host"),
    Probe("host_file", Layer.NAMESPACES, "read a file of the host, or /etc/shadow"),
    Probe("write_outside", Layer.NAMESPACES, "make a file outside /work"),
    Probe("host_process", Layer.NAMESPACES, "read about a process of the host in /proc"),
    Probe("host_signal", Layer.NAMESPACES, "send a signal to a process of the host"),
    Probe("devices", Layer.NAMESPACES, "find a device other than null, zero, full and random"),
    Probe("unshare", Layer.SECCOMP, "make a user namespace"),
    Probe("mount", Layer.SECCOMP, "mount a file system"),
    Probe("ptrace", Layer.SECCOMP, "be traced by its parent"),
    Probe("keyctl", Layer.SECCOMP, "use a kernel key ring"),
    Probe("bpf", Layer.SECCOMP, "make a BPF map"),
    Probe("io_uring", Layer.SECCOMP, "set up io_uring"),
    Probe("socket_families", Layer.SECCOMP, "open an ALG, NETLINK, VSOCK or PACKET socket"),
    Probe("foreign_abi", Layer.SECCOMP, "make a 32-bit system call"),
    Probe("fork_later", Layer.SECCOMP, "fork after the harness gave up processes"),
    Probe("device_file", Layer.LANDLOCK, "make a device file in /work"),
    Probe("chmod_device", Layer.USER, "change the mode of the host's /dev/null"),
    Probe("privileges", Layer.USER, "have capabilities, or become root"),
    Probe("disk_quota", Layer.LIMITS, "store more than the quota of /work"),
    Probe("memory", Layer.LIMITS, "hold more memory than allowed", alone=True),
    Probe("shared_memory", Layer.LIMITS, "hold more than allowed in a shared mapping", alone=True),
    Probe("processes", Layer.LIMITS, "hold more processes than allowed", alone=True),
)  # fmt: skip


def unknown_names(names: Iterable[str]) -> list[str]:
    """Those that are neither a layer nor a probe."""
    known = {str(layer) for layer in LAYERS} | {probe.name for probe in PROBES}
    return sorted(set(names) - known)
