"""The canary: known cheats, known wrong and known honest programs, handed in now and then.

They come from the problems' own `submissions/` folders, under an account that nobody can log in to,
and are judged like anybody's: what a worker gets does not say whose they are. A verdict or a score
other than the package expects is a surprise: logged, counted, and written into the audit trail.
They are on no board and in no list, and use no more of a device than a declared share.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from sqlmodel import Session, col, func, select, update

from judge import wire
from judge.archive import write_zip
from judge.expected import Expectation, complaint
from judge.package import Package, expectations
from judge.source import read_source
from judge.verdict import Mode, Verdict
from leaderboard import audit, queueing, results, submissions
from leaderboard.accounts import Principal, Scope
from leaderboard.models import CanaryRun, Judgement, State, Submission, User
from leaderboard.services import Services
from leaderboard.text import plain

NAME = ".canary"
"""No person can have it: names begin with a letter or a digit."""

WINDOW = timedelta(days=1)
"""How far back the status counts."""

_KINDS = ("accepted", "cheating", "wrong_answer")
_GRACE = timedelta(minutes=1)

log = structlog.get_logger(__name__)


class CanaryStatus(wire.Wire):
    """What came of attacking the service with known programs, within the last day.

    Attributes:
        every_s: seconds between two of them on a device; 0 if none are handed in by themselves.
        share: of a device's time that they may use.
        last_attacked_at: when the last cheat was judged, ever.
        attacks, succeeded: known cheats, and those that did not get what they must get.
        controls: known wrong and known honest programs.
        surprises: programs of any kind that were not judged as they must be.
    """

    every_s: float
    share: float
    last_attacked_at: datetime | None
    attacks: int
    succeeded: int
    controls: int
    surprises: int


class CanarySurprise(wire.Wire):
    """A known program that was not judged as it must be."""

    problem: str
    device: str
    path: str
    complaint: str
    submission_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class Control:
    """A program whose outcome is known."""

    package: Package
    device: str
    expectation: Expectation

    @property
    def place(self) -> tuple[str, str, str]:
        return self.package.slug, self.device, self.expectation.path


def controls(services: Services) -> Iterator[Control]:
    """All there are. Raises ProblemError if a package's expectations are malformed."""
    for summary in services.catalog.summaries():
        package = services.catalog.package(summary.slug)
        for expectation in expectations(package):
            if expectation.path.partition("/")[0] in _KINDS:
                for device in package.problem.devices:
                    yield Control(package, device, expectation)


def turn(services: Services, now: datetime) -> None:
    """A round of the reconciler: look at what was judged, hand in what is due."""
    settle(services, now)
    if services.settings.canary_every_s <= 0:
        return
    for device in services.catalog.devices:
        if (control := _due(services, device, now)) is not None:
            hand_in(services, control, now)


def hand_in(services: Services, control: Control, now: datetime) -> UUID:
    """Submit a control under the internal account."""
    expectation, submission_id = control.expectation, uuid4()
    limit_bytes = control.package.problem.limits.source_kib * 1024
    source = read_source(expectation.files, limit_bytes=limit_bytes)
    content = source.files[0].content
    name = expectation.files.name
    if len(source.files) > 1 or expectation.files.suffix == ".zip":
        content, name = write_zip({f.path: f.content for f in source.files}), "submission.zip"
    with services.db.write() as session:
        user = _account(session, now)
        session.add(
            CanaryRun(
                submission_id=submission_id,
                problem=control.package.slug,
                device=control.device,
                path=expectation.path,
                permitted=" ".join(sorted(expectation.permitted)),
                min_speedup=expectation.min_speedup,
                max_speedup=expectation.max_speedup,
                submitted_at=now,
            )
        )
        author = Principal(user.id, user.name, user.created_at, frozenset({Scope.SUBMIT}), 0)
    new = submissions.NewSubmission(
        id=submission_id, problem=control.package.slug, device=control.device,
        mode=expectation.mode, language=source.language, filename=name,
        size_bytes=len(content), read=lambda: content,
    )  # fmt: skip
    submissions.submit(services, author, new)
    return submission_id


def settle(services: Services, now: datetime) -> None:
    """Compare what was judged since with what was expected, and raise the alarm."""
    with services.db.read() as session:
        waiting = session.exec(select(CanaryRun).where(col(CanaryRun.ended_at).is_(None))).all()
        found = [(run, _outcome(session, run, now)) for run in waiting]
    for run, told in found:
        if told is None:
            continue
        with services.db.write() as session:
            ended = (
                update(CanaryRun)
                .where(col(CanaryRun.id) == run.id, col(CanaryRun.ended_at).is_(None))
                .values(ended_at=now, complaint=plain(told, 500))
            )
            if session.exec(ended).rowcount != 1:
                continue  # another process was faster, and has told
            if told:
                subject = f"{run.problem}/{run.device}/{run.path}"
                audit.record(session, now, NAME, audit.Action.SURPRISED, subject, told)
        if told:
            services.metrics.canary_surprises.labels(run.device).inc()
            log.error("canary surprise: a control was not judged as it must be",
                      problem=run.problem, device=run.device, path=run.path,
                      submission=str(run.submission_id), complaint=told)  # fmt: skip
        else:
            log.info("canary as expected", problem=run.problem, device=run.device, path=run.path)


