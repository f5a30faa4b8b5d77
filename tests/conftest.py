"""What every test may ask for: the shared market data, an isolated home, and the groups xdist keeps together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent

settings.register_profile(
    "fixed",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
settings.load_profile("fixed")

# Tests with these markers share a scarce thing (a screen, the processor's cores): one xdist worker runs them in turn.
GROUPS = ("qt", "workers")

# Small tests of kernels by file: all run again with bounds checks, those marked `nojit` uncompiled too. Single tests
# elsewhere may carry the markers themselves.
KERNEL_TESTS = {
    "trading/test_fills.py": ("kernel", "nojit"),
    "ai/labels/test_triple_barrier.py": ("kernel", "nojit"),
    "ai/labels/test_sample_weights.py": ("kernel", "nojit"),
    "ai/features/test_feature_oracles.py": ("kernel",),
    "ai/guard/test_fading.py": ("kernel",),
}


def pytest_configure(config: pytest.Config) -> None:
    """Without a screen Qt draws into memory; a test never opens a window on somebody's desk."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of kernels, and put each scarce marker into one xdist group (``--dist loadgroup``)."""
    here = Path(__file__).parent
    for item in items:
        name = item.path.relative_to(here).as_posix() if item.path.is_relative_to(here) else ""
        for mark in KERNEL_TESTS.get(name, ()):
            item.add_marker(mark)
        for group in GROUPS:
            if item.get_closest_marker(group) is not None:
                item.add_marker(pytest.mark.xdist_group(group))
                break


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real market data; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("QUANTAI_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no market data at {folder}; set QUANTAI_TEST_DATA to the folder that holds it")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder of its own, named by ``QUANTAI_HOME``; the caller's QUANTAI_ settings are out."""
    for name in [name for name in os.environ if name.startswith("QUANTAI_") and name not in _KEPT]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("QUANTAI_HOME", str(folder))
    return folder


_KEPT = ("QUANTAI_CACHE", "QUANTAI_TEST_DATA")


@pytest.fixture(autouse=True, scope="session")
def _no_home_by_chance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that forgets to name a home gets an empty one, never the operator's."""
    before = os.environ.get("QUANTAI_HOME")
    os.environ["QUANTAI_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    if before is None:
        del os.environ["QUANTAI_HOME"]
    else:
        os.environ["QUANTAI_HOME"] = before
