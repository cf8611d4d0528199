"""The interface for asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Generic, Optional, TypeVar, Union

from . import _native
from ._calls import Opening, run
from ._common import (
    DEFAULT_ROUTER,
    Datagram,
    DatagramSocketBase,
    PathLike,
    RouterBase,
    SessionBase,
    To,
    datagram,
    embedded_options,
    option_text,
    reply_address,
    session_options,
)
from ._errors import Closed, I2PError
from ._native import AddressBook, Destination, Status
from ._streams import LIMIT, StreamWriter, attach_protocol, open_streams

logger = logging.getLogger("eepkit")

Streams = tuple[asyncio.StreamReader, StreamWriter]
P = TypeVar("P", bound=asyncio.BaseProtocol)

# The pause after an error that concerns one stream, such as too many open files.
_PAUSE = 0.1


class Router(RouterBase):
    """A router, on which sessions are opened.

    It is a context manager, which closes the sessions at its end, and stops a router in this process.
    """

    @classmethod
    def attach(
        cls,
        url: str = DEFAULT_ROUTER,
        *,
        user: Optional[str] = None,
        password: Optional[str] = None,
        names: Optional[AddressBook] = None,
    ) -> Router:
        """A router that runs already: ``i2cp://``, ``i2cps://``, ``i2cp+unix:``, ``sam://``.

        Connects only when a session is opened.
        """
        return cls(_named(_native.Router.attach(url, user, password), names))

    @classmethod
    def from_env(cls, *, names: Optional[AddressBook] = None) -> Router:
        """The router at the address in ``EEPKIT_ROUTER``, by default I2CP on this machine."""
        return cls(_named(_native.Router.from_env(), names))

    @classmethod
    def embedded(
        cls,
        directory: Optional[PathLike] = None,
        *,
        names: Optional[AddressBook] = None,
        **options: Any,
    ) -> Opening[Router]:
        """Starts a router in this process. Its state is in ``directory``.

        Options: ``ntcp2`` and ``ssu2`` (ports), ``transit_tunnels``, ``bandwidth`` in bytes per
        second, ``tunnel_length``, ``reseed`` (a file, or ``False``), ``port_mapping``, ``hosts``,
        ``private_network``.
        """
        prepared = embedded_options(directory, **options)

        async def open() -> Router:
            return cls(_named(await run(lambda done: _native.embedded(prepared, done)), names))

        return Opening(open)

    @classmethod
    def attach_or_start(
        cls,
        url: str = DEFAULT_ROUTER,
        directory: Optional[PathLike] = None,
        *,
        names: Optional[AddressBook] = None,
        **options: Any,
    ) -> Opening[Router]:
        """The router at ``url`` if one answers there within five seconds, else one in this process."""
        prepared = embedded_options(directory, **options)

        async def open() -> Router:
            native = await run(lambda done: _native.attach_or_start(url, prepared, done))
            return cls(_named(native, names))

        return Opening(open)

    @classmethod
    def simulated(
        cls,
        profile: str = "local",
        *,
        seed: int = 0,
        delay: Optional[float] = None,
        loss: Optional[float] = None,
        names: Optional[AddressBook] = None,
    ) -> Router:
        """A simulated network in real time, for tests. All sessions of this router are on it.

        Profiles: ``ideal``, ``local`` (1 ms one way), ``live`` and ``harsh``. ``delay`` is one way, in seconds,
        ``loss`` a probability.
        """
        return cls(_named(_native.Router.simulated(profile, seed, delay, loss), names))

    @staticmethod
    def devnet(
        routers: int = 3,
        *,
        tunnel_length: Optional[int] = None,
        seed: Optional[int] = None,
        hosts: Optional[Mapping[str, Destination]] = None,
    ) -> Opening[Devnet]:
        """Starts a private network of real routers in this process, on loopback."""
        names = list((hosts or {}).items())

        async def open() -> Devnet:
            native = await run(
                lambda done: _native.devnet(routers, tunnel_length, seed, names, done)
            )
            return Devnet(native)

        return Opening(open)

    def session(self, *, wait: bool = True, **options: Any) -> Opening[Session]:
        """Opens a session, and returns when it is ready. With ``wait=False`` it returns at once.

        Options: ``keys`` (``PrivateKeys``, or the path of a key file, which is created if needed),
        ``signature_type``, ``preset`` (``standard``, ``interactive``, ``bulk``, ``server``,
        ``test``), ``nickname``, ``tunnel_length``, ``tunnel_quantity``, ``options`` (by the names of
        the I2P documentation), ``hosts``, ``backlog``, ``open_timeout``, ``connect_timeout``,
        ``lookup_timeout``, ``linger``, ``verify``. Times are in seconds.
        """
        prepared = session_options(**options)

        async def open() -> Session:
            native = await run(
                lambda done: _native.open_session(self._native, prepared, wait, done)
            )
            return Session(native, self)

        return Opening(open)

    async def ready(self, timeout: float = 300.0) -> Status:
        """Waits until a router in this process has tunnels."""
        watch = self._watch()
        status: Status = await run(lambda done: watch.ready(timeout, done))
        return status

    async def states(self) -> AsyncIterator[Status]:
        """The status of a router in this process, now and after each change, until it is stopped."""
        async for status in _states(self._watch()):
            yield status

    async def probe(self, timeout: float = 5.0) -> Optional[str]:
        """Connects without opening a session. Returns the name of the program, if it reports it."""
        program: Optional[str] = await run(lambda done: self._native.probe(timeout, done))
        return program

    def sam_bridge(
        self,
        address: Optional[str] = "127.0.0.1:0",
        *,
        options: Optional[Mapping[str, object]] = None,
    ) -> Opening[SamBridge]:
        """Starts a SAM bridge on this router. ``None`` serves this process only.

        ``options`` are those of every session whose client does not set them.
        """
        pairs = [(key, option_text(value)) for key, value in (options or {}).items()]

        async def open() -> SamBridge:
            native = await run(
                lambda done: _native.sam_bridge(self._native, address, pairs, done)
            )
            return SamBridge(native, self)

        return Opening(open)

    async def kill(self) -> None:
        """Stops a router of a private network at once, as a crash would."""
        await run(self._native.kill)

    async def restart(self) -> None:
        """Starts a killed router of a private network again, with the same identity."""
        await run(self._native.restart)

    async def shutdown(self) -> None:
        """Closes the sessions of this object, and stops a router in this process."""
        await run(self._native.shutdown)

    async def __aenter__(self) -> Router:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.shutdown()


class Devnet:
    """A private network of real routers in this process."""

    def __init__(self, native: _native.Devnet) -> None:
        self._native = native
        self.routers = [Router(router) for router in native.routers()]

    @property
    def private_network(self) -> tuple[int, list[bytes]]:
        """For ``Router.embedded(private_network=...)``, which then joins this network."""
        return self._native.private_network()

    async def stop(self) -> None:
        await run(self._native.stop)

    async def __aenter__(self) -> Devnet:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()


class SamBridge:
    """A SAM bridge for programs in any language."""

    def __init__(self, native: _native.SamBridge, router: RouterBase) -> None:
        self._native = native
        self._router = router

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and the port."""
        addresses = self._native.addresses
        if not addresses:
            raise Closed("the bridge serves this process only, so it has no address")
        return addresses[0]

    async def stop(self) -> None:
        await run(self._native.stop)

    async def __aenter__(self) -> SamBridge:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()


