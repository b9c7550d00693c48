#!/usr/bin/env python3
"""The client library against a real supervisor: every call, and what a supervisor that is killed in
between does to requests and subscriptions."""

import json
import os
import subprocess
import unittest

import harness
from harness import BIN, SynkTest

DRIVER = os.path.join(os.path.dirname(BIN), "tests", "client_driver")

TICK = "workers: [{id: tick, run: sim.noop, overlap: allow}]\n"
TWO = """
processes:
  - id: two
    runMode: sequential
    workers:
      - {id: first, command: echo hello}
      - {id: second, command: "false"}
workers:
  - {id: other, run: sim.noop}
  - {id: third, run: sim.noop}
"""


class Client(SynkTest):
    def drive(self, *words):
        return subprocess.Popen([DRIVER, *words], env=dict(os.environ, SYNK_DIR=self.dir), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def result(self, process):
        out, err = process.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual(process.returncode, 0, out[-500:] + err + self.log())
        self.assertEqual(err, "")
        return json.loads(out.splitlines()[-1])

    def test_every_call(self):
        self.up()
        seen = self.result(self.drive("tour", self.write("two.yaml", TWO), self.path("copy.db")))
        expected = {"run": "two#1", "again": "two#1", "status": "failed", "by": "tour",
                    "runCount": 1, "size": 6, "mode": "sequential", "units": 3, "runs": 2,
                    "failed": 1, "hosts": 1, "tasks": 2, "pool": 0, "paused": True, "next": 1,
                    "retried": 1}
        self.assertEqual({key: seen[key] for key in expected}, expected)
        self.assertIn(seen["cancel"], ("ok", "refused"))  # it has ended, and stays as it is
        self.assertEqual(seen["bytes"], os.path.getsize(self.path("copy.db")))

    def test_what_is_asked_for_after_a_subscription_is_told_by_it(self):
        self.up(self.write("tick.yaml", TICK))
        self.assertEqual(self.result(self.drive("race", "50")), {"seen": 50})

    def test_a_supervisor_killed_in_between_answers_once_and_tells_once(self):
        runs, threads, calls = 120, 3, 10
        self.up(self.write("tick.yaml", TICK))
        process = self.drive("storm", str(runs), str(threads))
        self.addCleanup(process.kill)
        for kill_at in (10, 40, 80):
            for line in process.stdout:
                if int(line) >= kill_at:
                    break
            self.kill_supervisor()
            self.up()
        seen = self.result(process)
        total = runs + threads * calls
        self.assertEqual(seen, {
            "replies": runs, "failures": 0, "told": runs, "toldTwice": 0,
            "blocking": threads * calls, "started": total, "startedTwice": 0, "completed": total,
            "completedTwice": 0, "gaps": 0, "disorder": 0})
        self.assertEqual(self.synk("show", "tick", "--json").json()["runCount"], total)


if __name__ == "__main__":
    harness.main()
