"""Transports for httpx.

    transport = AsyncTransport(session)
    async with httpx.AsyncClient(transport=transport) as client:
        response = await client.get("http://i2p-projekt.i2p/")
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Optional, Union

import httpcore
import httpx

from .. import sync
from .._aio import Session
from .._errors import I2PError, Timeout

_MAX_READ = 64 * 1024


class _AsyncStream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: Optional[float] = None) -> bytes:
        try:
            return await asyncio.wait_for(self._reader.read(max_bytes), timeout)
        except asyncio.TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: Optional[float] = None) -> None:
        if not buffer:
            return
        try:
            self._writer.write(buffer)
            await asyncio.wait_for(self._writer.drain(), timeout)
        except asyncio.TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._writer.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("TLS over I2P is not supported: use http://")

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._reader.at_eof()
        return None


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, session: Session) -> None:
        self._session = session

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Optional[float] = None,
        local_address: Optional[str] = None,
        socket_options: Optional[Iterable[Any]] = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            reader, writer = await self._session.connect(host, port, timeout=timeout)
        except Timeout as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except I2PError as error:
            raise httpcore.ConnectError(str(error)) from error
        return _AsyncStream(reader, writer)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: Optional[float] = None) -> bytes:
        self._sock.settimeout(timeout)
        try:
            return self._sock.recv(max_bytes)
        except I2PError as error:
            raise httpcore.ReadError(str(error)) from error
        except socket.timeout as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: Optional[float] = None) -> None:
        self._sock.settimeout(timeout)
        try:
            self._sock.sendall(buffer)
        except I2PError as error:
            raise httpcore.WriteError(str(error)) from error
        except socket.timeout as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("TLS over I2P is not supported: use http://")

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            self._sock.settimeout(0)
            try:
                return self._sock.recv(1, socket.MSG_PEEK) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True
        return None


class _Backend(httpcore.NetworkBackend):
    def __init__(self, session: sync.Session) -> None:
        self._session = session

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Optional[float] = None,
        local_address: Optional[str] = None,
        socket_options: Optional[Iterable[Any]] = None,
    ) -> httpcore.NetworkStream:
        try:
            return _Stream(self._session.connect(host, port, timeout=timeout))
        except Timeout as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except I2PError as error:
            raise httpcore.ConnectError(str(error)) from error

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


# The errors of httpcore, the most specific ones first.
_ERRORS: list[tuple[type[Exception], type[httpx.HTTPError]]] = [
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.TimeoutException, httpx.TimeoutException),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.NetworkError, httpx.NetworkError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.ProtocolError, httpx.ProtocolError),
]


def _translated(error: Exception, request: httpx.Request) -> Exception:
    for theirs, ours in _ERRORS:
        if isinstance(error, theirs):
            translated: Any = ours
            made: Exception = translated(str(error), request=request)
            return made
    return error


def _request(request: httpx.Request) -> httpcore.Request:
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        ),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, body: Any, request: httpx.Request) -> None:
        self._body = body
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._body:
                yield part
        except Exception as error:
            raise _translated(error, self._request) from error

    async def aclose(self) -> None:
        await self._body.aclose()


class _Body(httpx.SyncByteStream):
    def __init__(self, body: Any, request: httpx.Request) -> None:
        self._body = body
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except Exception as error:
            raise _translated(error, self._request) from error

    def close(self) -> None:
        self._body.close()


def _response(
    response: httpcore.Response, stream: Union[_AsyncBody, _Body]
) -> httpx.Response:
    return httpx.Response(
        status_code=response.status,
        headers=response.headers,
        stream=stream,
        extensions=response.extensions,
    )


class AsyncTransport(httpx.AsyncBaseTransport):
    """The transport of an ``httpx.AsyncClient`` over an ``eepkit.Session``."""

    def __init__(self, session: Session, **pool: Any) -> None:
        self._pool = httpcore.AsyncConnectionPool(network_backend=_AsyncBackend(session), **pool)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._pool.handle_async_request(_request(request))
        except Exception as error:
            raise _translated(error, request) from error
        return _response(response, _AsyncBody(response.stream, request))

    async def aclose(self) -> None:
        await self._pool.aclose()


class Transport(httpx.BaseTransport):
    """The transport of an ``httpx.Client`` over an ``eepkit.sync.Session``."""

    def __init__(self, session: sync.Session, **pool: Any) -> None:
        self._pool = httpcore.ConnectionPool(network_backend=_Backend(session), **pool)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._pool.handle_request(_request(request))
        except Exception as error:
            raise _translated(error, request) from error
        return _response(response, _Body(response.stream, request))

    def close(self) -> None:
        self._pool.close()
