"""A cut network lets nothing through, or the storm's faults are none."""

import socket
import subprocess
import sys

from tests.chaos.network import Link

_ASK = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()"


def reaches(link: Link, port: int) -> bool:
    """Whether something inside gets a connection to this machine."""
    command = [*link.inside, sys.executable, "-c", _ASK, link.host, str(port)]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


if Link.possible():

    def test_nothing_gets_through_a_pulled_cable() -> None:
        link = Link(6)
        try:
            with socket.create_server((link.host, 0)) as server:
                port = server.getsockname()[1]
                assert reaches(link, port)
                link.pull()
                assert not reaches(link, port)
                link.heal()
                assert reaches(link, port)
        finally:
            link.close()
