"""Accepts one stream and answers PING with PONG, as in i2plib's README.

Prints its own address, and then the sender and the received data.
"""

import asyncio

import i2plib


async def accept():
    session_name = "pong"
    sam_address = i2plib.get_sam_address()
    destination = await i2plib.new_destination(sam_address=sam_address)
    _, session = await i2plib.create_session(
        session_name, sam_address=sam_address, destination=destination
    )
    print(destination.base32 + ".b32.i2p", flush=True)

    reader, writer = await i2plib.stream_accept(session_name, sam_address=sam_address)
    # The first line contains the peer's destination.
    line = await reader.readline()
    peer = i2plib.Destination(line.decode().strip())
    data = await reader.read(4096)
    print(peer.base32, data.decode(), flush=True)
    writer.write(b"PONG")
    await writer.drain()
    # The peer closes first.
    await reader.read()
    writer.close()
    session.close()


asyncio.run(accept())
