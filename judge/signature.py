"""The call of an operator in each language, and a first file to begin from.

One order everywhere: inputs, outputs, then (C++ only) every dim, then attributes.
"""

import keyword
from collections.abc import Iterator

from judge.errors import ProblemError
from judge.problem import DType, Operator, Problem, TensorSpec
from judge.verdict import Language
from judge.wire import Starter

_C_TYPES = {
    DType.FLOAT32: "float",
    DType.FLOAT64: "double",
    DType.FLOAT16: "uint16_t",
    DType.BFLOAT16: "uint16_t",
    DType.INT32: "int32_t",
    DType.INT64: "int64_t",
}
_C_ATTRIBUTES = {"int": "int64_t", "float": "double"}

# Lower-case words of C and C++ (to C++23), and what g++ predefines as a macro in its default mode.
_CPP_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t
    char32_t char8_t class co_await co_return co_yield compl concept const const_cast consteval
    constexpr constinit continue decltype default delete do double dynamic_cast else enum
    explicit export extern false float for friend goto if inline int long mutable namespace new
    noexcept not not_eq nullptr operator or or_eq private protected public register
    reinterpret_cast requires restrict return short signed sizeof static static_assert
    static_cast struct switch template this thread_local throw true try typedef typeid typename
    typeof union unsigned using virtual void volatile wchar_t while xor xor_eq i386 linux unix
    int32_t int64_t uint16_t
"""
# The judge's own words: shadowed by a parameter, generated code would call the parameter.
_JUDGE_WORDS = frozenset({"solve", "prepare", "reference", "torch", "numpy", "np", "stream"})


def arity(operator: Operator, language: Language) -> int:
    """How many parameters `solve` has."""
    dims = len(operator.dims) if language is Language.CPP else 0
    return len(operator.tensors) + dims + len(operator.attributes)


def parameters(operator: Operator) -> tuple[str, ...]:
    """Names of the parameters of `solve` in Python, in order."""
    return (*(t.name for t in operator.tensors), *(a.name for a in operator.attributes))


def reference_parameters(operator: Operator) -> tuple[str, ...]:
    """Names of the parameters of `reference`: inputs, then attributes; it returns the outputs."""
    return (*(t.name for t in operator.inputs), *(a.name for a in operator.attributes))


def prepare_parameters(operator: Operator) -> tuple[str, ...]:
    """Names of the parameters of `prepare`, in order."""
    return (*operator.dims, *(a.name for a in operator.attributes))


def python_signature(operator: Operator) -> str:
    """E.g. ``def solve(x, y, eps):``."""
    return f"def solve({', '.join(parameters(operator))}):"


def cpp_signature(operator: Operator) -> str:
    """E.g. ``extern "C" void solve(const float* x, float* y, int64_t rows, double eps)``."""
    written = {t.argument for t in operator.outputs}
    parts = [
        f"{'' if t.name in written else 'const '}{_C_TYPES[t.dtype]}* {t.name}"
        for t in operator.tensors
    ]
    return f'extern "C" void solve({", ".join(parts + _c_scalars(operator))})'


def prepare_signature(operator: Operator, language: Language = Language.PYTHON) -> str:
    """The optional `prepare`: dims, then attributes, and no data."""
    if language is Language.CPP:
        return f'extern "C" void prepare({", ".join(_c_scalars(operator))})'
    return f"def prepare({', '.join(prepare_parameters(operator))}):"


def name_faults(operator: Operator) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Declared names that cannot be a parameter in every language.

    Yields:
        The place in problem.yaml (keys and indices), and what is wrong.
    """
    places: list[tuple[tuple[str | int, ...], str]] = [
        (("operator", "dims", i), dim) for i, dim in enumerate(operator.dims)
    ]
    for group in ("inputs", "outputs", "attributes"):
        for i, spec in enumerate(getattr(operator, group)):
            places.append((("operator", group, i, "name"), spec.name))
    for place, name in places:
        if keyword.iskeyword(name):
            yield place, f"{name!r} is a word of Python; choose another name"
        elif name in _CPP_WORDS.split():
            yield place, f"{name!r} is a word of C++; choose another name"
        elif name in _JUDGE_WORDS:
            yield place, f"{name!r} is a name the judge uses itself; choose another name"


def check_names(operator: Operator) -> None:
    """Raises ProblemError if a declared name cannot be a parameter in every language."""
    for _, fault in name_faults(operator):
        raise ProblemError(fault)


