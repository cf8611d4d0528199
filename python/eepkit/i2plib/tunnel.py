"""Tunnels between local TCP ports and destinations."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import Any, Optional

from . import aiosam, exceptions, sam, utils
from .aiosam import Loop, To
from .log import logger
from .utils import Address

BUFFER_SIZE = 65536

# The pauses before a session is opened again, and before the next stream is accepted after an error.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0

# The time limit for connecting to the local server.
_LOCAL_SECONDS = 5.0

# The time until the connection of an accept is closed that is not wanted any more.
_WITHDRAWN_SECONDS = 1.0


async def proxy_data(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until the end, as fast as the writer accepts. Then closes the writer."""
    try:
        await _copy(reader, writer)
    except Exception as error:
        logger.debug("proxy_data: %s", error)
    finally:
        _close(writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        data = await reader.read(BUFFER_SIZE)
        if not data:
            return
        writer.write(data)
        await writer.drain()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies one direction, and passes its end on as a half close."""
    await _copy(reader, writer)
    if writer.can_write_eof():
        writer.write_eof()


async def _relay(
    a: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    b: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Copies both directions until both have ended or one fails. Then closes both."""
    directions = [
        asyncio.ensure_future(_pipe(a[0], b[1])),
        asyncio.ensure_future(_pipe(b[0], a[1])),
    ]
    try:
        await asyncio.gather(*directions)
    except OSError as error:
        logger.debug("a stream of a tunnel failed: %s", error)
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        _close(a[1])
        _close(b[1])


def _close(writer: asyncio.StreamWriter) -> None:
    try:
        writer.close()
    except RuntimeError:
        # The event loop was closed.
        pass


def _withdraw(writer: asyncio.StreamWriter) -> None:
    """Ends an accept that waits. A bridge that writes to it at this moment must not fail."""
    try:
        writer.write_eof()
        asyncio.get_running_loop().call_later(_WITHDRAWN_SECONDS, _close, writer)
    except (OSError, RuntimeError):
        _close(writer)


class I2PTunnel:
    """The base of the tunnels.

    ``status`` is a dictionary that other threads may read: ``setup_ran``, ``setup_failed``,
    ``exception``, ``connect_tasks``, ``background_tasks``. ``exception`` is set only if the tunnel
    has ended: errors of single streams are logged, and a session that was lost is opened again.
    """

    style = "STREAM"
    session_writer: asyncio.StreamWriter

    def __init__(
        self,
        local_address: Address,
        destination: Optional[To] = None,
        session_name: Optional[str] = None,
        options: Optional[Mapping[str, object]] = None,
        loop: Loop = None,
        sam_address: Address = sam.DEFAULT_ADDRESS,
    ) -> None:
        self.local_address = local_address
        self.destination = destination
        self.session_name = session_name or utils.generate_session_id()
        self.options = {} if options is None else options
        self.loop = loop
        self.sam_address = sam_address
        self.style = "STREAM"
        self.status: dict[str, Any] = {
            "setup_ran": False,
            "setup_failed": False,
            "exception": None,
            "connect_tasks": set(),
            "background_tasks": set(),
        }
        self._stopped = False

    async def _pre_run(self) -> None:
        """Opens the session."""
        if not self.destination:
            self.destination = await aiosam.new_destination(sam_address=self.sam_address)
        await self._open_session()

    async def _open_session(self) -> None:
        (_, writer), _ = await aiosam._create(
            self.session_name,
            self.sam_address,
            self.style,
            sam.Destination.default_sig_type,
            self.destination,
            self.options,
            self._session_lost,
        )
        self.session_writer = writer
        if self._stopped:
            writer.close()

    def _session_lost(self, error: Optional[Exception]) -> None:
        if not self._stopped:
            _close(self.session_writer)
            self._start(self._open_again())

    async def _open_again(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopped:
            await asyncio.sleep(pause)
            if self._stopped:
                return
            try:
                await self._open_session()
            except exceptions.InvalidKey as error:
                self._failed(error)
                return
            except OSError as error:
                logger.info("session %s cannot be opened again yet: %s", self.session_name, error)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                logger.info("session %s was opened again", self.session_name)
                return

    def _failed(self, error: Exception) -> None:
        self.status["setup_failed"] = True
        self.status["exception"] = error

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        tasks: set[asyncio.Task[Any]] = self.status["background_tasks"]
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def run(self) -> None:
        """Starts the tunnel, and returns when it is up."""
        try:
            await self._pre_run()
            await self._serve()
        except BaseException as error:
            if isinstance(error, Exception):
                self._failed(error)
            raise
        finally:
            self.status["setup_ran"] = True

    async def _serve(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Stops the tunnel."""
        self._stopped = True
        if hasattr(self, "session_writer"):
            _close(self.session_writer)
        for task in list(self.status["background_tasks"]):
            task.cancel()


class ClientTunnel(I2PTunnel):
    """Passes connections to a local port on to a destination."""

    server: asyncio.AbstractServer

    def __init__(self, remote_destination: To, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remote_destination = remote_destination

    async def _serve(self) -> None:
        self.server = await asyncio.start_server(self._client, *self.local_address)

    async def _client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._start(self._connect(reader, writer))

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        tasks = self.status["connect_tasks"]
        task = asyncio.current_task()
        tasks.add(task)
        try:
            remote = await aiosam.stream_connect(
                self.session_name, self.remote_destination, sam_address=self.sam_address
            )
        except (OSError, ValueError) as error:
            logger.warning("%s cannot connect: %s", self.session_name, error)
            _close(writer)
            return
        except BaseException:
            _close(writer)
            raise
        finally:
            tasks.discard(task)
        await _relay((reader, writer), remote)

    def stop(self) -> None:
        super().stop()
        if hasattr(self, "server"):
            self.server.close()


class ServerTunnel(I2PTunnel):
    """Passes streams of peers on to a local server."""

    server_loop: asyncio.Task[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    async def _serve(self) -> None:
        self.server_loop = asyncio.ensure_future(self._accept_all())

    async def _accept_all(self) -> None:
        pause = 0.1
        while not self._stopped:
            try:
                streams = await aiosam.stream_accept(
                    self.session_name, sam_address=self.sam_address
                )
            except OSError as error:
                # The session may be lost, and is then opened again by another task.
                if self._stopped:
                    return
                logger.log(
                    logging.DEBUG if pause > 1 else logging.WARNING,
                    "%s cannot accept a stream: %s",
                    self.session_name,
                    error,
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, _FIRST_PAUSE * 5)
                continue
            pause = 0.1
            try:
                line = await streams[0].readuntil(b"\n")
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                # The bridge closed the connection, for example because the session has ended.
                logger.debug("%s got no stream: %r", self.session_name, error)
                _close(streams[1])
                await asyncio.sleep(pause)
                continue
            except BaseException:
                _withdraw(streams[1])
                raise
            self._start(self._client(line, streams))

    async def _client(
        self, line: bytes, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        try:
            # Bridges of version 3.2 and later append ports.
            peer = sam.Destination(line.decode().split(" ", 1)[0].strip())
            logger.debug("%s client connected: %s.b32.i2p", self.session_name, peer.base32)
            local = await asyncio.wait_for(
                asyncio.open_connection(*self.local_address), _LOCAL_SECONDS
            )
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            logger.warning("%s cannot serve a stream: %s", self.session_name, error)
            _close(streams[1])
            return
        except BaseException:
            _close(streams[1])
            raise
        await _relay(streams, local)

    def stop(self) -> None:
        super().stop()
        if hasattr(self, "server_loop"):
            self.server_loop.cancel()


def _join_destination(words: list[str]) -> list[str]:
    """Write ``-D VALUE`` as one word, because argparse takes a value with a hyphen for an option.

    One of 64 destinations in base64 begins with a hyphen.
    """
    joined: list[str] = []
    rest = iter(words)
    for word in rest:
        value = next(rest, None) if word in ("-D", "--destination") else None
        joined.append(word if value is None else f"--destination={value}")
    return joined


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eepkit.i2plib.tunnel")
    parser.add_argument(
        "type",
        metavar="TYPE",
        choices=("server", "client"),
        help="Tunnel type (server or client)",
    )
    parser.add_argument("address", metavar="ADDRESS", help="Local address (e.g. 127.0.0.1:8000)")
    parser.add_argument("--debug", "-d", action="store_true", help="Debugging")
    parser.add_argument(
        "--key", "-k", default="", metavar="PRIVATE_KEY", help="Path to private key file"
    )
    parser.add_argument(
        "--destination", "-D", default="", metavar="DESTINATION", help="Remote destination"
    )
    args = parser.parse_args(_join_destination(sys.argv[1:]))
    if args.type == "client" and not args.destination:
        parser.error("a client tunnel needs --destination")
    logging.basicConfig(level=logging.DEBUG if args.debug else logging.INFO)

    async def serve() -> None:
        destination = sam.Destination(path=args.key, has_private_key=True) if args.key else None
        address = utils.address_from_string(args.address)
        options: dict[str, Any] = {
            "destination": destination,
            "sam_address": utils.get_sam_address(),
        }
        tunnel: I2PTunnel
        if args.type == "client":
            tunnel = ClientTunnel(args.destination, address, **options)
        else:
            tunnel = ServerTunnel(address, **options)
        await tunnel.run()
        if isinstance(tunnel.destination, sam.Destination):
            logger.info("%s.b32.i2p", tunnel.destination.base32)
        try:
            await asyncio.Event().wait()
        finally:
            tunnel.stop()

    try:
        asyncio.run(serve(), debug=args.debug)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
