"""python -m tests.bench NAME [--quick]: measure, and print one JSON object as the last line."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from tests.bench import (
    aa,
    estimators,
    live,
    overhead,
    repeatability,
    sandbox,
    scale,
    throughput,
    verification,
)

BENCHES: dict[str, Callable[[bool], dict[str, Any]]] = {
    "aa": aa.bench,
    "estimators": estimators.bench,
    "overhead": overhead.bench,
    "repeatability": repeatability.bench,
    "sandbox": sandbox.bench,
    "scale": scale.bench,
    "live": live.bench,
    "verification": verification.bench,
    "throughput": throughput.bench,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHES, "all"])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, for a first look")
    arguments = parser.parse_args()
    if arguments.name == "all":
        result = {name: bench(arguments.quick) for name, bench in BENCHES.items()}
    else:
        result = BENCHES[arguments.name](arguments.quick)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