class Session(SessionBase):
    """A destination that is online. It opens streams to peers and accepts streams from them."""

    async def connect(
        self,
        address: To,
        port: Optional[int] = None,
        *,
        local_port: Optional[int] = None,
        timeout: Optional[float] = None,
        limit: int = LIMIT,
    ) -> Streams:
        """Opens a stream, and returns a reader and a writer as ``asyncio.open_connection`` does.

        ``address`` is a ``Destination``, its base64 text, a ``.b32.i2p`` address or a host name,
        also with ``:PORT``. Nothing is looked up outside of I2P.
        """
        connection = await self._connect(address, port, local_port, timeout)
        return await open_streams(connection, limit)

    async def create_connection(
        self,
        protocol_factory: Callable[[], P],
        address: To,
        port: Optional[int] = None,
        *,
        local_port: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> tuple[asyncio.Transport, P]:
        """Opens a stream for a protocol, as ``loop.create_connection`` does."""
        connection = await self._connect(address, port, local_port, timeout)
        return await attach_protocol(connection, protocol_factory)

    async def _connect(
        self,
        address: To,
        port: Optional[int],
        local_port: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> _native.Connection:
        connection: _native.Connection = await run(
            lambda done: self._native.connect(address, port, local_port, timeout, done)
        )
        return connection

    def listen(self, port: int = 0, *, backlog: Optional[int] = None, limit: int = LIMIT) -> Listener:
        """Accepts streams on a port, or with 0 on all ports without another listener."""
        return Listener(self._native.listen(port, backlog), self, limit)

    def start_server(
        self,
        client_connected: Callable[[asyncio.StreamReader, StreamWriter], Any],
        port: int = 0,
        *,
        backlog: Optional[int] = None,
        limit: int = LIMIT,
    ) -> Server:
        """Calls a function or coroutine with the reader and the writer of each stream.

        Must be called in an event loop. Serves at once.
        """
        listener = self._native.listen(port, backlog)

        async def serve(connection: _native.Connection) -> None:
            reader, writer = await open_streams(connection, limit)
            try:
                result = client_connected(reader, writer)
                if asyncio.iscoroutine(result):
                    await result
            except BaseException:
                # The peer must not mistake a part of an answer for all of it.
                writer.reset()
                writer.close()
                raise

        return Server(listener, self, serve)

    def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        port: int = 0,
        *,
        backlog: Optional[int] = None,
    ) -> Server:
        """Connects a protocol with each stream, as ``loop.create_server`` does."""
        listener = self._native.listen(port, backlog)

        async def serve(connection: _native.Connection) -> None:
            await attach_protocol(connection, protocol_factory, accepted=True)

        return Server(listener, self, serve)

    def datagrams(
        self,
        format: str = "datagram2",
        port: int = 0,
        *,
        protocol: Optional[int] = None,
        queue: Optional[int] = None,
    ) -> DatagramSocket:
        """Binds a port for datagrams: ``raw``, ``datagram1``, ``datagram2`` or ``datagram3``."""
        return DatagramSocket(self._native.datagrams(format, port, protocol, queue), self)

    async def lookup(self, name: To) -> Destination:
        """Finds the destination of a name or of a ``.b32.i2p`` address."""
        found: Destination = await run(lambda done: self._native.lookup(name, done))
        return found

    async def lease_set_options(self, address: To) -> dict[str, str]:
        """The options in the lease set of a destination, such as service records."""
        return dict(await run(lambda done: self._native.lease_set_options(address, done)))

    async def ping(self, address: To, *, timeout: Optional[float] = None) -> float:
        """Pings a peer. Returns the round-trip time in seconds."""
        time: float = await run(lambda done: self._native.ping(address, timeout, done))
        return time

    async def ready(self, timeout: float = 300.0) -> Status:
        """Waits until peers can reach the session."""
        watch = self._native.watch()
        status: Status = await run(lambda done: watch.ready(timeout, done))
        return status

    async def states(self) -> AsyncIterator[Status]:
        """The status of the session, now and after each change, until it has ended."""
        async for status in _states(self._native.watch()):
            yield status

    async def close(self) -> None:
        """Refuses new streams, delivers written data and notifies the router."""
        await run(self._native.close)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


A = TypeVar("A")


class _Queue(Generic[A]):
    """Hands what a listener accepts to the tasks that wait for it.

    One operation at a time waits for a stream. Cancelling a task does not cancel it, so that no
    stream is lost: what then arrives is for the next task. ``None`` is the end.
    """

    def __init__(
        self, native: _native.Listener, prepare: Callable[[_native.Connection], Awaitable[A]]
    ) -> None:
        self._native = native
        self._prepare = prepare
        self._accepting: Optional[asyncio.Task[None]] = None
        self._arrived: deque[A] = deque()
        self._waiting: deque[asyncio.Future[Optional[A]]] = deque()

    async def next(self) -> Optional[A]:
        if self._arrived:
            return self._arrived.popleft()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Optional[A]] = loop.create_future()
        self._waiting.append(waiter)
        if self._accepting is None:
            self._accepting = loop.create_task(self._accept())
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                result = waiter.result()
                if result is not None and not self._give(result):
                    self._arrived.appendleft(result)
            raise

    async def _accept(self) -> None:
        try:
            while self._next_waiter() is not None:
                try:
                    connection: Optional[_native.Connection] = await run(self._native.accept)
                    if connection is None:
                        while self._give(None):
                            pass
                        return
                    accepted = await self._prepare(connection)
                except OSError as error:
                    waiter = self._next_waiter()
                    if waiter is not None:
                        waiter.set_exception(error)
                else:
                    if not self._give(accepted):
                        self._arrived.append(accepted)
        finally:
            self._accepting = None

    def _give(self, accepted: Optional[A]) -> bool:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(accepted)
        return waiter is not None

    def _next_waiter(self) -> Optional[asyncio.Future[Optional[A]]]:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def close(self) -> list[A]:
        """Stops listening. Returns what nobody has got."""
        self._native.close()
        left = list(self._arrived)
        self._arrived.clear()
        return left


