#!/usr/bin/env python3
"""What units do between and around their runs, with real processes: schedules, overlap, hooks, pause,
status and statistics, the event log, and what `apply` changes while work goes on."""

import json
import os
import time

import harness
from harness import wait_until
from test_workflows import PLUGINS, Workflow


class Unit(Workflow):
    def unit(self, unit):
        return self.synk("show", unit, "--json").json()

    def runs(self, unit):
        """The runs of a unit, the oldest first."""
        rows = self.synk("ls", "runs", "--unit", unit, "--json").lines()
        return sorted(rows, key=lambda row: int(row["run"].rsplit("#", 1)[1]))

    def statuses(self, unit):
        return [run["status"] for run in self.runs(unit)]

    def until_runs(self, unit, statuses):
        wait_until(lambda: self.statuses(unit) == statuses, f"the runs of {unit} are {statuses}")

    def apply(self, processes=(), workers=(), *words, name="units.json"):
        self.write(name, json.dumps({"processes": list(processes), "workers": list(workers)}))
        return self.synk("apply", *words, self.path(name))

    def until_status(self, unit, status):
        wait_until(lambda: self.unit(unit)["status"] == status, f"{unit} is {status}")

    def milestones(self, *words):
        return [event["milestone"] for event in self.events("--type", "milestone", *words)]


class Schedules(Unit):
    def test_an_interval_runs_so_often_without_drift_and_then_is_disabled(self):
        self.start(workers=[{"id": "tick", "command": self.says("x"), "intervalMs": 200,
                             "maxRuns": 5}])
        wait_until(lambda: not self.unit("tick")["enabled"], "maxRuns disables it")
        self.until_runs("tick", ["succeeded"] * 5)
        starts = [run["createdAt"] for run in self.runs("tick")]
        for i, at in enumerate(starts):  # each against the first: an error does not add up
            self.assertAlmostEqual(at - starts[0], 200 * i, delta=150)
        unit = self.unit("tick")
        self.assertEqual((unit["runCount"], unit["successCount"]), (5, 5))
        self.assertIsNone(unit["dueAt"])
        self.kill_supervisor()
        self.up()
        self.assertFalse(self.unit("tick")["enabled"])
        self.assertEqual(self.lines("said"), ["x"] * 5)
        self.complete("tick")  # an explicit run is allowed

    def test_max_runs_counts_successes(self):
        self.start(workers=[{"id": "tick", "intervalMs": 50, "maxRuns": 2, "command":
                             f"{self.says('x')}; test $(wc -l < {self.path('said')}) -gt 2"}])
        wait_until(lambda: not self.unit("tick")["enabled"], "maxRuns disables it")
        ran = [status for status in self.statuses("tick") if status != "skipped"]  # one overlapped
        self.assertEqual(ran, ["failed", "failed", "succeeded", "succeeded"])

    def test_what_was_missed_while_down_runs_once_or_never(self):
        interval, units = 1000, ("once", "skip", "all")
        self.start(workers=[{"id": how, "command": "true", "intervalMs": interval, "catchUp": how}
                            for how in units])
        for how in units:
            wait_until(lambda: self.created(how), "it runs")
        first = {how: self.created(how)[0] for how in units}
        self.kill_supervisor()
        # Shortly after a due time, so that the next is far away when the supervisor is back.
        missed = max(first.values()) + 2.1 * interval
        wait_until(lambda: time.time() * 1000 > missed, "time passes")
        self.up()
        back = [event["at"] for event in self.events("--type", "milestone")
                if event["milestone"] == "storage:loaded"][-1]
        gone_by = (back - first["once"]) // interval
        for how in units:
            wait_until(lambda: len([at for at in self.created(how) if at > back + 100]) >= 2,
                       "it goes on")
        late = {how: [at for at in self.created(how) if at > first[how] + interval / 2]
                for how in units}
        at_once = {how: len([at for at in late[how] if at < back + 50]) for how in units}
        self.assertEqual((at_once["once"], at_once["skip"]), (1, 0), late)
        self.assertIn(at_once["all"], (1, gone_by), late)  # no room, or queued one by one
        for how in units:  # whatever was caught up, the times to come are where they were
            for at in [at for at in late[how] if at > back + 100][:2]:
                phase = (at - first[how]) % interval
                self.assertLess(min(phase, interval - phase), 150, (how, late))

    def created(self, unit):
        return [run["createdAt"] for run in self.runs(unit)]

    def test_nothing_starts_by_being_registered_but_what_says_so(self):
        self.start([{"id": "p", "workers": [{"id": "a", "command": self.says("p")}]}],
                   [{"id": "now", "command": self.says("now"), "runOnStart": True},
                    {"id": "off", "command": self.says("off"), "runOnStart": True,
                     "enabled": False}])
        self.until_runs("now", ["succeeded"])
        self.assertEqual(self.statuses("p") + self.statuses("off"), [])
        self.assertEqual(self.lines("said"), ["now"])

    def test_a_milestone_starts_a_run(self):
        self.start(workers=[
            {"id": "source", "command": "echo '{\"milestone\": \"ripe\"}' >&3"},
            {"id": "eater", "command": self.says("x"), "runOnMilestone": "ripe"}])
        self.complete("source")
        self.until_runs("eater", ["succeeded"])


