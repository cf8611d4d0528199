"""Sessions, keys, names, datagrams and states."""

from __future__ import annotations

import asyncio

import pytest
from conftest import pair

import eepkit
from eepkit import PrivateKeys


def test_keys_are_saved_loaded_and_never_replaced_by_accident(tmp_path):
    keys = PrivateKeys.generate()
    path = tmp_path / "keys.dat"
    keys.save(path)
    with pytest.raises(eepkit.IoError):
        PrivateKeys.generate().save(path)
    assert PrivateKeys.load(path).destination == keys.destination
    assert PrivateKeys.load_or_create(path).destination == keys.destination
    assert PrivateKeys.from_base64(keys.to_base64()).destination == keys.destination
    assert PrivateKeys.from_bytes(keys.to_bytes()).destination == keys.destination
    PrivateKeys.generate().save(path, replace=True)
    assert PrivateKeys.load(path).destination != keys.destination
    assert keys.to_base64() not in repr(keys)
    with pytest.raises(eepkit.BadInput):
        PrivateKeys.from_bytes(b"short")
    with pytest.raises(eepkit.BadInput):
        PrivateKeys.generate("rot13")


def test_destinations_compare_by_their_keys():
    destination = PrivateKeys.generate().destination
    same = eepkit.Destination(destination.base64)
    assert same == destination and hash(same) == hash(destination)
    assert {destination: 1}[same] == 1
    assert destination.b32.endswith(".b32.i2p") and str(destination) == destination.b32
    assert len(destination.hash) == 32
    assert bytes(destination)[:1] == bytes(same)[:1]
    with pytest.raises(eepkit.BadInput):
        eepkit.Destination("no")


def test_a_session_keeps_its_destination_in_a_key_file(run, tmp_path):
    async def work():
        async with eepkit.Router.simulated() as router:
            path = tmp_path / "server.dat"
            async with router.session(keys=path, preset="test") as session:
                first = session.destination
            async with router.session(keys=path, preset="test") as session:
                assert session.destination == first

    run(work())


def test_a_session_with_offline_keys_serves(run):
    async def work():
        keys = PrivateKeys.generate()
        offline = keys.offline(30 * 24 * 3600)
        assert offline.expires is not None and keys.expires is None
        assert offline.destination == keys.destination
        async with eepkit.Router.simulated() as router:
            server = await router.session(keys=offline, preset="test")
            client = await router.session(preset="test")
            listener = server.listen(1)
            connecting = asyncio.ensure_future(client.connect(keys.destination, 1))
            _, peer = await listener.accept()
            _, writer = await connecting
            writer.close()
            peer.close()

    run(work())


@pytest.mark.parametrize("format", ["raw", "datagram1", "datagram2", "datagram3"])
def test_datagrams_of_every_format_state_what_is_known_of_the_sender(run, format):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            there = server.datagrams(format, 7)
            here = client.datagrams(format, 9)
            await here.send(b"ping", server.destination, 7)
            received = await there.receive()
            assert received.payload == b"ping"
            assert (received.from_port, received.to_port) == (9, 7)
            if format == "raw":
                assert isinstance(received, eepkit.AnonymousDatagram)
                with pytest.raises(eepkit.BadInput):
                    await there.reply(received, b"pong")
                return
            if format == "datagram3":
                assert isinstance(received, eepkit.ClaimedDatagram)
                assert received.claimed_sender == client.destination.b32
                assert not hasattr(received, "sender")
            else:
                assert isinstance(received, eepkit.AuthenticatedDatagram)
                assert received.sender == client.destination
                assert not hasattr(received, "claimed_sender")
            await there.reply(received, b"pong")
            assert (await here.receive()).payload == b"pong"

    run(work())