class Listener:
    """Streams that peers open: an async iterator of readers and writers."""

    def __init__(self, native: _native.Listener, session: Session, limit: int) -> None:
        self._native = native
        self._session = session
        self._queue = _Queue(native, lambda connection: open_streams(connection, limit))

    @property
    def port(self) -> int:
        return self._native.port

    async def accept(self) -> Streams:
        """Waits for the next stream. Raises ``Closed`` after the listener or session was closed.

        A cancelled call loses no stream: the next call returns it.
        """
        streams = await self._queue.next()
        if streams is None:
            raise Closed("the listener or its session was closed")
        return streams

    def close(self) -> None:
        """Stops listening. Tasks that wait for a stream get the end."""
        for _, writer in self._queue.close():
            writer.close()

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Streams:
        streams = await self._queue.next()
        if streams is None:
            raise StopAsyncIteration
        return streams

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()


class Server:
    """A running server. Errors of one stream do not end it."""

    def __init__(
        self,
        native: _native.Listener,
        session: Session,
        serve: Callable[[_native.Connection], Any],
    ) -> None:
        self._native = native
        self._session = session
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._handlers: set[asyncio.Task[Any]] = set()
        self._task = self._loop.create_task(self._run())

    @property
    def port(self) -> int:
        return self._native.port

    @property
    def handlers(self) -> int:
        """The number of running handlers."""
        return len(self._handlers)

    def is_serving(self) -> bool:
        return not self._task.done()

    async def _run(self) -> None:
        while True:
            try:
                connection: Optional[_native.Connection] = await run(self._native.accept)
            except I2PError as error:
                if not (error.is_transient or error.kind == "io"):
                    raise
                logger.warning("a stream could not be accepted: %s", error)
                await asyncio.sleep(_PAUSE)
                continue
            if connection is None:
                return
            task = self._loop.create_task(self._handle(connection))
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)

    async def _handle(self, connection: _native.Connection) -> None:
        try:
            await self._serve(connection)
        except (ConnectionError, I2PError) as error:
            logger.debug("a stream ended: %s", error)
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "the handler of a stream failed", "exception": error}
            )

    def close(self) -> None:
        """Stops accepting. Running handlers continue."""
        self._native.close()

    async def wait_closed(self) -> None:
        """Waits until the server and its handlers have ended."""
        await asyncio.wait([self._task])
        while self._handlers:
            await asyncio.wait(list(self._handlers))

    async def serve_forever(self) -> None:
        """Waits until the server ends, and raises the error if the session failed."""
        try:
            await asyncio.shield(self._task)
        finally:
            self.close()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()
        for handler in list(self._handlers):
            handler.cancel()
        await self.wait_closed()


