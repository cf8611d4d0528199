"""Reticulum's I2PInterface, with our module in the place of its copy of i2plib."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time

import pytest

from eepkit import sync

pytest.importorskip("RNS")
pytestmark = pytest.mark.skipif(
    not os.environ.get("EEPKIT_PYTHON_SLOW"),
    reason="takes two minutes, because Reticulum waits before it connects again: EEPKIT_PYTHON_SLOW=1",
)

NODE = """
import sys, time
import RNS.vendor
import eepkit.i2plib
sys.modules["RNS.vendor.i2plib"] = RNS.vendor.i2plib = eepkit.i2plib
for name in ("utils", "exceptions", "sam", "aiosam", "tunnel", "log"):
    sys.modules["RNS.vendor.i2plib." + name] = getattr(eepkit.i2plib, name)
import RNS

reticulum = RNS.Reticulum(sys.argv[1], loglevel=RNS.LOG_WARNING)
identity = RNS.Identity()
own = RNS.Destination(identity, RNS.Destination.IN, RNS.Destination.SINGLE, "eepkit", "test")
own.set_packet_callback(lambda data, packet: print("got", data.decode(), flush=True))

class Announced:
    aspect_filter = "eepkit.test"
    def received_announce(self, destination_hash, announced_identity, app_data):
        if destination_hash != own.hash:
            to = RNS.Destination(
                announced_identity, RNS.Destination.OUT, RNS.Destination.SINGLE, "eepkit", "test"
            )
            RNS.Packet(to, b"%d" % time.monotonic()).send()

RNS.Transport.register_announce_handler(Announced())
shown = None
while True:
    own.announce()
    time.sleep(2)
    for interface in RNS.Transport.interfaces:
        b32 = getattr(interface, "b32", None)
        if b32 and b32 != shown:
            shown = b32
            print("b32", b32, flush=True)
"""

CONFIG = """
[reticulum]
  enable_transport = No
  share_instance = No
  panic_on_interface_error = No
[interfaces]
  [[I2P]]
    type = I2PInterface
    interface_enabled = True
"""


class Node:
    def __init__(self, folder, config, address):
        folder.mkdir()
        (folder / "config").write_text(CONFIG + config)
        environment = {**os.environ, "I2P_SAM_ADDRESS": "%s:%d" % address}
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODE, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.split())

    def wait(self, word, seconds, after=0.0):
        """The value of the next line with this word, and a number above ``after``."""
        deadline = time.monotonic() + seconds
        while True:
            line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if line[0] == word and (not after or float(line[1]) > after):
                return line[1]


def test_reticulum_sends_packets_both_ways_and_after_a_restart_of_the_router(tmp_path):
    nodes = []
    with sync.Router.simulated() as router:
        bridge = router.sam_bridge()
        address = bridge.address
        try:
            server = Node(tmp_path / "server", "    connectable = yes\n", address)
            nodes.append(server)
            b32 = server.wait("b32", 60)
            client = Node(tmp_path / "client", f"    peers = {b32}.b32.i2p\n", address)
            nodes.append(client)
            server.wait("got", 120)
            client.wait("got", 120)

            bridge.stop()
            time.sleep(3)
            bridge = router.sam_bridge("%s:%d" % address)
            again = time.monotonic()
            server.wait("got", 180, after=again)
            client.wait("got", 180, after=again)
        finally:
            for node in nodes:
                node.process.kill()
            bridge.stop()
