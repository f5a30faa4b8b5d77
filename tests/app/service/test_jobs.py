"""Worker processes: progress, results, failures in one sentence, cancelling, and no orphan after the parent dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from app.jobs import Jobs, JobStatus, remaining_seconds
from data.errors import QuantError

pytestmark = pytest.mark.workers
ROOT = Path(__file__).resolve().parents[3]
SAMPLES = "tests.app.service.job_samples"


@pytest.fixture
def seen():
    return []


@pytest.fixture
def jobs(seen):
    made = Jobs(on_change=seen.append)
    yield made
    made.close()


def test_a_job_reports_progress_and_gives_its_result(jobs, seen):
    _, future = jobs.start("adding", f"{SAMPLES}:add", {"left": 2, "right": 3})
    assert future.result(60) == 5
    assert [s.words for s in seen if s.words][:2] == ["adding", "added"]
    assert seen[-1].state == "done" or jobs.statuses()[0].state == "done"
    assert jobs.statuses()[0].fraction == 1.0


def test_a_worker_imports_no_qt(jobs):
    _, future = jobs.start("modules", f"{SAMPLES}:loaded_modules", {})
    assert not [name for name in future.result(60) if name.startswith("PyQt6")]


@pytest.mark.parametrize(
    ("work", "words"),
    [("refuse", "The series has no bars"), ("break_down", "ZeroDivisionError"), ("die", "without a result")],
)
def test_a_job_that_fails_says_so_in_one_sentence(jobs, work, words):
    _, future = jobs.start("work", f"{SAMPLES}:{work}", {})
    with pytest.raises(QuantError, match=words):
        future.result(60)
    assert jobs.statuses()[0].state == "failed"


def test_a_job_can_be_cancelled(seen):
    running = threading.Event()

    def follow(status: JobStatus) -> None:
        if status.words == "hanging":
            running.set()

    jobs = Jobs(on_change=follow)
    job_id, future = jobs.start("hanging", f"{SAMPLES}:hang", {})
    assert running.wait(60)
    assert jobs.cancel(job_id)
    with pytest.raises(QuantError, match="cancelled"):
        future.result(10)
    assert jobs.statuses()[0].state == "cancelled"
    assert not jobs.cancel(job_id)
    jobs.close()


def test_a_job_that_takes_too_long_is_ended_and_said(jobs):
    _, future = jobs.start("hanging", f"{SAMPLES}:hang", {}, limit_s=0.2)
    with pytest.raises(QuantError, match=r"hanging took longer than 0\.2 seconds and was ended"):
        future.result(60)
    assert jobs.statuses()[0].state == "failed"


def below_us() -> list[psutil.Process]:
    """What this process started, without the trackers of its libraries, which live as long as it does."""
    every = psutil.Process().children(recursive=True)
    return [process for process in every if "resource_tracker" not in " ".join(process.cmdline())]


@pytest.mark.parametrize("below", [False, True])
def test_a_job_that_takes_too_much_memory_is_ended_with_its_own_workers_and_said(jobs, below):
    _, future = jobs.start("eating", f"{SAMPLES}:eat", {"mib": 1200, "below": below}, 60.0, memory_mb=900)
    with pytest.raises(QuantError, match=r"eating took more than 900 MiB and was ended\."):
        future.result(60)
    assert jobs.statuses()[0].state == "failed"
    assert psutil.wait_procs(below_us(), 5.0)[1] == []


def test_a_job_within_its_memory_is_left_alone(jobs):
    _, future = jobs.start("adding", f"{SAMPLES}:add", {"left": 2, "right": 3}, 60.0, memory_mb=900)
    assert future.result(60) == 5


def test_a_cancelled_job_takes_its_own_workers_with_it_without_a_word(tmp_path, capfd):
    jobs = Jobs()
    job_id, future = jobs.start("sharing", f"{SAMPLES}:share", {"folder": str(tmp_path)})
    while len(list(tmp_path.iterdir())) < 2:
        assert not future.done()
    workers = [psutil.Process(int(path.name)) for path in tmp_path.iterdir()]
    assert jobs.cancel(job_id)
    assert psutil.wait_procs(workers, 5.0)[1] == []
    jobs.close()
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_does_not_reach_a_worker_even_before_its_first_line(jobs):
    _, future = jobs.start("adding", f"{SAMPLES}:add", {"left": 2, "right": 3})
    for _ in range(50):
        os.kill(jobs._jobs[1].process.pid, signal.SIGINT)
    assert future.result(60) == 5


PARENT = """
import threading
from app.jobs import Jobs

ready = threading.Event()
if __name__ == "__main__":
    jobs = Jobs(on_change=lambda s: ready.set() if s.words == "hanging" else None)
    jobs.start("hanging", "tests.app.service.job_samples:hang", {})
    ready.wait(60)
    print(jobs._jobs[1].process.pid, flush=True)
    threading.Event().wait()
"""


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    handle = os.pidfd_open(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    import select

    ended, _, _ = select.select([handle], [], [], 5.0)
    os.close(handle)
    assert ended, "the worker still runs 5 s after its parent was killed"


def test_remaining_time_follows_the_share_done():
    assert remaining_seconds(10.0, 2, 10) == 40.0
    assert remaining_seconds(10.0, 0, 10) is None
