"""Measures the package on a simulated network in this process, next to the Rust library alone.

    python bench.py

With --i2pd it measures over a private network of i2pd routers on loopback: i2plib 0.0.14 over i2pd's SAM
bridges, eepkit.i2plib over the same bridges, and eepkit over I2CP of the same two routers.

    pip install i2plib==0.0.14      (with Python 3.9, the last version on which it runs)
    python bench.py --i2pd

Each figure is the median of five runs, beside the lowest and the highest. The runs of what is compared alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Beside this file is the source of the package, whose compiled part is only in the installed one.
if sys.path[0] == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]

import eepkit
from eepkit import i2plib
from eepkit._calls import run

MEBIBYTE = 1024 * 1024
BLOCK = 256 * 1024
RUNS = 5

# Streams and exchanges of a run over i2pd.
STREAMS = 10
EXCHANGES = 100
REQUEST = 64

# The time limit of a step over i2pd, whose sessions have their first tunnels after 20 to 40 s.
LIMIT = 120.0
RETRY = 0.5

# The time limit of a run.
RUN_LIMIT = 30.0


def show(name: str, values: list[float], unit: str) -> float:
    median = statistics.median(values)
    print(f"{name:<44} {median:8.1f} {unit}  ({min(values):.1f} to {max(values):.1f})", flush=True)
    return median


async def drain(reader, writer) -> None:
    while await reader.read(BLOCK):
        pass
    writer.write(b"x")
    writer.close()


async def send(reader, writer, size: int) -> float:
    block = bytes(BLOCK)
    began = time.perf_counter()
    for _ in range(size // len(block)):
        writer.write(block)
        await writer.drain()
    writer.write_eof()
    await reader.read()
    took = time.perf_counter() - began
    writer.close()
    return size / MEBIBYTE / took


async def over_sam(size: int, options: dict[str, object]) -> list[float]:
    async with i2plib.Session("bench-server", options=options) as server:
        async with i2plib.Session("bench-client", options=options):
            speeds = []
            for _ in range(RUNS):

                async def serve() -> None:
                    async with i2plib.StreamAcceptor("bench-server") as accepted:
                        await accepted.reader.readline()
                        await drain(accepted.reader, accepted.writer)

                serving = asyncio.ensure_future(serve())
                to = server.destination
                async with i2plib.StreamConnection("bench-client", to) as stream:
                    speeds.append(await send(stream.reader, stream.writer, size))
                await serving
            return speeds


async def simulated(profile: str, mebibytes: int) -> None:
    size = mebibytes * MEBIBYTE
    imports = []
    for _ in range(RUNS):
        begin = "import time; began = time.perf_counter(); import eepkit; "
        timed = [sys.executable, "-c", begin + "print(time.perf_counter() - began)"]
        imports.append(float(subprocess.run(timed, capture_output=True, check=True).stdout) * 1000)
    show("import eepkit", imports, "ms")

    async with eepkit.Router.simulated(profile) as router:
        client = await router.session(preset="test")
        server = await router.session(preset="test")
        serving = server.start_server(drain, 7)
        rust, streams = [], []
        for _ in range(RUNS):
            seconds = await run(
                lambda done: client._native.transfer(server._native, size, done)
            )
            rust.append(mebibytes / seconds)
            reader, writer = await client.connect(server.destination, 7)
            streams.append(await send(reader, writer, size))
        alone = show("one stream, the Rust library alone", rust, "MiB/s")
        ours = show("one stream, asyncio", streams, "MiB/s")
        print(f"{'asyncio of the library alone':<44} {100 * ours / alone:8.0f} %")

        rates = []
        for _ in range(RUNS):
            count = 500
            began = time.perf_counter()
            limit = asyncio.Semaphore(20)

            async def one() -> None:
                async with limit:
                    reader, writer = await client.connect(server.destination, 7)
                    writer.write_eof()
                    await reader.read()
                    writer.close()

            await asyncio.gather(*[one() for _ in range(count)])
            rates.append(count / (time.perf_counter() - began))
        show("streams opened, used and closed, 20 at once", rates, "/s")
        serving.close()

        i2plib.use(router)
        hops: dict[str, object] = {"inbound.length": 1, "outbound.length": 1}
        show("one stream, eepkit.i2plib", await over_sam(size, hops), "MiB/s")


async def answer(reader, writer) -> None:
    """Answers each request with a byte. A request is a line with a number, and so many bytes."""
    with contextlib.closing(writer):
        while True:
            line = await reader.readline()
            if not line:
                return
            left = int(line)
            while left:
                block = await reader.read(min(left, BLOCK))
                if not block:
                    return
                left -= len(block)
            writer.write(b"x")


async def request(reader, writer, size: int) -> None:
    # A line of its own would wait in i2pd's bridge for a delayed acknowledgement of TCP.
    head = b"%d\n" % size
    writer.write(head + bytes(min(size, BLOCK)))
    await writer.drain()
    for begin in range(BLOCK, size, BLOCK):
        writer.write(bytes(min(BLOCK, size - begin)))
        await writer.drain()
    await reader.readexactly(1)


class OverSam:
    """A module with the interface of i2plib, over the SAM bridges of two routers."""

    def __init__(self, name: str, module, routers: list[dict[str, str]]) -> None:
        self.name = name
        self._module = module
        self._client, self._server = [endpoint(router["sam"]) for router in routers]
        self._id = name.replace(" ", "-")
        self._handlers: set[asyncio.Future[None]] = set()

    async def open(self, options: dict[str, object]) -> None:
        # i2plib requests no signature type for a transient destination, for which i2pd then has DSA_SHA1.
        self._keys = await self._module.new_destination(self._server)
        keys = await self._module.new_destination(self._client)
        self._sessions = await asyncio.gather(
            self._module.create_session(
                f"{self._id}-server", self._server, destination=self._keys, options=options
            ),
            self._module.create_session(
                f"{self._id}-client", self._client, destination=keys, options=options
            ),
        )
        self._accepting = asyncio.ensure_future(self._accept())

    async def _accept(self) -> None:
        while True:
            try:
                reader, writer = await self._module.stream_accept(f"{self._id}-server", self._server)
                peer = await reader.readline()
            except Exception as error:
                print(f"{self.name}: a stream was not accepted: {error!r}", file=sys.stderr)
                await asyncio.sleep(RETRY)
                continue
            if not peer:
                writer.close()
                continue
            handler = asyncio.ensure_future(answer(reader, writer))
            self._handlers.add(handler)
            handler.add_done_callback(self._handlers.discard)

    async def connect(self):
        # The part of the keys that is public.
        to = self._module.Destination(self._keys.data)
        return await self._module.stream_connect(f"{self._id}-client", to, self._client)

    async def close(self) -> None:
        self._accepting.cancel()
        for _, writer in self._sessions:
            writer.close()


class OverI2cp:
    """The interface for asyncio, over I2CP of two routers."""

    name = "eepkit over I2CP"

    def __init__(self, routers: list[dict[str, str]]) -> None:
        self._routers = [eepkit.Router.attach(f"i2cp://{router['i2cp']}") for router in routers]

    async def open(self, options: dict[str, object]) -> None:
        self._client, self._server = await asyncio.gather(
            *[
                _opened(router.session(options=options, open_timeout=LIMIT))
                for router in self._routers
            ]
        )
        self._serving = self._server.start_server(answer, 7)

    async def connect(self):
        return await self._client.connect(self._server.destination, 7)

    async def close(self) -> None:
        self._serving.close()
        for router in self._routers:
            await router.shutdown()


async def _opened(opening) -> eepkit.Session:
    return await opening


def endpoint(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def reached(contender) -> None:
    """Exchanges a request. The network may not have found the lease set yet."""
    deadline = time.perf_counter() + LIMIT
    while True:
        try:
            reader, writer = await contender.connect()
        except Exception:
            if time.perf_counter() > deadline:
                raise
            await asyncio.sleep(RETRY)
            continue
        with contextlib.closing(writer):
            await request(reader, writer, BLOCK)
        return


async def speed(contender, mebibytes: int) -> float:
    reader, writer = await contender.connect()
    with contextlib.closing(writer):
        began = time.perf_counter()
        await request(reader, writer, mebibytes * MEBIBYTE)
        return mebibytes / (time.perf_counter() - began)


async def opening_time(contender, _: int) -> float:
    times = []
    for _ in range(STREAMS):
        began = time.perf_counter()
        reader, writer = await contender.connect()
        with contextlib.closing(writer):
            await request(reader, writer, 0)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


async def exchange_rate(contender, _: int) -> float:
    reader, writer = await contender.connect()
    with contextlib.closing(writer):
        await request(reader, writer, REQUEST)
        began = time.perf_counter()
        for _ in range(EXCHANGES):
            await request(reader, writer, REQUEST)
        return EXCHANGES / (time.perf_counter() - began)


MEASUREMENTS = [
    ("one stream", speed, "MiB/s"),
    ("a new stream and its first answer", opening_time, "ms"),
    ("exchanges on one stream, one at a time", exchange_rate, "/s"),
]


def original():
    """The module of i2plib 0.0.14, or the reason why it cannot be measured."""
    if sys.version_info >= (3, 10):
        return None, "it passes loop= to asyncio, which Python 3.10 removed: use Python 3.9"
    try:
        import i2plib as module
    except ImportError:
        return None, "it is not installed: pip install i2plib==0.0.14"
    if module is i2plib:
        return None, "eepkit-i2plib is installed in its place: use an environment without it"
    return module, None


async def over_i2pd(network: dict, mebibytes: int, hops: int) -> None:
    # The last two, because the first are floodfills.
    routers = network["routers"][-2:]
    contenders: list = []
    module, reason = original()
    if module is None:
        print(f"i2plib is not measured: {reason}", file=sys.stderr)
    else:
        contenders.append(OverSam(f"i2plib {module.__version__}", module, routers))
    contenders.append(OverSam("eepkit.i2plib", i2plib, routers))
    if all("i2cp" in router for router in routers):
        contenders.append(OverI2cp(routers))
    # With three tunnels i2pd has an outbound one when an inbound one is up, without which it
    # publishes no lease set.
    options: dict[str, object] = {
        "inbound.length": hops,
        "outbound.length": hops,
        "inbound.quantity": 3,
        "outbound.quantity": 3,
        "i2cp.leaseSetEncType": 4,
    }
    print(f"i2pd {network.get('i2pd', '?')}, Python {sys.version.split()[0]}", flush=True)
    for contender in contenders:
        await asyncio.wait_for(contender.open(options), LIMIT)
    for contender in contenders:
        await asyncio.wait_for(reached(contender), LIMIT)
    for name, measure, unit in MEASUREMENTS:
        figures: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        for _ in range(RUNS):
            for contender in contenders:
                try:
                    figure = await asyncio.wait_for(measure(contender, mebibytes), RUN_LIMIT)
                except Exception as error:
                    print(f"{name}, {contender.name}: failed: {error!r}", file=sys.stderr)
                else:
                    figures[contender.name].append(figure)
        print(f"{name}:")
        for contender in contenders:
            if figures[contender.name]:
                show(f"  {contender.name}", figures[contender.name], unit)
            else:
                print(f"  {contender.name:<42} failed in each run")
    for contender in contenders:
        await contender.close()


@contextlib.contextmanager
def i2pd_network(file: str):
    """The addresses in a file, or those of a network that runs until the end of the block."""
    if file:
        yield json.loads(Path(file).read_text())
        return
    command = ["cargo", "run", "-q", "--locked", "-p", "eepkit-interop", "--bin", "i2pd_network"]
    print("starts a network of i2pd routers", file=sys.stderr)
    with subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as network:
        # It ends at the end of its standard input, which leaving the block closes.
        line = network.stdout.readline()
        if not line:
            raise SystemExit("there is no network of i2pd routers")
        yield json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="local", help="of the simulated network")
    parser.add_argument("--mib", type=int, help="sent over one stream: 64, and 4 with --i2pd")
    parser.add_argument(
        "--i2pd",
        nargs="?",
        const="",
        metavar="FILE",
        help="measure over i2pd, on a network that is started for it, or on the one whose addresses are "
        "in FILE, as the program i2pd_network of interop/ prints them",
    )
    parser.add_argument("--hops", type=int, default=2, help="of each tunnel with --i2pd")
    arguments = parser.parse_args()
    if arguments.i2pd is None:
        asyncio.run(simulated(arguments.profile, arguments.mib or 64))
    else:
        with i2pd_network(arguments.i2pd) as network:
            asyncio.run(over_i2pd(network, arguments.mib or 4, arguments.hops))


if __name__ == "__main__":
    main()
