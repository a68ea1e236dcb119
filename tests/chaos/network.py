"""Networks between the parts of an installation, to be cut and put right again."""

import asyncio
import contextlib
import functools
import ipaddress
import os
import socket
import subprocess
import threading

from judge.processes import die_with_parent
from tests.judge.machinery import until

LOCAL = "127.0.0.1"


class Proxy:
    """A network between two processes, which can be cut: one TCP port that leads to another.

    Args:
        host: where it listens.
        target: the port of this machine that it leads to.
    """

    def __init__(self, host: str, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = asyncio.start_server(self._carry, host, 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def stall(self) -> None:
        """Packets are lost, both ways; connections stay."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def reset(self) -> None:
        """Every connection breaks, and new ones go nowhere."""
        self.stall()
        self._loop.call_soon_threadsafe(self._abort)

    def heal(self) -> None:
        self._loop.call_soon_threadsafe(self._whole.set)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._whole.wait()
            there, back = await asyncio.open_connection(LOCAL, self._target)
            self._writers.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
            self._writers.discard(back)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._whole.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.transport.abort()


class Link:
    """A network namespace, and the one cable that leads into it, which can be pulled.

    Nothing tells either end: what is sent meanwhile is sent again by the kernel, and may well
    arrive once the cable is back.

    Args:
        number: of the link, below 8, within this process.

    Attributes:
        host: this machine's address at its end of the cable.
        inside: put before a command, has it run in the namespace.
        holder: the process that keeps the namespace; with it the namespace and the cable go.
    """

    def __init__(self, number: int) -> None:
        parent = os.getpid()
        self._process = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"],
            preexec_fn=lambda: die_with_parent(parent),
        )
        self.holder = self._process.pid
        namespace = f"/proc/{self.holder}/ns/net"
        self.inside = ["nsenter", f"--net={namespace}", "--"]
        self._end = f"opj{number}-{parent}"
        # Out of a range for measuring networks (RFC 2544), which nobody is reached by.
        nets = ipaddress.ip_network("198.18.0.0/15")
        first = nets[4 * ((8 * parent + number) % (nets.num_addresses // 4))]
        self.host = str(first + 1)
        try:
            until(lambda: _inode(namespace) != _inode("/proc/self/ns/net"), "a namespace")
            self._lay_cable(str(first + 2))
        except BaseException:
            self.close()
            raise

    def _lay_cable(self, theirs: str) -> None:
        _ip("link", "add", self._end, "type", "veth", "peer", "eth0", "netns", str(self.holder))
        _ip("addr", "add", f"{self.host}/30", "dev", self._end)
        _ip("link", "set", self._end, "up")
        _ip("addr", "add", f"{theirs}/30", "dev", "eth0", inside=self.inside)
        _ip("link", "set", "lo", "up", inside=self.inside)
        self.heal()

    @staticmethod
    @functools.cache
    def possible() -> bool:
        """Whether such can be made here: by root, with iproute2, and where a container may."""
        try:
            Link(7).close()
        except (OSError, AssertionError, subprocess.CalledProcessError):
            return False
        return True

    def pull(self) -> None:
        """From now on nothing gets through."""
        _ip("link", "set", "eth0", "down", inside=self.inside)

    def heal(self) -> None:
        _ip("link", "set", "eth0", "up", inside=self.inside)

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError, OSError):
            _ip("link", "del", self._end)
        self._process.kill()
        self._process.wait()


def _ip(*words: str, inside: list[str] | None = None) -> None:
    subprocess.run([*(inside or []), "ip", *words], check=True, capture_output=True)


def _inode(path: str) -> int:
    return os.stat(path).st_ino


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
