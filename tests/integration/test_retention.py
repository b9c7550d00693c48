#!/usr/bin/env python3
"""What is too old goes: finished runs and events, also those of before a restart."""

import contextlib
import os
import sqlite3

import harness
from harness import SynkTest, wait_until


class Retention(SynkTest):
    def start_runs(self, count):
        for _ in range(count):
            self.synk("run", "quick", "--wait")

    def set_up(self, *words):
        self.write("quick.yaml", "workers:\n  - {id: quick, run: sim.noop}\n")
        self.up(*words, self.path("quick.yaml"))

    def test_finished_runs_of_before_a_restart_go_and_are_not_found(self):
        self.set_up()
        self.start_runs(6)
        self.assertEqual(len(self.list_runs()), 6)
        self.kill_supervisor()
        self.up("--keep-runs", "2")
        wait_until(lambda: len(self.list_runs()) == 2, "four runs are gone")
        self.assertEqual(self.list_runs(), ["quick#6", "quick#5"])
        for verb in ("show", "wait", "retry"):
            gone = self.synk(verb, "quick#1", status=None)
            self.assertNotEqual(gone.status, 0, verb)
            self.assertIn("no", gone.err, verb)
        self.assertEqual(self.synk("wait", "quick#6", "--json").json()["status"], "succeeded")
        # Numbers are not given twice, and what goes on is what was there.
        self.start_runs(1)
        self.assertEqual(self.list_runs()[0], "quick#7")

    def test_events_go_and_a_reader_is_told_of_the_gap(self):
        self.set_up()
        self.start_runs(8)
        before = self.events()
        self.kill_supervisor()
        self.up("--keep-events", "5")
        wait_until(lambda: self.events()[0]["seq"] > before[-1]["seq"] - 10, "old events are gone")
        first = self.events()[0]["seq"]
        told = self.synk("events", "--since", "1", "--json")
        self.assertIn(f"events 2 to {first - 1} are no longer kept", told.err)
        self.assertEqual(told.lines()[0]["seq"], first)

    def test_tasks_and_definitions_go_with_their_runs(self):
        self.set_up()
        self.start_runs(2)
        self.write("quick.yaml", "workers:\n  - {id: quick, run: sim.noop, maxRetries: 3}\n")
        self.synk("apply", self.path("quick.yaml"))
        self.start_runs(1)
        self.synk("down")
        self.assertEqual(self.count("definitions"), 2)
        self.up()
        self.synk("prune", "--keep-runs", "1")
        self.synk("down")
        self.assertEqual((self.count("runs"), self.count("tasks"), self.count("removed_runs")),
                         (1, 1, 0))
        self.assertEqual(self.count("definitions"), 1)

    def test_prune_removes_now_and_says_what(self):
        self.set_up()
        self.start_runs(6)
        self.assertEqual(self.synk("prune").out, "0 runs and 0 events are gone\n")
        events = len(self.events())
        told = self.synk("prune", "--keep-runs", "2", "--keep-events", "1h,10", "--json").json()
        self.assertEqual(self.list_runs(), ["quick#6", "quick#5"])
        self.assertEqual(told["runs"], 4)
        self.assertGreater(told["events"], 0)
        self.assertGreaterEqual(len(self.events()), events - told["events"])
        self.assertGreaterEqual(len(self.events()), 10)
        wrong = self.synk("prune", "--keep-runs", "some", status=2)
        self.assertIn("--keep-runs: 'some' is neither an age", wrong.err)
        self.synk("down")
        self.assertEqual((self.count("runs"), self.count("tasks"), self.count("removed_runs")),
                         (2, 2, 0))

    def test_prune_lets_everything_else_go_on(self):
        self.set_up()
        self.synk("pool", "submit", "sim.noop", "--count", "60000", "--wait")
        self.start_runs(1)
        pruning = self.spawn("synk", "prune", "--keep-runs", "1", "--keep-events", "1")
        self.start_runs(3)
        out, err = pruning.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual(pruning.returncode, 0, err)
        self.assertIn("runs and", out)
        self.synk("prune", "--keep-runs", "1")
        self.synk("down")
        self.assertEqual((self.count("runs"), self.count("tasks"), self.count("removed_runs")),
                         (1, 1, 0))

    def list_runs(self):
        return [run["run"] for run in self.synk("ls", "runs", "--json").lines()]

    def count(self, table):
        # Closed, not only committed: an open connection would keep the supervisor out.
        with contextlib.closing(sqlite3.connect(os.path.join(self.dir, "state.db"))) as db:
            return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


if __name__ == "__main__":
    harness.main()
