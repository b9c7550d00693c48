#!/usr/bin/env python3
"""Where the Node.js Synchronik 2.3.2 was caught failing: one test for each failure, named after what must
hold here. docs/ancestor.md lists them."""

import contextlib
import json
import os
import signal

import harness
from harness import alive, wait_until
from test_units import Unit


def worker(name, command="true", **fields):
    return {"id": name, "command": command, **fields}


class Failures(Unit):
    def down(self):
        pid = self.supervisor_pid()
        self.synk("down")
        wait_until(lambda: not alive(pid), "the supervisor is gone")

    def test_an_interval_worker_runs_once_per_interval(self):
        # There it ran ten times in a second, because its last run was never written.
        self.start(workers=[worker("often", intervalMs=400)])
        wait_until(lambda: self.unit("often")["runCount"] >= 4, "four runs")
        starts = [run["startedAt"] for run in self.runs("often")]
        for number, at in enumerate(starts):
            # A late run may be followed by one on time: so from the first, never by a burst.
            self.assertGreaterEqual(at - starts[0], number * 400 - 200, starts)
        self.assertIsNotNone(self.unit("often")["lastRunAt"])

    def test_a_worker_that_has_never_run_is_not_stale(self):
        self.start([], [worker("never"), worker("once")], "--idle-threshold", "1ms", "--auto-release",
                   "--watch-interval", "0")
        self.complete("once")
        found = wait_until(lambda: self.scan(), "something is stale")
        self.assertEqual((found["stale"], found["released"]), (["once"], ["once"]))
        self.assertEqual([unit["id"] for unit in self.synk("ls", "--json").lines()], ["never"])

    def scan(self):
        found = self.synk("scan", "--json").json()
        return found if found["stale"] else None

    def test_stopping_does_not_run_completed_workers_again(self):
        self.start(workers=[worker("done", self.says("done")),
                            worker("going", self.held("going", self.says("going")))])
        self.complete("done")
        going = self.begin("going")
        self.until_exists("going.on")
        self.write("going.go", "")
        self.down()
        self.assertEqual(self.lines("said"), ["done", "going"])
        self.up()
        self.end(going, "succeeded")
        self.assertEqual(self.lines("said"), ["done", "going"])
        self.assertEqual([self.unit(unit)["runCount"] for unit in ("done", "going")], [1, 1])

    def test_hydration_keeps_whole_workers_and_no_unit_stays_running_for_ever(self):
        process = {"id": "p", "meta": {"team": "x"}, "onError": ["solo"], "workers": [
            worker("a", self.held("a"), maxRetries=3, retryDelayMs="100 * attempt", env={"K": "v"}),
            worker("b", dependsOn=[{"id": "a", "condition": "result.exit == 0"}], timeoutMs=5000)]}
        self.start([process], [worker("solo")])
        before = [self.unit(unit)["definition"] for unit in ("p", "solo")]
        run = self.begin("p")
        self.until_exists("a.on")
        self.assertEqual(self.unit("p")["status"], "running")
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # ended with those before it
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.processes(), "nothing runs")
        self.write("a.go", "")
        self.up()
        self.assertEqual([self.unit(unit)["definition"] for unit in ("p", "solo")], before)
        self.assertEqual(before[0]["workers"][0]["env"], {"K": "v"})
        self.end(run, "succeeded")
        self.assertEqual(self.unit("p")["status"], "completed")

    def test_a_timed_out_attempt_is_dead_before_the_retry_starts(self):
        # There the old attempt went on beside three retries. Each one looks for those before it.
        self.start(workers=[worker(
            "slow", f"for p in $(cat {self.path('pids')} 2>/dev/null); do kill -0 $p 2>/dev/null && "
            f"echo alive >> {self.path('said')}; done; echo $$ >> {self.path('pids')}; "
            f"trap '' TERM; sleep 30 & wait", timeoutMs=150, maxRetries=1)])
        task = self.complete("slow", "failed")["slow"]
        self.assertEqual((task["state"], task["attempts"]), ("timed-out", 2))
        self.assertEqual(self.lines("said"), [])
        pids = [int(pid) for pid in self.lines("pids")]
        self.assertEqual(len(pids), 2)
        self.assertFalse([pid for pid in pids if alive(pid)])

    def test_a_failed_parents_dependant_does_not_run(self):
        self.start([{"id": "p", "workers": [worker("parent", "exit 3"),
                                            worker("child", self.says("child"), dependsOn=["parent"])]}])
        tasks = self.complete("p", "failed")
        self.assertEqual(tasks["child"]["state"], "skipped")
        self.assertIn("parent", tasks["child"]["reason"])
        self.assertFalse(self.exists("said"))

    def test_an_unknown_dependency_is_refused(self):
        # There it was skipped in silence, and the process reported completed.
        self.up()
        self.write("u.json", json.dumps({"processes": [{"id": "p", "workers": [
            worker("extract"), worker("load", dependsOn=["extrct"])]}]}))
        refusal = self.synk("apply", self.path("u.json"), status=2).err
        self.assertIn("depends on 'extrct', which is not in this process (did you mean 'extract'?)", refusal)
        self.assertEqual(self.synk("ls", "--json").lines(), [])

    def test_on_start_and_on_complete_of_a_unit_fire(self):
        self.start([{"id": "p", "onStart": [{"emit": "begun"}], "onComplete": ["after"],
                     "workers": [worker("a")]}],
                   [worker("after", f"cp $SYNK_INPUT {self.path('input')}"),
                    worker("single", onStart=[{"emit": "single-begun"}], onComplete=[{"emit": "single-done"}])])
        self.complete("p")
        self.complete("single")
        self.until_runs("after", ["succeeded"])
        self.assertEqual(json.loads(self.read("input"))["params"]["run"], "p#1")
        told = self.milestones()
        for name in ("begun", "single-begun", "single-done"):
            self.assertEqual(told.count(name), 1, told)

    def test_a_completed_worker_runs_again(self):
        self.start(workers=[worker("w"), worker("bad", "exit 1")])
        for _ in range(3):
            self.complete("w")
            self.complete("bad", "failed")
        self.assertEqual([self.unit(unit)["runCount"] for unit in ("w", "bad")], [3, 3])

    def test_a_corrupt_state_is_an_error_and_not_a_fresh_start(self):
        self.start(workers=[worker("w")])
        self.complete("w")
        self.down()
        path = os.path.join(self.dir, "state.db")
        with open(path, "r+b") as state:
            state.write(b"\0" * 4096)
        with open(path, "rb") as state:
            damaged = state.read()
        refusal = self.synk("up", "--detach", status=None)
        self.assertNotEqual(refusal.status, 0)
        self.assertIn("state.db': opening it: file is not a database; move the file away", refusal.err)
        with open(path, "rb") as state:
            self.assertEqual(state.read(), damaged)
        self.synk("ls", status=3)

    def test_a_change_writes_what_it_changes_and_not_the_state(self):
        # There the whole file was written anew at every change, which is quadratic, and not atomically.
        self.start(workers=[worker("w")], slots=2)
        self.synk("pool", "submit", "sim.noop", "--count", 50000, "--wait")
        self.synk("backup", self.path("copy.db"))
        state = os.path.getsize(self.path("copy.db"))

        def written():
            with open(f"/proc/{self.supervisor_pid()}/io") as counts:
                return int(counts.read().split("wchar: ")[1].split()[0])

        def cost():
            before = written()
            self.complete("w")
            return written() - before

        # The least of several: SQLite now and then copies its log into the file.
        least = min(cost() for _ in range(5))
        self.assertGreater(state, 3 << 20)
        self.assertLess(least, state // 8)

    def test_execution_times_are_bounded(self):
        self.start(workers=[worker("w", maxRuns=60, intervalMs=1, overlap="queue")])
        wait_until(lambda: self.unit("w")["runCount"] >= 60, "sixty runs")
        shown = self.unit("w")
        self.assertEqual(len(shown["executionTimesMs"]), 10)
        self.assertGreaterEqual(shown["averageExecutionMs"], 0)

    def test_the_graph_does_not_run_in_waves(self):
        # `slow` ends only once `grandchild`, two levels below its neighbour, has run.
        self.start([{"id": "p", "workers": [
            worker("slow", self.waits_for("grandchild.on")), worker("fast"),
            worker("child", dependsOn=["fast"]),
            worker("grandchild", f"touch {self.path('grandchild.on')}", dependsOn=["child"]),
            worker("last", dependsOn=["slow", "grandchild"])]}])
        self.complete("p")


if __name__ == "__main__":
    harness.main()
