#!/usr/bin/env python3
"""What a definition promises, with real processes: run modes, graphs, what a command gets and gives,
tries and time limits. Each test has its files say what happened; nothing is told by the clock but
what is about time."""

import json
import os
import time

import harness
from harness import SynkTest, wait_until

PLUGINS = os.environ.get("SYNK_PLUGINS")


class Workflow(SynkTest):
    """A supervisor with the units of one document, and runs as dictionaries."""

    def start(self, processes=(), workers=(), *words, slots=4):
        self.write("units.json", json.dumps({"processes": list(processes),
                                             "workers": list(workers)}))
        self.up(*words, self.path("units.json"), slots=slots)

    def begin(self, unit, payload=None):
        words = ["--payload", json.dumps(payload)] if payload is not None else []
        return self.synk("run", unit, *words, "--json").json()["run"]

    def show(self, run, *words):
        return self.synk("show", run, "--json", *words).json()

    def tasks(self, run, *words):
        return {task["worker"]: task for task in self.show(run, *words)["tasks"]}

    def states(self, run):
        return {name: task["state"] for name, task in self.tasks(run).items()}

    def end(self, run, status):
        self.synk("wait", run, status=None)
        shown = self.show(run)
        self.assertEqual(shown["status"], status, shown)
        return {task["worker"]: task for task in shown["tasks"]}

    def complete(self, unit, status="succeeded", payload=None):
        """The tasks of a new run, once it has ended with this status."""
        return self.end(self.begin(unit, payload), status)

    def exists(self, name):
        return os.path.exists(self.path(name))

    def until_exists(self, *names):
        for name in names:
            wait_until(lambda: self.exists(name), f"{name} exists")

    def lines(self, name):
        return self.read(name).split() if self.exists(name) else []

    def says(self, word):
        return f"echo {word} >> {self.path('said')}"

    def waits_for(self, name):
        return f"while [ ! -e {self.path(name)} ]; do sleep 0.02; done"

    def held(self, name, then=":"):
        """A command that tells that it runs, by NAME.on, and ends once NAME.go exists."""
        return f"echo x >> {self.path(name + '.on')}; {self.waits_for(name + '.go')}; {then}"


def chain(count, command):
    return [{"id": f"w{i}", "command": command(i)} for i in range(count)]


