"""The service's way through a strategy's conditions: one bar at a time, with as many earlier bars as they look at."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import Float64Array, UInt8Array
from trading.strategy.program import compile_program, signals
from trading.strategy.spec import StrategySpec

_TWO = 2  # columns that every caller has: the bar before and this one


class SignalReader:
    """Signal bits of S symbols, bar by bar; equal to :func:`signals` over all bars at once.

    Conditions that look further back than a cross need more columns than the session is given: these are kept here,
    of the features that the conditions read, and travel with the checkpoint.
    """

    def __init__(self, spec: StrategySpec, schema: FeatureSchema, symbols: int) -> None:
        self._names = spec.features()
        self._rows = np.array([schema.index(name) for name in self._names], dtype=np.int64)
        program = compile_program(spec, schema)
        self._keeps = program.columns > _TWO
        self._program = compile_program(spec, FeatureSchema(self._names)) if self._keeps else program
        self._window: Float64Array = np.full((symbols, len(self._names), self._program.columns), np.nan)
        self._bits: UInt8Array = np.zeros(self._program.columns, dtype=np.uint8)

    def bits(self, s: int, X: Float64Array) -> int:
        """Bits of symbol ``s`` at the last column of ``X[F, 2]``; to be asked once for every bar."""
        program = self._program
        if self._keeps:
            window = self._window[s]
            window[:, :-1] = window[:, 1:]
            window[:, -1] = X[self._rows, -1]
            X = window
        signals(program.code, program.constants, program.used, program.depth, program.back, X, self._bits)
        return int(self._bits[X.shape[1] - 1])

    def document(self) -> str:
        """What a checkpoint keeps of it."""
        return base64.b64encode(self._window.tobytes()).decode() if self._keeps else ""

    def restore(self, document: Any) -> None:
        """Go on from :meth:`document`.

        Raises:
            UserError: it is of another strategy.
        """
        raw = base64.b64decode(str(document))
        if not self._keeps:
            return
        if len(raw) != self._window.nbytes:
            raise UserError("The account's checkpoint is of other conditions: start with --fresh.")
        self._window[...] = np.frombuffer(raw, dtype=np.float64).reshape(self._window.shape)
