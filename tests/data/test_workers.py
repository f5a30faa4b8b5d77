"""Work in processes and on a cluster: the same results, errors as they are, nothing left behind, nothing printed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data import cluster
from data.errors import Retryable, UserError
from data.workers import Workers
from tests.data.worker_samples import die, factor, hang, later, matrices, nested, place_of, refuse, write_into

pytestmark = pytest.mark.workers
ROOT = Path(__file__).resolve().parents[2]
HERE, TWO = Workers(), Workers(processes=2)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A scheduler and two worker processes on this machine."""
    import dask
    from distributed import LocalCluster

    folder = str(tmp_path_factory.mktemp("dask"))
    with (
        dask.config.set({"temporary-directory": folder}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as made,
    ):
        yield made.scheduler_address


@pytest.fixture(params=["here", "processes", "cluster"])
def workers(request):
    if request.param == "cluster":
        return Workers(cluster=request.getfixturevalue("address"))
    return HERE if request.param == "here" else TWO


def test_one_process_two_and_a_cluster_give_the_same_bits_in_the_same_order(address) -> None:
    expected = list(HERE.each(factor, matrices()))
    for workers in (TWO, Workers(cluster=address)):
        found = list(workers.each(factor, iter(matrices())))
        assert [number for number, _ in found] == [0, 1, 2, 3, 4]
        for (_, left), (_, right) in zip(found, expected, strict=True):
            assert left.tobytes() == right.tobytes()


def test_the_work_is_really_done_elsewhere_with_one_thread_for_each_library(address) -> None:
    for workers in (TWO, Workers(cluster=address)):
        places = set(workers.each(place_of, range(8)))
        assert os.getpid() not in {pid for pid, _ in places}
        assert {threads for _, threads in places} == {"1"}


def test_no_jobs_give_no_results(workers) -> None:
    assert list(workers.each(refuse, [])) == []


def test_an_error_comes_back_as_itself_after_the_results_before_it(workers) -> None:
    found = workers.each(refuse, range(6))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(UserError, match=r"^The series has no bars for job 2: import some\.$"):
        next(found)


def test_an_error_keeps_its_fields(workers) -> None:
    with pytest.raises(Retryable) as caught:
        list(workers.each(later, range(2)))
    assert caught.value.retry_after_s == 7.5


def test_what_a_worker_is_given_is_its_own_and_may_be_changed(address) -> None:
    for workers in (TWO, Workers(cluster=address)):
        jobs = [np.ones(500_000), np.ones(3)]
        assert list(workers.each(write_into, jobs)) == [499_998.0, 1.0]
        assert jobs[0][0] == 1.0


def test_jobs_are_made_while_they_are_asked_for(workers) -> None:
    made = []

    def jobs() -> Iterator[int]:
        for k in range(3, 1000):
            made.append(k)
            yield k

    found = workers.each(refuse, jobs())
    assert [next(found) for _ in range(3)] == [3, 4, 5]
    assert len(made) <= 3 + 2 * 2
    found.close()


def test_it_ends_early_and_without_an_error_when_cancelled(workers) -> None:
    done: list[int] = []
    for result in workers.each(refuse, range(3, 1000), lambda: len(done) >= 2):  # noqa: B023
        done += [result]
    assert done == [3, 4]


def ended(pids: list[int]) -> bool:
    """None of them runs any more; waits for them up to five seconds each."""
    import select

    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ready, _, _ = select.select([handle], [], [], 5.0)
        os.close(handle)
        if not ready:
            return False
    return True


def test_cancelling_ends_work_that_is_under_way(tmp_path) -> None:
    def both_run() -> bool:
        return len(list(tmp_path.iterdir())) == 2

    assert list(TWO.each(hang, [str(tmp_path)] * 4, both_run)) == []
    assert ended([int(path.name) for path in tmp_path.iterdir()])


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(tmp_path, end) -> None:
    lines = (
        "from data.workers import Workers; from tests.data.worker_samples import hang; import sys;"
        "print('up', flush=True); list(Workers(2).each(hang, [sys.argv[1]] * 2))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", lines, str(tmp_path)], env=environment, stderr=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
    parent.send_signal(end)
    said = parent.communicate(timeout=20)[1]
    assert ended([int(path.name) for path in tmp_path.iterdir()])
    assert said.count("Traceback") == (1 if end == signal.SIGINT else 0)  # the parent's own
    assert end != signal.SIGINT or "leak" not in said  # one that is killed leaves its semaphores to the tracker


def test_nothing_is_printed_by_a_plain_script_that_has_no_main_guard(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from data.workers import Workers\nfrom tests.data.worker_samples import refuse\n"
        "found = Workers(2).each(refuse, range(3, 50))\nnext(found)\nfound.close()\n"
        "assert list(Workers(2).each(refuse, (0, 1))) == [0, 1]\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_worker_that_dies_is_said_in_one_sentence() -> None:
    with pytest.raises(UserError, match="ended from outside"):
        list(TWO.each(die, range(4)))


def test_workers_within_workers_give_the_same(workers) -> None:
    assert list(workers.each(nested, [1, 2, 0])) == [[0], [0, 1], []]


def test_a_process_that_may_have_no_children_does_the_work_itself() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(nested, (2,)) == [0, 1]


@pytest.mark.parametrize("wrong", ["tcp://127.0.0.1:9", "no address at all", "tcp://no-such-host.invalid:8786"])
def test_an_address_without_a_scheduler_is_said_within_seconds(wrong, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "REACH_S", 0.5)
    with pytest.raises(UserError, match=f"No Dask scheduler answers at {wrong}"):
        list(Workers(cluster=wrong).each(refuse, range(3)))


def test_something_else_that_listens_there_is_no_scheduler(monkeypatch) -> None:
    import socket
    import threading

    monkeypatch.setattr(cluster, "REACH_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as visitor:
                visitor.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match="No Dask scheduler answers"):
            list(Workers(cluster=f"tcp://127.0.0.1:{server.getsockname()[1]}").each(refuse, range(3)))
        thread.join()


@pytest.mark.parametrize(("part", "version"), [("numpy", "1.0.0"), ("program", "0"), ("Python", "3.9")])
def test_a_worker_of_another_version_is_said(address, monkeypatch, part, version) -> None:
    here = cluster.make_of_this_process()
    monkeypatch.setattr(cluster, "_make_here", lambda: {**here, part: version})
    with pytest.raises(UserError, match=rf"has {part} {here[part]} and this machine {version}"):
        list(Workers(cluster=address).each(refuse, range(3)))


def test_without_dask_the_way_to_get_it_is_said(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"bash scripts/run\.sh --with scale"):
        list(Workers(cluster="tcp://127.0.0.1:8786").each(refuse, range(3)))


SCHEDULER = """
import signal, dask, sys
from distributed import LocalCluster
if __name__ == "__main__":
    dask.config.set({"temporary-directory": sys.argv[1]})
    made = LocalCluster(
        n_workers=int(sys.argv[2]), threads_per_worker=2, dashboard_address="127.0.0.1:0", processes=False,
        host="127.0.0.1", protocol="tcp",
    )  # fmt: skip
    print(made.scheduler_address, flush=True)
    signal.pause()
"""


@pytest.fixture
def scheduler(tmp_path):
    """Starts a scheduler in a process of its own with so many workers: the process and its address."""
    script = tmp_path / "scheduler.py"
    script.write_text(SCHEDULER)
    with contextlib.ExitStack() as stack:

        def start(workers: int) -> tuple[subprocess.Popen[str], str]:
            there = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(script), str(tmp_path / "spill"), str(workers)], stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
                )
            )  # fmt: skip
            stack.callback(there.kill)
            assert there.stdout is not None
            return there, there.stdout.readline().strip()

        yield start


def test_a_scheduler_without_workers_is_said(scheduler, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "REACH_S", 1.0)
    _, address = scheduler(0)
    with pytest.raises(UserError, match="has no workers"):
        list(Workers(cluster=address).each(refuse, range(3)))


def test_a_scheduler_that_is_lost_midway_is_said(scheduler, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "REACH_S", 2.0)
    there, address = scheduler(1)
    started = tmp_path / "started"
    started.mkdir()

    def kill_when_it_runs() -> bool:
        if list(started.iterdir()):
            there.kill()
        return False

    with pytest.raises(UserError, match="was lost before all work was done"):
        list(Workers(cluster=address).each(hang, [str(started)] * 2, kill_when_it_runs))
