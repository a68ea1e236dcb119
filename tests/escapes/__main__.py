"""Try every attack on every back end and print who got through.

python -m tests.escapes [--backend NAME ...] [--only SUBSTRING] [--json]
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence

from tests.escapes.attack import Attack
from tests.escapes.attacks import ATTACKS
from tests.escapes.backends import Backend, registry
from tests.escapes.demonstration import succeeds
from tests.escapes.host import Host
from tests.escapes.trial import Finding

_NOT_RUN = "(all attacks)"


class Say:
    """How a finding is told."""

    def __init__(self, form: str) -> None:
        self._form = form

    def __call__(self, backend: str, finding: Finding) -> None:
        if self._form == "json":
            print(json.dumps({"backend": backend, **_fields(finding)}), flush=True)
            return
        state = "contained" if finding.contained else "ESCAPED"
        state = "not run" if finding.attack == _NOT_RUN else state
        print(f"{backend:16} {state:9} {finding.verdict:4} {finding.attack}", flush=True)
        for fault in finding.faults:
            print(f"{'':31} {fault}", flush=True)


_line, _row = Say("json"), Say("text")


def main() -> int:
    """Exit status 1 if anything got through, or an attack was not seen to bite as it claims."""
    backends = registry()
    options = _options(list(backends))
    chosen = [
        a
        for a in ATTACKS.values()
        if options.only in a.name and (not options.exactly or a.name in options.exactly)
    ]
    say = _line if options.json else _row
    counts: dict[str, dict[str, int]] = {}
    for name in options.backend or backends:
        counts[name] = _try(backends[name], chosen, say)
    claimed = [a for a in chosen if a.seen_on]
    blunt = [] if options.no_shows else _blunt(claimed)
    toothless = len(chosen) - len(claimed) + len(blunt)
    if not options.json:
        _print_unseen(chosen, blunt)
    summary = {"attacks": len(chosen), "backends": counts, "toothless": toothless}
    print(json.dumps(summary), flush=True)
    return int(bool(blunt) or any(c["escaped"] for c in counts.values()))


def _options(backends: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.escapes", description=__doc__)
    parser.add_argument("--backend", nargs="+", choices=backends, metavar="NAME")
    parser.add_argument("--only", default="", metavar="SUBSTRING")
    parser.add_argument("--json", action="store_true", help="one object a line, the last sums up")
    parser.add_argument("--exactly", action="append", metavar="ATTACK", help=argparse.SUPPRESS)
    parser.add_argument("--no-shows", action="store_true", help="do not show that attacks bite")
    return parser.parse_args()


def _try(backend: Backend, attacks: Sequence[Attack], say: Say) -> dict[str, int]:
    why = backend.missing()
    if why is not None:
        say(backend.name, Finding(_NOT_RUN, "", (why,)))
        return {"contained": 0, "escaped": 0, "not_run": len(attacks)}
    contained: set[str] = set()
    escaped: set[str] = set()
    for finding in backend.try_all(attacks):
        say(backend.name, finding)
        (contained if finding.contained else escaped).add(finding.attack)
    names = {a.name for a in attacks}
    # A judge that has suffered, from which attack we cannot tell, counts as one that got through.
    return {
        "contained": len(contained & names),
        "escaped": len(escaped),
        "not_run": len(names - contained - escaped),
    }


def _fields(finding: Finding) -> dict[str, object]:
    return {"attack": finding.attack, "verdict": finding.verdict, "faults": finding.faults}


def _blunt(attacks: Iterable[Attack]) -> list[str]:
    """Attacks that do not succeed where they claim to."""
    with Host() as host:
        return [
            f"{attack.name} (on {where})"
            for attack in attacks
            for where in attack.seen_on
            if not succeeds(attack, where, host)
        ]


def _print_unseen(attacks: Iterable[Attack], blunt: Iterable[str]) -> None:
    print("\nNever seen to succeed, and why:")
    for attack in attacks:
        if not attack.seen_on:
            print(f"  {attack.name}: {attack.why_unseen}")
    for name in blunt:
        print(f"  {name}: claims to, but did not")
    print()


if __name__ == "__main__":
    sys.exit(main())
