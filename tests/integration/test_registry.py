#!/usr/bin/env python3
"""What is changed about units at run time, from the command line and with real processes: settings,
status, enabling, release, and the views of the registry."""

import json

import harness
from harness import wait_until
from test_units import Unit


class Settings(Unit):
    def process(self, retries=0):
        return {"id": "p", "workers": [
            {"id": "a", "command": "exit 3", "maxRetries": retries},
            {"id": "b", "command": "true", "dependsOn": ["a"]}]}

    def test_a_setting_counts_at_once_and_survives_restart_and_file(self):
        self.start(processes=[self.process()])
        out = self.synk("set", "p/a", "maxRetries=2", "retryDelayMs=1ms", "--reason", "flaky").out
        self.assertEqual(out, "p/a: changed maxRetries, retryDelayMs; idle\n")
        self.synk("run", "p", "--wait", status=1)
        self.assertEqual(self.synk("show", "p#1", "--json").json()["tasks"][0]["attempts"], 3)
        event = [e for e in self.events("--type", "updated")
                 if e["payload"]["reason"] == "config-change"][-1]
        self.assertEqual((event["unit"], event["worker"]), ("p", "a"))
        self.assertEqual(event["payload"]["previous"], {"maxRetries": 0, "retryDelayMs": 0})
        self.assertEqual(event["payload"]["current"], {"maxRetries": 2, "retryDelayMs": 1})
        self.assertEqual(event["payload"]["why"], "flaky")
        self.kill_supervisor()
        self.up()
        self.assertIn("unchanged", self.apply([self.process()]).out)
        worker = self.unit("p")["definition"]["workers"][0]
        self.assertEqual((worker["maxRetries"], worker["retryDelayMs"]), (2, 1))
        self.assertIn("changed", self.apply([self.process(retries=1)]).out)
        worker = self.unit("p")["definition"]["workers"][0]
        self.assertEqual((worker["maxRetries"], worker["retryDelayMs"]), (1, 1))
        self.assertEqual([s["field"] for s in self.unit("p")["settings"]], ["retryDelayMs"])

    def test_a_retry_that_waits_heeds_the_new_limit(self):
        self.start(processes=[{"id": "p", "workers": [
            {"id": "a", "command": "exit 3", "maxRetries": 100, "retryDelayMs": 200}]}])
        run = self.synk("run", "p").out.split()[0]
        wait_until(lambda: self.synk("show", run, "--json").json()["tasks"][0]["attempts"] >= 2,
                   "it is retried")
        self.synk("set", "p/a", "maxRetries=0")
        self.synk("wait", run, status=1)

    def test_back_to_what_the_file_says(self):
        self.start(processes=[self.process(retries=1)])
        self.synk("set", "p/a", "maxRetries=7")
        self.assertEqual(self.synk("set", "p/a", "maxRetries=").out,
                         "p/a: changed maxRetries; idle\n")
        self.assertEqual(self.unit("p")["settings"], [])

    def test_a_schedule_is_set_while_it_runs(self):
        self.start(workers=[{"id": "tick", "command": "true"}])
        self.synk("set", "tick", "intervalMs=50", "maxRuns=2")
        wait_until(lambda: not self.unit("tick")["enabled"], "maxRuns disables it")
        self.synk("enable", "tick")
        wait_until(lambda: self.unit("tick")["runCount"] == 4 and not self.unit("tick")["enabled"],
                   "it runs as often again")

    def test_what_cannot_be_set(self):
        self.start(processes=[self.process()])
        for words, text in [
                (("set", "nope", "maxRetries=1"), "there is no unit 'nope'"),
                (("set", "p", "maxParalel=1"), "did you mean 'maxParallel'"),
                (("set", "p/a", "maxRetries=-1"), "'maxRetries' must be an integer from 0"),
                (("set", "p/a", "retryDelayMs=100 *"), "retryDelayMs"),
                (("set", "p/a", 'dependsOn=["b"]'), "change the file and apply it"),
                (("set", "p", "status=running"), "can be set to idle, paused"),
                (("set", "p", "maxRetries"), "'maxRetries' is not FIELD=VALUE"),
                (("set", "p"), "usage")]:
            result = self.synk(*words, status=None)
            self.assertIn(result.status, (2, 4), words)
            self.assertIn(text, result.err)
        self.assertEqual(self.unit("p")["settings"], [])


