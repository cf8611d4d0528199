"""Sessions and streams over SAM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Optional, Union

from .._native import PrivateKeys
from .._streams import LIMIT
from . import _routing, exceptions, sam
from .log import logger
from .sam import Destination
from .utils import Address

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Loop = Optional[asyncio.AbstractEventLoop]
To = Union[str, Destination]

# Sessions whose streams the program may have dropped, by event loop and name. A session ends when
# its writer is closed, not when nobody refers to it.
_sessions: dict[asyncio.AbstractEventLoop, dict[str, Streams]] = {}


def parse_reply(data: bytes) -> sam.Message:
    """Parses a reply. Raises ``ConnectionAbortedError`` if it is empty or not one of SAM."""
    if not data:
        raise ConnectionAbortedError("Empty response: SAM API went offline")
    try:
        message = sam.Message(data.decode().strip())
    except ValueError as error:
        raise ConnectionAbortedError("Invalid SAM response") from error
    logger.debug("SAM reply: %s", _without_secrets(message))
    return message


def _without_secrets(message: sam.Message) -> str:
    if {"PRIV", "DESTINATION"} & set(message.opts):
        return f"{message.cmd} {message.action} RESULT={message.text('RESULT')} ..."
    return str(message)


class _Protocol(asyncio.StreamReaderProtocol):
    """Reports when the connection has ended, without reading from it."""

    ended: Optional[Callable[[Optional[Exception]], None]] = None

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        # The base class has a weak reference, and event loops have weak references to tasks. A task
        # that waits for this reader, and that nobody else refers to, would be collected.
        self._reader = reader

    def eof_received(self) -> Optional[bool]:
        if self.ended is not None:
            # A session ends with its socket, so a half close has no meaning.
            self.ended(None)
        return super().eof_received()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(exc)
        if self.ended is not None:
            self.ended(exc)


async def _open(sam_address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, _Protocol]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LIMIT, loop=loop)
    protocol = _Protocol(reader, loop)
    transport: asyncio.Transport
    sock = await _routing.connect(sam_address)
    if sock is None:
        transport, _ = await loop.create_connection(lambda: protocol, *sam_address)
    else:
        try:
            sock.setblocking(False)
            transport, _ = await loop.create_unix_connection(lambda: protocol, sock=sock)
        except BaseException:
            sock.close()
            raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop), protocol


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> sam.Message:
    """Sends a request. Closes the connection if the answer is not OK."""
    try:
        writer.write(request)
        reply = parse_reply(await reader.readline())
        if reply.cmd == "DEST" or reply.ok:
            return reply
        raise exceptions.of_result(reply.text("RESULT"), reply.text("MESSAGE"))
    except KeyError as error:
        writer.close()
        raise ConnectionAbortedError("Invalid SAM response: no RESULT") from error
    except BaseException:
        writer.close()
        raise


async def _greeted(
    sam_address: Address,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, _Protocol]:
    reader, writer, protocol = await _open(sam_address)
    await _ask(reader, writer, sam.hello(sam.DEFAULT_MIN_VER, sam.DEFAULT_MAX_VER))
    return reader, writer, protocol


async def get_sam_socket(
    sam_address: Address = sam.DEFAULT_ADDRESS, loop: Loop = None
) -> Streams:
    """Connects to the bridge and exchanges HELLO. Returns a reader and a writer."""
    reader, writer, _ = await _greeted(sam_address)
    return reader, writer


async def dest_lookup(
    domain: str, sam_address: Address = sam.DEFAULT_ADDRESS, loop: Loop = None
) -> Destination:
    """Finds the destination of a name or of a ``.b32.i2p`` address."""
    reader, writer, _ = await _greeted(sam_address)
    reply = await _ask(reader, writer, sam.naming_lookup(domain))
    writer.close()
    return Destination(reply.text("VALUE"))


async def new_destination(
    sam_address: Address = sam.DEFAULT_ADDRESS,
    loop: Loop = None,
    sig_type: Union[int, str] = Destination.default_sig_type,
) -> Destination:
    """Generates a destination. At the default address this needs no router."""
    if _routing.is_default(sam_address):
        keys = PrivateKeys.generate(str(sig_type))
        return Destination(keys.to_base64(), has_private_key=True)
    reader, writer, _ = await _greeted(sam_address)
    reply = await _ask(reader, writer, sam.dest_generate(sig_type))
    writer.close()
    if not reply.text("PRIV"):
        raise exceptions.of_result(reply.text("RESULT") or "I2P_ERROR", reply.text("MESSAGE"))
    return Destination(reply.text("PRIV"), has_private_key=True)


async def create_session(
    session_name: str,
    sam_address: Address = sam.DEFAULT_ADDRESS,
    loop: Loop = None,
    style: str = "STREAM",
    signature_type: Union[int, str] = Destination.default_sig_type,
    destination: Optional[To] = None,
    options: Optional[Mapping[str, object]] = None,
) -> Streams:
    """Opens a session. It ends when the writer is closed, or the connection to the bridge is lost."""
    streams, _ = await _create(
        session_name, sam_address, style, signature_type, destination, options
    )
    return streams


async def _create(
    session_name: str,
    sam_address: Address,
    style: str,
    signature_type: Union[int, str],
    destination: Optional[To],
    options: Optional[Mapping[str, object]],
    lost: Optional[Callable[[Optional[Exception]], None]] = None,
) -> tuple[Streams, Destination]:
    texts = {key: _option(value) for key, value in (options or {}).items()}
    if destination:
        if not isinstance(destination, Destination):
            destination = Destination(destination, has_private_key=True)
        if destination.private_key is None:
            raise exceptions.InvalidKey("a session needs the private key of its destination")
        key = destination.private_key.base64
    else:
        key = sam.TRANSIENT_DESTINATION
        texts.setdefault("SIGNATURE_TYPE", str(signature_type))
    request = sam.session_create(
        style, session_name, key, " ".join(f"{name}={value}" for name, value in texts.items())
    )
    reader, writer, protocol = await _greeted(sam_address)
    reply = await _ask(reader, writer, request)
    if not destination:
        destination = Destination(reply.text("DESTINATION"), has_private_key=True)
    logger.debug("session %s has the destination %s", session_name, destination.base32)

    for loop in [loop for loop in _sessions if loop.is_closed()]:
        del _sessions[loop]
    held = _sessions.setdefault(asyncio.get_running_loop(), {})
    streams = (reader, writer)
    held[session_name] = streams

    def ended(error: Optional[Exception]) -> None:
        protocol.ended = None
        if held.get(session_name) is streams:
            del held[session_name]
        if not writer.is_closing():
            logger.warning("session %s was ended by the bridge", session_name)
        if lost is not None:
            lost(error)

    protocol.ended = ended
    return streams, destination


def _option(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


async def stream_connect(
    session_name: str,
    destination: To,
    sam_address: Address = sam.DEFAULT_ADDRESS,
    loop: Loop = None,
) -> Streams:
    """Opens a stream to a destination, a host name, or a ``.b32.i2p`` address."""
    if isinstance(destination, str):
        if destination.endswith(".i2p"):
            destination = await dest_lookup(destination, sam_address)
        else:
            destination = Destination(destination)
    reader, writer, _ = await _greeted(sam_address)
    await _ask(reader, writer, sam.stream_connect(session_name, destination.base64, silent="false"))
    return reader, writer


async def stream_accept(
    session_name: str, sam_address: Address = sam.DEFAULT_ADDRESS, loop: Loop = None
) -> Streams:
    """Accepts a stream. Returns before a peer connects: the first line is its destination."""
    reader, writer, _ = await _greeted(sam_address)
    await _ask(reader, writer, sam.stream_accept(session_name, silent="false"))
    return reader, writer


class Session:
    """A session as an asynchronous context manager."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(
        self,
        session_name: str,
        sam_address: Address = sam.DEFAULT_ADDRESS,
        loop: Loop = None,
        style: str = "STREAM",
        signature_type: Union[int, str] = Destination.default_sig_type,
        destination: Optional[To] = None,
        options: Optional[Mapping[str, object]] = None,
    ) -> None:
        self.session_name = session_name
        self.sam_address = sam_address
        self.loop = loop
        self.style = style
        self.signature_type = signature_type
        self.destination = destination
        self.options = {} if options is None else options

    async def __aenter__(self) -> Session:
        (self.reader, self.writer), self.destination = await _create(
            self.session_name,
            self.sam_address,
            self.style,
            self.signature_type,
            self.destination,
            self.options,
        )
        return self

    async def __aexit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc: Optional[BaseException],
        tb: Optional[TracebackType],
    ) -> None:
        self.writer.close()


