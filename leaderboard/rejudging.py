"""`opjudge admin rejudge`: judge submissions again, whatever became of them."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import select

from leaderboard import audit, boards, judgements
from leaderboard.audit import Action
from leaderboard.models import Submission
from leaderboard.services import Services


def rejudge_all(services: Services, submissions: Sequence[UUID], operator: str) -> None:
    """Queue them again, all or none, by the versions of their problems that are on offer.

    Until a new verdict is there, a submission counts on no board.

    Raises ApiError: 404 ``unknown-submission``, 404 ``unknown-problem`` if its problem is not on
    offer any more, 409 ``not-final`` if it is being judged.
    """
    now = services.clock()
    with services.db.write() as session:
        for submission_id in dict.fromkeys(submissions):
            of_problem = select(Submission.problem).where(Submission.id == submission_id)
            problem = session.exec(of_problem).one_or_none()
            package = services.catalog.package(problem).hash if problem else ""
            judgements.rejudge(session, submission_id, package, now)
            boards.refresh(session, submission_id)
            audit.record(session, now, operator, Action.REJUDGED, str(submission_id))