def starter(slug: str, problem: Problem, language: Language) -> Starter:
    """A file that loads and runs, and is wrong until the contestant fills it in."""
    if language is Language.CPP:
        return Starter(
            language=language, filename="solution.cpp", content=_cpp_starter(slug, problem)
        )
    return Starter(
        language=language, filename="solution.py", content=_python_starter(slug, problem)
    )


def generated_baseline(operator: Operator, reference: str) -> str:
    """A submission that calls the reference and copies what it returns into the outputs.

    Args:
        reference: source of `reference.py`; it becomes part of the file, which must stand alone.
    """
    call = f"reference({', '.join(reference_parameters(operator))})"
    outputs = [t.argument for t in operator.outputs]
    if len(outputs) == 1:
        body = f"    {outputs[0]}.copy_({call})"
    else:
        pairs = f"zip(({', '.join(outputs)}), {call}, strict=True)"
        body = f"    for output, value in {pairs}:\n        output.copy_(value)"
    return (
        "#!OPJUDGE arrays=torch\n"
        f"{reference.rstrip()}\n\n\n"
        "# Generated: the problem has no baseline.py, so the reference is timed.\n"
        f"{python_signature(operator)}\n{body}\n"
    )


def _c_scalars(operator: Operator) -> list[str]:
    dims = [f"int64_t {dim}" for dim in operator.dims]
    return dims + [f"{_C_ATTRIBUTES[a.type]} {a.name}" for a in operator.attributes]


def _describe(slug: str, problem: Problem) -> list[str]:
    """Lines for the head comment: the title, and every parameter with type and shape."""
    # A title is free text: in a comment it must stay on its line and not end in a backslash.
    title = "".join(c if c.isprintable() else " " for c in problem.name["en"]).strip(" \\")
    lines = [f"{title} ({slug})", ""]
    operator = problem.operator
    over = {t.inplace: t.name for t in operator.outputs}
    for t in operator.inputs:
        role = f"input, overwritten with the output {over[t.name]}" if t.name in over else "input"
        lines.append(f"  {t.name}: {_type_of(t)}, {role}")
    lines += [f"  {t.name}: {_type_of(t)}, output" for t in operator.outputs if not t.inplace]
    for attribute in problem.operator.attributes:
        lines.append(f"  {attribute.name}: {attribute.type}, {attribute.default} unless told")
    return lines


def _type_of(tensor: TensorSpec) -> str:
    return f"{tensor.dtype}[{', '.join(str(d) for d in tensor.shape)}]"


def _python_starter(slug: str, problem: Problem) -> str:
    operator = problem.operator
    outputs = " and ".join(t.argument for t in operator.outputs)
    first = operator.outputs[0].argument
    lines = [
        f"#!OPJUDGE problem={slug} device={problem.devices[0]} arrays=torch",
        *(f"# {line}".rstrip() for line in _describe(slug, problem)),
        "#",
        f"# Write into {outputs} in place ({first}.copy_(...), out={first}); return nothing.",
        "",
        "import torch  # noqa: F401",
        "",
        "",
        python_signature(operator),
        f'    raise NotImplementedError("{slug}: write the result into {outputs}")',
        "",
        "",
        "# Optional: called before a shape is first used, without data, to compile or tune.",
        f"# {prepare_signature(operator)}",
        "#     ...",
    ]
    return "\n".join(lines) + "\n"


def _cpp_starter(slug: str, problem: Problem) -> str:
    operator = problem.operator
    outputs = " and ".join(t.argument for t in operator.outputs)
    halves = [t.name for t in operator.tensors if t.dtype.floating and t.dtype.itemsize == 2]
    note = [f"// {', '.join(halves)}: the bits of each element, as uint16_t."] if halves else []
    names = [*(t.name for t in operator.tensors), *operator.dims]
    names += [a.name for a in operator.attributes]
    lines = [
        f"//!OPJUDGE problem={slug} device={problem.devices[0]}",
        *(f"// {line}".rstrip() for line in _describe(slug, problem)),
        "//",
        f"// Write into {outputs}. Arrays are contiguous, the last dimension is the fastest.",
        *note,
        "",
        "#include <cmath>",
        "#include <cstdint>",
        "",
        f"{cpp_signature(operator)} {{",
        f"  // TODO: compute {outputs}.",
        *(f"  (void){name};" for name in names),
        "}",
        "",
        "// Optional: called before a shape is first used, without data.",
        f"// {prepare_signature(operator, Language.CPP)} {{}}",
    ]
    return "\n".join(lines) + "\n"
