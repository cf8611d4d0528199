"""Waiting for operations of the compiled part: in an event loop, and in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, Optional, Protocol, TypeVar

from . import _native
from ._errors import Timeout

T = TypeVar("T")

# Set at the exit of the interpreter. The threads that then still wait are about to be ended, and
# must not report that their session was closed.
exiting = threading.Event()
Done = Callable[[Any, Optional[BaseException]], None]
Start = Callable[[Done], _native.Operation]


async def run(start: Start) -> Any:
    """Runs an operation in the current event loop.

    Cancelling the task cancels the operation. A result that comes too late is dropped, which closes
    what it has.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def resolve(result: Any, error: Optional[BaseException]) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def done(result: Any, error: Optional[BaseException]) -> None:
        try:
            loop.call_soon_threadsafe(resolve, result, error)
        except RuntimeError:
            # The loop was closed, so nobody waits.
            pass

    operation = start(done)
    try:
        return await future
    except asyncio.CancelledError:
        operation.cancel()
        raise


def wait(start: Start, timeout: Optional[float] = None) -> Any:
    """Runs an operation and blocks this thread. Signals interrupt it, as Ctrl-C does."""
    ended = threading.Event()
    outcome: list[tuple[Any, Optional[BaseException]]] = []

    def done(result: Any, error: Optional[BaseException]) -> None:
        if not exiting.is_set():
            outcome.append((result, error))
            ended.set()

    operation = start(done)
    try:
        in_time = ended.wait(timeout)
    except BaseException:
        operation.cancel()
        raise
    if not in_time:
        operation.cancel()
        raise Timeout(f"the operation did not end within {timeout:g} s")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


class _Managed(Protocol):
    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *error: Any) -> Any: ...


M = TypeVar("M", bound=_Managed)


class Opening(Generic[M]):
    """An object that is being opened: ``await`` it, or use it with ``async with``."""

    def __init__(self, open: Callable[[], Any]) -> None:
        self._open = open
        self._opened: Optional[M] = None

    def __await__(self) -> Generator[Any, None, M]:
        opened: Generator[Any, None, M] = self._open().__await__()
        return opened

    async def __aenter__(self) -> M:
        self._opened = await self._open()
        await self._opened.__aenter__()
        return self._opened

    async def __aexit__(self, *error: Any) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(*error)
