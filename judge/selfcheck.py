"""Before a worker takes jobs: does its sandbox contain what it must?"""

from judge.cores import environment
from judge.errors import UserError
from sandbox.base import Sandbox, SandboxError
from sandbox.probes import LAYERS, Checked, Report, check, unknown_names


def allowed_names(text: str) -> frozenset[str]:
    """The setting `allow` as a set. Raises UserError for a name that is no layer and no probe."""
    names = frozenset(filter(None, (word.strip() for word in text.split(","))))
    unknown = unknown_names(names)
    if unknown:
        raise UserError(
            f"setting allow (OPJUDGE_ALLOW): no layer or probe is called {', '.join(unknown)}; "
            f"layers: {', '.join(LAYERS)}; `opjudge doctor` lists the probes",
            code="bad-setting",
        )
    return names


def self_check(sandbox: Sandbox, allow: str) -> Checked:
    """Attack the sandbox, started cold and warm; returns it with the findings on its record.

    It is left ready for warm starts. Raises UserError for an unknown name in `allow`, SandboxError
    naming probe and remedy if one gets through that is not allowed to.
    """
    allowed = allowed_names(allow)
    report = attacked(sandbox)
    problem = report.explain(allowed)
    if problem:
        sandbox.close()
        raise SandboxError(problem)
    return Checked(sandbox, report.level, report.lowered(allowed))


def attacked(sandbox: Sandbox) -> Report:
    """What the probes get out of both kinds of start; see `self_check`. Raises SandboxError."""
    cold = check(sandbox)
    usual = environment()
    sandbox.refill(usual)
    return cold.worst(check(sandbox, usual))
