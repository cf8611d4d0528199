"""Connects to the address on its command line and sends PING, as in i2plib's README.

Prints its own address, and then the answer.
"""

import asyncio
import sys

import i2plib


async def connect(address):
    session_name = "ping"
    sam_address = i2plib.get_sam_address()
    destination = await i2plib.new_destination(sam_address=sam_address)
    _, session = await i2plib.create_session(
        session_name, sam_address=sam_address, destination=destination
    )
    print(destination.base32, flush=True)

    reader, writer = await i2plib.stream_connect(
        session_name, address, sam_address=sam_address
    )
    writer.write(b"PING")
    data = await reader.read(4096)
    print(data.decode(), flush=True)
    writer.close()
    session.close()


asyncio.run(connect(sys.argv[1]))
