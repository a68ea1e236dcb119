"""Runs the service under uvicorn, and ends it cleanly with streams open."""

import gc
import resource
import socket
import sys

import uvicorn

from leaderboard import logs
from leaderboard.app import create_app
from leaderboard.services import Services
from leaderboard.settings import Settings

# Streams end at once; this is for whoever is in the middle of a request, or does not read.
_GRACE_S = 4
# Whoever hands something in asks for the interpreter with every statement. While thousands are told
# of news it would be given to them 5 ms after they asked, a hundred times.
_SWITCH_S = 0.0005


class Server(uvicorn.Server):
    """Ends the live streams before it waits for open requests: they would never end by themselves.

    Args:
        config: of an application made by `create_app`.
    """

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there by now stays. Looking through all of it again, which whoever happens to ask
        # would wait for, took 170 ms with 500 problems.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.hub.close()
        await super().shutdown(sockets)


def make_server(settings: Settings) -> Server:
    """A server that is not running yet."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
    )
    return Server(config, app.state.services)


def serve(settings: Settings | None = None) -> None:
    """Run until SIGTERM or SIGINT. Logs to stderr."""
    logs.configure()
    # Every stream is an open file, and many systems begin with 1024 of them.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.setswitchinterval(_SWITCH_S)
    make_server(settings or Settings()).run()
