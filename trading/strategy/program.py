"""Conditions as an integer program, and the one kernel that reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai.schema import FeatureSchema
from data.compiled import kernel, kernel_allocating
from data.market import Float64Array, Int64Array
from trading.strategy.conditions import (
    OPERATORS,
    AllOf,
    AtLeast,
    Before,
    Comparison,
    Condition,
    Operand,
    Within,
    bars_back,
    parts_of,
)
from trading.strategy.spec import StrategySpec

LONG = 1  # bits of a signal
SHORT = 2
EXIT_LONG = 4
EXIT_SHORT = 8
UNKNOWN = 16  # a feature that the program reads is NaN on this bar

OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL, OP_CROSS_ABOVE, OP_CROSS_BELOW = range(6)
OP_ALL = 6
OP_ANY = 7
OP_EMIT = 8
OP_AT_LEAST, OP_WITHIN, OP_BEFORE = 9, 10, 11
BLOCK = 2048

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A compiled strategy.

    ``code[n, 3]``: (operation, a, b). Comparisons push; a, b ≥ 0 are rows of X, below 0 constants ``-a - 1``.
    ALL, ANY and AT_LEAST (``b`` of them) replace the top ``a`` values by one; WITHIN and BEFORE look ``a`` bars along
    the top one; EMIT pops one and sets bit ``a``.
    """

    code: Int64Array
    constants: Float64Array
    used: Int64Array  # rows of X that are read
    depth: int  # values on the stack at most
    back: int = 0  # bars before the present one that conditions read, apart from the one that a cross needs

    @property
    def columns(self) -> int:
        """Columns of X that the newest bar's bits are made of."""
        return self.back + 2


def compile_program(spec: StrategySpec, schema: FeatureSchema) -> Program:
    """Translate a strategy's conditions to rows of ``schema``.

    Raises:
        UserError: a condition names a feature that the schema does not have.
    """
    code: list[tuple[int, int, int]] = []
    constants: list[float] = []

    def operand(value: Operand) -> int:
        if isinstance(value, str):
            return schema.index(value)
        constants.append(float(value))
        return -len(constants)

    def emit(condition: Condition) -> None:
        if isinstance(condition, Comparison):
            code.append((OPERATORS.index(condition.op), operand(condition.left), operand(condition.right)))
            return
        parts = parts_of(condition)
        for part in parts:
            emit(part)
        if isinstance(condition, Within):
            code.append((OP_WITHIN, condition.within, 0))
        elif isinstance(condition, Before):
            code.append((OP_BEFORE, condition.before, 0))
        elif isinstance(condition, AtLeast):
            code.append((OP_AT_LEAST, len(parts), condition.at_least))
        else:
            code.append((OP_ALL if isinstance(condition, AllOf) else OP_ANY, len(parts), 0))

    for bit, condition in zip((LONG, SHORT, EXIT_LONG, EXIT_SHORT), spec.conditions(), strict=True):
        if condition is not None:
            emit(condition)
            code.append((OP_EMIT, bit, 0))
    used = np.array(sorted({schema.index(name) for name in spec.features()}), dtype=np.int64)
    back = max((bars_back(condition) for condition in spec.conditions() if condition is not None), default=0)
    return Program(
        np.array(code, dtype=np.int64).reshape(len(code), 3), np.array(constants, dtype=np.float64), used,
        _depth(code), back,
    )  # fmt: skip


def _depth(code: list[tuple[int, int, int]]) -> int:
    height = highest = 0
    for operation, a, _ in code:
        if operation < OP_ALL:
            height += 1
        elif operation == OP_EMIT:
            height -= 1
        elif operation not in (OP_WITHIN, OP_BEFORE):
            height += 1 - a
        highest = max(highest, height)
    return highest


@kernel_allocating
def _load(a: int, constants: Float64Array, X: Float64Array, first: int, n: int, buffer: Float64Array) -> None:
    """``buffer[1 + i]`` = operand at bar ``first + i``; ``buffer[0]`` = at the bar before. NaN before bar 0."""
    if a < 0:
        for i in range(n + 1):
            buffer[i] = constants[-a - 1]
        return
    missing = min(n + 1, max(0, 1 - first))
    buffer[:missing] = np.nan
    buffer[missing : n + 1] = X[a, first - 1 + missing : first + n]


