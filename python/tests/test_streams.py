"""Streams, listeners and servers in an event loop."""

from __future__ import annotations

import asyncio
import os

import pytest
from conftest import pair

import eepkit

MEBIBYTE = 1024 * 1024


async def echo(reader, writer):
    while True:
        data = await reader.read(65536)
        if not data:
            break
        writer.write(data)
        await writer.drain()
    writer.close()


def test_a_stream_carries_bytes_both_ways_and_names_its_ends(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            listener = server.listen(80)
            connecting = asyncio.ensure_future(client.connect(server.destination, 80))
            peer_reader, peer_writer = await listener.accept()
            reader, writer = await connecting
            assert isinstance(reader, asyncio.StreamReader)
            assert isinstance(writer, asyncio.StreamWriter)
            assert writer.get_extra_info("peername") == (server.destination.b32, 80)
            assert peer_writer.peer == client.destination
            assert peer_writer.get_extra_info("sockname") == (server.destination.b32, 80)
            writer.write(b"hello\n")
            assert await peer_reader.readline() == b"hello\n"
            peer_writer.write(b"and you")
            peer_writer.close()
            assert await reader.read() == b"and you"
            writer.close()
            await writer.wait_closed()

    run(work())


def test_a_half_close_passes_and_the_answer_still_arrives(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)

            async def answer(reader, writer):
                writer.write(b"got %d" % len(await reader.read()))
                writer.close()

            async with server.start_server(answer, 1):
                reader, writer = await client.connect(server.destination, 1)
                writer.write(b"x" * MEBIBYTE)
                writer.write_eof()
                assert await reader.read() == b"got %d" % MEBIBYTE

    run(work())


def test_data_written_before_closing_is_delivered(run):
    async def work():
        async with eepkit.Router.simulated(delay=0.02) as router:
            client, server = await pair(router)
            listener = server.listen(1)
            connecting = asyncio.ensure_future(client.connect(server.destination, 1))
            reader, peer = await listener.accept()
            _, writer = await connecting
            # The peer writes to a stream that nobody reads.
            peer.write(b"y" * 1000)
            writer.write(b"x" * MEBIBYTE)
            writer.close()
            assert await reader.read() == b"x" * MEBIBYTE

    run(work())


def test_a_megabyte_is_echoed_with_backpressure(run):
    async def work():
        data = os.urandom(4 * MEBIBYTE)
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            async with server.start_server(echo, 7):
                reader, writer = await client.connect(server.destination, 7)

                async def send():
                    for start in range(0, len(data), 65536):
                        writer.write(data[start : start + 65536])
                        await writer.drain()
                    writer.write_eof()

                sending = asyncio.ensure_future(send())
                assert await reader.read() == data
                await sending

    run(work())


def test_a_reset_raises_instead_of_ending_the_stream(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            listener = server.listen(1)
            connecting = asyncio.ensure_future(client.connect(server.destination, 1))
            _, peer = await listener.accept()
            reader, writer = await connecting
            peer.reset()
            with pytest.raises(eepkit.Reset) as caught:
                await reader.read()
            assert isinstance(caught.value, ConnectionResetError)
            with pytest.raises(OSError):
                for _ in range(100):
                    writer.write(b"x" * 65536)
                    await writer.drain()

    run(work())


def test_a_listener_is_an_iterator_that_ends_when_it_is_closed(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            listener = server.listen(5)
            seen = []

            async def accept():
                async for _, writer in listener:
                    seen.append(writer.peer)
                    writer.close()

            accepting = asyncio.ensure_future(accept())
            for _ in range(3):
                reader, writer = await client.connect(server.destination, 5)
                assert await reader.read() == b""
                writer.close()
            listener.close()
            await accepting
            assert seen == [client.destination] * 3

    run(work())


def test_a_cancelled_accept_loses_no_stream(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            listener = server.listen(5)
            for _ in range(20):
                accepting = asyncio.ensure_future(listener.accept())
                await asyncio.sleep(0)
                connecting = asyncio.ensure_future(client.connect(server.destination, 5))
                await asyncio.sleep(0.002)
                if accepting.cancel():
                    try:
                        _, peer = await accepting
                    except asyncio.CancelledError:
                        _, peer = await asyncio.wait_for(listener.accept(), 10)
                else:
                    _, peer = await accepting
                _, writer = await connecting
                writer.close()
                peer.close()

    run(work())


def test_errors_have_a_class_a_kind_and_a_hint(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            with pytest.raises(eepkit.Refused) as refused:
                await client.connect(server.destination, 9)
            assert refused.value.kind == "refused"
            assert "port" in refused.value.hint
            assert isinstance(refused.value, ConnectionRefusedError)
            with pytest.raises(eepkit.NameNotFound):
                await client.connect("unknown.i2p", 80)
            with pytest.raises(eepkit.BadInput):
                await client.connect("example.com", 80)
            with pytest.raises(eepkit.BadInput):
                await client.connect("127.0.0.1", 80)
            listener = server.listen(7)
            with pytest.raises(eepkit.AddressInUse):
                server.listen(7)
            listener.close()
            with pytest.raises(eepkit.BadInput):
                await router.session(preset="fastest")
            with pytest.raises(eepkit.Unsupported):
                await router.ready()
            await server.close()
            with pytest.raises(eepkit.Closed):
                server.listen(8)

    run(work())


def test_an_error_in_a_handler_resets_the_stream_and_the_server_continues(run):
    async def work():
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)

            async def handle(reader, writer):
                if await reader.readline() == b"fail\n":
                    raise ValueError("the handler failed")
                writer.write(b"fine")
                writer.close()

            async with server.start_server(handle, 2) as serving:
                reader, writer = await client.connect(server.destination, 2)
                writer.write(b"fail\n")
                with pytest.raises(eepkit.Reset):
                    await reader.read()
                reader, writer = await client.connect(server.destination, 2)
                writer.write(b"work\n")
                assert await reader.read() == b"fine"
                assert serving.is_serving()
            assert not serving.is_serving()
        assert [type(problem["exception"]) for problem in problems] == [ValueError]

    run(work())


def test_a_protocol_is_connected_with_a_stream(run):
    class Upper(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data.upper())

    class Client(asyncio.Protocol):
        def __init__(self):
            self.done = asyncio.get_running_loop().create_future()

        def data_received(self, data):
            self.done.set_result(data)

    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            async with server.create_server(Upper, 3):
                transport, protocol = await client.create_connection(Client, server.destination, 3)
                transport.write(b"hello")
                assert await protocol.done == b"HELLO"
                transport.close()

    run(work())


def test_a_timeout_of_connecting_is_a_timeout_error(run):
    async def work():
        async with eepkit.Router.simulated(delay=30) as router:
            session = await router.session(preset="test", wait=False)
            other = eepkit.PrivateKeys.generate().destination
            with pytest.raises(OSError) as caught:
                await session.connect(other, 1, timeout=0.2)
            assert isinstance(caught.value, eepkit.I2PError)
            assert caught.value.is_transient

    run(work())


def test_many_streams_are_open_at_once(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            async with server.start_server(echo, 7, backlog=200):
                async def one(number):
                    reader, writer = await client.connect(server.destination, 7)
                    writer.write(b"%d" % number)
                    writer.write_eof()
                    assert await reader.read() == b"%d" % number
                    writer.close()

                await asyncio.gather(*[one(number) for number in range(100)])

    run(work())
