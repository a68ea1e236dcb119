"""Arithmetic over dims, as cost models write it: ``2 * m * n * k``."""

import ast
import operator
from collections.abc import Callable, Mapping

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def evaluate(expression: str, dims: Mapping[str, int]) -> float:
    """The value under the given dims.

    Raises ValueError if it is anything but dims, numbers, parentheses and + - * / // **, or has
    no finite value.
    """
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"{expression!r} is not an arithmetic expression") from error
    try:
        return float(_value(tree.body, expression, dims))
    except (ArithmeticError, TypeError) as error:
        raise ValueError(f"{expression!r} has no value for {dict(dims)}: {error}") from error


def _value(node: ast.expr, expression: str, dims: Mapping[str, int]) -> float:
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in dims:
        return float(dims[node.id])
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = (_value(side, expression, dims) for side in (node.left, node.right))
        return _OPERATORS[type(node.op)](left, right)
    raise ValueError(
        f"{expression!r}: only the dims {', '.join(dims)}, numbers and + - * / // ** may be used"
    )