@kernel
def _compare(operation: int, left: Float64Array, right: Float64Array, n: int, truth: UInt8Array) -> None:
    if operation == OP_LESS:
        for i in range(n):
            truth[i] = left[i + 1] < right[i + 1]
    elif operation == OP_LESS_EQUAL:
        for i in range(n):
            truth[i] = left[i + 1] <= right[i + 1]
    elif operation == OP_GREATER:
        for i in range(n):
            truth[i] = left[i + 1] > right[i + 1]
    elif operation == OP_GREATER_EQUAL:
        for i in range(n):
            truth[i] = left[i + 1] >= right[i + 1]
    elif operation == OP_CROSS_ABOVE:
        for i in range(n):
            truth[i] = (left[i] <= right[i]) & (left[i + 1] > right[i + 1])
    else:
        for i in range(n):
            truth[i] = (left[i] >= right[i]) & (left[i + 1] < right[i + 1])


@kernel
def _combine(operation: int, a: int, b: int, stack: UInt8Array, top: int, n: int) -> None:
    """ALL, ANY or AT_LEAST of the ``a`` values from ``top`` on, into the first of them."""
    result = stack[top]
    for j in range(1, a):
        part = stack[top + j]
        if operation == OP_ALL:
            for i in range(n):
                result[i] &= part[i]
        elif operation == OP_ANY:
            for i in range(n):
                result[i] |= part[i]
        else:
            for i in range(n):
                result[i] += part[i]
    if operation == OP_AT_LEAST:
        for i in range(n):
            result[i] = result[i] >= b


@kernel
def _look_back(operation: int, a: int, truth: UInt8Array, n: int) -> None:
    """WITHIN: true on one of the last ``a`` bars; BEFORE: true ``a`` bars ago. False where there is no such bar."""
    if operation == OP_WITHIN:
        since = a
        for i in range(n):
            since = 0 if truth[i] else since + 1
            truth[i] = since < a
        return
    for i in range(n - 1, -1, -1):
        truth[i] = truth[i - a] if i >= a else np.uint8(0)


@kernel_allocating
def signals(
    code: Int64Array, constants: Float64Array, used: Int64Array, depth: int, back: int, X: Float64Array, out: UInt8Array
) -> None:
    """Evaluate a program over all columns of ``X[F, T]`` into bits ``out[T]``; comparisons with NaN are false.

    The service calls it with the last ``back + 2`` columns; what lies before the first column given is false. Each
    block is worked out from ``back`` bars before it on, so that looking back meets the same truth in every block.
    """
    T = X.shape[1]
    block = min(BLOCK, T) + back
    left = np.empty(block + 1)
    right = np.empty(block + 1)
    stack = np.empty((depth + 1, block), dtype=np.uint8)
    for start in range(0, T, BLOCK):
        n = min(BLOCK, T - start)
        for i in range(n):
            out[start + i] = 0
        for k in range(used.shape[0]):
            row = used[k]
            for i in range(n):
                out[start + i] |= np.uint8(UNKNOWN) if X[row, start + i] != X[row, start + i] else np.uint8(0)
        top = 0
        for k in range(code.shape[0]):
            operation = code[k, 0]
            a = code[k, 1]
            if operation < OP_ALL:
                _load(a, constants, X, start - back, back + n, left)
                _load(code[k, 2], constants, X, start - back, back + n, right)
                _compare(operation, left, right, back + n, stack[top])
                top += 1
            elif operation == OP_EMIT:
                top -= 1
                truth = stack[top, back : back + n]
                bits = out[start : start + n]
                for i in range(n):
                    bits[i] |= np.uint8(truth[i] * a)
            elif operation in (OP_WITHIN, OP_BEFORE):
                _look_back(operation, a, stack[top - 1], back + n)
            else:
                top -= a
                _combine(operation, a, code[k, 2], stack, top, back + n)
                top += 1
