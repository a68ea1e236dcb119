"""A worker as a process of its own, whose judging does what the test asks for.

python -m tests.judge.worker_process URL DATA_DIR BEHAVIOUR [REDIS_URL]
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from judge.dispatch import Dispatcher
from judge.hygiene import Hygiene
from judge.package import Package
from judge.settings import WorkerSettings
from judge.wire import Claim, JudgementResult, Progress
from sandbox.dummy import Dummy
from tests.judge.samples import make_result


def main(url: str, data_dir: Path, behaviour: str, redis_url: str | None = None) -> None:
    data_dir.mkdir(exist_ok=True)
    settings = WorkerSettings(
        url=url,
        worker_token="worker-token",
        redis_url=redis_url,
        data_dir=data_dir,
        name="test",
        poll_s=0.05,
    )

    def evaluate(
        claim: Claim, package: Package, report: Callable[[Progress], None]
    ) -> JudgementResult:
        note(data_dir / f"judging-{claim.attempt}", str(os.getpid()))
        if behaviour == "wait" or (behaviour == "wait-once" and claim.attempt == 1):
            signal.pause()
        while behaviour == "wait-for-go" and not (data_dir / "go").exists():
            time.sleep(0.02)
        if behaviour == "crash-once" and claim.attempt == 1:
            os._exit(13)
        if behaviour.startswith("leave") and claim.attempt == 1:
            left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            note(data_dir / "left", str(left.pid))
            if behaviour == "leave-and-crash":
                os._exit(13)
        return make_result(package_hash=package.hash, message=f"attempt {claim.attempt}")

    blind = Hygiene(settings.home, looks=()) if "OPJUDGE_TEST_BLIND" in os.environ else None
    Dispatcher(settings, evaluate, Dummy(), blind).run()


def note(path: Path, text: str) -> None:
    """A file that is there with all its text or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
