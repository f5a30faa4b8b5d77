"""Compile every kernel into numba's cache, one after the other, so that tests and starts do not compile in parallel.

Every module that compiles kernels is imported; where it has a function ``warm()``, that is called: it runs the module's
kernels once, on a few bars, with the types that the program uses.
"""

from __future__ import annotations

import importlib
import sys
from time import perf_counter

from data.compiled import ROOT, cache_folder, kernel_files


def main() -> int:
    """Warm all kernels; print what each module took."""
    began = perf_counter()
    warmed = 0
    for path in kernel_files():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name == "data.compiled":
            continue
        at = perf_counter()
        module = importlib.import_module(name)
        warm = getattr(module, "warm", None)
        if callable(warm):
            warm()
            warmed += 1
        took = perf_counter() - at
        if took > 0.5:
            print(f"  {name:<40} {took:6.1f} s", flush=True)
    print(f"{warmed} modules warmed in {perf_counter() - began:.1f} s (cache {cache_folder().name})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
