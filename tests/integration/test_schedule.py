#!/usr/bin/env python3
"""Schedules through the command line: cron and time zones, missed due times, ticks by hand, delayed
runs, milestones, the watcher. Due times are moved in the store while no supervisor runs."""

import os
import sqlite3
import time

import harness
from harness import SynkTest, wait_until

CRON = """
workers:
  - id: nightly
    command: 'true'
    cron: '30 3 * * *'
    timeZone: Europe/Berlin
  - {id: hourly, command: 'true', cron: '@hourly', catchUp: all, overlap: allow}
"""


class ScheduleTest(SynkTest):
    def show(self, unit):
        return self.synk("show", unit, "--json").json()

    def runs(self, unit):
        return self.show(unit)["runCount"]

    def down(self):
        pid = self.supervisor_pid()
        self.synk("down")
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the supervisor is gone")

    def set_due(self, unit, at_ms):
        with sqlite3.connect(os.path.join(self.dir, "state.db")) as store:
            store.execute("UPDATE units SET due_at=? WHERE id=?", (at_ms, unit))
        store.close()

    def test_cron_is_due_by_the_wall_clock_of_its_zone(self):
        self.up(self.write("cron.yaml", CRON))
        due = time.gmtime(self.show("nightly")["dueAt"] / 1000)
        self.assertEqual(due.tm_min, 30)
        self.assertIn(due.tm_hour, (1, 2))  # summer, winter
        self.assertIn("dueAt", self.synk("show", "nightly").out)
        self.assertEqual(self.show("nightly")["definition"]["timeZone"], "Europe/Berlin")
        hour = 3600 * 1000
        due = self.show("hourly")["dueAt"]
        self.assertEqual(due % hour, 0)
        self.assertEqual(self.runs("hourly"), 0)
        self.down()
        self.set_due("hourly", due - 3 * hour)
        self.set_due("nightly", due - 30 * hour)
        self.up()
        # Due three, two and one hour before the next due time: all of them.
        wait_until(lambda: self.runs("hourly") == 3, "what was missed has run")
        wait_until(lambda: self.runs("nightly") == 1, "what was missed often has run once")
        self.assertGreaterEqual(self.show("hourly")["dueAt"], due)

    def test_schedules_that_cannot_be_are_refused_with_the_line(self):
        for field, says in (
                ("cron: '61 * * * *'", "61 is out of range"),
                ("cron: '@daily', timeZone: Europe/Berlni", "did you mean 'Europe/Berlin'"),
                ("cron: '@daily', intervalMs: 5m", "both 'cron' and 'intervalMs'"),
                ("intervalMs: 5m, timeZone: Europe/Berlin", "'timeZone' needs 'cron'")):
            with self.subTest(field):
                path = self.write("new.yaml", f"workers:\n  - {{id: a, command: x, {field}}}\n")
                refused = self.synk("apply", "--check", path, status=2)
                self.assertIn("new.yaml:2: worker 'a': ", refused.err)
                self.assertIn(says, refused.err)


if __name__ == "__main__":
    harness.main()
