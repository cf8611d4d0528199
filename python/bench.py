"""Measures the package on a simulated network in this process, next to the Rust library alone.

    python bench.py

Each figure is the median of five runs. The runs of the two sides of a comparison alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time

import eepkit
from eepkit import i2plib
from eepkit._calls import run

MEBIBYTE = 1024 * 1024
RUNS = 5


def show(name: str, values: list[float], unit: str) -> float:
    median = statistics.median(values)
    print(f"{name:<44} {median:8.1f} {unit}  ({min(values):.1f} to {max(values):.1f})", flush=True)
    return median


async def drain(reader, writer) -> None:
    while await reader.read(256 * 1024):
        pass
    writer.write(b"x")
    writer.close()


async def send(reader, writer, size: int) -> float:
    block = bytes(256 * 1024)
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


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", default="local")
    parser.add_argument("--mib", type=int, default=64)
    arguments = parser.parse_args()
    size = arguments.mib * MEBIBYTE

    imports = []
    for _ in range(RUNS):
        begin = "import time; began = time.perf_counter(); import eepkit; "
        timed = [sys.executable, "-c", begin + "print(time.perf_counter() - began)"]
        imports.append(float(subprocess.run(timed, capture_output=True, check=True).stdout) * 1000)
    show("import eepkit", imports, "ms")

    async with eepkit.Router.simulated(arguments.profile) as router:
        client = await router.session(preset="test")
        server = await router.session(preset="test")
        serving = server.start_server(drain, 7)
        rust, streams = [], []
        for _ in range(RUNS):
            seconds = await run(
                lambda done: client._native.transfer(server._native, size, done)
            )
            rust.append(arguments.mib / seconds)
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


if __name__ == "__main__":
    asyncio.run(main())
