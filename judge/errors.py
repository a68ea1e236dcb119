"""Every error this project raises on purpose, drawn once.

OpjudgeError
├── UserError              the person can mend it; `code` is stable, the message is safe to show
│   ├── SubmissionError    the uploaded files are not a submission (too large, `../`, no file, ...)
│   ├── ProblemError       a problem package is invalid: file, line, key, remedy
│   └── ApiError           the server refused a request; carries the HTTP status
└── InfrastructureError    our side failed; a judging that meets it ends as JE and is retried
    └── BaselineFailed     the trusted side of a judging misbehaved

A contestant's program failing is never an exception: it is a verdict. `sandbox.SandboxError`
(the sandbox itself could not run) is turned into InfrastructureError where judging starts.
"""


class OpjudgeError(Exception):
    """Root of all deliberate errors."""


class UserError(OpjudgeError):
    """Something the caller can mend.

    Args:
        message: what is wrong, where, and how to fix it; shown to the person as it is.
        code: stable machine-readable word, e.g. ``"unknown-problem"``.
    """

    code = "invalid-request"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class SubmissionError(UserError):
    """The given files cannot be a submission."""

    code = "invalid-submission"


class ProblemError(UserError):
    """A problem package breaks the format."""

    code = "invalid-problem"


class ApiError(UserError):
    """The server answered with an error.

    Args:
        status: the HTTP status, 0 when there was no answer at all.
    """

    code = "server-error"

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status


class InfrastructureError(OpjudgeError):
    """Our own machinery failed; never charged to the contestant."""


class BaselineFailed(InfrastructureError):
    """The problem's own baseline or reference failed, or gave a wrong answer."""
