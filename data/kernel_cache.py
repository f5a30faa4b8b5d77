"""Where numba keeps a compiled kernel of this program: by its place in the program, not by where that is unpacked.

The cache folder is named by the content of every kernel (:func:`data.compiled.cache_folder`), so two copies of the same
program, or one that was moved, share what one of them compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from numba.core.caching import UserProvidedCacheLocator

from data.compiled import ROOT


class ProgramLocator(UserProvidedCacheLocator):
    """numba's locator of the folder that is named in its settings, for functions of this program only."""

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """The folder of a source file below the cache folder, as ``ai.features``."""
        return ".".join(Path(py_file).resolve().parent.relative_to(ROOT).parts)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        """A locator, or ``None`` for functions of other packages: numba asks the next one then."""
        if not Path(py_file).resolve().is_relative_to(ROOT):
            return None
        return cast(Any, super()).from_function(py_func, py_file)
