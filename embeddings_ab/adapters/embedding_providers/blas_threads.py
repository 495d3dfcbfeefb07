"""Holds numpy's BLAS at one thread while our own threads work on one sequence each; used by the local MiniLM."""

import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_lock = threading.Lock()
_holders = 0
_before = 1


@functools.lru_cache(maxsize=1)
def _switches() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Getter and setter of the OpenBLAS inside numpy's wheel; None with another BLAS, which then stays as it is."""
    import numpy as np

    folder = Path(np.__file__).resolve().parent
    for library in sorted([*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]):
        loaded = ctypes.CDLL(str(library))
        for affix in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
            get = getattr(loaded, affix.format("get_num_threads"), None)
            put = getattr(loaded, affix.format("set_num_threads"), None)
            if get is not None and put is not None:
                get.restype, put.argtypes, put.restype = ctypes.c_int, [ctypes.c_int], None
                return get, put
    return None


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One BLAS thread for the whole process until the last holder leaves.

    The number of BLAS threads changes how a product is cut and with it, possibly, the last bit of a sum.
    """
    global _holders, _before
    switches = _switches()
    if switches is None:
        yield
        return
    get, put = switches
    with _lock:
        if _holders == 0:
            _before = get()
            put(1)
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                put(_before)
