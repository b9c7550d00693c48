"""Starts a run and follows its events to the end, each once and in order, whatever becomes of the
supervisor meanwhile; from proto/PROTOCOL.md alone.

    follow.py UNIT             starts the unit, and follows the run from its start
    follow.py RUN --from N     follows a run's events from behind number N
"""

import argparse
import sys

import zmq

import wire

DEAF_MS = 3000  # `head` comes every second: who hears nothing for this long asks by itself
PAGE = 1000


class Follower:
    """Reads the event log by `fetch`. What is published only says that there is more to read."""

    def __init__(self, context, client, position):
        self.client = client
        self.position = position  # number of the last event that was told; None = from here on
        self.head = 0
        self.socket = context.socket(zmq.SUB)
        self.socket.linger = 0
        self.socket.subscribe(b"")
        self.socket.connect(wire.address(wire.EVENTS))

    def await_more(self, also):
        """Returns when there may be more to read, or when `also` (a sequence) was answered."""
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.client.socket, zmq.POLLIN)
        while also not in self.client.replies:
            ready = dict(poller.poll(DEAF_MS))
            self.client.receive()
            self.client.ask()
            head = self.told_head() if self.socket in ready else None
            if not ready or (head and head != self.head):
                return

    def told_head(self):
        """The highest number that the messages which have come tell of."""
        head = None
        while self.socket.poll(0):
            message = wire.decode(self.socket.recv_multipart()[1:])
            if message:
                head = max(head or 0, message[2])
        return head

    def read(self):
        """Yields what is in the log behind the position: events, and for a gap its first and last number."""
        while True:
            page = self.client.request(wire.FETCH, {"from": self.position, "limit": PAGE})
            if page["head"] < max(self.head, self.position or 0):
                self.position = self.head = 0  # another state: its numbers began anew
                continue
            self.head = page["head"]
            if self.position is not None and page["first"] > self.position + 1:
                yield None, self.position + 1, page["first"] - 1
                self.position = page["first"] - 1
            for event in page["events"]:
                self.position = event["seq"]
                yield event, None, None
            self.position = max(self.position or 0, page["next"])
            if self.position >= self.head:
                return


def describe(event):
    subject = event.get("run") or event.get("unit") or ""
    words = [event["type"], subject, event.get("worker") or ""]
    payload = event.get("payload")
    if event["type"] == "run":
        words.append(payload["status"])
    elif event["type"] == "milestone":
        words += [event["milestone"], str(payload)]
    elif event["type"] == "host":
        words.append(f"{payload['host']} {payload['state']}")
    return " ".join(word for word in words + [event.get("error") or ""] if word)


class Check:
    """What the log promises: numbers that rise by one, but for a gap that is told."""

    def __init__(self, position):
        self.last = position
        self.count = self.gaps = self.missing = 0

    def event(self, number):
        if self.last is not None and number != self.last + 1:
            self.missing += 1
        self.last = number
        self.count += 1

    def gap(self, last):
        self.gaps += 1
        self.last = last


def follow(client, follower, run, check):
    """Prints the events of the run, and gaps, until the run has ended; returns the reply to `wait`."""
    waiting = client.start(wire.WAIT, {"run": run})
    ended = None
    while True:
        for event, first, last in follower.read():
            if event is None:
                check.gap(last)
                print(f"events {first} to {last} are gone", flush=True)
                continue
            check.event(event["seq"])
            if event.get("run") == run or event["type"] == "host":
                print(f"event {event['seq']:3}  {describe(event)}", flush=True)
        if ended:
            return ended
        follower.await_more(also=waiting)
        # The events of a run's end are saved with it: read once more, and they are all told.
        ended = client.reply(waiting)


def print_results(client, run):
    shown = client.request(wire.SHOW, {"id": run})
    for task in shown["tasks"]:
        print(f"  {task['worker']:8} {task['state']:10} {task['error'] or task['result']}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", metavar="UNIT|RUN")
    parser.add_argument("--from", dest="position", type=int, metavar="N")
    options = parser.parse_args()
    context = zmq.Context()
    client = wire.Client(context)
    print(f"connected to synkd {client.about['version']}, epoch {client.epoch}")
    position = options.position
    if position is None:
        # Where the log ends now: what is started next is behind it.
        position = client.request(wire.FETCH, {"from": None, "limit": 1})["next"]
    follower = Follower(context, client, position)
    run = options.what
    if "#" not in run:
        run = client.request(wire.RUN, {"unit": run, "by": "follow.py"})["run"]
        print(f"started {run}", flush=True)
    check = Check(position)
    ended = follow(client, follower, run, check)
    print(f"{run} {ended['status']}: {check.count} events read, {check.gaps} gaps told, "
          f"{check.missing} missing; epoch {client.epoch}")
    print_results(client, run)
    return 0 if ended["status"] == "succeeded" and not check.missing else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except wire.Refused as refused:
        sys.exit(f"follow.py: {refused}")
    except KeyboardInterrupt:
        sys.exit(130)
