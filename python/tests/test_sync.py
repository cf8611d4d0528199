"""The interface for threads."""

from __future__ import annotations

import socket
import threading

import pytest

import eepkit
from eepkit import sync


@pytest.fixture
def sessions():
    with sync.Router.simulated() as router:
        with router.session(preset="test") as client, router.session(preset="test") as server:
            yield client, server


def test_a_stream_is_a_socket(sessions):
    client, server = sessions
    listener = server.listen(80)
    accepted = []
    accepting = threading.Thread(target=lambda: accepted.append(listener.accept()))
    accepting.start()
    here = client.connect(server.destination, 80)
    accepting.join()
    there, address = accepted[0]
    assert isinstance(here, socket.socket)
    assert address == (client.destination.b32, here.getsockname()[1])
    assert here.getpeername() == (server.destination.b32, 80)
    assert there.peer == client.destination
    with here, there:
        here.sendall(b"hello\nrest")
        here.shutdown(socket.SHUT_WR)
        with there.makefile("rb") as lines:
            assert lines.readline() == b"hello\n"
            assert lines.read() == b"rest"
        there.sendall(b"answer")
        there.close()
        assert here.recv(100) == b"answer"
        assert here.recv(100) == b""


def test_a_socket_has_time_limits_and_raises_a_reset(sessions):
    client, server = sessions
    listener = server.listen(80)
    with pytest.raises(eepkit.Timeout):
        listener.accept(timeout=0.05)
    serving = threading.Thread(target=lambda: accepted.append(listener.accept()[0]))
    accepted = []
    serving.start()
    here = client.connect(server.destination, 80)
    serving.join()
    here.settimeout(0.05)
    with pytest.raises(socket.timeout):
        here.recv(1)
    here.settimeout(10)
    accepted[0].reset()
    with pytest.raises(eepkit.Reset):
        here.recv(1)
    with pytest.raises(eepkit.Reset), here.makefile("rb") as lines:
        lines.read()
    here.close()


def test_closing_a_listener_ends_the_threads_that_wait(sessions):
    _, server = sessions
    listener = server.listen(80)
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(list(listener)))
    waiting.start()
    listener.close()
    waiting.join(10)
    assert ended == [[]]


def test_datagrams_names_states_and_pings_work_without_an_event_loop(sessions):
    client, server = sessions
    there, here = server.datagrams("datagram2", 7), client.datagrams("datagram2", 8)
    here.send(b"ping", server.destination, 7)
    received = there.receive(timeout=30)
    there.reply(received, b"pong")
    assert here.receive(timeout=30).payload == b"pong"
    with pytest.raises(eepkit.Timeout):
        here.receive(timeout=0.01)
    assert client.lookup(server.destination.b32) == server.destination
    assert client.ping(server.destination) < 30
    assert next(client.states()).is_ready


def test_streams_of_many_threads(sessions):
    client, server = sessions
    listener = server.listen(80, backlog=64)

    def serve():
        for accepted in listener:
            accepted.sendall(accepted.recv(100).upper())
            accepted.close()

    serving = threading.Thread(target=serve)
    serving.start()
    answers = []

    def ask(number):
        with client.connect(server.destination, 80) as here:
            here.sendall(b"number %d" % number)
            answers.append(here.recv(100))

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    listener.close()
    serving.join()
    assert sorted(answers) == sorted(b"NUMBER %d" % number for number in range(16))
