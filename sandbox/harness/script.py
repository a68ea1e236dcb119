"""Runs a Python file of the work directory.

python -m sandbox.harness.script FILE ARGUMENT...
"""

import runpy
import sys

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
