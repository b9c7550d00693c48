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
        self.up("--keep-runs", "1")
        wait_until(lambda: len(self.list_runs()) == 1, "two runs are gone")
        self.synk("down")
        self.assertEqual((self.count("runs"), self.count("tasks"), self.count("removed_runs")),
                         (1, 1, 0))
        self.assertEqual(self.count("definitions"), 1)

    def list_runs(self):
        return [run["run"] for run in self.synk("ls", "runs", "--json").lines()]

    def count(self, table):
        # Closed, not only committed: an open connection would keep the supervisor out.
        with contextlib.closing(sqlite3.connect(os.path.join(self.dir, "state.db"))) as db:
            return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


if __name__ == "__main__":
    harness.main()