def test_a_datagram_socket_is_an_iterator_that_ends_when_it_is_closed(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            client, server = await pair(router)
            there = server.datagrams("datagram2", 7)
            here = client.datagrams("datagram2")
            for number in range(3):
                await here.send(b"%d" % number, server.destination, 7)
            seen = []

            async def receive():
                async for datagram in there:
                    seen.append(datagram.payload)

            receiving = asyncio.ensure_future(receive())
            while len(seen) < 3:
                await asyncio.sleep(0.01)
            there.close()
            await receiving
            assert seen == [b"0", b"1", b"2"]
            with pytest.raises(eepkit.BadInput):
                await here.send(b"x" * 100_000, server.destination, 7)

    run(work())


def test_names_come_from_the_session_and_from_an_address_book(run, tmp_path):
    async def work():
        book = eepkit.AddressBook(tmp_path / "book.redb")
        async with eepkit.Router.simulated(names=book) as router:
            client, server = await pair(router)
            book.put("server.i2p", server.destination)
            assert book.get("server.i2p") == server.destination
            assert book.get("other.i2p") is None
            assert book.names_of(server.destination) == [("user", "server.i2p")]
            assert book.list() == [("server.i2p", server.destination)]
            assert book.count() == 1
            assert await client.lookup("server.i2p") == server.destination
            assert await client.lookup(server.destination.b32) == server.destination
            assert book.remove("server.i2p") and not book.remove("server.i2p")
            with pytest.raises(eepkit.NameNotFound):
                await client.lookup("server.i2p")
            hosts = {"mine.i2p": server.destination}
            async with router.session(preset="test", hosts=hosts) as session:
                assert await session.lookup("mine.i2p") == server.destination
            lists = tmp_path / "hosts.txt"
            lists.write_text(f"listed.i2p={server.destination.base64}\nbad line\n")
            added, _, refused = book.import_hosts(lists)
            assert (added, refused) == (1, 1)
            assert await client.lookup("listed.i2p") == server.destination
            with pytest.raises(eepkit.AddressInUse):
                eepkit.AddressBook(tmp_path / "book.redb")
            with pytest.raises(eepkit.BadInput):
                book.put("no name", server.destination)

    run(work())


def test_the_states_of_a_session_end_with_it(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            session = await router.session(preset="test", wait=False)
            stages = []

            async def follow():
                async for status in session.states():
                    stages.append(status.stage)

            following = asyncio.ensure_future(follow())
            status = await session.ready(30)
            assert status.is_ready and status.stage == "ready" and status.problem is None
            assert session.status.stage == "ready"
            # The iterator leaves out stages that end before it continues.
            while "ready" not in stages:
                await asyncio.sleep(0.01)
            await session.close()
            await following
            assert "ready" in stages and stages[-1] == "closed"
            assert session.status.account.startswith("closed")

    run(work())


def test_a_ping_returns_the_round_trip_time(run):
    async def work():
        async with eepkit.Router.simulated(delay=0.02) as router:
            client, server = await pair(router)
            assert 0.03 < await client.ping(server.destination) < 30

    run(work())


def test_a_router_that_does_not_run_is_reported_with_a_hint(run):
    async def work():
        router = eepkit.Router.attach("i2cp://127.0.0.1:1")
        with pytest.raises(eepkit.RouterUnreachable) as caught:
            await router.session(open_timeout=0.5)
        assert caught.value.hint and caught.value.hint in str(caught.value)
        with pytest.raises(eepkit.BadInput):
            eepkit.Router.attach("http://127.0.0.1:1")

    run(work())


def test_every_kind_of_error_has_an_exception_with_the_hint_of_the_library():
    from eepkit import _errors, _native

    kinds = {kind: transient for kind, _, transient in _native.KINDS}
    assert set(kinds) == set(_errors.BY_KIND)
    for kind, transient in kinds.items():
        assert _errors.BY_KIND[kind].kind == kind
        assert _errors.BY_KIND[kind].is_transient == transient
        exported = _errors.BY_KIND[kind].__name__
        assert getattr(eepkit, exported) is _errors.BY_KIND[kind]


def test_a_session_reaches_another_over_sam(run):
    async def work():
        async with eepkit.Router.simulated() as router:
            async with router.sam_bridge() as bridge:
                host, port = bridge.address
                over_sam = eepkit.Router.attach(f"sam://{host}:{port}")
                client = await over_sam.session(preset="test")
                server = await router.session(preset="test")
                listener = server.listen(0)
                connecting = asyncio.ensure_future(client.connect(server.destination))
                reader, peer = await listener.accept()
                _, writer = await connecting
                writer.write(b"over SAM")
                assert await reader.readexactly(8) == b"over SAM"
                assert peer.peer == client.destination
                writer.close()
                peer.close()
                await client.close()

    run(work())
