"""The interface of i2plib."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from conftest import free_port

import eepkit
from eepkit import i2plib, sync

BUFFER_SIZE = 65536


@pytest.fixture
def inside():
    """The default address means a network in this process."""
    with sync.Router.simulated() as router:
        i2plib.use(router)
        yield router
        i2plib.use(None)


def test_every_public_name_is_there_with_its_parameters():
    def parameters(function):
        return [
            (name, parameter.default)
            for name, parameter in inspect.signature(function).parameters.items()
        ]

    empty = inspect.Parameter.empty
    address = ("sam_address", ("127.0.0.1", 7656))
    loop = ("loop", None)
    assert parameters(i2plib.get_sam_socket) == [address, loop]
    assert parameters(i2plib.dest_lookup) == [("domain", empty), address, loop]
    assert parameters(i2plib.new_destination) == [address, loop, ("sig_type", 7)]
    session = [
        ("session_name", empty),
        address,
        loop,
        ("style", "STREAM"),
        ("signature_type", 7),
        ("destination", None),
        ("options", None),
    ]
    assert parameters(i2plib.create_session) == session
    assert parameters(i2plib.Session) == session
    connect = [("session_name", empty), ("destination", empty), address, loop]
    assert parameters(i2plib.stream_connect) == connect
    assert parameters(i2plib.StreamConnection) == connect
    accept = [("session_name", empty), address, loop]
    assert parameters(i2plib.stream_accept) == accept
    assert parameters(i2plib.StreamAcceptor) == accept
    assert parameters(i2plib.tunnel.I2PTunnel) == [
        ("local_address", empty),
        ("destination", None),
        ("session_name", None),
        ("options", None),
        loop,
        address,
    ]
    assert i2plib.sam.DEFAULT_ADDRESS == ("127.0.0.1", 7656)
    assert (i2plib.sam.DEFAULT_MIN_VER, i2plib.sam.DEFAULT_MAX_VER) == ("3.1", "3.1")
    assert i2plib.sam.SAM_BUFSIZE == 4096 and i2plib.tunnel.BUFFER_SIZE == 65536
    assert i2plib.sam.stream_forward("a", 7) == b"STREAM FORWARD ID=a PORT=7 \n"
    assert i2plib.log.logger.name == "i2plib"
    for name in ("CantReachPeer", "DuplicatedDest", "DuplicatedId", "I2PError", "InvalidId"):
        assert issubclass(getattr(i2plib, name), i2plib.exceptions.SAMException)
    for name in ("__title__", "__version__", "__author__", "__license__", "__copyright__"):
        assert isinstance(getattr(i2plib, name), str)


def test_messages_keep_quoted_values_and_unknown_results_are_errors():
    message = i2plib.sam.Message('SESSION STATUS RESULT=I2P_ERROR MESSAGE="no \\"tunnels\\" yet" X')
    assert not message.ok
    assert message["MESSAGE"] == 'no "tunnels" yet' and message["X"] is True
    assert repr(i2plib.sam.Message("A B C=1\n")) == "A B C=1\n"
    error = i2plib.exceptions.of_result("NEW_RESULT", "why")
    assert isinstance(error, i2plib.I2PError) and "NEW_RESULT: why" in str(error)
    for data in (b"", b"\n", b"HELLO\n", b"\xff\xfe x y\n"):
        with pytest.raises(ConnectionAbortedError):
            i2plib.aiosam.parse_reply(data)


def test_keys_are_generated_without_a_router(run):
    destination = run(i2plib.new_destination())
    assert len(destination.base32) == 52 and destination.private_key is not None
    same = i2plib.Destination(destination.private_key.base64, has_private_key=True)
    assert same == destination and same.base64 == destination.base64
    with pytest.raises(Exception, match="no data"):
        i2plib.Destination(b"")


# The listings of "Developing privacy-aware applications with Python and I2P", as they are printed.
DESTINATION_AND_SESSION = '''
dest = await i2plib.new_destination()
print(dest.base32 + ".b32.i2p") # print base32 address

session_nickname = "test-i2p" # each session must have unique nickname
_, session_writer = await i2plib.create_session(session_nickname, destination=dest)
'''

OUTGOING = '''
remote_host = "udhdrtrcetjm5sxzskjyr5ztpeszydbh4dpl3pl4utgqqw2v4jna.b32.i2p"
reader, writer = await i2plib.stream_connect(session_nickname, remote_host)

writer.write("GET /en/ HTTP/1.0\\nHost: {}\\r\\n\\r\\n".format(remote_host).encode())

buflen, resp = 4096, b""
while 1:
    data = await reader.read(buflen)
    if len(data) > 0:
        resp += data
    else:
        break

writer.close()
print(resp.decode())
'''

SERVER = '''
async def handle_client(incoming, reader, writer):
    """Client connection handler"""
    dest, data = incoming.split(b"\\n", 1)
    remote_destination = i2plib.Destination(dest.decode())
    if not data:
        data = await reader.read(BUFFER_SIZE)
    if data == b"PING":
        writer.write(b"PONG")
    writer.close()

# An endless loop which accepts connetions and runs a client handler
while True:
    reader, writer = await i2plib.stream_accept(session_nickname)
    incoming = await reader.read(BUFFER_SIZE)
    asyncio.ensure_future(handle_client(incoming, reader, writer))
'''


def listing(text, *parameters):
    """A coroutine with the text of a listing, which returns its session."""
    body = textwrap.indent(text, "    ")
    source = f"async def listing({', '.join(parameters)}):\n{body}\n    return locals()\n"
    scope = {"i2plib": i2plib, "asyncio": asyncio, "BUFFER_SIZE": BUFFER_SIZE}
    exec(source, scope)
    return scope["listing"]


@pytest.fixture(params=["in process", "devnet over TCP"])
def network(request, monkeypatch):
    """A network for the default address, and for ``I2P_SAM_ADDRESS``."""
    if request.param == "in process":
        router = request.getfixturevalue("inside")
        yield router
        return
    net = request.getfixturevalue("i2p_devnet")
    with net.routers[0].sam_bridge() as bridge:
        i2plib_address = bridge.address
        monkeypatch.setattr(i2plib.sam, "DEFAULT_ADDRESS", i2plib_address)
        for function in (
            i2plib.create_session,
            i2plib.stream_connect,
            i2plib.stream_accept,
            i2plib.new_destination,
            i2plib.get_sam_socket,
            i2plib.dest_lookup,
        ):
            changed = tuple(
                i2plib_address if value == ("127.0.0.1", 7656) else value
                for value in function.__defaults__
            )
            monkeypatch.setattr(function, "__defaults__", changed)
        monkeypatch.setenv("EEPKIT_I2PLIB", "sam")
        yield net.routers[1]


def test_the_listings_of_the_article_run_as_printed(run, network, capsys):
    async def work():
        # The web server that the article fetches.
        router = eepkit.Router(network._native)
        web = await router.session(preset="test")

        async def serve(reader, writer):
            request = await reader.readuntil(b"\r\n\r\n")
            assert request.startswith(b"GET /en/ HTTP/1.0\nHost: ")
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"The Invisible Internet. " * 5000)
            writer.close()

        web_server = web.start_server(serve)
        created = await listing(DESTINATION_AND_SESSION)()
        printed = capsys.readouterr().out.strip()
        assert re.fullmatch(r"[a-z2-7]{52}\.b32\.i2p", printed)

        # Only the address is another one: nobody else has the keys of the printed one.
        outgoing = re.sub(r"[a-z2-7]{52}\.b32\.i2p", web.destination.b32, OUTGOING)
        fetched = await listing(outgoing, "session_nickname")(created["session_nickname"])
        assert fetched["resp"].count(b"The Invisible Internet. ") == 5000
        assert capsys.readouterr().out.startswith("HTTP/1.0 200 OK")
        web_server.close()

        serving = asyncio.ensure_future(
            listing(SERVER, "session_nickname")(created["session_nickname"])
        )
        await i2plib.create_session("client")
        for _ in range(3):
            reader, writer = await i2plib.stream_connect("client", printed)
            writer.write(b"PING")
            assert await reader.read(4096) == b"PONG"
            writer.close()
        serving.cancel()
        created["session_writer"].close()
        await web.close()

    run(work())


def test_a_session_is_not_ended_by_the_garbage_collector(run, inside):
    async def work():
        import gc

        # As in the documentation of i2plib, which drops the reader and the writer.
        await i2plib.create_session("kept")
        gc.collect()
        await asyncio.sleep(0.1)
        gc.collect()
        accepting = await i2plib.stream_accept("kept")
        accepting[1].close()

    run(work())


def test_a_task_that_only_waits_for_a_stream_is_not_collected(run, inside):
    async def work():
        import gc

        served = []

        async def serve():
            async with i2plib.StreamAcceptor("server") as stream:
                await stream.reader.readline()
                served.append(await stream.read(100))
                stream.write(b"PONG")

        async with i2plib.Session("server") as session:
            # As in the examples of i2plib, nobody keeps the task.
            asyncio.ensure_future(serve())
            await asyncio.sleep(0.2)
            gc.collect()
            async with i2plib.Session("client"):
                async with i2plib.StreamConnection("client", session.destination) as stream:
                    stream.write(b"PING")
                    assert await stream.read(100) == b"PONG"
        assert served == [b"PING"]

    run(work())


def test_context_managers_and_errors_of_sam(run, inside):
    async def work():
        async with i2plib.Session("a") as session:
            assert session.destination.private_key is not None
            with pytest.raises(i2plib.DuplicatedId):
                await i2plib.create_session("a")
            with pytest.raises(i2plib.InvalidId):
                await i2plib.stream_accept("other")
            with pytest.raises(i2plib.exceptions.SAMException):
                await i2plib.stream_connect("a", "unknown.i2p")
            reader, writer = session.reader, session.writer
            writer.write(i2plib.sam.naming_lookup("ME"))
            reply = i2plib.aiosam.parse_reply(await reader.readline())
            assert reply["VALUE"] == session.destination.base64

            async def serve():
                async with i2plib.StreamAcceptor("a") as accepted:
                    await accepted.reader.readline()
                    data = await accepted.read(100)
                    accepted.write(data.upper())

            serving = asyncio.ensure_future(serve())
            async with i2plib.Session("b", options={"inbound.length": 0}):
                address = session.destination.base32 + ".b32.i2p"
                assert (await i2plib.dest_lookup(address)).base64 == session.destination.base64
                async with i2plib.StreamConnection("b", address) as c:
                    c.write(b"hello")
                    assert await c.read(100) == b"HELLO"
            await serving
        # The name is free again.
        async with i2plib.Session("a", signature_type=1) as session:
            assert session.destination.data != b""

    run(work())


async def local_echo(reader, writer):
    data = await reader.read()
    writer.write(data[::-1])
    writer.close()


def test_tunnels_pass_large_data_and_half_closes(run, inside):
    async def work():
        server = await asyncio.start_server(local_echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()[:2]
        serving = i2plib.ServerTunnel(address)
        await serving.run()
        port = free_port()
        connecting = i2plib.ClientTunnel(
            serving.destination.base32 + ".b32.i2p", ("127.0.0.1", port)
        )
        await connecting.run()
        assert connecting.status["setup_ran"] and not connecting.status["setup_failed"]
        data = bytes(range(256)) * 8192
        for size in (0, 1, 3000, len(data)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data[:size])
            writer.write_eof()
            assert await reader.read() == data[:size][::-1]
            writer.close()
        assert connecting.status["exception"] is None
        # Nothing listens, and the tunnel still serves the next stream.
        server.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        assert await reader.read() == b""
        writer.close()
        assert serving.status["exception"] is None
        assert not serving.server_loop.done()
        connecting.stop()
        serving.stop()
        await asyncio.sleep(0.1)
        assert not serving.status["background_tasks"]

    run(work())


def test_a_tunnel_returns_after_its_bridge_was_restarted(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            bridge = await router.sam_bridge()
            address = bridge.address
            server = await asyncio.start_server(local_echo, "127.0.0.1", 0)
            serving = i2plib.ServerTunnel(server.sockets[0].getsockname()[:2], sam_address=address)
            port = free_port()
            await serving.run()
            connecting = i2plib.ClientTunnel(
                serving.destination.base64, ("127.0.0.1", port), sam_address=address
            )
            await connecting.run()

            async def ask():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"abc")
                writer.write_eof()
                answer = await reader.read()
                writer.close()
                return answer

            assert await ask() == b"cba"
            await bridge.stop()
            assert await ask() == b""
            bridge = await router.sam_bridge(f"{address[0]}:{address[1]}")
            deadline = time.monotonic() + 40
            while await ask() != b"cba":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)
            assert serving.status["exception"] is None
            assert connecting.status["exception"] is None
            connecting.stop()
            serving.stop()
            await bridge.stop()

    run(work())


def test_a_tunnel_that_cannot_start_reports_it(run, inside):
    async def work():
        tunnel = i2plib.ServerTunnel(("127.0.0.1", 1), destination="AAAA")
        with pytest.raises(ValueError):
            await tunnel.run()
        assert tunnel.status["setup_failed"] and tunnel.status["exception"] is not None
        closed = ("127.0.0.1", free_port())
        tunnel = i2plib.ClientTunnel("a.i2p", ("127.0.0.1", 0), sam_address=closed)
        with pytest.raises(ConnectionRefusedError):
            await tunnel.run()
        tunnel.stop()

    run(work())


def test_the_address_selects_the_bridge(run, monkeypatch, sam_address):
    from eepkit.i2plib import _routing

    default = i2plib.sam.DEFAULT_ADDRESS
    assert _routing.is_default(default) and not _routing.is_default(("127.0.0.1", 7657))
    monkeypatch.setenv("I2P_SAM_ADDRESS", "127.0.0.1:7656")
    assert not _routing.is_default(default)
    monkeypatch.setenv("EEPKIT_I2PLIB", "embedded")
    assert _routing.is_default(("10.0.0.1", 1))
    monkeypatch.setenv("EEPKIT_I2PLIB", "tor")
    with pytest.raises(eepkit.BadInput):
        _routing.is_default(default)
    monkeypatch.delenv("EEPKIT_I2PLIB")
    monkeypatch.setenv("I2P_SAM_ADDRESS", "%s:%s" % sam_address)
    assert i2plib.get_sam_address() == sam_address

    async def work():
        reader, writer = await i2plib.get_sam_socket(i2plib.get_sam_address())
        writer.close()

    run(work())


def test_the_module_for_tunnels_is_a_program(run, sam_address, tmp_path):
    async def work():
        server = await asyncio.start_server(local_echo, "127.0.0.1", 0)
        key = tmp_path / "key.dat"
        # One of 64 begins with a hyphen, which programs take for an option.
        destination = await i2plib.new_destination(sam_address)
        while not destination.base64.startswith("-"):
            destination = await i2plib.new_destination(sam_address)
        key.write_bytes(destination.private_key.data)
        local = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        port = free_port()
        environment = {**os.environ, "I2P_SAM_ADDRESS": "%s:%d" % sam_address}
        start = [sys.executable, "-m", "eepkit.i2plib.tunnel"]
        programs = [
            subprocess.Popen([*start, "server", local, "-k", str(key)], env=environment),
            subprocess.Popen(
                [*start, "client", f"127.0.0.1:{port}", "-D", destination.base64], env=environment
            ),
        ]
        try:
            deadline = time.monotonic() + 40
            while True:
                assert time.monotonic() < deadline
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(b"abc")
                    writer.write_eof()
                    answer = await reader.read()
                    writer.close()
                    if answer == b"cba":
                        break
                except OSError:
                    pass
                await asyncio.sleep(0.2)
        finally:
            for program in programs:
                program.terminate()
            for program in programs:
                program.wait(10)

    run(work())


def test_several_loops_in_threads_use_one_bridge(inside):
    errors = []

    def use(name):
        async def work():
            async with i2plib.Session(name):
                await asyncio.sleep(0.05)

        try:
            asyncio.run(work())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=use, args=(f"session-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
