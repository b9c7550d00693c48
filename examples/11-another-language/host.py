"""A worker host in Python, from proto/PROTOCOL.md alone: it offers functions to the supervisor, and runs each
attempt in a process of its own, so that one can be stopped. Leaves on SIGTERM with its work done.

    host.py [--name NAME] [--slots N] [--grace SECONDS]
"""

import argparse
import collections
import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import time

import msgpack
import zmq

import wire

HELLO, SYNC, STARTED, PROGRESS, REPORT, REJECT, HEARTBEAT, BYE, LOG_DATA = range(1, 10)
WELCOME, REFUSE, WHO, DISPATCH, ACK, CANCEL, RECALL, DRAIN, LOG_READ, ALIVE, RESIZE = range(32, 43)
QUEUED, RUNNING = 0, 1
SUCCEEDED, FAILED, TIMED_OUT, CANCELLED, CRASHED = range(5)

VALUE_BYTES = 1 << 20  # a result, or a milestone's payload
ERROR_BYTES = 4096
BODY_BYTES = 3 << 20  # a body is closed here: one more item of VALUE_BYTES fits its 4 MiB
RETRY_S = 2.0  # after `refuse`

processes = multiprocessing.get_context("fork")

# What this host can do. A function takes the payload of its worker, the params of its run, the results
# of the workers that it depends on, and a way to tell how far it is. -----------------------------------


def reverse(payload, params, inputs, tell):
    text = params or payload or next((value for value in inputs.values() if isinstance(value, str)), None)
    if not isinstance(text, str):
        raise TypeError("only a text can be turned round")
    return text[::-1]


def count(payload, params, inputs, tell):
    steps = (params or payload)["steps"]
    for step in range(steps):
        time.sleep(0.1)
        tell("progress", (step + 1) / steps)
    tell("milestone", "counted", {"steps": steps})
    return steps


FUNCTIONS = {"py.reverse": reverse, "py.count": count}