class RunModes(Workflow):
    def test_sequential_runs_in_order_one_at_a_time_and_stops_at_the_first_failure(self):
        command = lambda i: f"{self.says(f'from{i}')}; sleep 0.01; {self.says(f'to{i}')}"  # noqa: E731
        self.start([{"id": "good", "workers": chain(4, command)},
                    {"id": "bad", "workers": chain(
                        4, lambda i: f"{self.says(i)}; test {i} != 1")}])
        self.complete("good")
        self.assertEqual(self.lines("said"),
                         [word for i in range(4) for word in (f"from{i}", f"to{i}")])
        os.unlink(self.path("said"))
        tasks = self.complete("bad", "failed")
        self.assertEqual(self.lines("said"), ["0", "1"])
        self.assertEqual([tasks[f"w{i}"]["state"] for i in range(4)],
                         ["succeeded", "failed", "skipped", "skipped"])
        self.assertIn("first failure", tasks["w3"]["reason"])
        self.assertIsNone(tasks["w0"]["reason"])

    def test_parallel_runs_all_at_once_and_goes_on_after_a_failure(self):
        # Each waits until all three run: one at a time, this never ends.
        command = lambda i: (  # noqa: E731
            f"touch {self.path(f'on{i}')}; "
            + "; ".join(self.waits_for(f"on{n}") for n in range(3)) + f"; test {i} != 1")
        self.start([{"id": "p", "runMode": "parallel", "workers": chain(3, command)}])
        tasks = self.complete("p", "failed")
        self.assertEqual([tasks[f"w{i}"]["state"] for i in range(3)],
                         ["succeeded", "failed", "succeeded"])

    def test_batches_follow_one_another_and_go_on_after_a_failure(self):
        command = lambda i: f"{self.held(str(i), f'test {i} != 0')}"  # noqa: E731
        self.start([{"id": "p", "runMode": "batched", "batchSize": 2,
                     "workers": chain(5, command)}])
        run = self.begin("p")
        for batch in ((0, 1), (2, 3), (4,)):
            self.until_exists(*[f"{i}.on" for i in batch])
            self.assertFalse(self.exists(f"{batch[-1] + 1}.on"))
            self.write(f"{batch[0]}.go", "")
            if len(batch) > 1:  # half a batch does not let the next begin
                wait_until(lambda: self.states(run)[f"w{batch[0]}"] in ("failed", "succeeded"),
                           "the first of the batch ends")
                self.assertFalse(self.exists(f"{batch[-1] + 1}.on"))
                self.write(f"{batch[1]}.go", "")
        tasks = self.end(run, "failed")
        self.assertEqual([tasks[f"w{i}"]["state"] for i in range(5)],
                         ["failed"] + ["succeeded"] * 4)

    def test_isolated_pauses_between_and_stops_at_the_first_failure(self):
        self.start([{"id": "p", "runMode": "isolated", "isolationDelayMs": 150,
                     "workers": chain(4, lambda i: f"{self.says(i)}; test {i} != 2")}])
        tasks = self.complete("p", "failed")
        self.assertEqual(self.lines("said"), ["0", "1", "2"])
        self.assertEqual(tasks["w3"]["state"], "skipped")
        for i in range(2):
            pause = tasks[f"w{i + 1}"]["startedAt"] - tasks[f"w{i}"]["endedAt"]
            self.assertGreaterEqual(pause, 145)

    def test_sequential_workers_get_all_earlier_results(self):
        self.start([{"id": "p", "workers": [
            {"id": "a", "command": "echo '{\"n\": 1}'", "output": "json"},
            {"id": "b", "command": ["echo", "${{ inputs.a.n + 1 }}"], "output": "json"},
            {"id": "c", "command": "cat $SYNK_INPUT", "output": "json"}]}])
        result = self.complete("p", payload={"who": "me"})["c"]["result"]
        self.assertEqual(result["inputs"], {"a": {"n": 1}, "b": 2})
        self.assertEqual(result["params"], {"who": "me"})
        self.assertEqual((result["run"], result["worker"], result["attempt"]), ("p#1", "c", 1))

    def test_max_parallel_bounds_what_runs_at_once(self):
        self.start([{"id": "p", "runMode": "parallel", "maxParallel": 2,
                     "workers": chain(4, lambda i: self.held(str(i)))}])
        run = self.begin("p")
        self.until_exists("0.on", "1.on")
        self.assertIn("maxParallel", self.synk("explain", run, "w2").out)
        self.assertEqual(list(self.states(run).values()).count("running"), 2)
        for i in range(4):
            self.write(f"{i}.go", "")
        self.end(run, "succeeded")


class Graphs(Workflow):
    def test_every_on_against_every_end_of_a_parent(self):
        parents = {"good": "true", "bad": "false", "skipped": "true"}
        workers = [{"id": "good", "command": "true"}, {"id": "bad", "command": "false"},
                   {"id": "skipped", "command": "true", "dependsOn": ["bad"]}]
        for parent in parents:
            for on in ("completed", "notError", "error", "any"):
                workers.append({"id": f"{on}-{parent}", "command": "true",
                                "dependsOn": [{"id": parent, "on": on}]})
        self.start([{"id": "g", "workers": workers}])
        tasks = self.complete("g", "failed")
        ran = {name for name, task in tasks.items() if task["state"] == "succeeded"}
        self.assertEqual(ran, {"good", "completed-good", "notError-good", "any-good",
                               "error-bad", "any-bad", "notError-skipped", "any-skipped"})
        for name, task in tasks.items():
            if task["state"] == "skipped":
                self.assertTrue(task["reason"], name)
        self.assertIn("bad", tasks["skipped"]["reason"])
        self.assertIn("good", tasks["error-good"]["reason"])

    def test_a_condition_that_fails_or_yields_no_truth_value_fails_its_task(self):
        self.start([{"id": "g", "workers": [
            {"id": "a", "command": "echo '{}'", "output": "json"},
            {"id": "error", "command": "true",
             "dependsOn": [{"id": "a", "condition": "result.size > 3"}]},
            {"id": "number", "command": "true",
             "dependsOn": [{"id": "a", "condition": "1 + 1"}]},
            {"id": "other", "command": "true", "dependsOn": ["a"]}]}])
        tasks = self.complete("g", "failed")
        self.assertEqual(tasks["error"]["state"], "failed")
        self.assertIn("result.size > 3", tasks["error"]["error"])
        self.assertIn("a", tasks["error"]["error"])
        self.assertEqual(tasks["number"]["state"], "failed")
        self.assertIn("1 + 1", tasks["number"]["error"])
        self.assertEqual(tasks["other"]["state"], "succeeded")

    def test_a_task_starts_when_its_own_parents_allow(self):
        self.start([{"id": "g", "workers": [
            {"id": "slow", "command": self.held("slow")},
            {"id": "quick", "command": "true"},
            {"id": "after-quick", "command": f"touch {self.path('slow.go')}",
             "dependsOn": ["quick"]},
            {"id": "after-slow", "command": "true", "dependsOn": ["slow"]}]}])
        self.complete("g")  # in waves, this would never end

    def test_a_condition_sees_status_and_params(self):
        self.start([{"id": "g", "workers": [
            {"id": "a", "command": "false"},
            {"id": "yes", "command": "true", "dependsOn": [
                {"id": "a", "on": "any", "condition": "status == 'failed' and params.go"}]},
            {"id": "no", "command": "true", "dependsOn": [
                {"id": "a", "on": "any", "condition": "not params.go"}]}]}])
        tasks = self.complete("g", "failed", {"go": True})
        self.assertEqual((tasks["yes"]["state"], tasks["no"]["state"]), ("succeeded", "skipped"))
        self.assertIn("not params.go", tasks["no"]["reason"])


