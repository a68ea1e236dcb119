"""Serves the judge's requests beside contestant code.

    python -m sandbox.harness CONTROL_FD ARENA_FD ARENA_BYTES GIVEN_FD GIVEN_BYTES LIBRARY

GIVEN_FD is that of the pages for inputs, which cannot be written; -1 if there are none. LIBRARY is
what to import before the first request: ``torch``, ``numpy`` or ``none``.
"""

import ctypes
import gc
import importlib
import io
import mmap
import os
import sys
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from sandbox.harness.protocol import (
    BOOT,
    CONTROL_BYTES,
    DESCRIPTOR_AT,
    DONE,
    GO,
    OP,
    REPLY,
    SIZE,
    SLOT,
    TEXT_AT,
    TEXT_BYTES,
    TEXT_SIZE,
    Arg,
    Op,
    Reply,
    TensorArg,
    decode,
)
from sandbox.harness.seccomp import install_no_processes

HOME = "/work/submission"
_IDLE_S = 0.0005
_PY_BUFFER_BYTES = 128  # the struct has 80
# Plain integers: an enum's comparison would be felt in every timed call.
CALL, NULL, OK = int(Op.CALL), int(Op.NULL), int(Reply.OK)


class Python:
    """A submission in Python: a zip in which `solution.py` defines `solve`."""

    def __init__(self, artifact: bytes, arrays: str) -> None:
        os.makedirs(HOME)
        with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
            archive.extractall(HOME)
        sys.path.insert(0, HOME)
        module = importlib.import_module("solution")
        if not callable(getattr(module, "solve", None)):
            raise AttributeError("the submission defines no function `solve`")
        self.solve: Callable[..., object] = module.solve
        self.prepare: Callable[..., object] | None = getattr(module, "prepare", None)
        self._arrays = arrays

    def argument(self, arg: Arg, pages: "Pages") -> object:
        if not isinstance(arg, TensorArg):
            return arg
        memory = pages.of(arg)
        count = 1
        for size in arg.shape:
            count *= size
        if self._arrays == "numpy":
            import numpy as np

            return np.frombuffer(memory, arg.dtype, count, arg.offset).reshape(arg.shape)
        import torch

        with warnings.catch_warnings():
            # Torch knows no tensors that cannot be written, and says so.
            warnings.simplefilter("ignore")
            flat = torch.frombuffer(
                memory, dtype=getattr(torch, arg.dtype), count=count, offset=arg.offset
            )
        return flat.view(arg.shape)


class Native:
    """A submission compiled to a shared object with a C ABI."""

    def __init__(self, artifact: bytes) -> None:
        os.makedirs(HOME)
        path = os.path.join(HOME, "solution.so")
        with open(path, "wb") as file:
            file.write(artifact)
        library = ctypes.CDLL(path)
        self.solve: Callable[..., object] = library.solve
        library.solve.restype = None
        self.prepare: Callable[..., object] | None = getattr(library, "prepare", None)
        if self.prepare is not None:
            library.prepare.restype = None

    def argument(self, arg: Arg, pages: "Pages") -> object:
        if isinstance(arg, TensorArg):
            return ctypes.c_void_p(address(pages.of(arg)) + arg.offset)
        return ctypes.c_double(arg) if isinstance(arg, float) else ctypes.c_int64(arg)


class Pages:
    """Where tensors lie."""

    def __init__(self, arena: mmap.mmap, given: mmap.mmap | None) -> None:
        self.arena = arena
        self._given = given

    def of(self, arg: TensorArg) -> mmap.mmap:
        """The pages a tensor lies in."""
        return self._given if arg.given and self._given is not None else self.arena


