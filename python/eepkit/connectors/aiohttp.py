"""A connector for aiohttp.

    async with aiohttp.ClientSession(connector=Connector(session)) as client:
        async with client.get("http://i2p-projekt.i2p/") as response:
            text = await response.text()
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp.client_exceptions import ClientConnectorError
from aiohttp.client_proto import ResponseHandler

from .._aio import Session
from .._errors import I2PError, Timeout


class Connector(aiohttp.BaseConnector):
    """The connector of an ``aiohttp.ClientSession`` over an ``eepkit.Session``."""

    # The schemes of aiohttp 3.11 and later. TLS over I2P is not supported.
    allowed_protocol_schema_set = frozenset({"", "http", "ws"})

    def __init__(self, session: Session, **options: Any) -> None:
        super().__init__(**options)
        self._session = session

    async def _create_connection(
        self, req: Any, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        if req.is_ssl():
            raise aiohttp.ClientError("TLS over I2P is not supported: use http:// or ws://")
        key = req.connection_key
        factory: Any = self._factory
        try:
            _, handler = await self._session.create_connection(
                factory, req.url.raw_host, req.url.port, timeout=timeout.sock_connect
            )
        except Timeout as error:
            raise aiohttp.ServerTimeoutError(str(error)) from error
        except I2PError as error:
            raise ClientConnectorError(key, error) from error
        protocol: ResponseHandler = handler
        return protocol