def run_function(name, arguments, pipe):
    """In the process of the attempt: it ends with the host, whatever becomes of that."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pipe.send(("result", FUNCTIONS[name](*arguments, lambda *told: pipe.send(told))))
    except Exception as error:
        pipe.send(("error", f"{type(error).__name__}: {error}"))


# The host -------------------------------------------------------------------------------------------


class Attempt:
    """A task that was given to this host, from its dispatch until its result is made."""

    def __init__(self, task, spec, values):
        task = task + [None] * (8 - len(task))
        spec = spec + [None] * (7 - len(spec))
        self.id = tuple(task[:4])  # run, task, epoch, attempt
        self.function = spec[2]
        inputs = {name: opened(values[index]) for name, index in task[7] or []}
        self.arguments = (opened(spec[3]), opened(task[6] or spec[4]), inputs)
        self.timeout_s = (spec[5] or 0) / 1000
        self.progress_timeout_s = (spec[6] or 0) / 1000
        self.process = self.pipe = None
        self.started_at = 0
        self.started_s = self.progress_s = 0.0

    def start(self):
        self.pipe, theirs = processes.Pipe(duplex=False)
        self.process = processes.Process(target=run_function, args=(self.function, self.arguments, theirs))
        self.process.start()
        theirs.close()
        self.started_at = wire.now_ms()
        self.started_s = self.progress_s = time.monotonic()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.join()
            self.pipe.close()

    def deadline_s(self):
        bounds = [self.started_s + self.timeout_s if self.timeout_s else None,
                  self.progress_s + self.progress_timeout_s if self.progress_timeout_s else None]
        return min((bound for bound in bounds if bound), default=None)

    def row(self):
        return [*self.id, RUNNING if self.process else QUEUED, self.started_at]


def opened(opaque):
    return wire.unpack(opaque) if opaque else None


class Host:
    def __init__(self, name, slots, grace_s):
        self.name, self.slots, self.grace_s = name, slots, grace_s
        self.leave_s = None  # when it goes, done or not
        self.instance = int.from_bytes(os.urandom(7), "big")
        self.context = zmq.Context()
        self.socket = None
        self.welcomed = self.draining = self.leaving = False
        self.epoch = 0
        self.heartbeat_s, self.silence_s = 1.0, 10.0
        self.beat_s = self.heard_s = 0.0
        self.hello_s = None  # say it then; None = it was said
        self.queue = collections.OrderedDict()
        self.running = {}
        self.outbox = collections.deque()  # report items that are not acknowledged
        self.first = 1  # number of the first of them
        self.sent = 0  # of the last that went out on this connection
        self.connect()

    # Out ----------------------------------------------------------------

    def send(self, kind, body, sequence=0):
        try:
            self.socket.send_multipart(wire.encode(kind, body, self.epoch, sequence), zmq.NOBLOCK)
        except zmq.Again:
            self.heard_s = 0.0  # a thousand messages wait for nobody: begin anew

    def connect(self):
        if self.socket:
            self.socket.close(linger=0)
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(wire.address(wire.HOSTS))
        self.hello()

    def hello(self):
        self.welcomed = False
        self.hello_s = None
        self.heard_s = time.monotonic()
        self.send(HELLO, {"name": self.name, "instance": self.instance, "slots": self.slots, "pid": os.getpid(),
                          "version": "py-1", "functions": list(FUNCTIONS), "tags": ["python"], "refused": []})

    def items(self, kind, rows):
        if rows:
            self.send(kind, {"items": rows})

    def beat(self):
        self.beat_s = time.monotonic()
        self.send(HEARTBEAT, {"running": len(self.running), "queued": len(self.queue),
                              "unacknowledged": len(self.outbox), "draining": self.draining})

    def send_reports(self):
        """What has not gone out on this connection, in bodies that stay below the bound."""
        while self.welcomed and self.sent < self.first + len(self.outbox) - 1:
            first, size, rows = self.sent + 1, 0, []
            for item in list(self.outbox)[first - self.first:]:
                size += len(msgpack.packb(item))
                rows.append(item)
                if size >= BODY_BYTES or len(rows) == 1000:
                    break
            self.sent += len(rows)
            self.send(REPORT, {"items": rows}, first)

    def report(self, attempt, outcome, result=None, error=""):
        ended_at = wire.now_ms()
        packed = msgpack.packb(result) if outcome == SUCCEEDED else None
        if packed and len(packed) > VALUE_BYTES:
            outcome, packed, error = FAILED, None, f"the result has {len(packed)} bytes"
        error = error.encode()[:ERROR_BYTES].decode(errors="ignore")
        took_us = int((time.monotonic() - attempt.started_s) * 1e6) if attempt.process else 0
        self.outbox.append([0, *attempt.id, outcome, attempt.started_at, ended_at, took_us, packed, error])
        self.queue.pop(attempt.id, None)
        self.running.pop(attempt.id, None)

    # In -----------------------------------------------------------------

    def receive(self):
        while self.socket.poll(0):
            frames = self.socket.recv_multipart()
            message = wire.decode(frames)
            if not message:
                continue
            kind, epoch, _, body = message
            self.heard_s = time.monotonic()
            handle = {WELCOME: self.on_welcome, REFUSE: self.on_refuse, WHO: self.on_who, ACK: self.on_ack,
                      CANCEL: self.on_cancel, RECALL: self.on_recall, DRAIN: self.on_drain,
                      LOG_READ: self.on_log_read, RESIZE: self.on_resize}.get(kind)
            if kind == DISPATCH:
                self.on_dispatch(epoch, body, wire.unpack(frames[2]) if len(frames) > 2 else [])
            elif handle in (self.on_cancel, self.on_recall) and epoch < self.epoch:
                continue  # of a supervisor that was succeeded
            elif handle == self.on_welcome:
                self.on_welcome(body, epoch)
            elif handle:
                handle(body)

    def on_welcome(self, body, epoch):
        if self.welcomed or epoch < self.epoch:
            return  # an answer to a hello that was said twice
        self.welcomed, self.epoch = True, epoch
        self.draining = self.leaving
        self.heartbeat_s, self.silence_s = body["heartbeatMs"] / 1000, body["silenceMs"] / 1000
        rows = [attempt.row() for attempt in (*self.running.values(), *self.queue.values())]
        self.send(SYNC, {"items": rows, "last": True})
        self.sent = self.first - 1
        self.send_reports()
        # How much of it is still to come: what it neither names nor reports is lost then.
        self.beat()
        print(f"host {self.name}: welcomed, epoch {epoch}, {len(rows)} in hand", flush=True)

    def on_refuse(self, body):
        print(f"host {self.name}: refused: {body['text']}", flush=True)
        self.welcomed = False
        self.hello_s = time.monotonic() + RETRY_S

    def on_who(self, _):
        self.hello()

    def on_ack(self, body):
        while self.outbox and self.first <= body["upto"]:
            self.outbox.popleft()
            self.first += 1
        self.sent = max(self.sent, self.first - 1)

    def on_dispatch(self, epoch, body, values):
        rejected = []
        for task in body["tasks"]:
            attempt = Attempt(task, body["specs"][task[4] if len(task) > 4 else 0], values)
            if attempt.id in self.queue or attempt.id in self.running or self.is_reported(attempt.id):
                continue  # a repeat
            if self.draining or epoch < self.epoch:
                rejected.append([*attempt.id, QUEUED, 0, 0, "draining" if self.draining else "of an older epoch"])
            else:
                self.queue[attempt.id] = attempt
        self.items(REJECT, rejected)

    def is_reported(self, wanted):
        return any(item[0] == 0 and tuple(item[1:5]) == wanted for item in self.outbox)

    def on_cancel(self, body):
        for row in body["items"]:
            attempt = self.running.get(tuple(row[:4])) or self.queue.get(tuple(row[:4]))
            if attempt:
                attempt.stop()
                reason = row[7] if len(row) > 7 and row[7] else ""
                self.report(attempt, CANCELLED, error="cancelled" + (": " + reason if reason else ""))

    def on_recall(self, body):
        self.give_back([tuple(row[:4]) for row in body["items"]], "recalled")

    def on_drain(self, _):
        self.draining = True
        self.beat()
        self.give_back(list(self.queue), "draining")

    def give_back(self, ids, reason):
        self.items(REJECT, [[*id, QUEUED, 0, 0, reason] for id in ids if self.queue.pop(id, None)])

    def on_log_read(self, body):
        answer = {key: body[key] for key in ("request", "run", "task", "attempt", "offset") if key in body}
        self.send(LOG_DATA, dict(answer, data=b"", size=0, complete=True, error="this host keeps no logs"))

    def on_resize(self, body):
        self.slots = body["slots"]

    # Work ---------------------------------------------------------------

    def start_some(self):
        started = []
        while self.welcomed and self.queue and len(self.running) < self.slots and not self.draining:
            _, attempt = self.queue.popitem(last=False)
            self.running[attempt.id] = attempt
            attempt.start()
            started.append(attempt.row())
        self.items(STARTED, started)

    def hear(self, attempt):
        """What an attempt's process tells; its end, where it told no result, is a crash."""
        try:
            what, *told = attempt.pipe.recv()
        except EOFError:
            attempt.process.join()
            code = attempt.process.exitcode
            self.report(attempt, CRASHED, error=f"the process of the function ended with status {code}")
            return
        if what == "progress":
            attempt.progress_s = time.monotonic()
            self.items(PROGRESS, [[*attempt.id, RUNNING, attempt.started_at, float(told[0])]])
        elif what == "milestone":
            self.outbox.append([1, *attempt.id, told[0], msgpack.packb(told[1]), wire.now_ms()])
        else:
            attempt.process.join()
            attempt.pipe.close()
            if what == "result":
                self.report(attempt, SUCCEEDED, result=told[0])
            else:
                self.report(attempt, FAILED, error=told[0])

    def heed_clock(self):
        now_s = time.monotonic()
        for attempt in list(self.running.values()):
            deadline_s = attempt.deadline_s()
            if deadline_s and now_s >= deadline_s:
                attempt.stop()
                self.report(attempt, TIMED_OUT, error="it took longer than it may")
        if self.hello_s is not None:
            if now_s >= self.hello_s:
                self.hello()
        elif now_s - self.heard_s >= self.silence_s:
            self.connect()
        elif self.welcomed and now_s - self.beat_s >= self.heartbeat_s:
            self.beat()

    def next_s(self):
        times = [attempt.deadline_s() for attempt in self.running.values()]
        times += [self.hello_s, self.leave_s, self.heard_s + self.silence_s]
        if self.welcomed:
            times.append(self.beat_s + self.heartbeat_s)
        return max(0.0, min(at for at in times if at is not None) - time.monotonic())

    def leave(self):
        """On SIGTERM: gives back what has not begun, and goes when the rest is done and known."""
        if not self.leaving:
            self.leaving = True
            self.leave_s = time.monotonic() + self.grace_s
            self.on_drain(None)

    def is_done(self):
        if not self.leaving:
            return False
        has_work = self.running or self.queue or self.outbox
        return not has_work or time.monotonic() >= self.leave_s

    def serve(self, wake):
        while not self.is_done():
            poller = zmq.Poller()
            poller.register(self.socket, zmq.POLLIN)
            poller.register(wake, zmq.POLLIN)
            pipes = {attempt.pipe.fileno(): attempt for attempt in self.running.values()}
            for fd in pipes:
                poller.register(fd, zmq.POLLIN)
            ready = dict(poller.poll(self.next_s() * 1000 + 1))
            if wake.fileno() in ready:
                wake.recv(64)
                self.leave()
            for fd, attempt in pipes.items():
                if fd in ready:
                    self.hear(attempt)
            self.receive()
            self.heed_clock()
            self.start_some()
            self.send_reports()
        for attempt in self.running.values():
            attempt.stop()
        # What it still has is lost with that, and runs elsewhere.
        self.send(BYE, {"reason": "SIGTERM"})
        self.socket.close(linger=1000)
        self.context.term()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="python")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--grace", type=float, default=10, metavar="SECONDS")
    options = parser.parse_args()
    # The signal becomes a byte in a socket that the loop polls.
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno())
    Host(options.name, options.slots, options.grace).serve(wake)
    print(f"host {options.name}: gone", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
