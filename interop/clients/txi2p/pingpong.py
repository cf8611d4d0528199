"""A server and a client that use txi2p's endpoints over BOB.

    pingpong.py PORT server KEYFILE OUTPORT
    pingpong.py PORT client DESTINATION INPORT

The server prints its destination, and answers each line with PONG and the line. The client prints the
answer to PING, and ends.
"""

import sys

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from ometa.protocol import ParserProtocol
from txi2p import address
from txi2p.bob import protocol
from txi2p.bob.endpoints import BOBI2PClientEndpoint, BOBI2PServerEndpoint



def with_text(of):
    """Gives a protocol text, as in Python 2, for which this part of txi2p is written."""
    received = of.dataReceived
    of.dataReceived = lambda self, data: received(self, data.decode("ascii"))


for of in (ParserProtocol, protocol.I2PClientTunnelProtocol, address.I2PServerTunnelProtocol):
    with_text(of)

# txi2p prints its progress on the output of this program.
protocol.print = lambda *words: print(*words, file=sys.stderr)

# Without any option, txi2p sends a command that Java I2P and i2pd refuse, too.
OPTIONS = {"inbound.length": "1", "outbound.length": "1"}


class Pong(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line):
        # txi2p has the peer once its first data has arrived.
        print("from " + self.transport.getPeer().destination, flush=True)
        self.sendLine(b"PONG " + line)


class Ping(LineReceiver):
    delimiter = b"\n"

    def connectionMade(self):
        print("me " + self.transport.getHost().destination, flush=True)
        self.sendLine(b"PING")

    def lineReceived(self, line):
        print(line.decode("ascii"), flush=True)
        self.transport.loseConnection()

    def connectionLost(self, reason):
        reactor.stop()


def failed(reason):
    print("failed", reason.getErrorMessage(), flush=True)
    reactor.stop()


port, role, what, local = sys.argv[1:]
bob = TCP4ClientEndpoint(reactor, "127.0.0.1", int(port))
if role == "server":
    endpoint = BOBI2PServerEndpoint(
        reactor, bob, what, tunnelNick="pong", outport=int(local), options=OPTIONS
    )
    done = endpoint.listen(Factory.forProtocol(Pong))
    done.addCallback(lambda listening: print(listening.getHost().destination, flush=True))
else:
    endpoint = BOBI2PClientEndpoint(
        reactor, bob, what, tunnelNick="ping", inport=int(local), options=OPTIONS
    )
    done = endpoint.connect(Factory.forProtocol(Ping))
done.addErrback(failed)
reactor.run()
