#!/usr/bin/env python3
"""synk show RUN as a timeline: where bars stand, what stands beside them, and that JSON is as it was."""

import json
import re

import harness
from harness import SynkTest, wait_until


class Timeline(SynkTest):
    def apply(self, workers, **process):
        self.up(self.write("units.json", json.dumps(
            {"processes": [{"id": "p", "workers": workers, **process}]})))

    def row(self, text, name):
        return next(line for line in text.splitlines() if f" {name} " in line)

    def test_bars_stand_where_tasks_ran(self):
        self.apply([
            {"id": "first", "run": "sim.sleep", "payload": {"ms": 300}},
            {"id": "second", "run": "sim.sleep", "payload": {"ms": 300}, "dependsOn": ["first"]},
            {"id": "flaky", "run": "sim.fail", "payload": {"attempts": 1}, "maxRetries": 1,
             "dependsOn": ["second"]},
            {"id": "never", "run": "sim.noop", "dependsOn": [{"id": "first", "on": "error"}]},
            {"id": "speaks", "command": "echo hello", "dependsOn": ["second"]}])
        self.synk("run", "p", "--wait")
        text = self.synk("show", "p#1").out
        first, second = self.row(text, "first"), self.row(text, "second")
        self.assertRegex(first, r"✓ first +succeeded +\+\d+ ms +\d+ ms  ━+")
        self.assertLessEqual(first.index("━"), second.index("━"))
        self.assertLess(first.rindex("━"), second.rindex("━"))
        self.assertGreater(second.count("━"), 5)
        self.assertRegex(self.row(text, "flaky"), r"↻2 +\+\d+ ms")
        # What never began has its reason there; what it wrote stands below a task.
        never = self.row(text, "never")
        self.assertNotIn("━", never)
        self.assertRegex(never, r"– never +skipped +\S")
        self.assertRegex(text, r"✓ speaks .*━+\n    hello")
        axis = text.splitlines()[1]
        self.assertRegex(axis, r"^ +0 ─+ \d+ ms$|^ +0 ─+ \d\.\d s$")
        for line in (axis, first, second):
            self.assertLessEqual(len(line), 80)
        self.assertNotIn("\033", text)
        run = self.synk("show", "p#1", "--json").json()
        self.assertEqual([task["worker"] for task in run["tasks"]],
                         ["first", "second", "flaky", "never", "speaks"])
        self.assertNotIn("━", json.dumps(run, ensure_ascii=False))

    def test_a_run_under_way_has_bars_up_to_now(self):
        self.apply([{"id": "slow", "run": "sim.sleep", "payload": {"ms": 600000}, "timeoutMs": 0},
                    {"id": "waits", "run": "sim.noop", "dependsOn": ["slow"]}])
        self.synk("run", "p")

        def shows():
            return re.search(r"▶ slow +running +\+\d+ ms +\S+ (ms|s)  ━+$",
                             self.synk("show", "p#1").out, re.MULTILINE)
        wait_until(shows, "the running task has a bar")
        self.assertNotIn("━", self.row(self.synk("show", "p#1").out, "waits"))

    def test_long_names_leave_no_room_for_bars_that_would_tell_nothing(self):
        self.apply([{"id": "n" * 60 + str(i), "run": "sim.noop"} for i in range(2)],
                   runMode="parallel")
        self.synk("run", "p", "--wait")
        text = self.synk("show", "p#1").out
        # In a pipe names are not cut, and the row is as long as it must be.
        self.assertRegex(text, "n{60}0 +succeeded")

    def test_a_list_of_runs_tells_how_far_they_are(self):
        self.apply([{"id": "quick", "run": "sim.noop"},
                    {"id": "bad", "run": "sim.fail", "dependsOn": ["quick"]},
                    {"id": "slow", "run": "sim.sleep", "payload": {"ms": 600000}, "timeoutMs": 0,
                     "dependsOn": ["quick"]}])
        self.synk("run", "p")

        def listed(*words):
            rows = self.synk("ls", "runs", "--json", *words).lines()
            return [(row["run"], row["done"], row["failed"]) for row in rows]
        wait_until(lambda: listed() == [("p#1", 2, 1)], "two tasks have ended, one badly")
        self.synk("run", "p")
        self.assertEqual(listed("--limit", 1)[0][0], "p#2")
        self.assertEqual(listed()[1], ("p#1", 2, 1))
        self.assertEqual(listed("--status", "running"), [("p#1", 2, 1)])
        self.synk("cancel", "p#1")
        self.synk("wait", "p#1", status=1)
        self.assertEqual([row for row in listed() if row[0] == "p#1"], [("p#1", 3, 1)])

    def test_a_run_of_more_than_a_page_is_shown_whole(self):
        self.up()
        self.synk("pool", "submit", "sim.noop", "--count", 1200, "--wait")
        lines = self.synk("show", "pool#1").out.splitlines()
        self.assertEqual(sum(" succeeded " in line for line in lines[2:]), 1200)


if __name__ == "__main__":
    harness.main()
