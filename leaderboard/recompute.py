"""`opjudge admin recompute`: every stored score computed again from its stored raw times."""

from collections.abc import Iterator
from typing import Annotated
from uuid import UUID

import typer
from sqlmodel import col, select

from judge import wire
from judge.cli.output import NOT_ACCEPTED, OK, Commands, Json, make_output
from judge.recompute import disagreements, withheld
from judge.wire import Wire
from leaderboard import results
from leaderboard.db import Database
from leaderboard.models import Judgement, State, Submission
from leaderboard.settings import Settings
from leaderboard.submissions import score_of

app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)


class Wrong(Wire):
    """A judgement whose score does not follow from what is stored."""

    submission_id: UUID
    attempt: int
    problem: str
    faults: tuple[str, ...]


class Recomputed(Wire):
    """Attributes:
    judgements: that have a score, and were computed again.
    partly: of them, those some of whose raw times were given up.
    """

    judgements: int
    partly: int
    wrong: tuple[Wrong, ...]


def recompute(db: Database, problem: str | None = None) -> Recomputed:
    """Read everything once, and change nothing.

    Args:
        problem: only this one's.
    """
    with db.read() as session:
        query = (
            select(Judgement.id)
            .join(Submission, col(Submission.id) == Judgement.submission_id)
            .where(Judgement.state == State.JUDGED, col(Judgement.score).is_not(None))
            .order_by(col(Submission.number), col(Judgement.attempt))
        )
        if problem is not None:
            query = query.where(Submission.problem == problem)
        ids = session.exec(query).all()
    partly, wrong = 0, []
    for judgement_id in ids:
        # A transaction each: reading a whole contest in one would hold back the writers' log.
        with db.read() as session:
            judgement, submission = session.exec(
                select(Judgement, Submission)
                .join(Submission, col(Submission.id) == Judgement.submission_id)
                .where(Judgement.id == judgement_id)
            ).one()
            result = results.load_whole(session, judgement)
        partly += result is not None and any(withheld(run) for run in result.runs)
        faults = tuple(_faults(judgement, result))
        if faults:
            wrong.append(
                Wrong(
                    submission_id=submission.id,
                    attempt=judgement.attempt,
                    problem=submission.problem,
                    faults=faults,
                )
            )
    return Recomputed(judgements=len(ids), partly=partly, wrong=tuple(wrong))


def _faults(judgement: Judgement, result: wire.JudgementResult | None) -> Iterator[str]:
    if result is None:
        yield "there is a score and no result"
        return
    if score_of(judgement) != result.score:
        yield f"the board uses {score_of(judgement)}, the result says {result.score}"
    yield from disagreements(result)


@app.command()
def main(
    problem: Annotated[str | None, typer.Option("--problem")] = None, as_json: Json = False
) -> None:
    """Compute every stored score again."""
    output = make_output(as_json)
    db = Database(Settings().database)
    try:
        found = recompute(db, problem)
    finally:
        db.close()

    def show() -> None:
        for wrong in found.wrong:
            output.say(f"{wrong.submission_id} ({wrong.problem}): {'; '.join(wrong.faults)}")
        output.say(
            f"{found.judgements} scores computed again, {len(found.wrong)} wrong"
            + (f", {found.partly} in part: raw times were given up" if found.partly else "")
        )

    output.result(found, show)
    raise typer.Exit(NOT_ACCEPTED if found.wrong else OK)


if __name__ == "__main__":
    app()