class Overlap(Unit):
    def begin_twice(self, overlap):
        self.start(workers=[{"id": "w", "overlap": overlap, "command": self.held("w")}])
        first = self.begin("w")
        self.until_exists("w.on")
        return first, self.begin("w")

    def test_queue(self):
        first, second = self.begin_twice("queue")
        self.assertEqual(self.show(second)["status"], "queued")
        self.assertIn(first, self.synk("explain", second).out)
        self.write("w.go", "")
        self.end(first, "succeeded")
        self.end(second, "succeeded")
        self.assertGreaterEqual(self.show(second)["startedAt"], self.show(first)["endedAt"])

    def test_skip(self):
        first, second = self.begin_twice("skip")
        self.assertEqual(self.show(second)["status"], "skipped")
        self.assertIn(first, self.synk("explain", second).out)
        self.write("w.go", "")
        self.end(first, "succeeded")
        self.assertEqual(self.lines("w.on"), ["x"])

    def test_allow(self):
        first, second = self.begin_twice("allow")
        wait_until(lambda: self.lines("w.on") == ["x", "x"], "both run")
        self.write("w.go", "")
        self.end(first, "succeeded")
        self.end(second, "succeeded")

    def test_cancel(self):
        first, second = self.begin_twice("cancel")
        self.end(first, "cancelled")
        wait_until(lambda: self.lines("w.on") == ["x", "x"], "the second runs")
        self.write("w.go", "")
        self.end(second, "succeeded")

    def test_a_schedule_skips_while_its_run_goes_on(self):
        self.start(workers=[{"id": "w", "intervalMs": 50, "command": self.held("w")}])
        self.until_exists("w.on")
        wait_until(lambda: self.unit("w")["dueAt"] is not None, "it has a next time")
        due = self.unit("w")["dueAt"]
        wait_until(lambda: self.unit("w")["dueAt"] > due + 200, "its time comes and goes")
        self.assertEqual(self.lines("w.on"), ["x"])
        self.assertNotIn("queued", self.statuses("w"))


class Hooks(Unit):
    def test_hooks_start_runs_with_what_happened_and_emit(self):
        tell = {"id": "tell", "output": "json", "command": "cat $SYNK_INPUT", "overlap": "queue"}
        self.start(
            [{"id": "good", "workers": [{"id": "a", "command": "true"}],
              "onStart": [{"run": "tell"}], "onComplete": ["tell", {"emit": "well"}],
              "onError": [{"emit": "unwell"}]},
             {"id": "bad", "workers": [{"id": "a", "command": "echo why >&2; exit 4"}],
              "onComplete": [{"emit": "well"}], "onError": [{"run": "tell"}, {"emit": "unwell"}]}],
            [tell, {"id": "one", "command": "echo 5", "output": "json",
                    "onComplete": [{"run": "tell"}]}])
        self.complete("good")
        self.until_runs("tell", ["succeeded"] * 2)
        self.complete("bad", "failed")
        self.until_runs("tell", ["succeeded"] * 3)
        self.complete("one")
        self.until_runs("tell", ["succeeded"] * 4)
        params = [self.tasks(f"tell#{n}")["tell"]["result"]["params"] for n in range(1, 5)]
        self.assertEqual([(one["unit"], one["run"], one["status"]) for one in params],
                         [("good", "good#1", "running"), ("good", "good#1", "succeeded"),
                          ("bad", "bad#1", "failed"), ("one", "one#1", "succeeded")])
        self.assertIn("why", params[2]["error"])
        self.assertEqual(params[3]["result"], 5)
        emitted = [(event["milestone"], event["payload"]["run"])
                   for event in self.events("--type", "milestone")
                   if event["milestone"] in ("well", "unwell")]
        self.assertEqual(emitted, [("well", "good#1"), ("unwell", "bad#1")])

    def test_hooks_of_the_workers_of_a_process(self):
        self.start([{"id": "p", "workers": [
            {"id": "a", "command": "true", "onStart": [{"emit": "a-starts"}],
             "onComplete": [{"emit": "a-done"}]},
            {"id": "b", "command": "false", "onError": [{"emit": "b-broke"}]}]}])
        self.complete("p", "failed")
        self.assertEqual([name for name in self.milestones() if name[:2] in ("a-", "b-")],
                         ["a-starts", "a-done", "b-broke"])

    def test_a_hook_that_runs_nobody_is_warned_of(self):
        self.up()
        wait_until(lambda: self.synk("ls", "hosts", "--json").lines(), "the host is there")
        result = self.apply([], [{"id": "w", "command": "true", "onComplete": ["nobody"]},
                                 {"id": "v", "run": "no.function"}])
        self.assertIn("nobody", result.out + result.err)
        self.assertIn("no.function", result.out + result.err)
        self.complete("w")


