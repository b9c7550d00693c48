#!/usr/bin/env python3
"""What bounds the work in progress, with real processes: named limits, slots, maxParallel and
maxFailures of graphs, exit codes that end a task at once, tags."""

import json

import harness
from harness import wait_until
from test_workflows import Workflow


class Limits(Workflow):
    def apply(self, document, *words, status=0):
        return self.synk("apply", *words, self.write("limits.json", json.dumps(document)),
                         status=status)

    def limits(self):
        return {row["name"]: row for row in self.synk("ls", "limits", "--json").lines()}

    def waits(self, name):
        """A command that ends when `go` exists."""
        return f"echo {name} >> {self.path('began')}; until test -e {self.path('go')}; do sleep 0.02; done"

    def began(self):
        return self.lines("began") if self.exists("began") else []

    def test_a_limit_bounds_runs_of_different_units(self):
        self.up(slots=4)
        worker = {"command": self.waits("x"), "uses": {"db": 1}}
        self.assertIn("created    limit db: 2", self.apply({
            "limits": {"db": 2},
            "workers": [dict(worker, id=f"w{i}") for i in range(3)]}).out)
        runs = [self.begin(f"w{i}") for i in range(3)]
        wait_until(lambda: self.limits()["db"]["used"] == 2, "two have it")
        self.assertEqual(self.limits()["db"]["waiting"], 1)
        wait_until(lambda: len(self.began()) == 2, "two began")
        self.assertIn("waits for limit 'db' (2 of 2 in use by w0#1 'w0', w1#1 'w1')",
                      self.synk("explain", runs[2]).out)
        self.assertIn("db", self.synk("ls", "limits").out)
        self.assertEqual(self.synk("stats", "--json").json()["limits"][0]["used"], 2)
        self.apply({"limits": {"db": 3}})  # at once, for what waits
        wait_until(lambda: len(self.began()) == 3, "the third began")
        self.write("go", "")
        for run in runs:
            self.end(run, "succeeded")
        self.assertEqual(self.limits()["db"]["used"], 0)

    def test_limits_outlive_the_supervisor_and_count_what_was_running(self):
        self.up(slots=4)
        self.apply({"limits": {"db": 1}, "workers": [
            {"id": "a", "command": self.waits("a"), "uses": {"db": 1}},
            {"id": "b", "command": self.waits("b"), "uses": {"db": 1}}]})
        first = self.begin("a")
        wait_until(lambda: self.began() == ["a"], "the first began")
        self.kill_supervisor()
        self.up()
        second = self.begin("b")
        wait_until(lambda: self.limits()["db"]["used"] == 1, "the host has told")
        self.assertIn("waits for limit 'db'", self.synk("explain", second).out)
        self.assertEqual(self.began(), ["a"])
        self.write("go", "")
        self.end(first, "succeeded")
        self.end(second, "succeeded")

    def test_what_is_wrong_with_limits_is_refused(self):
        self.up()
        cases = {
            "there is no limit 'db'": {"workers": [{"id": "w", "command": "x", "uses": {"db": 1}}]},
            "'uses': 3 of limit 'db', which is 2": {
                "limits": {"db": 2}, "workers": [{"id": "w", "command": "x", "uses": {"db": 3}}]},
            "'db' must be a positive integer": {"limits": {"db": -1}},
            "'limits' must be a map": {"limits": ["db"]},
        }
        for text, document in cases.items():
            with self.subTest(text):
                self.assertIn(text, self.apply(document, status=2).err)
        self.assertEqual(self.limits(), {})
        self.apply({"limits": {"db": 2, "gpu": 1}, "workers": [
            {"id": "w", "command": "x", "uses": {"db": 2}}]})
        self.assertIn("cannot be 1: 'w' uses 2 of it", self.apply({"limits": {"db": 1}}, status=2).err)
        self.assertIn("removed    limit gpu", self.apply({"workers": [
            {"id": "w", "command": "x", "uses": {"db": 2}}]}, "--prune").out)
        self.assertEqual(list(self.limits()), ["db"])

    def test_a_private_supervisor_keeps_limits(self):
        path = self.write("local.json", json.dumps({"limits": {"one": 1}, "processes": [
            {"id": "p", "runMode": "parallel", "workers": [
                {"id": f"w{i}", "uses": {"one": 1}, "command":
                 f"mkdir {self.path('alone')} && sleep 0.1 && rmdir {self.path('alone')}"}
                for i in range(4)]}]}))
        self.synk("run", "--local", path, "--slots", 4)

    def test_max_parallel_and_max_failures_of_a_graph(self):
        fan = [{"id": "root", "command": "true"}]
        fan += [{"id": f"w{i}", "dependsOn": ["root"], "command": self.waits(i)} for i in range(5)]
        self.start([{"id": "p", "maxParallel": 2, "workers": fan}])
        run = self.begin("p")
        wait_until(lambda: len(self.began()) == 2, "two began")
        self.assertIn("waits for its turn (maxParallel)", self.synk("explain", run, "w4").out)
        self.synk("set", "p", "maxParallel=3")
        wait_until(lambda: len(self.began()) == 3, "a third began")
        self.write("go", "")
        self.end(run, "succeeded")
        fails = [{"id": "root", "command": "true"},
                 {"id": "bad", "command": "false", "dependsOn": ["root"]},
                 {"id": "slow", "command": "sleep 0.5", "dependsOn": ["root"]},
                 {"id": "late", "command": "true", "dependsOn": ["slow"]},
                 {"id": "clean", "command": "true", "dependsOn": [{"id": "bad", "on": "error"}]}]
        self.apply({"processes": [{"id": "f", "maxFailures": 1, "workers": fails}]})
        tasks = self.complete("f", "failed")
        self.assertEqual(tasks["clean"]["state"], "succeeded")
        self.assertEqual(tasks["late"]["state"], "skipped")
        self.assertIn("maxFailures", tasks["late"]["reason"])

    def test_a_wide_task_has_its_slots_to_itself(self):
        self.start(workers=[
            {"id": "wide", "command": self.waits("wide"), "slots": 2},
            {"id": "narrow", "command": f"echo narrow >> {self.path('began')}"}], slots=2)
        self.complete("narrow")  # known to be short: others would be sent ahead
        wide = self.begin("wide")
        wait_until(lambda: "wide" in self.began(), "the wide one began")
        narrow = self.begin("narrow")
        slots = self.synk("ls", "slots", "--json").lines()
        self.assertEqual([slot["isIdle"] for slot in slots], [False])
        self.assertEqual((slots[0]["run"], slots[0]["worker"], slots[0]["function"]),
                         (wide, "wide", "exec"))
        self.assertIn("full", self.synk("explain", narrow).out)
        self.write("go", "")
        self.end(narrow, "succeeded")
        self.assertEqual(self.began(), ["narrow", "wide", "narrow"])
        self.assertIn("idle", self.synk("ls", "slots").out)

    def test_exit_codes_that_are_not_tried_again(self):
        self.start(workers=[
            {"id": "hopeless", "command": "exit 3", "maxRetries": 2, "noRetryExitCodes": [3]},
            {"id": "hopeful", "command": "exit 4", "maxRetries": 2, "noRetryExitCodes": [3]}])
        self.assertEqual(self.complete("hopeless", "failed")["hopeless"]["attempts"], 1)
        self.assertEqual(self.complete("hopeful", "failed")["hopeful"]["attempts"], 3)

    def test_progress_and_milestones_of_slots(self):
        self.start(workers=[{"id": "w", "command":
                             "echo '{\"progress\": 0.5}' >&3; echo '{\"milestone\": \"half\"}' >&3; "
                             + self.waits("w")}], slots=1)
        run = self.begin("w")

        def half():
            slots = self.synk("ls", "slots", "--json").lines()
            return slots and slots[0].get("lastMilestone") == "half" and slots[0]["progress"] == 0.5

        wait_until(half, "the slot shows progress and milestone")
        self.assertIn("50%", self.synk("ls", "slots").out)
        self.write("go", "")
        self.end(run, "succeeded")


if __name__ == "__main__":
    harness.main()
