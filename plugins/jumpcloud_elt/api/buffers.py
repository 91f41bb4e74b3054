"""Room in memory for pages of ten megabytes: so many at a time, whoever reads them.

Sixteen threads that each read and decode pages keep three times the memory that is in use: what a thread frees stays
with that thread. So each page is read into a buffer that is used again, and decoded by one of a few threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class BufferPool:
    """Seats for `pages` pages, and `decoders` threads to decode them. A context manager."""

    def __init__(self, pages: int, decoders: int) -> None:
        self._free = threading.Semaphore(pages)
        self._buffers: list[bytearray] = []
        self._decoders = ThreadPoolExecutor(decoders, "decode")

    def buffer(self) -> Buffer:
        """One page's buffer, not taken yet."""
        return Buffer(self)

    def acquire(self) -> bytearray:
        """Wait for a buffer."""
        self._free.acquire()
        return self._buffers.pop() if self._buffers else bytearray()

    def release(self, buffer: bytearray) -> None:
        """Give a buffer back."""
        self._buffers.append(buffer)
        self._free.release()

    def decode(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call in one of the threads that decode."""
        return self._decoders.submit(call, *args, **kwargs).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoders.shutdown()


class Buffer:
    """One page's buffer in a `BufferPool`, from before its body is read until it has been written.

    Taken and left as often as needed, by one thread at a time; what was read is gone once it is left.
    """

    def __init__(self, pool: BufferPool) -> None:
        self.pool = pool
        self._buffer: bytearray | None = None

    def read(self, chunks: Iterable[bytes]) -> memoryview:
        """Wait for the buffer and read a body into it."""
        if self._buffer is None:
            self._buffer = self.pool.acquire()
        size = 0
        for chunk in chunks:
            end = size + len(chunk)
            if end > len(self._buffer):
                # In steps, for each may be a copy; not in place, for somebody may still look at the old one.
                self._buffer = self._buffer[:size] + bytes(max(end - size, size // 4, 1 << 20))
            self._buffer[size:end] = chunk
            size = end
        return memoryview(self._buffer)[:size].toreadonly()

    def hand_over(self) -> Buffer:
        """The same buffer, for somebody else to leave."""
        other = Buffer(self.pool)
        other._buffer, self._buffer = self._buffer, None
        return other

    def release(self) -> None:
        """Give the buffer back, if it is taken."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self.pool.release(buffer)
