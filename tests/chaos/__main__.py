"""Kill everything, and see that nothing is lost, doubled or stuck.

python -m tests.chaos storm [--quick] [--json]    random faults under load
python -m tests.chaos points [--quick] [--json]   each part killed at each transition

Prints one JSON object as the last line; exit status 1 if a promise was broken.
"""

import argparse
import json
import sys

from tests.chaos import points, storm


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("what", choices=["storm", "points"])
    parser.add_argument("--quick", action="store_true", help="a minute instead of many")
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--seed", type=int, help="of a storm: the same faults in the same order")
    options = parser.parse_args()
    if options.what == "storm":
        result = storm.run(quick=options.quick, seed=options.seed)
        bad = storm.broke_a_promise(result)
    else:
        result = points.run(quick=options.quick)
        bad = bool(result["wrong"] or result["left"])
    print(json.dumps(result, indent=None if options.json else 1), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
