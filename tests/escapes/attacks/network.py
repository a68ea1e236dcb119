"""Sockets of every family, and the doors of the host."""

from judge.verdict import Verdict
from tests.escapes.attack import Attack

AC = Verdict.AC
RARE = "not every kernel has it; every other family shows that the filter is what refuses"
_FAMILY = """
def attack():
    socket.socket(%s).close()
    escaped("a socket of family %s")
"""


def _family(name: str, arguments: str, *seen_on: str, why: str = "") -> Attack:
    text = _FAMILY % (arguments, name)
    return Attack(f"network: {name}", (AC,), text, seen_on=seen_on, why_unseen=why)


ATTACKS = (
    Attack("network: TCP to the host", (AC,), """
def attack():
    for place in (("127.0.0.1", HOST["port"]), ("127.0.0.1", 6379), ("127.0.0.1", 5432),
                  ("169.254.169.254", 80), ("172.17.0.1", 2375)):
        if os.geteuid() == 0 and place[1] != HOST["port"]:
            continue
        s = socket.socket()
        s.settimeout(0.1)
        try:
            s.connect(place)
            escaped(f"connected to {place}")
        except OSError:
            pass
""", seen_on=("network",)),
    Attack("network: UDP to the host", (AC,), """
def attack():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"secret", ("127.0.0.1", HOST["udp"]))
""", seen_on=("network",)),
    Attack("network: a server for others", (AC,), """
def attack():
    socket.create_server(("0.0.0.0", 0)).close()
    escaped("listening")
""", seen_on=("network",)),
    Attack("network: a UNIX socket of the host", (AC,), """
def attack():
    s = socket.socket(socket.AF_UNIX)
    s.connect(HOST["unix"])
    escaped("connected")
""", seen_on=("dummy",)),
    Attack("network: an abstract UNIX socket of the host", (AC,), """
def attack():
    s = socket.socket(socket.AF_UNIX)
    s.connect(chr(0) + HOST["abstract"])
    escaped("connected")
""", seen_on=("network",)),
    Attack("network: a pair of sockets turned to the host", (AC,), """
def attack():
    ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.sendto(b"secret", HOST["dgram"])
    escaped("sent")
""", seen_on=("dummy",)),
    Attack("network: D-Bus, docker.sock and their like", (AC,), """
def attack():
    for path in ("/run/dbus/system_bus_socket", "/run/docker.sock", "/var/run/docker.sock",
                 "/run/containerd/containerd.sock", "/run/systemd/private", "/dev/log",
                 "/run/user/0/bus", "/tmp/.X11-unix/X0", HOST["unix"]):
        if os.path.exists(path):
            escaped(path)
""", seen_on=("dummy",)),
    Attack("network: a name to look up", (AC,), """
def attack():
    socket.getaddrinfo("example.org", 80)
    escaped("resolved")
""", why_unseen="it would ask the resolver of this machine"),
    _family("INET6", "socket.AF_INET6, socket.SOCK_STREAM", "no-seccomp"),
    _family("NETLINK", "socket.AF_NETLINK, socket.SOCK_RAW, 0", "no-seccomp"),
    _family("PACKET", "socket.AF_PACKET, socket.SOCK_RAW", "dummy"),
    _family("raw ICMP", "socket.AF_INET, socket.SOCK_RAW, 1", "dummy"),
    _family("VSOCK", "40, socket.SOCK_STREAM", "no-seccomp"),
    _family("ALG", "38, socket.SOCK_SEQPACKET", why=RARE),
    _family("BLUETOOTH", "31, socket.SOCK_RAW, 1", why=RARE),
    Attack("network: every other family", (AC,), """
def attack():
    for family in range(2, 46):
        for kind in (1, 2, 3, 5):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            escaped(f"family {family}, kind {kind}")
""", seen_on=("no-seccomp",)),
)  # fmt: skip
