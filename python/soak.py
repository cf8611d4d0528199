"""Opens and closes many streams, and compares memory, threads and descriptors before and after.

    python soak.py                  10,000 streams, of which 1,000 are open at once
    python soak.py --streams 1000 --concurrent 200
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time

# Beside this file is the source of the package, whose compiled part is only in the installed one.
if sys.path[0] == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]

import eepkit

PORT = 7
TOLERATED_GROWTH = 0.15


def resident() -> float:
    """The memory of this process in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1024 / 1024


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def answer(reader, writer) -> None:
    writer.write(await reader.read())
    writer.close()


async def one(client, server, number: int) -> None:
    reader, writer = await client.connect(server.destination, PORT, timeout=300)
    writer.write(b"%d" % number)
    writer.write_eof()
    if await reader.read() != b"%d" % number:
        raise RuntimeError(f"stream {number} got another answer")
    writer.close()


async def open_at_once(client, server, count: int) -> None:
    """Opens this many streams, then uses all of them, then closes them."""
    limit = asyncio.Semaphore(100)

    async def connect():
        async with limit:
            return await client.connect(server.destination, PORT, timeout=300)

    streams = await asyncio.gather(*[connect() for _ in range(count)])
    for number, (_, writer) in enumerate(streams):
        writer.write(b"%d" % number)
        writer.write_eof()
    for number, (reader, writer) in enumerate(streams):
        if await reader.read() != b"%d" % number:
            raise RuntimeError(f"stream {number} got another answer")
        writer.close()


async def settle(serving, wanted: int) -> None:
    for _ in range(300):
        if serving.handlers == 0 and descriptors() <= wanted:
            return
        await asyncio.sleep(0.1)


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--concurrent", type=int, default=1_000)
    arguments = parser.parse_args()
    # Each stream has four descriptors, because both of its ends are in this process.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * arguments.concurrent + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))

    async with eepkit.Router.simulated() as router:
        client = await router.session(preset="test")
        server = await router.session(preset="test", backlog=1024)
        idle = descriptors()
        # The limit of streams with one peer is about the live network, not about this machine.
        serving = server.start_server(answer, PORT)
        before = None
        done = 0
        began = time.monotonic()
        await open_at_once(client, server, arguments.concurrent)
        done += arguments.concurrent
        await settle(serving, idle)
        print(f"{arguments.concurrent} at once in {time.monotonic() - began:.1f} s", flush=True)
        began, counted = time.monotonic(), 0
        while done < arguments.streams:
            batch = min(50, arguments.streams - done)
            await asyncio.gather(*[one(client, server, number) for number in range(batch)])
            done += batch
            counted += batch
            if before is None and done >= arguments.streams // 2:
                await settle(serving, idle)
                before = (resident(), threads(), descriptors())
        rate = counted / (time.monotonic() - began)
        await settle(serving, idle)
        after = (resident(), threads(), descriptors())
        before = before or after
        for name, old, new in zip(("MiB", "threads", "descriptors"), before, after):
            print(f"{name}: {old:.0f} after half of the streams, {new:.0f} after all")
        print(f"{done} streams, {rate:.0f} a second")
        serving.close()
        grown = after[0] > before[0] * (1 + TOLERATED_GROWTH) + 10
        if grown or after[1] > before[1] or after[2] > before[2] + 4:
            print("it grows")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
