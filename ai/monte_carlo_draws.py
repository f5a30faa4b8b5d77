"""Random numbers by key and counter: the n-th draw of a key is a function of both, so no stream runs from call to call.

The generator is SplitMix64 (Steele, Lea & Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014) from a
start that is mixed of the key. Two keys share draws if their starts lie within some 10^5 of 2^64 steps of each other:
for a million keys that is a chance of about one in a hundred, and even then in other places of other paths.

The loops are plain sums over whole arrays without branches, so that the compiler takes several numbers at once. They
are given rows, not offsets into one array, because with offsets it does not.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from data.compiled import kernel, kernel_part
from data.market import Float64Array, Int64Array

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_ONE, _TWO, _LOW = np.uint64(1), np.uint64(2), np.uint64(0xFFFFFFFF)
_UNIT = 2.0**-32
_QUARTER = 0.5 * math.pi * 2.0**-30  # the quarter circle in steps of 30 bits
_LOG_2, _ROOT_HALF = math.log(2.0), math.sqrt(0.5)
_MANTISSA = 52  # bits of a float64 behind its exponent
_ROOT_HALF_BITS = int(np.float64(_ROOT_HALF).view(np.int64))
# Taylor coefficients of cosine and sine
_F2, _F4, _F6, _F8, _F10, _F12 = -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600
_F3, _F5, _F7, _F9, _F11 = -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800


@kernel_part
def _mixed(z: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64: every bit of the result depends on every bit of ``z``."""
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def start_of(seed: int, symbol: int, open_time: int) -> np.uint64:
    """Where the draws of (seed, symbol index, open time in ms) start."""
    start = _mixed(np.uint64(seed) + _GOLDEN)
    start = _mixed((start ^ np.uint64(symbol)) + _GOLDEN)
    return _mixed((start ^ np.uint64(open_time)) + _GOLDEN)


@kernel
def draw_places(start: np.uint64, first: int, count: int, out: npt.NDArray[np.int32]) -> None:
    """Fill ``out[n]`` with whole numbers in [0, ``count``), even to count / 2^32, from the draw ``first`` on."""
    choices = np.uint64(count)
    for i in range(len(out)):
        bits = _mixed(start + np.uint64(first + i + 1) * _GOLDEN)
        out[i] = np.int32(((bits >> _S32) * choices) >> _S32)


@kernel
def draw_exponentials(start: np.uint64, first: int, room: Float64Array, out: Float64Array) -> None:
    """Fill ``out[n]`` (n even) with exponential numbers of mean 1 from the draws ``first`` to ``first + n/2 - 1``.

    32 bits each; ``room[n]`` is written over.
    """
    half = len(out) // 2
    _uniform_pairs(start, first, room[:half], room[half:])
    _logarithms(room, out)
    for i in range(len(out)):
        out[i] = -out[i]


@kernel
def draw_normals(start: np.uint64, first: int, room: Float64Array, out: Float64Array) -> None:
    """Fill ``out[2, n]`` with standard normal numbers from the draws ``first`` to ``first + n - 1``.

    Box & Muller (1958): 32 bits give the radius, 30 the angle in a quarter circle, two the signs. ``room[3, n]`` is
    written over.
    """
    _polar_pairs(start, first, room[0], room[1], out[0], out[1])
    _logarithms(room[0], room[2])
    _place_pairs(room[2], room[1], out[0], out[1])


@kernel
def _uniform_pairs(start: np.uint64, first: int, one: Float64Array, other: Float64Array) -> None:
    """Uniform numbers in (0, 1)."""
    for i in range(len(one)):
        bits = _mixed(start + np.uint64(first + i + 1) * _GOLDEN)
        one[i] = (np.float64(bits >> _S32) + 0.5) * _UNIT
        other[i] = (np.float64(bits & _LOW) + 0.5) * _UNIT


@kernel
def _polar_pairs(
    start: np.uint64, first: int, uniform: Float64Array, angle: Float64Array, sign_1: Float64Array, sign_2: Float64Array
) -> None:
    """Uniform numbers in (0, 1), angles within pi / 4 of the quarter circle's middle, and two signs."""
    for i in range(len(uniform)):
        bits = _mixed(start + np.uint64(first + i + 1) * _GOLDEN)
        low = bits & _LOW
        uniform[i] = (np.float64(bits >> _S32) + 0.5) * _UNIT
        angle[i] = (np.float64(low >> _TWO) + 0.5) * _QUARTER - 0.25 * math.pi
        sign_1[i] = 1.0 - 2.0 * np.float64(low & _ONE)
        sign_2[i] = 1.0 - 2.0 * np.float64((low >> _ONE) & _ONE)


@kernel
def _place_pairs(logarithm: Float64Array, angle: Float64Array, out_1: Float64Array, out_2: Float64Array) -> None:
    """Multiply the signs in ``out_1`` and ``out_2`` by radius x cosine and radius x sine (exact to 1e-11)."""
    for i in range(len(logarithm)):
        radius = math.sqrt(-2.0 * logarithm[i]) * _ROOT_HALF  # cos(pi/4 + a) = (cos a - sin a) sqrt(1/2)
        a = angle[i]
        q = a * a
        sine = a * (1.0 + q * (_F3 + q * (_F5 + q * (_F7 + q * (_F9 + q * _F11)))))
        cosine = 1.0 + q * (_F2 + q * (_F4 + q * (_F6 + q * (_F8 + q * (_F10 + q * _F12)))))
        out_1[i] *= radius * (cosine - sine)
        out_2[i] *= radius * (cosine + sine)


@kernel
def _logarithms(numbers: Float64Array, out: Float64Array) -> None:
    """Natural logarithms of positive numbers, exact to 1e-12; ``numbers`` are written over by their mantissas."""
    _split(numbers.view(np.int64), out)
    for i in range(len(numbers)):
        s = (numbers[i] - 1.0) / (numbers[i] + 1.0)  # log m = 2 artanh s, and |s| < 0.172
        q = s * s
        series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13))))))
        out[i] = out[i] * _LOG_2 + 2.0 * s * series


@kernel
def _split(bits: Int64Array, exponent: Float64Array) -> None:
    """Take 2^exponent out of positive float64 numbers, given by their bits; sqrt(1/2) <= mantissa < sqrt(2) is left."""
    for i in range(len(bits)):
        k = (bits[i] - _ROOT_HALF_BITS) >> _MANTISSA
        exponent[i] = np.float64(k)
        bits[i] -= k << _MANTISSA
