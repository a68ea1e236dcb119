"""The worker's parent process: waits for work, and forks a child for every judgement.

It listens on one RQ queue, and asks the service itself when Redis is away, not configured, or
has been quiet for a few seconds. It keeps the sandbox ready for warm starts. A child dies with it.
"""

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq import Worker as RQWorker
from rq.exceptions import DequeueTimeout, StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from judge.cache import PackageCache
from judge.client import Client
from judge.cores import environment
from judge.errors import ApiError
from judge.hygiene import Hygiene, Quarantined
from judge.lease import Interrupts
from judge.processes import adopt_orphans, die_with_parent
from judge.settings import WorkerSettings
from judge.spool import Spool
from judge.wire import Claim
from judge.worker import Evaluate, Work, claim_request, current, hand_in, judge, perform
from sandbox.base import Sandbox

_LOG = structlog.get_logger("opjudge.worker")

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DRAIN_SIGNAL = signal.SIGUSR2
_TOO_SOON_S = 0.5
_TIMEOUT_S = 10.0


class Dispatcher:
    """One worker for one device.

    Args:
        evaluate: judges one claimed submission, in the child.
        sandbox: what `evaluate` judges in, kept ready here for warm starts.
        hygiene: sees to it that judgings leave nothing behind.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        evaluate: Evaluate,
        sandbox: Sandbox,
        hygiene: Hygiene | None = None,
    ) -> None:
        self._settings = settings
        self._evaluate = evaluate
        self._sandbox = sandbox
        self._hygiene = hygiene or Hygiene(settings.home)
        self._token = settings.token()
        self._spool = Spool(settings.home / "spool")
        self._packages = PackageCache(settings.home / "packages")
        self._interrupts = Interrupts()
        self._pid = os.getpid()
        self._child: int | None = None
        self._stopping = False
        self._told = False
        self._heard = True
        self._client = self._connect()
        self._redis_worker: RedisWorker | None = None

    def run(self) -> None:
        """Judge until told to end, and return then.

        SIGTERM or SIGINT: what is being judged is given back. SIGUSR2: it is finished first.

        Raises ApiError if the service refuses this worker, Quarantined if a judging has left
        something behind: until somebody has seen to it no worker starts here.
        """
        try:
            self._hygiene.admit()
            adopt_orphans()
            self._sandbox.sweep()
            while not self._stopping:
                try:
                    self._cycle()
                except StopRequested:
                    # RQ's handler, in the moment between its loop and ours.
                    self._stopping = True
        finally:
            self._client.close()
            self._sandbox.sweep()
        self._hygiene.admit()
        _LOG.info("worker stopped", worker=self._settings.name)

    def stop(self) -> None:
        """Take no more work; called by whoever got the signal."""
        self._stopping = True

    @contextmanager
    def ready(self) -> Iterator[Work]:
        """Around every judgement, in the parent: everything the child will need."""
        work = Work(
            settings=self._settings,
            connect=self._connect,
            evaluate=self._evaluate,
            packages=self._packages,
            spool=self._spool,
            interrupts=self._interrupts,
            hygiene=self._hygiene,
        )
        token = current.set(work)
        try:
            yield work
        finally:
            current.reset(token)
        self._inspect()

    def judging(self, child: int) -> None:
        """Told who judges, in the parent."""
        self._hygiene.judged_by(child)

    @property
    def stopping(self) -> bool:
        """Whether it takes no more work."""
        return self._stopping

    def _inspect(self) -> None:
        """After a judging: take no more work unless all is as it was before."""
        left = self._hygiene.left()
        if left:
            self._hygiene.quarantine(left)
        try:
            self._hygiene.admit()
        except Quarantined as error:
            _LOG.error("no more judging here", why=str(error))
            self._stopping = True

    def enter_child(self) -> None:
        """First thing in a child: die with the parent, and be told to stop by it alone."""
        die_with_parent(self._pid)
        for number in (signal.SIGINT, _DRAIN_SIGNAL):
            signal.signal(number, signal.SIG_IGN)
        self._interrupts.install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)

    def deliver_spool(self) -> None:
        """Try once to hand in what could not be handed in earlier."""
        for undelivered in self._spool:
            if not hand_in(undelivered, self._client):
                return
            self._spool.remove(undelivered.judgement_id)

    def _cycle(self) -> None:
        self._take_signals()
        self.prepare()
        claim = self._poll()
        if claim is not None:
            self._judge(claim)
        elif self._settings.redis is None or not self._listen(self._settings.redis):
            self._idle()

    def prepare(self) -> None:
        """What takes time and can be done before there is work.

        In the parent: sandboxes kept for warm starts outlive a judgement.
        """
        self.deliver_spool()
        self._sandbox.refill(environment())
        self._packages.read_ahead()
        self._hygiene.settle()

    def _poll(self) -> Claim | None:
        """Ask the service for work; without an answer there is none."""
        try:
            claim = self._client.claim_next(claim_request(self._settings))
        except ApiError as error:
            if error.status in (401, 403, 404, 422, 426):
                raise
            if self._heard:
                _LOG.warning("the service does not answer", why=str(error))
            self._heard = False
            return None
        self._heard = True
        return claim

    def _judge(self, claim: Claim) -> None:
        """Judge in a child of our own, as RQ does in its work-horse."""
        with self.ready() as work:
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
            child = multiprocessing.get_context("fork").Process(
                target=self._child_main, args=(claim, work)
            )
            child.start()
            self._child = child.pid
            if child.pid is not None:
                self.judging(child.pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
            if self._stopping:
                # Told just before the child was known, by way of a library's thread.
                self._tell_child(signal.SIGTERM)
            child.join()
            self._child = None
            child.close()

    def _child_main(self, claim: Claim, work: Work) -> None:
        self.enter_child()
        with self._connect() as client:
            perform(claim, work, client)

    def _listen(self, redis_url: str) -> bool:
        """Work off the RQ queue until it has been quiet for a while. False if Redis is away."""
        started = time.monotonic()
        try:
            if self._redis_worker is None:
                redis = Redis.from_url(redis_url, socket_connect_timeout=2)
                self._redis_worker = RedisWorker(self, redis, self._settings)
            if self._stopping:
                return True
            worked = self._redis_worker.work(
                max_idle_time=math.ceil(self._settings.poll_s), logging_level="ERROR"
            )
        except RedisError as error:
            _LOG.warning("Redis is away; polling instead", why=str(error))
            self._redis_worker = None
            return False
        finally:
            self._take_signals()
        # RQ gives up on whatever it does not know; never spin on that.
        return worked or self._stopping or time.monotonic() - started > _TOO_SOON_S

    def _idle(self) -> None:
        """Wait for the next poll, or for a signal."""
        awaited = (*_STOP_SIGNALS, _DRAIN_SIGNAL)
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        try:
            if signal.sigtimedwait(awaited, self._settings.poll_s) is not None:
                self._stopping = True
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, awaited)

    def _take_signals(self) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(_DRAIN_SIGNAL, self._on_drain)

    def _on_drain(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _on_stop(self, _signal: int, _frame: FrameType | None) -> None:
        again, self._told, self._stopping = self._told, True, True
        # Asked twice, the child is not waited for; its lease runs out by itself.
        self._tell_child(signal.SIGKILL if again else signal.SIGTERM)

    def _tell_child(self, number: signal.Signals) -> None:
        # It may have ended this moment; an error in a signal handler would strike anywhere.
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.kill(self._child, number)

    def _connect(self) -> Client:
        return Client(self._settings.url, self._token, timeout_s=_TIMEOUT_S)


class Hint(Job):
    """A job as far as it is believed: it may say which judgement to ask the service for.

    RQ runs whatever function a job names, and calls back others; whoever can write to Redis would
    run anything in a worker. Here nothing that comes from Redis names code.
    """

    @property
    def func(self) -> Callable[..., None]:
        return judge

    @property
    def success_callback(self) -> None:
        return None

    @property
    def failure_callback(self) -> None:
        return None

    @property
    def stopped_callback(self) -> None:
        return None


class RedisWorker(RQWorker):
    """RQ's worker with what judging needs: warm sandboxes, and children that never outlive it."""

    def __init__(self, owner: Dispatcher, connection: Redis, settings: WorkerSettings) -> None:
        super().__init__(
            [
                Queue(
                    settings.queue,
                    connection=connection,
                    serializer=JSONSerializer,
                    job_class=Hint,
                )
            ],
            # A name of its own per start: one killed a moment ago is still on RQ's books.
            name=f"{settings.name}-{os.getpid()}-{time.time_ns()}",
            connection=connection,
            serializer=JSONSerializer,
            job_class=Hint,
            worker_ttl=30,
            maintenance_interval=30,
            job_monitoring_interval=10,
        )
        self._owner = owner

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """RQ's own loop waits for an absent Redis for ever; ours fails, and polling takes over."""
        self.set_state("idle")
        self.heartbeat()
        try:
            return self.queue_class.dequeue_any(
                self.queues,
                max_idle_time or timeout,
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
                death_penalty_class=self.death_penalty_class,
            )
        except DequeueTimeout:
            return None

    def execute_job(self, job: Job, queue: Queue) -> None:
        with self._owner.ready():
            super().execute_job(job, queue)
        if self._owner.stopping:
            raise StopRequested
        self._owner.prepare()

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        super().fork_work_horse(job, queue)
        self._owner.judging(self.horse_pid)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """RQ would quit over a lost Redis here, and leave the work-horse running."""
        try:
            super().maintain_heartbeats(job, execution)
        except RedisError as error:
            _LOG.warning("Redis is away; judging goes on", why=str(error))

    def subscribe(self) -> None:
        """No thread for RQ's remote commands: a parent that forks is better off without any."""

    def handle_warm_shutdown_request(self) -> None:
        self._owner.stop()
        if self.horse_pid:
            # Not kill_horse: its whole group would be told, and a candidate's death looks like RTE.
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)

    def setup_work_horse_signals(self) -> None:
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        self._owner.enter_child()
