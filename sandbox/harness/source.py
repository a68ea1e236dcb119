"""Looks at a Python submission without running it.

Itself run in the build sandbox: a hostile source can crash the parser.

Usage: ``python -m sandbox.harness.source ENTRY ARITY FILE...``; prints ``file:line: message`` for
each problem, and exits with 1 if there was one.
"""

import ast
import os
import sys
from collections.abc import Iterator

_NAME = "solve"


def problem_with(data: bytes, name: str) -> tuple[str | None, ast.Module | None]:
    """What keeps a source from being parsed, or the tree."""
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        return f"{name}:{line}: the file contains a NUL byte; is it a text file in UTF-8?", None
    try:
        return None, ast.parse(data, filename=name)
    except SyntaxError as error:
        what = "indentation error" if isinstance(error, IndentationError) else "syntax error"
        shown = (error.text or "").rstrip()[:200]
        place = f"{name}:{error.lineno or 1}"
        return f"{place}: {what}: {error.msg}" + (f"\n    {shown.strip()}" if shown else ""), None
    except (RecursionError, MemoryError):
        return f"{name}:1: the source is nested too deeply for Python's parser", None
    except ValueError as error:
        return f"{name}:1: {error}", None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run on import, those under if, try and with included."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                yield from _statements(getattr(statement, part, []))
        for handler in getattr(statement, "handlers", []):
            yield from _statements(handler.body)


def _binds(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name == _NAME
    if isinstance(statement, ast.Assign):
        names = [n for target in statement.targets for n in ast.walk(target)]
        return any(isinstance(n, ast.Name) and n.id == _NAME for n in names)
    if isinstance(statement, ast.AnnAssign):
        return isinstance(statement.target, ast.Name) and statement.target.id == _NAME
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return any((a.asname or a.name) in (_NAME, "*") for a in statement.names)
    return False


def _arity_problem(function: ast.FunctionDef, arity: int) -> str | None:
    arguments = function.args
    most = len(arguments.posonlyargs) + len(arguments.args)
    least = most - len(arguments.defaults)
    required = [
        a.arg
        for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    if required:
        return f"`{_NAME}` is called with positional arguments only, but requires {required[0]}="
    if least <= arity and (arity <= most or arguments.vararg is not None):
        return None
    takes = str(most) if least == most else f"{least} to {most}"
    return f"`{_NAME}` takes {takes} arguments, this problem passes {arity}"


def solve_problem(tree: ast.Module, name: str, arity: int) -> str | None:
    """What is wrong with the definition of ``solve``, if anything."""
    found = [s for s in _statements(tree.body) if _binds(s)]
    if not found:
        return (
            f"{name}:1: no function `{_NAME}` at the top level; define it with {arity} parameters"
        )
    last = found[-1]
    message = None
    if isinstance(last, ast.AsyncFunctionDef):
        message = f"`{_NAME}` must be a plain function, not async"
    elif isinstance(last, ast.ClassDef):
        message = f"`{_NAME}` must be a function, not a class"
    elif isinstance(last, ast.FunctionDef) and not last.decorator_list:
        # A decorator (a JIT, say) may change the parameters; then the call will tell.
        message = _arity_problem(last, arity)
    return f"{name}:{last.lineno}: {message}" if message else None


def main(arguments: list[str]) -> int:
    """Check the files named; 0 if all is well."""
    entry, arity, *names = arguments
    messages: list[str] = []
    for name in names:
        with open(name, "rb") as file:
            message, tree = problem_with(file.read(), name)
        if message is None and tree is not None and name == entry:
            message = solve_problem(tree, name, int(arity))
        if message:
            messages.append(message)
    for message in messages:
        print(message.encode("utf-8", "replace").decode())  # noqa: T201 - its only output
    return 1 if messages else 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Nothing of ours waits for an interpreter's orderly end, which takes 0.3 s with torch imported.
    os._exit(code)
