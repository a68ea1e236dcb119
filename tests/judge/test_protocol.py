"""The descriptor survives the control page."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sandbox.harness import protocol
from sandbox.harness.protocol import TensorArg, decode, encode

tensors = st.builds(
    TensorArg,
    st.sampled_from(protocol.DTYPES),
    st.integers(0, 1 << 40),
    st.lists(st.integers(0, 1 << 30), min_size=1, max_size=6).map(tuple),
)
scalars = st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)


@given(st.lists(tensors | scalars, max_size=12))
def test_round_trip(args: list[protocol.Arg]) -> None:
    back = decode(encode(args))
    assert back == args
    assert [type(a) for a in back] == [type(a) for a in args]


def test_nan_attribute() -> None:
    (value,) = decode(encode([math.nan]))
    assert isinstance(value, float)
    assert math.isnan(value)


def test_the_largest_call_fits_before_the_text() -> None:
    args = [TensorArg("float32", 1 << 40, (1 << 28,) * 6)] * 64 + [1] * 64
    assert protocol.DESCRIPTOR_AT + len(encode(args)) <= protocol.TEXT_AT


def test_the_two_sides_write_on_lines_of_their_own() -> None:
    line_words = 64 // 8
    assert protocol.GO // line_words != protocol.DONE // line_words
