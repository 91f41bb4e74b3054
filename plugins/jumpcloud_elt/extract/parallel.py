"""Slices of an interval walked beside each other: their pages are handed over one at a time, as they come.

Decoding holds Python's lock most of the time and runs in the threads that fetch; compressing and writing does not,
and runs in the thread that takes the pages. Memory is bounded by `BufferPool`: a page has a buffer from before its body
is read until the taker asks for the next. Knows no events, only batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from queue import SimpleQueue

import pyarrow as pa

from jumpcloud_elt.api.buffers import Buffer, BufferPool
from jumpcloud_elt.extract.slices import Slice

Read = Callable[[Slice, Buffer], Iterator[pa.RecordBatch]]
"""Walks one slice; its pages take the buffer that it is given."""


@dataclass(frozen=True)
class _Page:
    part: Slice
    batch: pa.RecordBatch
    buffer: Buffer


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def fetch_slices(
    slices: Sequence[Slice], read: Read, threads: Executor, pool: BufferPool
) -> Generator[tuple[Slice, pa.RecordBatch]]:
    """Give the pages of all slices, each with its slice, in the order in which they come.

    Raises what the first slice that failed has raised, once all others have stopped. Close it (`contextlib.closing`)
    when it is not read to its end.
    """
    handed: SimpleQueue[_Page | _End] = SimpleQueue()
    is_over = threading.Event()

    def walk_one(part: Slice) -> None:
        buffer = pool.buffer()
        error: BaseException | None = None
        try:
            if not is_over.is_set():
                for batch in read(part, buffer):
                    handed.put(_Page(part, batch, buffer.hand_over()))
                    if is_over.is_set():
                        break
        except BaseException as raised:
            error = raised
        finally:
            buffer.release()
            handed.put(_End(error))

    for part in slices:
        threads.submit(walk_one, part)
    under_way = len(slices)
    failed: BaseException | None = None
    try:
        while under_way:
            item = handed.get()
            if isinstance(item, _End):
                under_way -= 1
                if item.error is not None:
                    is_over.set()
                    failed = failed or item.error
                continue
            try:
                if failed is None:
                    yield item.part, item.batch
            finally:
                item.buffer.release()
    finally:
        is_over.set()
        while under_way:
            item = handed.get()
            if isinstance(item, _End):
                under_way -= 1
            else:
                item.buffer.release()
    if failed is not None:
        raise failed
