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

P = ParamSpec("P")


T = TypeVar("T")


class Room:
    """Seats for `pages` pages, and `decoders` threads to decode them. A context manager."""

    def __init__(self, pages: int, decoders: int) -> None:
        self._free = threading.Semaphore(pages)
        self._buffers: list[bytearray] = []
        self._decoders = ThreadPoolExecutor(decoders, "decode")

    def seat(self) -> Seat:
        """One page's seat, not taken yet."""
        return Seat(self)

    def take(self) -> bytearray:
        """Wait for a buffer."""
        self._free.acquire()
        return self._buffers.pop() if self._buffers else bytearray()

    def leave(self, buffer: bytearray) -> None:
        """Give a buffer back."""
        self._buffers.append(buffer)
        self._free.release()

    def decode(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in one of the threads that decode."""
        return self._decoders.submit(call, *args, **kwargs).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoders.shutdown()


class Seat:
    """One page's seat in a `Room`, from before its body is read until it has been written.

    Taken and left as often as needed, by one thread at a time; what was read is gone once it is left.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self._buffer: bytearray | None = None

    def read(self, chunks: Iterable[bytes]) -> memoryview:
        """Wait for the seat and read a body into it."""
        if self._buffer is None:
            self._buffer = self.room.take()
        size = 0
        for chunk in chunks:
            end = size + len(chunk)
            if end > len(self._buffer):
                # In steps, for each may be a copy; not in place, for somebody may still look at the old one.
                self._buffer = self._buffer[:size] + bytes(max(end - size, size // 4, 1 << 20))
            self._buffer[size:end] = chunk
            size = end
        return memoryview(self._buffer)[:size].toreadonly()

    def hand_over(self) -> Seat:
        """The same seat, for somebody else to leave."""
        other = Seat(self.room)
        other._buffer, self._buffer = self._buffer, None
        return other

    def leave(self) -> None:
        """Give the seat back, if it is taken."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self.room.leave(buffer)