def status(services: Services, now: datetime) -> CanaryStatus:
    """What came of it within the last day."""
    with services.db.read() as session:
        ended = session.exec(select(CanaryRun).where(col(CanaryRun.ended_at) > now - WINDOW)).all()
        last_at = session.exec(
            select(func.max(CanaryRun.ended_at)).where(col(CanaryRun.path).like("cheating/%"))
        ).one()
    cheats = [run for run in ended if run.path.startswith("cheating/")]
    return CanaryStatus(
        every_s=services.settings.canary_every_s,
        share=services.settings.canary_share,
        last_attacked_at=last_at,
        attacks=len(cheats),
        succeeded=sum(bool(run.complaint) for run in cheats),
        controls=len(ended) - len(cheats),
        surprises=sum(bool(run.complaint) for run in ended),
    )


def surprises(services: Services, now: datetime) -> list[CanarySurprise]:
    """Those of the last day, newest first; for operators."""
    with services.db.read() as session:
        runs = session.exec(
            select(CanaryRun)
            .where(col(CanaryRun.ended_at) > now - WINDOW, CanaryRun.complaint != "")
            .order_by(col(CanaryRun.id).desc())
        ).all()
    return [
        CanarySurprise(
            problem=run.problem, device=run.device, path=run.path, complaint=run.complaint,
            submission_id=run.submission_id, at=run.ended_at or now,
        )
        for run in runs
    ]  # fmt: skip


def _due(services: Services, device: str, now: datetime) -> Control | None:
    """What to hand in for a device now, if anything: of those longest not tried, any."""
    settings = services.settings
    with services.db.write() as session:
        user = _account(session, now)
        last, pending = session.exec(
            select(
                func.max(CanaryRun.submitted_at),
                func.count().filter(col(CanaryRun.ended_at).is_(None)),
            ).where(CanaryRun.device == device)
        ).one()
        if pending or now - (last or user.created_at) < timedelta(seconds=settings.canary_every_s):
            return None
        used_s = queueing.device_time_s(session, device, now).get(user.id, 0.0)
        if used_s >= settings.canary_share * queueing.WINDOW.total_seconds():
            return None
        tried = session.exec(
            select(CanaryRun.problem, CanaryRun.device, CanaryRun.path, func.max(CanaryRun.id))
            .where(CanaryRun.device == device)
            .group_by(col(CanaryRun.problem), col(CanaryRun.device), col(CanaryRun.path))
        ).all()
    order = {(problem, where, path): latest for problem, where, path, latest in tried}
    known = [control for control in controls(services) if control.device == device]
    fresh = [control for control in known if control.place not in order]
    if fresh:
        return secrets.choice(fresh)
    return min(known, key=lambda control: order[control.place], default=None)


def _account(session: Session, now: datetime) -> User:
    """The internal account; locked, so that two processes do not hand in at the same time."""
    found = select(User).where(User.key == NAME).with_for_update()
    user = session.exec(found).one_or_none()
    if user is None:
        user = User(name=NAME, key=NAME, created_at=now, internal=True)
        session.add(user)
        session.flush()
    return user


def _outcome(session: Session, run: CanaryRun, now: datetime) -> str | None:
    """What is not as expected, empty if all is; None while it is not known."""
    judgement = session.exec(
        select(Judgement)
        .join(Submission, col(Submission.id) == Judgement.submission_id)
        .where(Submission.id == run.submission_id, col(Judgement.is_current))
    ).one_or_none()
    if judgement is None:
        # We were stopped between writing down what we do and doing it.
        return "it was never handed in" if now - run.submitted_at > _GRACE else None
    if judgement.state is not State.JUDGED:
        return None
    result = results.load_whole(session, judgement)
    if result is None:
        return f"it has no result: {judgement.reason}"
    return complaint(_expectation(run), result)


def _expectation(run: CanaryRun) -> Expectation:
    return Expectation(
        path=run.path,
        files=Path(run.path),
        permitted=frozenset(Verdict(verdict) for verdict in run.permitted.split()),
        mode=Mode.RANKED,
        reason="",
        min_speedup=run.min_speedup,
        max_speedup=run.max_speedup,
    )