class DatagramSocket(DatagramSocketBase):
    """Datagrams of one format: an async iterator of what arrives."""

    async def send(
        self,
        payload: bytes,
        address: To,
        port: Optional[int] = None,
        *,
        from_port: Optional[int] = None,
        protocol: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> None:
        """Sends a datagram. Nothing reports whether it arrives."""
        await run(
            lambda done: self._native.send(
                payload, address, port, from_port, protocol, timeout, done
            )
        )

    async def reply(self, to: Datagram, payload: bytes) -> None:
        """Sends to the sender of a datagram, and for ``datagram3`` to the claimed one."""
        await self.send(payload, reply_address(to), to.from_port, from_port=to.to_port)

    async def receive(self) -> Datagram:
        return datagram(await run(self._native.receive))

    def close(self) -> None:
        self._native.close()

    def __aiter__(self) -> DatagramSocket:
        return self

    async def __anext__(self) -> Datagram:
        try:
            return await self.receive()
        except Closed:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> DatagramSocket:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()


async def _states(
    watch: Union[_native.RouterWatch, _native.SessionWatch],
) -> AsyncIterator[Status]:
    status: Optional[Status] = watch.current()
    while status is not None:
        yield status
        status = None if status.is_over else await run(watch.changed)


def _named(native: _native.Router, names: Optional[AddressBook]) -> _native.Router:
    return native if names is None else native.with_names(names)
