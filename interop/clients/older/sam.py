"""A program of the time of SAM 1 and 2: a chat and a file transfer, with sockets only.

    sam.py HOST PORT VERSION serve NAME FILE
    sam.py HOST PORT VERSION fetch DESTINATION FILE

`serve` prints its destination. It answers each line of a peer in upper case, and the line GET with
the file, after which it closes the stream. `fetch` sends hello, requests the file, and writes it.
"""

import socket
import sys

BLOCK = 32768
# How much `fetch` accepts at a time in version 2.
WINDOW = 50000


class Sam:
    """The one connection to the bridge."""

    def __init__(self, host, port, version):
        self.socket = socket.create_connection((host, int(port)))
        self.version = version
        self.buffer = b""
        self.write("HELLO VERSION MIN=%s MAX=%s" % (version, version))
        words, values = self.line()
        assert words == "HELLO REPLY" and values["RESULT"] == "OK", (words, values)
        assert values["VERSION"] == version, values

    def write(self, line, data=b""):
        self.socket.sendall(line.encode("ascii") + b"\n" + data)

    def more(self):
        data = self.socket.recv(4096)
        if not data:
            raise EOFError("the bridge closed the connection")
        self.buffer += data

    def line(self):
        """Returns the two words of the next line, and its values."""
        while b"\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        words = line.decode("ascii").split(" ")
        values = dict(word.split("=", 1) for word in words[2:] if "=" in word)
        return " ".join(words[:2]), values

    def data(self, size):
        while len(self.buffer) < size:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def create(self, name):
        self.write("SESSION CREATE STYLE=STREAM DESTINATION=%s DIRECTION=BOTH" % name)
        words, values = self.line()
        assert words == "SESSION STATUS" and values["RESULT"] == "OK", (words, values)
        assert values["DESTINATION"] == name, values

    def me(self):
        self.write("NAMING LOOKUP NAME=ME")
        words, values = self.line()
        assert words == "NAMING REPLY" and values["RESULT"] == "OK", (words, values)
        return values["VALUE"]

    def accept_bytes(self, stream, limit):
        if self.version == "2.0":
            self.write("STREAM RECEIVE ID=%s LIMIT=%s" % (stream, limit))


class Sending:
    """What a stream still has to send, a block at a time."""

    def __init__(self, sam, stream, data, is_last):
        self.sam, self.stream, self.is_last = sam, stream, is_last
        self.blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]

    def send(self):
        """Sends the next block. Version 1 has no answers, so everything is sent."""
        while self.blocks:
            block = self.blocks[0]
            self.sam.write("STREAM SEND ID=%s SIZE=%d" % (self.stream, len(block)), block)
            if self.sam.version == "2.0":
                return
            self.blocks.pop(0)
        self.close()

    def answered(self, values):
        """Processes the answer to SEND in version 2."""
        if values["RESULT"] == "OK":
            self.blocks.pop(0)
        if not self.blocks:
            self.close()
        elif values["STATE"] == "READY":
            self.send()

    def close(self):
        if self.is_last:
            self.sam.write("STREAM CLOSE ID=%s" % self.stream)


def serve(sam, name, file):
    sam.create(name)
    print(sam.me(), flush=True)
    content = open(file, "rb").read()
    lines, sending = {}, {}
    while True:
        words, values = sam.line()
        stream = values.get("ID")
        if words == "STREAM CONNECTED":
            lines[stream] = b""
            sam.accept_bytes(stream, "NONE")
        elif words == "STREAM RECEIVED":
            lines[stream] += sam.data(int(values["SIZE"]))
            while b"\n" in lines[stream]:
                line, lines[stream] = lines[stream].split(b"\n", 1)
                is_last = line == b"GET"
                data = content if is_last else line.upper() + b"\n"
                sending[stream] = Sending(sam, stream, data, is_last)
                sending[stream].send()
        elif words == "STREAM SEND":
            sending[stream].answered(values)
        elif words == "STREAM READY_TO_SEND":
            sending[stream].send()
        elif words == "STREAM CLOSED":
            lines.pop(stream, None)
        else:
            raise AssertionError((words, values))


def fetch(sam, destination, file):
    sam.create("TRANSIENT")
    sam.write("STREAM CONNECT ID=7 DESTINATION=%s" % destination)
    words, values = sam.line()
    assert words == "STREAM STATUS" and values["RESULT"] == "OK", (words, values)
    received, limit = b"", WINDOW
    sam.accept_bytes("7", limit)
    line, asked = b"hello\n", False
    sam.write("STREAM SEND ID=7 SIZE=%d" % len(line), line)
    while True:
        words, values = sam.line()
        if words == "STREAM SEND":
            assert values["RESULT"] == "OK", values
        elif words == "STREAM RECEIVED":
            received += sam.data(int(values["SIZE"]))
            if not asked and b"\n" in received:
                print(received.decode("ascii").strip(), flush=True)
                asked = True
                sam.write("STREAM SEND ID=7 SIZE=4", b"GET\n")
            # The limit counts from the beginning of the stream.
            if len(received) >= limit:
                limit += WINDOW
                sam.accept_bytes("7", limit)
        elif words == "STREAM CLOSED":
            assert values["RESULT"] == "OK", values
            break
        else:
            raise AssertionError((words, values))
    with open(file, "wb") as out:
        out.write(received.split(b"\n", 1)[1])
    print("done", flush=True)


if __name__ == "__main__":
    host, port, version, role, peer, path = sys.argv[1:]
    {"serve": serve, "fetch": fetch}[role](Sam(host, port, version), peer, path)
