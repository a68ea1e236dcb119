"""A supervisor as a process of its own: keeps one shell script running in a folder.

python -m tests.judge.supervisor_process FOLDER SCRIPT
"""

import contextlib
import signal
import sys
from pathlib import Path

from judge.supervisor import STOP_SIGNALS, Program, Stopped, Supervisor


def main(folder: Path, script: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    with contextlib.suppress(Stopped), Supervisor(folder / "log", print) as supervisor:
        supervisor.start(Program("script", ["sh", "-c", script, "sh", str(folder)], stop_s=1.0))
        supervisor.supervise()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