class Status(Unit):
    def test_status_and_statistics_follow_the_latest_run(self):
        self.start([{"id": "p", "workers": [
            {"id": "a", "command": self.held("a", f"test ! -e {self.path('bad')}")}]}])
        self.assertEqual(self.unit("p")["status"], "idle")
        self.assertIsNone(self.unit("p")["averageExecutionMs"])
        run = self.begin("p")
        self.until_exists("a.on")
        self.assertEqual(self.unit("p")["status"], "running")
        self.write("a.go", "")
        self.end(run, "succeeded")
        self.assertEqual(self.unit("p")["status"], "completed")
        self.write("bad", "")
        self.complete("p", "failed")
        unit = self.unit("p")
        self.assertEqual((unit["status"], unit["runCount"], unit["successCount"]), ("error", 2, 1))
        self.assertEqual(unit["lastRun"], "p#2")
        self.assertEqual(unit["lastRunAt"], self.show("p#2")["startedAt"])
        self.assertIsInstance(unit["averageExecutionMs"], int)
        self.synk("pause", "p")
        row = {row["id"]: row for row in self.synk("ls", "--json").lines()}["p"]
        self.assertEqual((row["status"], row["paused"]), ("paused", True))
        self.assertEqual(self.synk("ls", "--status", "paused", "--json").lines()[0]["id"], "p")
        self.assertEqual(self.synk("ls", "--status", "idle", "--json").lines(), [])
        self.synk("resume", "p")
        self.assertEqual(self.unit("p")["status"], "error")
        changes = [(event["payload"]["previous"], event["payload"]["current"])
                   for event in self.events("--type", "updated", "--unit", "p")
                   if event["payload"]["reason"] == "status-change"]
        self.assertEqual(changes, [("idle", "running"), ("running", "completed"),
                                   ("completed", "running"), ("running", "error"),
                                   ("error", "paused"), ("paused", "error")])
        self.kill_supervisor()
        self.up()
        again = self.unit("p")
        self.assertEqual({key: again[key] for key in unit if key != "version"},
                         {key: unit[key] for key in unit if key != "version"})

    def test_automatic_milestones(self):
        self.start([{"id": "p", "runMode": "parallel", "workers": [
            {"id": "a", "command": "true"}]}], [{"id": "w", "command": "true"}])
        self.complete("p")
        self.complete("w")
        events = self.events("--type", "milestone")
        self.assertEqual([event["milestone"] for event in events],
                         ["storage:loaded", "unit:p:running", "unit:p:completed",
                          "unit:w:running", "unit:w:completed"])
        self.assertEqual(events[1]["payload"]["runMode"], "parallel")
        self.kill_supervisor()
        self.up()
        loaded = [event for event in self.events("--type", "milestone")
                  if event["milestone"] == "storage:loaded"]
        self.assertEqual([event["payload"]["count"] for event in loaded], [0, 2])

    def test_disabled_workers_are_skipped_in_runs_and_run_when_asked_for(self):
        self.start([{"id": "p", "workers": [
            {"id": "a", "command": "true"},
            {"id": "b", "command": self.says("b"), "enabled": False},
            {"id": "c", "command": self.says("c")}]}],
            [{"id": "off", "command": self.says("off"), "enabled": False, "intervalMs": 20}])
        tasks = self.complete("p")
        self.assertEqual(tasks["b"]["state"], "skipped")
        self.assertIn("disabled", tasks["b"]["reason"])
        self.complete("p/b")
        self.complete("off")
        self.assertEqual(self.lines("said"), ["c", "b", "off"])

    def test_pause_holds_back_what_has_not_begun(self):
        self.start([{"id": "p", "workers": [
            {"id": "a", "command": self.held("a")}, {"id": "b", "command": self.says("b")}]}])
        run = self.begin("p")
        self.until_exists("a.on")
        self.synk("pause", "p")
        self.write("a.go", "")
        wait_until(lambda: self.states(run)["a"] == "succeeded", "what runs goes on")
        self.assertIn("paused", self.synk("explain", run, "b").out)
        self.assertNotIn(self.states(run)["b"], ("running", "succeeded", "skipped"))
        self.assertFalse(self.exists("said"))
        self.synk("resume", "--all")
        self.end(run, "succeeded")
        self.assertEqual(self.lines("said"), ["b"])

    def test_single_workers_by_path_and_bare_id_and_the_last_run(self):
        worker = lambda word: {"id": word, "command": self.says(word)}  # noqa: E731
        self.start([{"id": "p", "workers": [worker("a"), worker("both")]},
                    {"id": "q", "workers": [worker("both")]}])
        first = self.begin("p/a")
        self.end(first, "succeeded")
        self.complete("a")
        refused = self.synk("run", "both", status=4)
        self.assertIn("'p/both'", refused.err)
        self.assertIn("'q/both'", refused.err)
        self.synk("run", "p/nobody", status=4)
        self.complete("q/both")
        self.assertEqual(self.lines("said"), ["a", "a", "both"])
        self.synk("show", "p#last", status=None)
        self.complete("p")
        last = self.show("p#last")["run"]
        self.assertEqual(last, self.unit("p")["lastRun"])
        self.synk("wait", "p#last")
        self.assertIn("a", self.synk("explain", "p#last").out)
        self.synk("show", "q#99", status=4)


