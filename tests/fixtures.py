"""Problem packages made for tests: small, valid, and easy to break in one place."""

from collections.abc import Mapping
from pathlib import Path

PROBLEM_YAML = """\
problem_format_version: opjudge-2026
uuid: 0c6dc0b5-6b4f-4f39-9a4b-6f2d3b1a7e01
version: 1.0.0
name:
  en: Row scale
  zh: 行缩放
license: Apache-2.0
operator:
  dims: [rows, cols]
  inputs:
    - {name: x, dtype: float32, shape: [rows, cols]}
  outputs:
    - {name: y, dtype: float32, shape: [rows, cols]}
  attributes:
    - {name: eps, type: float, default: 1e-5}
workloads:
  - {name: tiny, dims: {rows: 2, cols: 3}, sample: true}
  - {name: large, dims: {rows: 512, cols: 1024}, timed: true}
  # the hidden one has a prime number of rows
  - {name: secret, dims: {rows: 509, cols: 1021}, hidden: true, timed: true}
cost:
  flops: 2 * rows * cols
  bytes: 8 * rows * cols
"""

REFERENCE = '''\
"""Scale."""


def reference(x, eps):
    return x * (1 + eps)
'''

BASELINE = """\
#!OPJUDGE arrays=torch
import torch


def solve(x, y, eps):
    torch.mul(x, 1 + eps, out=y)
"""

FILES: Mapping[str, str] = {
    "problem.yaml": PROBLEM_YAML,
    "reference.py": REFERENCE,
    "baseline.py": BASELINE,
    "statement/problem.en.md": "# Row scale\n\nMultiply by 1 + eps.\n",
    "statement/problem.zh.md": "# 行缩放\n",
    "submissions/accepted/torch_mul.py": BASELINE,
    "attachments/notes.txt": "none\n",
}


def write_package(
    root: Path, *edits: tuple[str, str], files: Mapping[str, str | bytes | None] | None = None
) -> Path:
    """Writes a valid package into `root`, changed as told.

    Args:
        root: the package's own folder; its name is the slug.
        edits: old and new text in problem.yaml, each replaced once.
        files: path to content, added to or replacing the usual files; None leaves a file out.

    Returns:
        `root`.
    """
    contents: dict[str, str | bytes | None] = {**FILES, **(files or {})}
    for old, new in edits:
        yaml = contents["problem.yaml"]
        assert isinstance(yaml, str)
        assert old in yaml, f"{old!r} is not in problem.yaml"
        contents["problem.yaml"] = yaml.replace(old, new, 1)
    for path, content in contents.items():
        if content is None:
            continue
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return root
