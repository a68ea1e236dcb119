"""A small HTTP client for benches: it must cost less than the server it measures."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Connection:
    """One connection, kept alive; opened by the first request."""

    url: str
    _reader: asyncio.StreamReader | None = field(default=None, repr=False)
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> tuple[int, bytes]:
        """Status and body of an answer with a length."""
        reader = await self.send(method, path, headers, body)
        status, length = await self.head(reader)
        return status, await reader.readexactly(length)

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> asyncio.StreamReader:
        """Send a request and leave the answer to be read."""
        if self._reader is None or self._writer is None:
            address = urlsplit(self.url)
            self._reader, self._writer = await asyncio.open_connection(
                address.hostname, address.port
            )
        lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        return self._reader

    async def head(self, reader: asyncio.StreamReader) -> tuple[int, int]:
        """Status and length of the answer."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return int(head.split(b" ", 2)[1]), length

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()


async def timed_ms(connection: Connection, path: str) -> float:
    """How long a GET takes. Raises RuntimeError unless the answer is 200."""
    start = time.perf_counter()
    status, body = await connection.request("GET", path)
    took = (time.perf_counter() - start) * 1000
    if status != 200:
        raise RuntimeError(f"GET {path}: {status} {body[:200]!r}")
    return took


def multipart(fields: Mapping[str, str], filename: str, content: bytes) -> tuple[str, bytes]:
    """Content type and body of a form with one file."""
    boundary = "bench-boundary-7f3a"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + f"\r\n--{boundary}--\r\n".encode()
    )
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)