class Events(Unit):
    def test_filters_and_following_across_a_kill(self):
        self.start(workers=[{"id": "v", "command": "true"}, {"id": "w", "command": "true"}])
        self.complete("v")
        self.complete("w")
        everything = self.events("--since", 0)
        for words, keep in (
                (["--type", "start"], lambda e: e["type"] == "start"),
                (["--type", "start,complete"], lambda e: e["type"] in ("start", "complete")),
                (["--unit", "v"], lambda e: e.get("unit") == "v"),
                (["--run", "w#1"], lambda e: e.get("run") == "w#1"),
                (["--since", 5], lambda e: e["seq"] > 5),
                (["--unit", "w", "--type", "run", "--since", 3],
                 lambda e: e.get("unit") == "w" and e["type"] == "run" and e["seq"] > 3)):
            expected = [e for e in everything if keep(e)]
            self.assertTrue(expected, words)
            self.assertEqual(self.events(*words), expected, words)
        self.synk("events", "--json", "--unit", "nobody", status=4)
        follow = ("synk", "events", "--follow", "--since", "0", "--json")
        with open(self.path("followed"), "w") as all_, open(self.path("filtered"), "w") as some:
            follower = self.spawn(*follow, stdout=all_)
            second = self.spawn(*follow, "--unit", "w", "--type", "complete", stdout=some)
        for _ in range(3):
            self.complete("w")
            self.kill_supervisor()
            self.up()
            self.complete("v")
        head = self.events("--since", 0)[-1]["seq"]
        wait_until(lambda: f'"seq":{head},' in self.read("followed"), "it has followed")
        numbers = [json.loads(line)["seq"] for line in self.read("followed").splitlines()]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        wait_until(lambda: len(self.read("filtered").splitlines()) == 4, "so has the other")
        for process in (follower, second):
            process.terminate()
            self.assertEqual(process.wait(harness.PATIENCE_S), 0)
            process.stderr.close()
        shown = [json.loads(line) for line in self.read("filtered").splitlines()]
        self.assertEqual(shown, self.events("--unit", "w", "--type", "complete"))

    def test_wait_lasts_over_a_restart(self):
        self.start(workers=[{"id": "w", "command": self.held("w")}])
        run = self.begin("w")
        self.until_exists("w.on")
        waiter = self.spawn("synk", "wait", run)
        runner = self.spawn("synk", "run", "w", "--wait")
        wait_until(lambda: len(self.runs("w")) == 2, "the second run is asked for")
        self.kill_supervisor()
        self.up()
        self.assertIsNone(waiter.poll())
        self.write("w.go", "")
        for process in (waiter, runner):
            out, err = process.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual(process.returncode, 0, out + err)

    @harness.unittest.skipUnless(PLUGINS, "SYNK_PLUGINS names no folder of plugins")
    def test_a_task_of_a_plugin_that_overruns_is_killed(self):
        self.start([], [{"id": "deaf", "run": "test.deaf", "timeoutMs": 200}],
                   "--plugin-dir", PLUGINS)
        self.assertEqual(self.complete("deaf", "failed")["deaf"]["state"], "timed-out")


