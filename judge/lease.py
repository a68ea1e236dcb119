"""Keeping a claimed judgement ours while it is judged, and giving up at once when it is not."""

import enum
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

import structlog

from judge.client import Client
from judge.errors import ApiError
from judge.verdict import Status
from judge.wire import Claim, Progress

_LOG = structlog.get_logger("opjudge.worker")

_PROGRESS_EVERY_S = 0.4
_PROGRESS_PAUSE_S = 5.0  # after one that was not answered: judging must not wait for the service
_RETRY_HEARTBEAT_S = 2.0


class Reason(enum.StrEnum):
    """Why judging is broken off."""

    LOST = "lease-lost"
    CANCELLED = "cancelled"
    STOPPING = "worker-stopping"
    TOO_LONG = "took-too-long"


class Abort(BaseException):
    """Raised in the main thread, wherever it is, to break off judging.

    Not an `Exception`: like KeyboardInterrupt it must pass every handler on its way out, while
    `with` and `finally` destroy the sandboxes.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Interrupts:
    """Turns SIGTERM, or a word from another thread, into one `Abort` in the main thread.

    It is raised only inside `armed()`, so that delivering a finished result is never torn.
    """

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self._armed = False

    def install(self) -> None:
        """Take over the signals. Call in the main thread of the process that judges."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGUSR1, self._on_word)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Where an interrupt may strike. One that came earlier strikes on entering."""
        self._armed = True
        try:
            self._strike()
            yield
        finally:
            self._armed = False

    def abort(self, reason: Reason) -> None:
        """Interrupt the main thread; for other threads. The first reason stays."""
        self.reason = self.reason or reason
        main = threading.main_thread().ident
        if main is not None:
            # To that very thread: only then does a system call it waits in return.
            signal.pthread_kill(main, signal.SIGUSR1)

    def _on_term(self, _signal: int, _frame: FrameType | None) -> None:
        self.reason = self.reason or Reason.STOPPING
        self._strike()

    def _on_word(self, _signal: int, _frame: FrameType | None) -> None:
        self._strike()

    def _strike(self) -> None:
        if self._armed and self.reason is not None:
            self._armed = False
            raise Abort(self.reason)


class Lease:
    """Extends the lease from a thread of its own, and passes progress on.

    The thread wakes a few times a minute and does next to nothing: the judge's clock runs in the
    same interpreter. Progress is sent by the judging thread itself, between timed calls.

    Args:
        abort: called from the thread when judging has to end.
        limit_s: a judging that takes longer hangs; the lease of one that hangs must not be kept.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        client: Client,
        claim: Claim,
        abort: Callable[[Reason], None],
        limit_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._claim = claim
        self._abort = abort
        self._clock = clock
        self._ends_s = clock() + limit_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        # What the service takes a judgement for that was just claimed: nobody need be told.
        self._last_status = Status.BUILDING
        self._next_progress_s = clock() + _PROGRESS_EVERY_S

    def report(self, progress: Progress) -> None:
        """Pass progress on, now and then; never fails because the service is away.

        Raises Abort if the judgement is no longer ours.
        """
        now = self._clock()
        if progress.status is self._last_status and now < self._next_progress_s:
            return
        self._last_status = progress.status
        self._next_progress_s = now + _PROGRESS_EVERY_S
        try:
            self._client.progress(self._claim.judgement_id, self._claim.lease_token, progress)
        except ApiError as error:
            reason = ended(error)
            if reason is not None:
                raise Abort(reason) from error
            self._next_progress_s = self._clock() + _PROGRESS_PAUSE_S

    def _keep(self) -> None:
        wait_s = self._claim.lease_s / 3
        while not self._done.wait(wait_s):
            if self._clock() > self._ends_s:
                self._abort(Reason.TOO_LONG)
                return
            try:
                granted = self._client.heartbeat(self._claim.judgement_id, self._claim.lease_token)
            except ApiError as error:
                reason = ended(error)
                if reason is not None:
                    self._abort(reason)
                    return
                # No answer is no reason to give up: the service decides when the result arrives.
                _LOG.warning("heartbeat failed", error=str(error))
                wait_s = min(_RETRY_HEARTBEAT_S, self._claim.lease_s / 3)
            else:
                wait_s = granted.lease_s / 3

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()


def ended(error: ApiError) -> Reason | None:
    """Whether the service says that a lease is over, and why."""
    if error.code == Reason.CANCELLED:
        return Reason.CANCELLED
    return Reason.LOST if error.status in (404, 409, 410) else None
