#!/usr/bin/env python3
"""Subscriptions of the client library tell every event that is kept, once and in order, or the gap: where they
start late, do not read for long, lose the supervisor, or lose events to retention. And who does not read costs
the supervisor nothing."""

import json
import os
import signal
import subprocess

import harness
from harness import BIN, SynkTest, wait_until

DRIVER = os.path.join(os.path.dirname(BIN), "tests", "subscription_driver")
# Beyond what the supervisor of as many events takes without a subscriber; sanitizers keep what is freed.
GROWTH_MIB = 24
# What a sanitizer keeps of freed memory, a quarter of a gibibyte, hides the rest.
IS_INSTRUMENTED = "debug" in harness.BIN or "tsan" in harness.BIN


class Subscriptions(SynkTest):
    def subscribe(self, place, *words):
        """A subscriber that has read what there is."""
        process = subprocess.Popen([DRIVER, str(place), *words], env=dict(os.environ, SYNK_DIR=self.dir), text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def head(self):
        return self.synk("stats", "--json").json()["lastEvent"]

    def read(self, process, until):
        """What it has seen once it has come to the event."""
        out, err = process.communicate(f"{until}\n", timeout=harness.PATIENCE_S)
        self.assertEqual((process.returncode, err), (0, ""))
        seen = json.loads(out)
        self.assertEqual((seen["missing"], seen["repeated"]), (0, 0), seen)
        self.assertGreaterEqual(seen["last"], until)
        return seen

    def assert_all(self, seen, behind=0):
        self.assertEqual((seen["gaps"], seen["first"]), (0, behind + 1), seen)
        self.assertEqual(seen["events"], seen["last"] - behind)

    def make_events(self, tasks):
        self.synk("pool", "submit", "sim.noop", "--count", tasks, "--wait")
        return self.head()

    def restart(self, *words):
        self.kill_supervisor()
        self.up(*words)

    def peak_mib(self):
        """The most memory that the supervisor ever had."""
        with open(f"/proc/{self.supervisor_pid()}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024

    def test_one_that_starts_late_gets_everything_from_where_it_asks(self):
        self.up()
        end = self.make_events(3000)
        self.assert_all(self.read(self.subscribe(0), end))
        self.assert_all(self.read(self.subscribe(1234), end), behind=1234)
        late = self.subscribe("end")
        more = self.make_events(2000)
        self.assert_all(self.read(late, more), behind=end)

    def test_one_that_reads_while_the_supervisor_is_killed_misses_nothing(self):
        self.up()
        reading, holding = self.subscribe(0), self.subscribe(0, "hold")
        for _ in range(3):
            before = self.head()
            process = self.spawn("synk", "pool", "submit", "sim.noop", "--count", "4000", "--wait")
            wait_until(lambda: self.head() > before + 500, "there are new events")
            self.restart()
            process.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual(process.returncode, 0)
        end = self.head()
        self.assertGreater(end, 24000)
        self.assert_all(self.read(reading, end))
        self.assert_all(self.read(holding, end))

    def test_what_retention_took_is_told_as_a_gap(self):
        self.up()
        self.make_events(500)
        behind = self.subscribe(7, "hold")
        place = self.head()
        self.make_events(3000)
        self.synk("prune", "--keep-events", "10")
        end = self.make_events(10)
        first = self.events()[0]["seq"]
        self.assertGreater(first, place + 1)
        seen = self.read(behind, end)
        self.assertEqual((seen["gaps"], seen["first"]), (1, 8))
        self.assertEqual(seen["gap"], [seen["gap"][0], first - 1])
        lost = seen["gap"][1] - seen["gap"][0] + 1
        self.assertEqual(seen["events"] + lost, seen["last"] - 7)
        seen = self.read(self.subscribe(7), end)
        self.assertEqual((seen["gaps"], seen["gap"], seen["first"]), (1, [8, first - 1], first))
        # Who asks for what there is has not lost what there was.
        seen = self.read(self.subscribe(0), end)
        self.assertEqual((seen["gaps"], seen["first"]), (0, first))

    def test_what_retention_took_while_the_supervisor_was_away_is_told_as_a_gap(self):
        self.up()
        reading = self.subscribe(0)
        end = self.make_events(2000)
        reading.send_signal(signal.SIGSTOP)
        self.make_events(2000)
        self.restart()
        self.synk("prune", "--keep-events", "10")
        self.assertGreater(self.events()[0]["seq"], end + 1)
        end = self.make_events(10)
        reading.send_signal(signal.SIGCONT)
        seen = self.read(reading, end)
        self.assertEqual(seen["gaps"], 1)
        lost = seen["gap"][1] - seen["gap"][0] + 1
        self.assertEqual(seen["events"] + lost, seen["last"])

    def test_half_a_million_events_for_one_that_does_not_read(self):
        self.up()
        self.make_events(250000)
        alone_mib = self.peak_mib()
        self.synk("down")
        for name in os.listdir(self.dir):
            if name.startswith("state.db"):
                os.unlink(os.path.join(self.dir, name))
        self.up()
        holding, stopped = self.subscribe(0, "hold"), self.subscribe(0)
        stopped.send_signal(signal.SIGSTOP)  # its sockets are not read any more, either
        end = self.make_events(250000)
        grown_mib = self.peak_mib() - alone_mib
        print(f"{end} events: {alone_mib:.0f} MiB alone, {grown_mib:+.0f} MiB with two that do not read")
        self.assertGreater(end, 500000)
        if not IS_INSTRUMENTED:
            self.assertLess(grown_mib, GROWTH_MIB)
        stopped.send_signal(signal.SIGCONT)
        for process in (holding, stopped):
            self.assert_all(self.read(process, end))


if __name__ == "__main__":
    harness.main()