class Commands(Workflow):
    def test_templates_in_arguments_and_environment(self):
        self.start(workers=[{
            "id": "t", "command": ["sh", "-c", "echo \"$1|$GREETING\"", "sh", "<${{ params.a.b }}>"],
            "env": {"GREETING": "hello ${{ params.who }}"}}])
        tasks = self.complete("t", payload={"who": "a b; $HOME", "a": {"b": 7}})
        self.assertEqual(tasks["t"]["result"], {"exit": 0, "stdout": "<7>|hello a b; $HOME\n"})
        tasks = self.complete("t", "failed", {"who": "you"})
        self.assertIn("params.a.b", tasks["t"]["error"])
        tasks = self.complete("t", "failed", {"a": {"b": 1}})
        self.assertIn("params.who", tasks["t"]["error"])

    def test_input_file_and_standard_input_hold_the_same(self):
        self.start(workers=[
            {"id": "stdin", "stdin": "json", "output": "json", "command":
             "cat > got; cmp -s got $SYNK_INPUT && cat got", "cwd": self.root},
            {"id": "none", "command": "wc -c"}])
        result = self.complete("stdin", payload={"x": [1, None, 2.5, "é"]})["stdin"]["result"]
        self.assertEqual(result["params"], {"x": [1, None, 2.5, "é"]})
        self.assertEqual(result["inputs"], {})
        self.assertEqual(result["payload"]["stdin"], "json")
        self.assertEqual(self.complete("none")["none"]["result"]["stdout"].strip(), "0")

    def test_directory_environment_and_env_file(self):
        os.mkdir(self.path("sub"))
        self.write("sub/vars", "# a comment\nFROM_FILE=file\nBOTH=file\n\nSPACED=a b\n")
        self.write("sub/here.json", json.dumps({"workers": [
            {"id": "here", "command": "pwd; echo $FROM_FILE $BOTH $SPACED",
             "env": {"BOTH": "env"}, "envFile": "vars"},
            {"id": "there", "command": "pwd", "cwd": "/"},
            {"id": "lost", "command": "pwd", "cwd": "nowhere"},
            {"id": "bare", "command": "pwd", "envFile": "absent"}]}))
        self.up(self.path("sub/here.json"))
        self.assertEqual(self.complete("here")["here"]["result"]["stdout"],
                         f"{self.path('sub')}\nfile env a b\n")
        self.assertEqual(self.complete("there")["there"]["result"]["stdout"], "/\n")
        self.assertIn(self.path("sub/nowhere"), self.complete("lost", "failed")["lost"]["error"])
        self.assertIn(self.path("sub/absent"), self.complete("bare", "failed")["bare"]["error"])
        self.assertNotIn("a b", json.dumps(self.show("here")))

    def test_bad_output_and_exits_tell_what_went_wrong(self):
        self.start(workers=[
            {"id": "text", "command": "echo hello", "output": "json"},
            {"id": "empty", "command": "true", "output": "json"},
            {"id": "two", "command": "echo 1; echo 2", "output": "json"},
            {"id": "exit", "command": "for i in 1 2 3; do echo line $i >&2; done; exit 42"},
            {"id": "signal", "command": "kill -SEGV $$"},
            {"id": "absent", "command": ["no-such-program-anywhere", "x"]},
            {"id": "huge", "command": "head -c 3000000 /dev/zero | tr '\\0' x | sed 's/.*/\"&\"/'",
             "output": "json"},
            {"id": "bytes", "command": "printf 'a\\377b'"}])
        for unit in ("text", "empty", "two"):
            self.assertIn("not JSON", self.complete(unit, "failed")[unit]["error"], unit)
        error = self.complete("exit", "failed")["exit"]["error"]
        self.assertIn("42", error)
        self.assertIn("line 3", error)
        error = self.complete("signal", "failed")["signal"]["error"]
        self.assertRegex(error, "SEGV|signal 11|Segmentation")
        self.assertIn("no-such-program-anywhere",
                      self.complete("absent", "failed")["absent"]["error"])
        error = self.complete("huge", "failed")["huge"]["error"]
        self.assertIn("3000002", error)
        self.assertIn("1048576", error)
        self.complete("bytes")  # what is not text does not break what shows it

    def test_a_shell_line_takes_no_templates(self):
        path = self.write("bad.json", json.dumps({"workers": [
            {"id": "w", "command": "echo ${{ params.x }}"}]}))
        self.assertIn("shell", self.synk("plan", path, status=2).err)

    def test_progress_and_milestones_of_a_script(self):
        self.start(workers=[
            {"id": "w", "command": "echo '{\"progress\": 0.5}' >&3; "
             "echo '{\"milestone\": \"half\", \"payload\": {\"n\": [1]}}' >&3; "
             "echo rubbish >&3; echo '{\"milestone\": 3}' >&3; echo '{\"progress\": 7}' >&3; "
             f"{self.held('w')}"}])
        run = self.begin("w")
        self.until_exists("w.on")
        self.write("w.go", "")
        self.end(run, "succeeded")
        half = [e for e in self.events("--type", "milestone") if e.get("milestone") == "half"]
        self.assertEqual([(e["payload"], e["run"], e["worker"]) for e in half],
                         [({"n": [1]}, "w#1", "w")])

    def test_functions_of_a_plugin(self):
        if not PLUGINS:
            self.skipTest("SYNK_PLUGINS names no folder of plugins")
        self.start([], [
            {"id": "greet", "run": "test.greet", "payload": {"who": "you"}},
            {"id": "nobody", "run": "test.greet"},
            {"id": "large", "run": "test.large"},
            {"id": "exits", "run": "test.exits"}], "--plugin-dir", PLUGINS)
        self.assertEqual(self.complete("greet")["greet"]["result"], {"greeted": "you"})
        self.assertIn("payload.who", self.complete("nobody", "failed")["nobody"]["error"])
        error = self.complete("large", "failed")["large"]["error"]
        self.assertRegex(error, "20971[0-9]{2}")
        self.assertIn("1048576", error)
        log = self.synk("logs", "greet#1").out
        self.assertIn("greeted you", log)
        self.assertIn("printed", log)
        milestones = [e for e in self.events("--type", "milestone", "--unit", "greet")
                      if e["milestone"] == "greeting"]
        self.assertEqual(len(milestones), 1)
        self.assertEqual(milestones[0]["payload"], {"greeted": "you"})
        run = self.begin("exits")
        self.synk("wait", run, status=1)
        tasks = self.tasks(run)
        self.assertIn(tasks["exits"]["state"], ("quarantined", "failed"))


