"""The closed lists of words a submission can meet: status, verdict, mode."""

from enum import StrEnum


class Verdict(StrEnum):
    """What a submission got (ICPC judgement types; `SV` and `JE` as in the CCS list)."""

    AC = "AC"
    WA = "WA"
    TLE = "TLE"
    MLE = "MLE"
    RTE = "RTE"
    CE = "CE"
    OLE = "OLE"
    SV = "SV"
    JE = "JE"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.AC: "accepted",
    Verdict.WA: "wrong answer",
    Verdict.TLE: "time limit exceeded",
    Verdict.MLE: "memory limit exceeded",
    Verdict.RTE: "run-time error",
    Verdict.CE: "compile error",
    Verdict.OLE: "output limit exceeded",
    Verdict.SV: "security violation",
    Verdict.JE: "judging error (our fault; it is retried and never charged)",
}


class Status(StrEnum):
    """Where a submission is. What it got is its verdict."""

    QUEUED = "queued"
    BUILDING = "building"
    CHECKING = "checking"
    TIMING = "timing"
    JUDGED = "judged"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (Status.JUDGED, Status.CANCELLED)


class Mode(StrEnum):
    """How much a judging covers: samples only, everything visible, or everything and ranked."""

    TEST = "test"
    BENCHMARK = "benchmark"
    RANKED = "ranked"


class Language(StrEnum):
    """What a submission is written in."""

    PYTHON = "python"
    CPP = "cpp"
