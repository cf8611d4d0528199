"""Signals, forks, threads and the exit of the interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

BLOCKED = {
    "accept": "listener.accept()",
    "recv": "client.connect(server.destination, 80).recv(1)",
    "receive": "server.datagrams('raw', 7).receive()",
    "open": "sync.Router.attach('i2cp://127.0.0.1:%d' % silent.getsockname()[1]).session()",
    "iterate": "list(listener)",
    "states": "list(server.states())",
}

PRELUDE = """
import socket, sys, threading, time
from eepkit import sync
silent = socket.create_server(("127.0.0.1", 0))
router = sync.Router.simulated()
client, server = router.session(preset="test"), router.session(preset="test")
listener = server.listen(80)
"""


def accept_interrupts():
    """Undoes what a shell does for jobs in the background: they ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("call", sorted(BLOCKED))
def test_ctrl_c_interrupts_every_blocking_call(call):
    accepting = ""
    if call == "recv":
        accepting = "accepted = []\nserve = lambda: accepted.append(listener.accept())\n"
        accepting += "threading.Thread(target=serve, daemon=True).start()"
    text = f"""{PRELUDE}
{accepting}
print("ready", flush=True)
try:
    {BLOCKED[call]}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=accept_interrupts,
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            sent = time.monotonic()
            assert process.stdout.readline() == "interrupted\n", process.stderr.read()
            assert time.monotonic() - sent < 1.0
            assert process.wait(10) == 0, process.stderr.read()
        finally:
            process.kill()


def test_ctrl_c_ends_an_event_loop():
    text = """
import asyncio, eepkit
async def main():
    async with eepkit.Router.simulated() as router, router.session(preset="test") as session:
        print("ready", flush=True)
        await session.listen(1).accept()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=accept_interrupts,
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n", process.stderr.read()
            assert process.wait(10) == 0, process.stderr.read()
        finally:
            process.kill()


@pytest.mark.parametrize("what", ["session", "stream", "waiting thread", "event loop"])
def test_the_interpreter_exits_within_a_second_with_open_sessions(script, what):
    more = {
        "session": "",
        "stream": """
threading.Thread(target=listener.accept, daemon=True).start()
stream = client.connect(server.destination, 80)
stream.send(b"x" * 1000)
""",
        "waiting thread": """
threading.Thread(target=listener.accept, daemon=True).start()
threading.Thread(target=server.datagrams("raw", 7).receive, daemon=True).start()
time.sleep(0.2)
""",
        "event loop": """
import asyncio, eepkit
async def main():
    session = await eepkit.Router.simulated().session(preset="test")
    asyncio.ensure_future(session.listen(1).accept())
    await asyncio.sleep(0.1)
    loop = asyncio.get_running_loop()
    # Closed while the operation is in flight.
    loop.stop()
loop = asyncio.new_event_loop()
task = loop.create_task(main())
loop.run_forever()
""",
    }[what]
    # Other tests run at the same time, so that one run may be slow for another reason.
    times = []
    while not times or (times[-1] > 1.0 and len(times) < 3):
        done = script(f"{PRELUDE}{more}\nprint(time.time())")
        times.append(time.time() - float(done.stdout))
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr or what == "event loop", done.stderr
    assert times[-1] < 1.0, times


def test_a_child_raises_instead_of_hanging_and_the_parent_continues(script):
    done = script(
        PRELUDE
        + """
import os, eepkit
stream_thread = threading.Thread(target=lambda: accepted.append(listener.accept()[0]))
accepted = []
stream_thread.start()
stream = client.connect(server.destination, 80)
stream_thread.join()
child = os.fork()
if child == 0:
    failed = 0
    for call in (
        lambda: client.connect(server.destination, 80),
        lambda: sync.Router.simulated(),
        lambda: server.listen(81),
        lambda: listener.accept(),
        lambda: client.keys,
        lambda: router.session(),
        lambda: client.close(),
        lambda: eepkit.Router.simulated(),
    ):
        try:
            call()
        except RuntimeError as error:
            assert "forked" in str(error)
            failed += 1
    # Destructors must not hang either. The descriptor still works in the child.
    stream.send(b"child")
    del client, server, listener, router
    import gc
    gc.collect()
    keys = eepkit.PrivateKeys.generate()
    os._exit(failed)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 8
assert accepted[0].recv(100) == b"child"
stream.send(b"parent")
assert accepted[0].recv(100) == b"parent"
print("fine")
"""
    )
    assert done.stdout == "fine\n", done.stderr


def test_a_child_of_a_process_that_has_not_started_the_runtime_works(script):
    done = script(
        """
import multiprocessing, eepkit
from eepkit import sync
def child(queue):
    with sync.Router.simulated() as router, router.session(preset="test") as session:
        queue.put(session.destination.b32)
if __name__ == "__main__":
    eepkit.PrivateKeys.generate()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    print(queue.get(timeout=20))
    process.join()
"""
    )
    assert done.stdout.endswith(".b32.i2p\n"), done.stderr


def test_calls_after_the_exit_has_begun_raise(script):
    done = script(
        """
import atexit
def late():
    try:
        server.listen(81)
        client.lookup(server.destination.b32)
    except OSError as error:
        print(error.kind)
atexit.register(late)
"""
        + PRELUDE
    )
    # Handlers run in reverse order, so this one runs after that of the package, if that was
    # registered later.
    assert done.stdout == "closed\n", done.stderr


def test_an_unused_import_starts_no_thread(script):
    done = script("import eepkit, threading, os; print(len(os.listdir('/proc/self/task')))")
    assert done.stdout == "1\n"


@pytest.mark.skipif(not hasattr(os, "waitstatus_to_exitcode"), reason="needs Python 3.9")
def test_the_program_runs_and_ends_with_its_exit_codes():
    def program(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "eepkit", *arguments], capture_output=True, text=True, timeout=60
        )

    import eepkit

    assert program("--version").stdout == f"eepkit {eepkit.__version__}\n"
    assert "devnet" in program("--help").stdout
    assert program("no-such-command").returncode == 2
    missing = program("--router", "i2cp://127.0.0.1:1", "lookup", "no.i2p")
    assert missing.returncode not in (0, 101), missing.stderr


def test_ctrl_c_ends_the_program():
    with subprocess.Popen(
        [sys.executable, "-m", "eepkit", "devnet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=accept_interrupts,
    ) as process:
        try:
            threading.Event().wait(2)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
            assert process.returncode in (0, 130, -signal.SIGINT)
        finally:
            process.kill()
