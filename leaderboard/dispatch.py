"""Wakes workers through RQ. The only module that knows rq.

A job is a hint, at least once at best: the database is the queue. So a Redis that is slow, down or
emptied delays a judgement until a worker polls or the reconciler looks; it fails no request.
"""

import time
from uuid import UUID

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

JOB = "judge.worker.judge"
"""What a worker runs, by name: nothing here imports it. Arguments: judgement id, attempt."""

_WAITING = frozenset(
    {
        JobStatus.CREATED,
        JobStatus.QUEUED,
        JobStatus.STARTED,
        JobStatus.DEFERRED,
        JobStatus.SCHEDULED,
    }
)
_JOB_TIMEOUT_S = 3600
_RESULT_TTL_S = 60
_FAILURE_TTL_S = 3600
_PAUSE_S = 5.0

log = structlog.get_logger(__name__)


def job_id(judgement_id: UUID, attempt: int) -> str:
    """RQ must never see an id twice within a day, hence the attempt."""
    return f"judgement-{judgement_id}-{attempt}"


class Dispatcher:
    """Puts judgements into the queues of the workers.

    Args:
        redis_url: where Redis is; None switches dispatching off (workers poll).
    """

    def __init__(self, redis_url: str | None) -> None:
        self._redis: Redis | None = None
        self._paused_until = 0.0
        if redis_url is not None:
            self._redis = Redis.from_url(
                redis_url, socket_connect_timeout=1, socket_timeout=2, health_check_interval=30
            )

    @property
    def enabled(self) -> bool:
        """Whether there is a Redis to dispatch to."""
        return self._redis is not None

    def enqueue(self, judgement_id: UUID, attempt: int, device: str) -> bool:
        """Wake a worker of this device. False if Redis did not take it; never raises for that."""
        redis = self._reachable()
        if redis is None:
            return False
        queue = Queue(f"judge-{device}", connection=redis, serializer=JSONSerializer)
        try:
            queue.enqueue_call(
                JOB,
                args=(str(judgement_id), attempt),
                job_id=job_id(judgement_id, attempt),
                timeout=_JOB_TIMEOUT_S,
                result_ttl=_RESULT_TTL_S,
                failure_ttl=_FAILURE_TTL_S,
                description=f"judge {judgement_id}, attempt {attempt}",
            )
        except RedisError as error:
            self._pause(error)
            return False
        return True

    def waiting(self, judgement_id: UUID, attempt: int) -> bool | None:
        """Whether a job is still on its way to a worker. None if Redis cannot tell."""
        redis = self._reachable()
        if redis is None:
            return None
        try:
            job = Job.fetch(
                job_id(judgement_id, attempt), connection=redis, serializer=JSONSerializer
            )
            return job.get_status(refresh=False) in _WAITING
        except NoSuchJobError:
            return False
        except RedisError as error:
            self._pause(error)
            return None

    def ping(self) -> bool | None:
        """Whether Redis answers. None if there is none."""
        if self._redis is None:
            return None
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False

    def close(self) -> None:
        """Close all connections."""
        if self._redis is not None:
            self._redis.close()

    def _reachable(self) -> Redis | None:
        if self._redis is None or time.monotonic() < self._paused_until:
            return None
        return self._redis

    def _pause(self, error: RedisError) -> None:
        # Requests must not wait for a timeout each while Redis is away.
        self._paused_until = time.monotonic() + _PAUSE_S
        log.warning("redis unreachable, judging goes on by polling", error=str(error))
