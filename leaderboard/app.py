"""The composition root: settings in, application out."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool

from leaderboard import accounts, auth, boards, pages
from leaderboard.api import (
    canary,
    errors,
    health,
    problems,
    records,
    standings,
    submissions,
    users,
    worker,
)
from leaderboard.api.limits import BodyLimit
from leaderboard.reconciler import Reconciler
from leaderboard.services import Clock, Services, build, utc_now
from leaderboard.settings import Settings

PREFIX = "/api/v1"
_MIB = 1 << 20


def create_app(
    settings: Settings | None = None, *, clock: Clock = utc_now, reconciling: bool = True
) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: without them, those of the environment.
        clock: the present, for leases and expiry.
        reconciling: whether to run the reconciler; tests run its rounds themselves.

    Raises ProblemError if a problem package is invalid.
    """
    settings = settings or Settings()
    services = build(settings, clock)
    app = FastAPI(
        title="opjudge",
        lifespan=_lifespan(services, reconciling),
        openapi_url=f"{PREFIX}/openapi.json",
        # Both load scripts from a foreign server, which is not there on an island.
        docs_url=None,
        redoc_url=None,
        responses=errors.DOCUMENTED,
    )
    app.state.services = services
    errors.install(app)
    app.add_middleware(
        BodyLimit,
        default_bytes=_MIB,
        larger={
            f"{PREFIX}/submissions": settings.max_upload_bytes,
            f"{PREFIX}/worker": settings.max_result_bytes,
            "/problems/": settings.max_upload_bytes,  # the form
        },
        admitted=partial(auth.admitted, services),
    )
    counted = [Depends(auth.count_request)]
    for module in (users, problems, submissions, records, standings, canary):
        app.include_router(module.router, prefix=PREFIX, dependencies=counted)
    for module in (worker, health):
        app.include_router(module.router, prefix=PREFIX)
    # Where the probes of container platforms look.
    app.include_router(health.router, include_in_schema=False)
    pages.install(app)
    return app


def start(services: Services) -> None:
    """Bring database, packages and the worker's token up to date; one web process after another."""
    now = services.clock()
    with services.db.alone():
        services.db.migrate()
        services.catalog.publish(services.db, now)
        boards.rebuild_all(services.db, services.catalog, now, outdated_only=True)
        _ = services.signer  # made now, not by the first who asks, and a damaged one told now
        accounts.admit_worker(services.db, services.settings.bootstrap_token(), now)


def _lifespan(
    services: Services, reconciling: bool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(start, services)
        services.hub.open()
        services.relay.start()
        reconciler = Reconciler(services) if reconciling else None
        if reconciler is not None:
            reconciler.start()
        yield
        services.hub.close()
        if reconciler is not None:
            await run_in_threadpool(reconciler.stop)
        await run_in_threadpool(services.relay.stop)
        services.dispatcher.close()
        services.db.close()

    return lifespan
