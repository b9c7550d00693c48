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

    def test_milestones_from_the_command_line_start_units(self):
        self.up(self.write("m.yaml", """
workers:
  - {id: w, command: [cp, "${{ params.from }}", copy], runOnMilestone: file-came}
  - {id: next, command: 'true', runOnMilestone: 'unit:w:completed'}
processes:
  - {id: p, workers: [{id: a, command: 'true'}]}
"""))
        self.write("came", "it came")
        said = self.synk("milestone", "file-came", "--payload",
                         '{"from": "%s"}' % self.path("came"), "--unit", "p/a")
        self.assertRegex(said.out, r"^event \d+$")
        wait_until(lambda: self.runs("next") == 1, "the unit after it has run")
        self.assertEqual(self.read("copy"), "it came")
        told = {event["milestone"]: event for event in self.events("--type", "milestone")}
        self.assertEqual(told["file-came"]["worker"], "a")
        for name in ("storage:loaded", "unit:w:running", "unit:w:completed"):
            self.assertIn(name, told)
        self.synk("run", "p", "--wait")
        number = self.synk("milestone", "done", "--run", "p#last", "--worker", "a", "--json").json()
        last = self.events("--type", "milestone")[-1]
        self.assertEqual((last["seq"], last["run"], last["worker"]), (number["seq"], "p#1", "a"))
        for words, status in ((("x" * 257,), 2), (("x", "--unit", "nobody"), 4),
                              (("x", "--run", "p#7"), 4), (("x", "--payload", "{"), 2),
                              (("x", "--worker", "a"), 2)):
            self.synk("milestone", *words, status=status)

    def test_by_hand_a_tick_starts_what_is_due(self):
        self.up("--no-schedule", self.write("t.yaml", """
workers:
  - {id: often, command: 'true', intervalMs: 10ms}
  - {id: hourly, command: 'true', cron: '@hourly'}
  - {id: start, command: 'true', runOnStart: true}
  - {id: rest, command: 'true'}
"""))
        self.assertEqual(self.synk("tick", "rest").out, "")
        self.down()
        self.set_due("hourly", 1)
        self.up("--no-schedule")
        self.assertEqual(self.synk("tick", "hourly").out, "hourly#1\n")
        self.assertEqual(self.synk("tick", "hourly").out, "")
        self.assertEqual(self.synk("tick", "--json").json()["runs"], ["often#1", "start#1"])
        self.synk("tick", "nobody", status=4)
        wait_until(lambda: self.runs("start") == 1, "it has run")
        self.assertEqual(self.show("often")["lastRun"], "often#1")

    def test_a_scan_tells_what_nothing_uses_and_does_as_told(self):
        self.up("--idle-threshold", "10ms", "--watch-interval", "0", "--stats-interval", "100ms",
                self.write("s.yaml", "workers: [{id: w, command: 'true'}, {id: v, command: x}]"))
        self.assertEqual(self.synk("scan").out, "")
        self.synk("run", "w", "--wait")
        wait_until(lambda: self.synk("scan").out == "stale     w\n", "it is stale")
        stale = self.events("--type", "stale")
        self.assertEqual([(event["unit"], event["payload"]["what"]) for event in stale],
                         [("w", "idle")])
        stats = wait_until(lambda: [event["payload"] for event in self.events("--type", "milestone")
                                    if event["milestone"] == "engine:stats"], "figures came")[-1]
        for figure in ("liveRuns", "readyTasks", "slots", "hosts"):
            self.assertIn(figure, stats)
        for figure in ("rssKib", "cpuUs", "loopLagMs", "commitUs"):
            self.assertIn(figure, stats["process"])
        self.down()
        self.up("--idle-threshold", "10ms", "--watch-interval", "10ms", "--auto-release",
                "--auto-unpause")
        self.synk("pause", "v")
        wait_until(lambda: not self.show("v")["paused"], "it was resumed")
        wait_until(lambda: self.synk("show", "w", status=None).status == 4, "it was released")
        told = [event["milestone"] for event in self.events("--type", "milestone")]
        for name in ("worker:v:unpaused", "worker:w:released", "unit:w:released"):
            self.assertIn(name, told)
        self.synk("show", "v")
        self.synk("up", "--detach", "--dir", self.path("other"), "--idle-threshold", "soon", status=2)

    def test_a_delayed_run_waits_its_time_over_a_restart(self):
        self.up(self.write("d.yaml", "workers: [{id: w, command: 'true'}]"))
        self.assertEqual(self.synk("run", "w", "--delay", "1h").out, "w#1\n")
        self.assertEqual(self.synk("pool", "submit", "sim.noop", "--delay", "1h").out,
                         "pool#1: 1 task\n")
        self.synk("run", "w", "--wait")  # not behind it
        self.kill_supervisor()
        self.up()
        for run in ("w#1", "pool#1"):
            self.assertIn("starts at ", self.synk("explain", run).out)
        self.synk("cancel", "w#1")
        self.synk("wait", "w#1", status=1)
        self.assertEqual(self.show("w#1")["status"], "cancelled")
        started = time.monotonic()
        self.synk("run", "w", "--delay", "300ms", "--wait")
        self.assertGreater(time.monotonic() - started, 0.3)
        self.synk("run", "w", "--delay", "soon", status=2)
        self.synk("run", "--local", self.path("d.yaml"), "--delay", "1s", status=2)


if __name__ == "__main__":
    harness.main()
