"""An adapter for requests.

    client = requests.Session()
    client.mount("http://", Adapter(session))
    client.get("http://i2p-projekt.i2p/").text
"""

from __future__ import annotations

from typing import Any, Optional

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from .._errors import I2PError, Timeout
from ..sync import Session


def _connection_class(session: Session) -> type[HTTPConnection]:
    class Connection(HTTPConnection):
        default_socket_options = []

        def _new_conn(self) -> Any:
            timeout = self.timeout
            limit = timeout if isinstance(timeout, (int, float)) else None
            # The proxy settings of the environment do not apply, so this is the host of the URL.
            try:
                connected = session.connect(self.host, self.port, timeout=limit)
            except Timeout as error:
                raise ConnectTimeoutError(self, str(error)) from error
            except I2PError as error:
                raise NewConnectionError(self, str(error)) from error
            connected.settimeout(limit)
            return connected

    return Connection


class Adapter(requests.adapters.HTTPAdapter):
    """The adapter of a ``requests.Session`` over an ``eepkit.sync.Session``. It uses no proxy."""

    def __init__(self, session: Session, **options: Any) -> None:
        self._connection_class = _connection_class(session)
        super().__init__(**options)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool)
        connection_class = self._connection_class

        class Pool(HTTPConnectionPool):
            ConnectionCls = connection_class

        # An https URL then fails instead of leaving I2P.
        self.poolmanager.pool_classes_by_scheme = {"http": Pool}

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        options["proxies"] = None
        try:
            return super().send(request, *args, **options)
        except (KeyError, urllib3.exceptions.URLSchemeUnknown) as error:
            raise requests.exceptions.InvalidSchema(
                "TLS over I2P is not supported: use http://"
            ) from error

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Optional[Any] = None, cert: Optional[Any] = None
    ) -> Any:
        return super().get_connection_with_tls_context(request, verify, None, cert)
