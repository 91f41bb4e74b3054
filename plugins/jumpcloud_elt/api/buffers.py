"""A bounded pool of reusable buffers for pages of up to ten megabytes.

Memory that a thread frees stays with that thread: sixteen threads that each read and decode pages hold three times the
memory in use. So each page is read into a buffer that is used again, and decoded by one of a few threads.
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
    """Buffers for `pages` pages at a time, and `decoders` threads to decode them. A context manager."""

    def __init__(self, pages: int, decoders: int) -> None:
        self._free = threading.Semaphore(pages)
        self._buffers: list[bytearray] = []
        self._decoders = ThreadPoolExecutor(decoders, "decode")

    def buffer(self) -> Buffer:
        """Return the buffer of one page, which takes memory when it is first read into."""
        return Buffer(self)

    def acquire(self) -> bytearray:
        """Wait for memory and return it."""
        self._free.acquire()
        return self._buffers.pop() if self._buffers else bytearray()

    def release(self, buffer: bytearray) -> None:
        """Give memory back."""
        self._buffers.append(buffer)
        self._free.release()

    def decode(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return the result of a call that runs in one of the decoding threads."""
        return self._decoders.submit(call, *args, **kwargs).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoders.shutdown()


class Buffer:
    """The memory of one page, from before its body is read until it has been written.

    Used by one thread at a time, again and again; what was read is gone after `release`.
    """

    def __init__(self, pool: BufferPool) -> None:
        self.pool = pool
        self._buffer: bytearray | None = None

    def read(self, chunks: Iterable[bytes]) -> memoryview:
        """Wait for memory, read a body into it and return a read-only view."""
        if self._buffer is None:
            self._buffer = self.pool.acquire()
        size = 0
        for chunk in chunks:
            end = size + len(chunk)
            if end > len(self._buffer):
                # In steps, for each may be a copy; not in place, because a view of the old one may still be in use.
                self._buffer = self._buffer[:size] + bytes(max(end - size, size // 4, 1 << 20))
            self._buffer[size:end] = chunk
            size = end
        return memoryview(self._buffer)[:size].toreadonly()

    def hand_over(self) -> Buffer:
        """Return the same memory as another buffer, which has to be released instead of this one."""
        other = Buffer(self.pool)
        other._buffer, self._buffer = self._buffer, None
        return other

    def release(self) -> None:
        """Give the memory back, if any is held."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self.pool.release(buffer)