class LocalAndPool(Workflow):
    def test_a_local_run_takes_slots_plugins_and_writes_its_events(self):
        if not PLUGINS:
            self.skipTest("SYNK_PLUGINS names no folder of plugins")
        path = self.write("two.json", json.dumps({"workers": [
            {"id": "greet", "run": "test.greet", "payload": {"who": "you"}},
            {"id": "echo", "command": "cat $SYNK_INPUT", "output": "json"}]}))
        refused = self.synk("run", "--local", path, status=2)
        self.assertIn("greet, echo", refused.err)
        events = self.path("events")
        run = self.synk("run", "--local", path, "greet", "--plugin-dir", PLUGINS, "--slots", 1,
                        "--events", events, "--json").json()
        self.assertEqual(run["tasks"][0]["result"], {"greeted": "you"})
        written = [json.loads(line) for line in self.read("events").splitlines()]
        self.assertIn("greeting", [event.get("milestone") for event in written])
        numbers = [event["seq"] for event in written]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
        run = self.synk("run", "--local", path, "echo", "--payload", '{"a": [1]}', "--json").json()
        self.assertEqual(run["tasks"][0]["result"]["params"], {"a": [1]})
        self.synk("run", "--local", path, "nobody", status=4)
        self.synk("run", "--local", path, "echo", "--events", "/nowhere/x", status=2)

    def test_submitted_tasks_are_tried_again_and_limited(self):
        self.up()
        self.synk("pool", "submit", "sim.fail", "--count", 3, "--retries", 2, "--retry-delay", 20,
                  "--wait", status=1)
        tasks = self.show("pool#1", "--attempts")["tasks"]
        self.assertEqual([task["attempts"] for task in tasks], [3] * 3)
        for task in tasks:
            first, second = task["attemptList"][:2]
            self.assertGreaterEqual(second["startedAt"] - first["endedAt"], 18)
        self.synk("pool", "submit", "sim.sleep", "--payload", '{"ms": 600000}', "--timeout", 100,
                  "--wait", status=1)
        self.assertEqual(self.show("pool#2")["tasks"][0]["state"], "timed-out")
        self.synk("pool", "submit", "sim.echo", "--payload", '{"a": 1}', "--wait")
        self.synk("retry", "pool#1", "nobody", status=4)
        self.synk("retry", "pool#1", "1")
        self.synk("wait", "pool#1", status=1)
        self.assertEqual([task["attempts"] for task in self.show("pool#1")["tasks"]], [3, 6, 3])


