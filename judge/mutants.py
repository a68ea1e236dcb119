"""Wrong outputs made from right ones: what a tolerance is worth is shown by what it stops.

Each is a mistake that a real implementation makes, or a shortcut that one takes. A problem is ready
when every one of them fails clearly on every timed workload (`judge.certificate`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from judge.arena import Array

TILE = 64
"""Elements of the tile that is dropped at the end."""

_LOWER = {
    "float64": np.dtype(np.float32),
    "float32": np.dtype(np.float16),
    "float16": np.dtype(ml_dtypes.bfloat16),
    "bfloat16": np.dtype(ml_dtypes.float8_e4m3fn),
}


class Unfit(Exception):
    """This mutant cannot be made of that output; the message says why."""


@dataclass(frozen=True)
class Original:
    """A right output, and what a mutant may be made of.

    Attributes:
        value: right, in the declared type.
        previous: as right, of another call.
        u: unit roundoff of the type, 0 for integers.
    """

    value: Array
    previous: Array
    inputs: Mapping[str, Array]
    u: float

    @property
    def eps(self) -> float:
        """An error that no honest implementation makes: a per cent, or what the type can show."""
        return max(0.01, 16 * self.u)


Mutant = Callable[[Original], Array]


def _filled(original: Original, value: float) -> Array:
    return np.full_like(original.value, value)


def _mean(original: Original) -> Array:
    return _filled(original, float(_wide(original.value).mean()))


def _wide(value: Array) -> Array:
    return np.nan_to_num(value.astype(np.float64))


def _identity(original: Original) -> Array:
    for given in original.inputs.values():
        if given.shape == original.value.shape:
            return given.astype(original.value.dtype)
    raise Unfit("no input has the output's shape")


def _poison(original: Original) -> Array:
    if not original.u:
        return _filled(original, 1 << 30)
    return _filled(original, np.nan)


def _transposed(original: Original) -> Array:
    shape = original.value.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise Unfit("it is not square")
    return np.ascontiguousarray(np.swapaxes(original.value, -1, -2))


def _rows(original: Original) -> Array:
    if len(original.value) < 2:
        raise Unfit("there is one row")
    return np.roll(original.value, 1, axis=0)


def _first_row(original: Original) -> Array:
    if original.value.ndim < 2:
        raise Unfit("it has no rows")
    return np.broadcast_to(original.value[:1], original.value.shape).copy()


def _scaled(original: Original) -> Array:
    return _as(original, _wide(original.value) * (1 + original.eps))


def _offset(original: Original) -> Array:
    wide = _wide(original.value)
    return _as(original, wide + original.eps * float(np.sqrt(np.square(wide).mean())))


def _as(original: Original, value: Array) -> Array:
    with np.errstate(over="ignore"):
        return value.astype(original.value.dtype)


def _lower(original: Original) -> Array:
    return lowered(original.value)


def lowered(value: Array) -> Array:
    """Rounded through the next lower precision. Raises Unfit for integers or on overflow."""
    lower = _LOWER.get(value.dtype.name)
    if lower is None:
        raise Unfit(f"there is no precision below {value.dtype.name}")
    with np.errstate(over="ignore"):
        rounded = value.astype(lower).astype(value.dtype)
    if not np.isfinite(rounded.astype(np.float64)).all():
        raise Unfit(f"its values do not fit {lower.name}")
    return rounded


def _put(original: Original, where: slice | Array | int, what: Array | float) -> Array:
    flat = original.value.reshape(-1).copy()
    flat[where] = what
    return flat.reshape(original.value.shape)


def _half(original: Original) -> Array:
    return _put(original, slice(original.value.size // 2, None), 0)


def _tail(original: Original) -> Array:
    return _put(original, slice(-min(TILE, original.value.size), None), 0)


def _last_column(original: Original) -> Array:
    value = original.value.copy()
    value[..., -1] = 0
    return value


def _edge(original: Original) -> Array:
    if original.value.size < 2:
        raise Unfit("it has one element")
    return _put(original, 0, original.value.reshape(-1)[1])


def _one(original: Original) -> Array:
    """Twice an element of middling size; of integers, one more."""
    size = np.abs(_wide(original.value)).reshape(-1)
    place = int(np.argpartition(size, size.size // 2)[size.size // 2])
    element = original.value.reshape(-1)[place]
    return _put(original, place, element * 2 if original.u else element + 1)


def _not_finite(original: Original, value: float) -> Array:
    if not original.u:
        raise Unfit("integers are all numbers")
    return _put(original, original.value.size // 2, value)


def _stale_part(original: Original) -> Array:
    size = original.value.size
    start, count = size // 3, max(1, size // 1000)
    part = slice(start, start + count)
    return _put(original, part, original.previous.reshape(-1)[part])


def _flipped(original: Original) -> Array:
    return ~original.value if original.value.dtype == bool else -original.value


MUTANTS: Mapping[str, Mutant] = {
    "nothing written": _poison,
    "zeros": lambda o: _filled(o, 0),
    "ones": lambda o: _filled(o, 1),
    "mean everywhere": _mean,
    "an input copied": _identity,
    "the last call's output": lambda o: o.previous,
    "a stale thousandth": _stale_part,
    "rows moved by one": _rows,
    "first row everywhere": _first_row,
    "elements moved by one": lambda o: np.roll(o.value, 1),
    "transposed": _transposed,
    "sign flipped": _flipped,
    "absolute values": lambda o: np.abs(o.value),
    "scaled by a per cent": _scaled,
    "offset by a per cent": _offset,
    "second half missing": _half,
    "last tile missing": _tail,
    "last column missing": _last_column,
    "last element missing": lambda o: _put(o, -1, 0),
    "first element off by one place": _edge,
    "one wrong element": _one,
    "one NaN": lambda o: _not_finite(o, np.nan),
    "one infinity": lambda o: _not_finite(o, np.inf),
    "rounded to lower precision": _lower,
}
"""By name. Percentages are larger for types that cannot show one."""

FOR_DRAWS = frozenset(
    {
        "nothing written",
        "zeros",
        "ones",
        "mean everywhere",
        "the last call's output",
        "first row everywhere",
        "second half missing",
        "one NaN",
        "one infinity",
    }
)
"""The mutants of a random operator: which element has which value says nothing there."""


def mutate(name: str, original: Original) -> Array:
    """The mutant of that name. Raises Unfit, also where it is the right output itself."""
    mutant = MUTANTS[name](original)
    same = (mutant == original.value) | ((mutant != mutant) & (original.value != original.value))
    if bool(same.all()):
        raise Unfit("it is the right output")
    return mutant


def inputs_lowered(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Every floating input rounded through the next lower precision. Raises Unfit."""
    floating = {n: lowered(a) for n, a in inputs.items() if a.dtype.name in _LOWER}
    if not floating:
        raise Unfit("no input is floating")
    return {**inputs, **floating}


def inputs_cut(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The first input without the last tile of its last axis."""
    name, first = next(iter(inputs.items()))
    cut = first.copy()
    cut[..., -min(TILE, max(1, first.shape[-1] // 8)) :] = 0
    return {**inputs, name: cut}


OF_INPUTS: Mapping[str, Callable[[Mapping[str, Array]], dict[str, Array]]] = {
    "inputs in lower precision": inputs_lowered,
    "last tile of the first input ignored": inputs_cut,
}
"""Mutants that are right for other inputs; the reference is asked for them."""
