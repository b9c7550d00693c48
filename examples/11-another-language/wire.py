"""The wire of Synchronik in Python, from proto/PROTOCOL.md alone: frames, addresses, and a client whose
requests outlive the supervisor they were sent to. Needs pyzmq and msgpack."""

import os
import struct
import time
import uuid

import msgpack
import zmq

HEADER = struct.Struct(">BBHIQ")  # magic, version, type, epoch, sequence
MAGIC, VERSION = ord("S"), 1
CLIENTS, HOSTS, EVENTS = 0, 1, 2

CONNECT, RUN, WAIT, SHOW, FETCH = 64, 67, 69, 74, 76
REPLY, ERROR, REFUSE = 128, 129, 33

ASK_AGAIN_S = 1.0


def now_ms():
    return int(time.time() * 1000)


def address(socket):
    """Where one of the supervisor's three sockets is: by $SYNK_CONNECT, else in $SYNK_DIR."""
    connect = os.environ.get("SYNK_CONNECT")
    if connect:
        base, port = connect.split(",")[0].rsplit(":", 1)
        return f"{base}:{int(port) + socket}"
    return f"ipc://{os.environ['SYNK_DIR']}/{('client', 'host', 'events')[socket]}.sock"


def encode(kind, body, epoch=0, sequence=0):
    return [HEADER.pack(MAGIC, VERSION, kind, epoch, sequence), msgpack.packb(body)]


def decode(frames):
    """(type, epoch, sequence, body), or None for what is no message of this version."""
    if len(frames) < 2 or len(frames[0]) != HEADER.size:
        return None
    magic, version, kind, epoch, sequence = HEADER.unpack(frames[0])
    if (magic, version) != (MAGIC, VERSION):
        return None
    try:
        return kind, epoch, sequence, unpack(frames[1])
    except (ValueError, msgpack.UnpackException):
        return None


def unpack(data):
    return msgpack.unpackb(data, strict_map_key=False)


class Refused(Exception):
    """The supervisor's answer was `error`."""

    def __init__(self, body):
        super().__init__(f"{body['status']}: {body['text']}")
        self.status = body["status"]


class Client:
    """Requests that are sent again, with the same key, to every supervisor that comes in the place of the
    one that was asked: by the epoch, which rises with each. A reply comes once."""

    def __init__(self, context):
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(address(CLIENTS))
        self.sequence = self.epoch = 0
        self.pending = {}  # sequence -> [type, body, epoch it was last sent under]
        self.replies = {}
        self.asked_s = 0.0
        self.about = self.request(CONNECT, {})

    def start(self, kind, body):
        """Sends a request; its sequence is the name of its reply."""
        self.sequence += 1
        self.pending[self.sequence] = [kind, dict(body, key=uuid.uuid4().hex), 0]
        self.send(self.sequence)
        return self.sequence

    def send(self, sequence):
        request = self.pending[sequence]
        request[2] = self.epoch
        self.socket.send_multipart(encode(request[0], request[1], self.epoch, sequence))

    def request(self, kind, body):
        sequence = self.start(kind, body)
        while sequence not in self.replies:
            if self.socket.poll(int(ASK_AGAIN_S * 1000)):
                self.receive()
            self.ask()
        return self.reply(sequence)

    def reply(self, sequence):
        """The reply of a request, None while there is none; raises Refused."""
        if sequence not in self.replies:
            return None
        kind, body = self.replies.pop(sequence)
        if kind == ERROR:
            raise Refused(body)
        return body

    def receive(self):
        """Takes what has arrived; never waits."""
        while self.socket.poll(0):
            message = decode(self.socket.recv_multipart())
            if not message:
                continue
            kind, epoch, sequence, body = message
            if epoch > self.epoch:
                self.epoch = epoch
            if kind in (REPLY, ERROR) and self.pending.pop(sequence, None):
                self.replies[sequence] = (kind, body)
        self.send_again()

    def send_again(self):
        for sequence, request in self.pending.items():
            if request[2] and request[2] < self.epoch:
                self.send(sequence)

    def ask(self):
        """While a reply is awaited, asks every second which supervisor is there: one that died with our
        request unanswered cannot say so. Its successor answers, with a higher epoch."""
        if not self.pending or time.monotonic() - self.asked_s < ASK_AGAIN_S:
            return
        self.asked_s = time.monotonic()
        try:
            # Sequence 0 is none of ours, so that the answer is only looked at for its epoch.
            self.socket.send_multipart(encode(CONNECT, {}), zmq.NOBLOCK)
        except zmq.Again:
            pass  # nobody has been there for a thousand seconds