class Tries(Workflow):
    def attempts(self, run, worker):
        return self.tasks(run, "--attempts")[worker]["attemptList"]

    def test_delays_fixed_by_expression_and_as_duration(self):
        bad = f"{self.says('$SYNK_INPUT')}; exit 9"
        self.start(workers=[
            {"id": "fixed", "command": bad, "maxRetries": 2, "retryDelayMs": 120},
            {"id": "grows", "command": bad, "maxRetries": 3, "retryDelayMs": "40 * 2^attempt"},
            {"id": "duration", "command": bad, "maxRetries": 1, "retryDelayMs": "100ms"},
            {"id": "none", "command": bad, "maxRetries": 2},
            {"id": "broken", "command": bad, "maxRetries": 2, "retryDelayMs": "params.delay + 1"}])
        for unit, delays in {"fixed": [120, 120], "grows": [80, 160, 320], "duration": [100],
                             "none": [0, 0]}.items():
            run = self.begin(unit)
            self.end(run, "failed")
            tries = self.attempts(run, unit)
            self.assertEqual([one["attempt"] for one in tries],
                             list(range(1, len(delays) + 2)), unit)
            self.assertEqual({one["exit"] for one in tries}, {9})
            for before, after, delay in zip(tries, tries[1:], delays):
                waited = after["startedAt"] - before["endedAt"]
                self.assertGreaterEqual(waited, delay - 5, unit)
        tasks = self.complete("broken", "failed")
        self.assertIn("retryDelayMs", tasks["broken"]["error"])
        self.assertEqual(tasks["broken"]["attempts"], 1)

    def test_the_attempts_number_and_exit_codes_that_end_the_tries(self):
        self.start(workers=[
            {"id": "third", "maxRetries": 5, "command":
             ["sh", "-c", "echo try $0; test $0 = 3", "${{ attempt }}"]},
            {"id": "final", "maxRetries": 5, "noRetryExitCodes": [64, 65],
             "command": f"{self.says('x')}; exit 65"}])
        tasks = self.complete("third")
        self.assertEqual(tasks["third"]["attempts"], 3)
        log = self.synk("logs", "third#1").out
        self.assertEqual(log, "== attempt 1\ntry 1\n== attempt 2\ntry 2\n== attempt 3\ntry 3\n")
        self.assertEqual(self.synk("logs", "third#1", "--attempt", 2).out, "try 2\n")
        logged = self.synk("logs", "third#1", "third", "--json").lines()
        self.assertEqual([(one["attempt"], one["data"]) for one in logged],
                         [(n, f"try {n}\n") for n in (1, 2, 3)])
        self.assertIn("nobody", self.synk("logs", "third#1", "nobody", status=4).err)
        tasks = self.complete("final", "failed")
        self.assertEqual(tasks["final"]["attempts"], 1)
        self.assertEqual(self.lines("said"), ["x"])

    def test_a_log_is_followed_over_the_tries(self):
        self.start(workers=[{"id": "w", "maxRetries": 1, "retryDelayMs": 200, "command":
                             f"echo one more; test -e {self.path('w.on')} && exit 0; "
                             f"{self.held('w', 'exit 1')}"}])
        run = self.begin("w")
        self.until_exists("w.on")
        follower = self.spawn("synk", "logs", run, "--follow")
        self.assertEqual(follower.stdout.readline(), "one more\n")
        self.write("w.go", "")
        out, err = follower.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual((out, err), ("== attempt 2\none more\n", ""))

    def test_time_limits_of_worker_run_and_progress(self):
        self.start(
            [{"id": "deadline", "timeoutMs": 300, "workers": [
                {"id": "a", "command": "true"}, {"id": "b", "command": "sleep 1000"},
                {"id": "c", "command": "true"}]}],
            [{"id": "slow", "command": f"echo $$ >> {self.path('pids')}; exec sleep 1000",
              "timeoutMs": 150, "maxRetries": 1},
             {"id": "stuck", "progressTimeoutMs": 300, "command":
              "echo '{\"progress\": 0.1}' >&3; exec sleep 1000"},
             {"id": "lively", "progressTimeoutMs": 400, "command":
              "for i in 1 2 3 4 5 6; do echo '{\"progress\": 0.'$i'}' >&3; sleep 0.1; done"}])
        run = self.begin("slow")
        tasks = self.end(run, "failed")
        self.assertEqual(tasks["slow"]["state"], "timed-out")
        self.assertIn("150", tasks["slow"]["error"])
        self.assertEqual([one["outcome"] for one in self.attempts(run, "slow")],
                         ["timed-out", "timed-out"])
        for pid in self.lines("pids"):
            self.assertFalse(harness.alive(int(pid)))
        tasks = self.complete("stuck", "failed")
        self.assertEqual(tasks["stuck"]["state"], "timed-out")
        self.assertIn("progress", tasks["stuck"]["error"])
        self.complete("lively")
        run = self.begin("deadline")
        tasks = self.end(run, "failed")
        self.assertEqual(tasks["a"]["state"], "succeeded")
        self.assertNotIn(tasks["b"]["state"], ("succeeded", "running"))
        self.assertNotEqual(tasks["c"]["state"], "succeeded")
        self.assertIn("300", self.show(run)["error"])

    def test_retry_of_one_worker_and_of_a_branch(self):
        self.start([{"id": "g", "runMode": "parallel", "workers": [
            {"id": name, "command": f"{self.says(name)}; test -e {self.path('fixed')}"}
            for name in ("a", "b", "c")]}])
        run = self.begin("g")
        self.end(run, "failed")
        self.write("fixed", "")
        os.unlink(self.path("said"))
        self.synk("retry", run, "b")
        tasks = self.end(run, "failed")
        self.assertEqual(self.lines("said"), ["b"])
        self.assertEqual([tasks[name]["state"] for name in "abc"],
                         ["failed", "succeeded", "failed"])
        self.assertIn("nobody", self.synk("retry", run, "a", "nobody", status=4).err)
        self.assertEqual(self.states(run)["a"], "failed")
        self.assertIn("0 tasks", self.synk("retry", run, "b").out)
        self.synk("retry", run)
        self.end(run, "succeeded")
        self.assertEqual(sorted(self.lines("said")), ["a", "b", "c"])
        self.assertIn("0 tasks", self.synk("retry", run).out)
        unit = self.show("g")
        self.assertEqual((unit["runCount"], unit["successCount"]), (1, 1))

    def test_cancel_of_what_is_queued_runs_and_waits_for_a_retry(self):
        self.start([{"id": "p", "workers": [{"id": "a", "command": self.held("a")},
                                            {"id": "b", "command": "true"}]}],
                   [{"id": "again", "command": "exit 1", "maxRetries": 5,
                     "retryDelayMs": "1h"}])
        first, second = self.begin("p"), self.begin("p")
        self.until_exists("a.on")
        self.synk("cancel", second)
        self.assertEqual({task["state"] for task in self.end(second, "cancelled").values()},
                         {"cancelled"})
        self.synk("cancel", first)
        tasks = self.end(first, "cancelled")
        self.assertEqual({task["state"] for task in tasks.values()}, {"cancelled"})
        run = self.begin("again")
        wait_until(lambda: self.states(run)["again"] == "retry-wait", "it waits for its retry")
        self.synk("logs", run)
        self.synk("cancel", run)
        self.assertEqual(self.end(run, "cancelled")["again"]["attempts"], 1)
        self.assertEqual(self.lines("a.on"), ["x"])


if __name__ == "__main__":
    harness.main()