class BadInput(Unit):
    def test_what_cannot_be_is_refused_with_its_reason(self):
        self.start([{"id": "p", "workers": [{"id": "a", "command": self.held("a")}]}])
        run = self.begin("p")
        self.until_exists("a.on")
        for words, status, text in (
                (["run", "p", "--payload", "{x"], 2, "not JSON"),
                (["run", "p", "--slots", "3"], 2, "--local"),
                (["run"], 2, "missing"),
                (["wait", "p"], 4, "UNIT#N"),
                (["wait", "p#77"], 4, "p#77"),
                (["logs", "p"], 4, "UNIT#N"),
                (["logs", run, "nobody"], 4, "nobody"),
                (["logs", run, "--attempt", "x"], 2, "attempt"),
                (["events", "--since", "now"], 2, "since"),
                (["events", "--type", "nonsense"], 2, "nonsense"),
                (["retry", run], 4, "not ended"),
                (["pause", "nobody"], 4, "nobody"),
                (["pause"], 2, ""),
                (["cancel", "p"], None, ""),
                (["explain", run, "nobody"], 4, "nobody"),
                (["ls", "runs", "--status", "nonsense"], 2, "nonsense"),
                (["ls", "nonsense"], 2, "nonsense"),
                (["pool", "submit", "sim.noop", "--count", "0"], None, ""),
                (["pool", "submit", "sim.noop", "--retries", "-1"], 2, "retries"),
                (["apply", self.path("absent.yaml")], 2, "absent.yaml"),
                (["apply"], 2, ""),
                (["up", "--slots", "many"], 2, "slots"),
        ):
            with self.subTest(words):
                result = self.synk(*words, status=status)
                self.assertNotEqual(result.status, 0)
                self.assertIn(text, result.err)
                self.assertTrue(result.err.startswith("synk"), result.err)
        self.write("a.go", "")
        self.end(run, "succeeded")
        self.assertIn("has ended", self.synk("cancel", run, status=4).err)