class _Stream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    read: Callable[..., Any]
    write: Callable[[bytes], None]

    def _opened(self, streams: Streams) -> None:
        self.reader, self.writer = streams
        self.read = self.reader.read
        self.write = self.writer.write

    async def __aexit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc: Optional[BaseException],
        tb: Optional[TracebackType],
    ) -> None:
        self.writer.close()


class StreamConnection(_Stream):
    """A stream to a peer as an asynchronous context manager."""

    def __init__(
        self,
        session_name: str,
        destination: To,
        sam_address: Address = sam.DEFAULT_ADDRESS,
        loop: Loop = None,
    ) -> None:
        self.session_name = session_name
        self.sam_address = sam_address
        self.loop = loop
        self.destination = destination

    async def __aenter__(self) -> StreamConnection:
        self._opened(await stream_connect(self.session_name, self.destination, self.sam_address))
        return self


class StreamAcceptor(_Stream):
    """A stream of a peer as an asynchronous context manager."""

    def __init__(
        self, session_name: str, sam_address: Address = sam.DEFAULT_ADDRESS, loop: Loop = None
    ) -> None:
        self.session_name = session_name
        self.sam_address = sam_address
        self.loop = loop

    async def __aenter__(self) -> StreamAcceptor:
        self._opened(await stream_accept(self.session_name, self.sam_address))
        return self