class Status(Unit):
    def test_reset_enable_and_disable(self):
        self.start(workers=[{"id": "w", "command": "exit 1"}])
        self.synk("run", "w", "--wait", status=1)
        self.assertEqual(self.unit("w")["status"], "error")
        self.assertIn("idle", self.synk("reset", "w").out)
        self.assertEqual(self.unit("w")["status"], "idle")
        self.synk("set", "w", "status=completed")
        self.assertEqual(self.unit("w")["status"], "completed")
        self.assertEqual(self.synk("disable", "w").out, "w: changed enabled; completed, disabled\n")
        self.kill_supervisor()
        self.up()
        self.assertFalse(self.unit("w")["enabled"])
        self.synk("run", "w", "--wait", status=1)  # an explicit run is allowed
        self.synk("enable", "w")
        self.assertTrue(self.unit("w")["enabled"])

    def test_a_disabled_worker_is_skipped(self):
        self.start(processes=[{"id": "p", "runMode": "parallel", "workers": [
            {"id": "a", "command": "true"}, {"id": "b", "command": "exit 1"}]}])
        self.synk("disable", "p/b")
        self.synk("run", "p", "--wait")
        states = [t["state"] for t in self.synk("show", "p#1", "--json").json()["tasks"]]
        self.assertEqual(states, ["succeeded", "skipped"])
        rows = self.synk("ls", "workers", "--unit", "p", "--json").lines()
        self.assertEqual([(r["worker"], r["enabled"]) for r in rows], [("a", True), ("b", False)])


class Release(Unit):
    def test_release_names_what_is_left_and_numbers_go_on(self):
        self.start(workers=[{"id": "w", "command": "true"},
                            {"id": "hook", "command": "true", "onComplete": ["w"]}])
        self.synk("run", "w", "--wait")
        out = self.synk("release", "w").out
        self.assertEqual(out, "released  w\n  a hook still runs it: hook\n")
        self.synk("show", "w", status=4)
        self.assertEqual(self.synk("show", "w#1", "--json").json()["status"], "succeeded")
        self.kill_supervisor()
        self.up()
        self.synk("show", "w", status=4)
        self.apply(workers=[{"id": "w", "command": "true"}])
        self.assertIn("w#2", self.synk("run", "w", "--wait").out)

    def test_a_running_unit_is_released_by_force_alone(self):
        self.start(workers=[{"id": "w", "command": "sleep 600"}])
        self.synk("run", "w")
        wait_until(lambda: self.synk("show", "w#1", "--json").json()["tasks"][0]["state"] ==
                   "running", "it runs")
        self.assertIn("w#1 is unfinished", self.synk("release", "w", status=4).err)
        reply = self.synk("release", "w", "--force", "--json").json()
        self.assertEqual(reply["cancelled"], ["w#1"])
        self.assertEqual(self.synk("show", "w#1", "--json").json()["status"], "cancelled")
        self.assertEqual(self.synk("ls", "--json").lines(), [])


class Views(Unit):
    def test_a_snapshot_is_the_whole_and_lists_filter(self):
        self.start(processes=[{"id": "p", "workers": [{"id": "a", "command": "true"}]},
                              {"id": "q", "workers": [{"id": "b", "command": "sleep 600"}]}],
                   workers=[{"id": f"w{i}", "command": "true"} for i in range(30)])
        self.synk("run", "q")
        wait_until(lambda: self.synk("ls", "hosts", "--json").lines(), "its host is there")
        whole = self.synk("snapshot").json()
        self.assertEqual(len(whole["units"]), 32)
        self.assertEqual(whole["units"][0]["definition"]["workers"][0]["command"], "true")
        self.assertEqual([run["run"] for run in whole["runs"]], ["q#1"])
        self.assertEqual(len(whole["hosts"]), 1)
        self.assertGreater(whole["seq"], 0)
        rows = self.synk("ls", "--kind", "process", "--json").lines()
        self.assertEqual([row["id"] for row in rows], ["p", "q"])
        rows = self.synk("ls", "--worker", "b", "--json").lines()
        self.assertEqual([row["id"] for row in rows], ["q"])
        self.assertIn("which process", self.synk("ls", "workers", status=2).err)
        self.synk("cancel", "q#1")

    def test_execution_times(self):
        self.start(workers=[{"id": "w", "command": "true"}])
        for _ in range(12):
            self.synk("run", "w", "--wait")
        unit = self.unit("w")
        self.assertEqual((unit["runCount"], len(unit["executionTimesMs"])), (12, 10))
        self.assertLessEqual(unit["percentilesMs"]["p50"], unit["percentilesMs"]["p99"])


if __name__ == "__main__":
    harness.main()