class Apply(Unit):
    def test_runs_keep_their_graph_and_take_new_settings(self):
        process = {"id": "p", "workers": [
            {"id": "a", "command": self.held("a", "exit 1"), "maxRetries": 0},
            {"id": "b", "command": self.says("old-b"), "dependsOn": ["a"]}]}
        self.start([process])
        run = self.begin("p")
        self.until_exists("a.on")
        process["workers"][0]["maxRetries"] = 1
        process["workers"][0]["command"] = self.says("new-a")
        process["workers"].append({"id": "c", "command": self.says("c")})
        self.assertIn("changed", self.apply([process]).out)
        self.write("a.go", "")
        self.synk("wait", run, status=None)
        tasks = self.tasks(run)
        self.assertEqual(sorted(tasks), ["a", "b"])
        self.assertEqual(tasks["a"]["attempts"], 2)
        self.assertEqual(sorted(self.complete("p")), ["a", "b", "c"])

    def test_prune_removes_what_the_files_lack(self):
        keep, drop = {"id": "keep", "command": "true"}, {"id": "drop", "command": "true"}
        self.start([], [keep, drop])
        self.complete("drop")
        out = self.apply([], [keep], "--prune", "--check").out
        self.assertIn("drop", out)
        self.assertEqual(self.unit("drop")["status"], "completed")
        self.assertIn("drop", self.apply([], [keep], "--prune").out)
        self.synk("run", "drop", status=4)
        self.assertEqual([row["id"] for row in self.synk("ls", "--json").lines()], ["keep"])
        # Numbers are not given twice, in another life of the supervisor either.
        self.synk("down")
        self.up()
        self.assertEqual([row["id"] for row in self.synk("ls", "--json").lines()], ["keep"])
        self.apply([], [keep, drop])
        self.assertEqual(self.synk("run", "drop", "--json").json()["run"], "drop#2")

    def test_a_pause_outlasts_apply_unless_the_file_changes_it(self):
        worker = {"id": "w", "command": "true"}
        self.start([], [worker])
        self.synk("pause", "w")
        self.apply([], [worker])
        self.assertTrue(self.unit("w")["paused"])
        worker["command"] = "echo changed"
        self.apply([], [worker])
        self.assertTrue(self.unit("w")["paused"])
        worker["status"] = "paused"
        self.apply([], [worker])
        self.synk("resume", "w")
        self.apply([], [worker])
        self.assertFalse(self.unit("w")["paused"])
        worker["status"] = "idle"
        self.apply([], [worker])
        worker["status"] = "paused"
        self.apply([], [worker])
        self.assertTrue(self.unit("w")["paused"])

    def test_a_pause_of_a_worker_of_a_process_is_heeded(self):
        held = {"id": "b", "command": "true", "status": "paused"}
        process = {"id": "p", "workers": [{"id": "a", "command": "true"}, held]}
        self.start([process])
        run = self.begin("p")
        wait_until(lambda: self.states(run)["a"] == "succeeded", "a has ended")
        self.assertIn("worker 'b' is paused", self.synk("explain", run).out)
        # Applied again as it is, it does not undo what was done at run time; a changed field counts.
        self.synk("resume", "p/b")
        self.end(run, "succeeded")
        process["description"] = "other"
        self.apply([process])
        self.complete("p")
        del held["status"]
        self.apply([process])
        self.complete("p")
        held["status"] = "paused"
        self.apply([process])
        run = self.begin("p")
        wait_until(lambda: "worker 'b' is paused" in self.synk("explain", run).out, "b is held back")
        del held["status"]
        self.apply([process])
        self.end(run, "succeeded")

    def test_what_show_prints_can_be_applied_again(self):
        self.start([{"id": "p", "name": "The P", "meta": {"x": [1, {"y": None}]},
                     "onError": [{"emit": "oh"}], "workers": [
                         {"id": "a", "command": ["echo", "${{ params.x }}"], "env": {"A": "b"},
                          "maxRetries": 2, "retryDelayMs": "2 * attempt", "timeoutMs": "5m"},
                         {"id": "b", "command": "true", "dependsOn": [
                             {"id": "a", "on": "any", "condition": "attempt == nil"}]}]}])
        shown = self.unit("p")["definition"]
        self.assertIn("unchanged", self.apply([shown]).out)
        self.assertEqual(self.unit("p")["definition"], shown)

    def test_a_hundred_thousand_workers(self):
        count = 100000
        self.start(slots=2)
        middle = [f"w{i}" for i in range(count - 2)]
        self.write("many.json", json.dumps({"processes": [{"id": "many", "workers": [
            {"id": "root", "run": "sim.noop"},
            *({"id": name, "run": "sim.noop", "dependsOn": ["root"]} for name in middle),
            {"id": "join", "run": "sim.noop", "dependsOn": middle}]}]}))
        began = time.monotonic()
        self.synk("apply", self.path("many.json"))
        applied = time.monotonic()
        run = self.begin("many")
        self.synk("wait", run)
        ended = time.monotonic()
        tasks = self.show(run)["tasks"]
        self.assertEqual((len(tasks), {task["state"] for task in tasks}), (count, {"succeeded"}))
        # Bounds against what grows with the square; a sanitized program is that much slower.
        self.assertLess(applied - began, harness.PATIENCE_S / 2)
        self.assertLess(ended - applied, harness.PATIENCE_S / 2)

    def test_retention_is_passed_on(self):
        self.up("--keep-runs", "10", "--keep-events", "30d,1000", "--keep-logs", "7d")
        with open(f"/proc/{self.supervisor_pid()}/cmdline") as f:
            words = f.read().split("\0")
        for option, value in (("--keep-runs", "10"), ("--keep-events", "30d,1000"),
                              ("--keep-logs", "7d")):
            self.assertEqual(words[words.index(option) + 1], value)
        self.synk("down")
        result = self.synk("up", "--detach", "--keep-runs", "lots", status=2)
        self.assertIn("lots", result.err)
        self.assertEqual(self.processes(), [])


if __name__ == "__main__":
    harness.main()
