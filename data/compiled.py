"""The one way to compile a kernel, and the cache that cannot go stale.

numba does not notice an edit in a called function of another file and would serve a stale result. So the cache
folder's name holds a hash of every file that holds a kernel, numba's version and the CPU; it is set before numba is
first imported and inherited by worker processes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])

ROOT = Path(__file__).resolve().parent.parent
KERNEL_FLOORS = ("data", "ai", "trading")
_BY_CONTENT = "kernels-by-content"
_LOCATORS = (  # who says where a kernel is kept: ours, then numba's own for functions of other packages
    "data.kernel_cache.ProgramLocator,UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator,"
    "IPythonCacheLocator,ZipCacheLocator"
)
_MARKS = ("from data.compiled import kernel", "(IntEnum)")  # kernels, and the constants baked into them


def kernel_files() -> list[Path]:
    """Every source file that compiles kernels, in a fixed order."""
    found = (p for floor in KERNEL_FLOORS for p in (ROOT / floor).rglob("*.py"))
    return sorted(p for p in found if any(m in p.read_text(encoding="utf-8") for m in _MARKS))


def cache_folder() -> Path:
    """The cache folder for this code, this numba and this CPU (under the user's cache folder)."""
    digest = hashlib.blake2b(digest_size=10)
    for path in kernel_files():
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    digest.update(importlib.metadata.version("numba").encode())
    digest.update(f"{platform.machine()} {platform.processor()} {platform.python_version()}".encode())
    base = os.environ.get("QUANTAI_CACHE")
    if base is None:
        import platformdirs

        base = platformdirs.user_cache_dir("quantai-trad")
    return Path(base) / _BY_CONTENT / digest.hexdigest()


def prepare_cache() -> None:
    """Point numba at :func:`cache_folder`; must run before numba is first imported (importing this module does it).

    Where a person has named another folder, numba keeps kernels there in its own way.
    """
    if "NUMBA_CACHE_DIR" not in os.environ:
        os.environ["NUMBA_CACHE_DIR"] = str(cache_folder())


def kernel(function: F) -> F:
    """Compile ``function``: cached, without the GIL, IEEE arithmetic (no fastmath), division as in numpy.

    It makes no array, copies no part of one to another (``a[1:] = b``) and returns none. So arrays are only lent to it
    and numba need not count references to them, which took most of the time of small kernels.
    """
    return cast(F, _njit(_nrt=False)(function))


def kernel_part(function: F) -> F:
    """As :func:`kernel`, for the small parts of a kernel: their code goes into the caller (a call costs some 10 ns)."""
    return cast(F, _njit(_nrt=False, forceinline=True)(function))


def kernel_allocating(function: F) -> F:
    """As :func:`kernel`, for a function that makes arrays or copies parts of them."""
    return cast(F, _njit(_nrt=True)(function))


def _njit(**options: bool) -> Any:
    return cast(Any, numba.njit)(cache=True, nogil=True, error_model="numpy", **options)


def threads() -> int:
    """Threads that kernels may run on in this process: the cores, or fewer where NUMBA_NUM_THREADS says so."""
    return int(cast(Any, numba.config).NUMBA_NUM_THREADS)


prepare_cache()
import numba  # noqa: E402

# Not by the environment: a program of another installation that is started from here would look for our locator.
if Path(os.environ["NUMBA_CACHE_DIR"]).parent.name == _BY_CONTENT:
    cast(Any, numba.config).CACHE_LOCATOR_CLASSES = _LOCATORS