class Harness:
    """One process, one submission, one stream of requests."""

    def __init__(self, control: mmap.mmap, pages: Pages) -> None:
        self._page = memoryview(control)
        self._words = self._page.cast("Q")
        self._pages = pages
        self._program: Python | Native | None = None
        self._known: dict[int, tuple[Any, ...]] = {}

    def serve(self) -> None:
        """Answer requests for ever. The judge stops and kills this process from outside."""
        words, wanted = self._words, BOOT
        words[DONE] = wanted
        # The judge may be busy with other things yet, on the same cores.
        while words[GO] == 0:
            time.sleep(_IDLE_S)
        while True:
            wanted += 1
            while words[GO] != wanted:
                pass
            words[REPLY] = self._answer()
            words[DONE] = wanted

    def _answer(self) -> int:
        try:
            words = self._words
            op = words[OP]
            if op == CALL:
                self._program.solve(*(self._known.get(words[SLOT]) or self._learn()))  # type: ignore[union-attr]
                return OK
            if op == NULL:
                nothing(*(self._known.get(words[SLOT]) or self._learn()))
                return OK
            return self._rarely(op)
        except MemoryError:
            self._say("out of memory\n" + traceback.format_exc(limit=-8))
            return Reply.NO_MEMORY
        except BaseException as error:
            self._say(describe(error))
            return Reply.EXCEPTION

    def _descriptor(self) -> list[Arg]:
        size = self._words[SIZE]
        return decode(bytes(self._page[DESCRIPTOR_AT : DESCRIPTOR_AT + size]))

    def _learn(self) -> tuple[Any, ...]:
        # The same few placements come again and again: building tensors each time would add
        # microseconds of ours to every timed call.
        program = self._program
        if program is None:
            return ()
        args = tuple(program.argument(a, self._pages) for a in self._descriptor())
        self._known[self._words[SLOT]] = args
        return args

    def _rarely(self, op: int) -> int:
        args = self._descriptor()
        if op == Op.LOAD:
            self._load(args)
            return Reply.OK
        program = self._program
        if program is None or program.prepare is None:
            return Reply.ABSENT
        program.prepare(*(program.argument(a, self._pages) for a in args))
        return Reply.OK

    def _load(self, args: Sequence[Arg]) -> None:
        where, native, numpy = args
        if not isinstance(where, TensorArg):
            raise TypeError("malformed LOAD request")
        artifact = bytes(self._pages.arena[where.offset : where.offset + where.shape[0]])
        self._program = (
            Native(artifact) if native else Python(artifact, "numpy" if numpy else "torch")
        )
        gc.collect()
        gc.freeze()

    def _say(self, text: str) -> None:
        data = text.encode("utf-8", "replace")[-TEXT_BYTES:]
        self._page[TEXT_AT : TEXT_AT + len(data)] = data
        self._words[TEXT_SIZE] = len(data)


def address(memory: mmap.mmap) -> int:
    """Where pages are mapped, for good; ctypes itself tells of writable ones only."""
    view = (ctypes.c_char * _PY_BUFFER_BYTES)()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(memory), view, 0)
    return ctypes.c_size_t.from_buffer(view).value  # `buf` comes first


def nothing(*_args: object) -> None:
    """The operator of a null call."""


def describe(error: BaseException) -> str:
    """A traceback without our own frames."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace, limit=-8)).replace(
        HOME + "/", ""
    )


def main() -> None:
    """Map the pages, import the library, give up what is not needed, serve."""
    control_fd, arena_fd, arena_bytes, given_fd, given_bytes = (int(a) for a in sys.argv[1:6])
    library = sys.argv[6]
    control = mmap.mmap(control_fd, CONTROL_BYTES)
    arena = mmap.mmap(arena_fd, arena_bytes)
    given = None
    if given_fd >= 0:
        given = mmap.mmap(given_fd, given_bytes, prot=mmap.PROT_READ)
        os.close(given_fd)
    os.close(control_fd)
    os.close(arena_fd)
    if library == "torch":
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    elif library == "numpy":
        import numpy  # noqa: F401
    # The process is killed, never finished: what it printed must not wait in a buffer.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    install_no_processes()
    Harness(control, Pages(arena, given)).serve()


if __name__ == "__main__":
    main()
