#!/usr/bin/env python3
"""The command line as its users meet it: exit statuses, what is printed, bad input."""

import json
import os
import subprocess

import harness
from harness import BIN, SynkTest, alive, wait_until

BRANCH = """
processes:
  - id: branch
    workers:
      - {id: Probe, command: 'echo "{\\"n\\": 42}"', output: json}
      - {id: Small, command: [echo, small], dependsOn: [{id: Probe, condition: result.n < 10}]}
      - {id: Large, command: [echo, "n is ${{ inputs.Probe.n }}"], dependsOn: [{id: Probe, condition: result.n >= 10}]}
      - {id: Join, command: "true", dependsOn: [{id: Small, on: notError}, {id: Large, on: notError}]}
"""


class CommandLine(SynkTest):
    def test_local_run_needs_no_supervisor_and_leaves_nothing(self):
        path = self.write("branch.yaml", BRANCH)
        run = self.synk("run", "--local", path, "--json").json()
        states = {task["worker"]: task["state"] for task in run["tasks"]}
        self.assertEqual(states, {"Probe": "succeeded", "Small": "skipped", "Large": "succeeded",
                                  "Join": "succeeded"})
        results = {task["worker"]: task["result"] for task in run["tasks"]}
        self.assertEqual(results["Probe"], {"n": 42})
        self.assertEqual(results["Large"], {"exit": 0, "stdout": "n is 42\n"})
        self.assertEqual(run["status"], "succeeded")
        wait_until(lambda: not self.processes(), "nothing is left running")
        self.assertFalse(os.path.exists(self.dir))

    def test_local_run_of_failing_work_exits_1(self):
        path = self.write("bad.yaml", "workers: [{id: bad, command: 'echo oops >&2; exit 3'}]")
        result = self.synk("run", "--local", path, status=1)
        self.assertIn("oops", result.out + result.err)

    def test_a_task_that_fails_before_its_first_attempt_exits_1(self):
        path = self.write("t.yaml", 'workers: [{id: t, command: [echo, "${{ params.who }}"]}]')
        result = self.synk("run", "--local", path, status=1)
        self.assertIn("params.who", result.out)
        self.assertNotIn("no log", result.err)

    def test_without_a_supervisor_every_verb_says_how_to_start_one(self):
        for words in (["ls"], ["run", "x"], ["stats"], ["show", "x#1"], ["events"]):
            result = self.synk(*words, status=3)
            self.assertIn("synk up", result.err)

    def test_up_twice_applies_and_down_leaves_nothing(self):
        path = self.write("branch.yaml", BRANCH)
        self.up()
        self.assertIn("branch", self.synk("up", "--detach", path).out)
        self.assertEqual(os.stat(self.dir).st_mode & 0o777, 0o700)
        pid = self.supervisor_pid()
        result = subprocess.run([os.path.join(BIN, "synkd"), "--dir", self.dir],
                                capture_output=True, text=True, timeout=harness.PATIENCE_S)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(str(pid), result.stderr)
        self.synk("down")
        self.assertFalse(alive(pid))
        self.assertEqual(self.processes(), [])

    def test_up_with_an_invalid_file_exits_2_and_leaves_nothing(self):
        path = self.write("bad.yaml", "workers: [{id: a, command: 'true', dependOn: [b]}]")
        result = self.synk("up", "--detach", path, status=2)
        self.assertIn("bad.yaml:1", result.err)
        self.assertIn("did you mean 'dependsOn'", result.err)
        self.assertEqual(self.processes(), [])

    def test_apply_prints_what_changed_and_is_one_transaction(self):
        self.up()
        path = self.write("branch.yaml", BRANCH)
        self.assertIn("created", self.synk("apply", path).out)
        self.assertIn("unchanged", self.synk("apply", path).out)
        self.write("branch.yaml", BRANCH.replace("small]", "tiny]"))
        self.assertIn("changed", self.synk("apply", path).out)
        good = self.write("good.yaml", "workers: [{id: good, command: 'true'}]")
        bad = self.write("bad.yaml", "workers: [{id: bad, command: 'true', dependsOn: [bad]}]")
        self.synk("apply", good, bad, status=2)
        self.synk("show", "good", status=4)

    def test_bad_definitions_name_file_line_and_unit(self):
        cases = {
            "workers: [{id: a, command: 'true'}, {id: a, command: 'true'}]": "a",
            "processes: [{id: p, workers: [{id: a, command: x, dependsOn: [z]}]}]": "z",
            "processes: [{id: p, workers: [{id: a, command: x, dependsOn: [b]},"
            " {id: b, command: x, dependsOn: [a]}]}]": "a -> b -> a",
            "processes: [{id: p, workers: [{id: a, command: x}, {id: b, command: x,"
            " dependsOn: [{id: a, condition: 'result.n ='}]}]}]": "result.n =",
            "workers: [{id: a, command: 'true', maxRetries: lots}]": "maxRetries",
            "workers: [": "bad.yaml:",
        }
        for text, expected in cases.items():
            with self.subTest(text):
                path = self.write("bad.yaml", text)
                result = self.synk("plan", path, status=2)
                self.assertIn(expected, result.err)
                self.assertIn("bad.yaml:", result.err)

    def test_unknown_ids_and_functions(self):
        self.up()
        self.synk("run", "nobody", status=4)
        self.synk("show", "nobody#3", status=4)
        self.synk("cancel", "nobody#3", status=4)
        self.synk("frobnicate", status=2)
        path = self.write("nowhere.yaml", "workers: [{id: nowhere, run: nosuch.thing}]")
        self.synk("apply", path)
        run = self.synk("run", "nowhere", "--json").json()["run"]
        self.assertIn("nosuch.thing", self.synk("explain", run).out)
        self.synk("cancel", run)
        self.synk("wait", run, status=1)

    def test_what_this_version_does_not_do_is_refused(self):
        self.up()
        cases = {
            "runOnStart": "processes: [{id: p, workers: [{id: a, command: x, runOnStart: true}]}]",
            "intervalMs": "processes: [{id: p, workers: [{id: a, command: x, intervalMs: 5s}]}]",
        }
        for field, text in cases.items():
            with self.subTest(field):
                result = self.synk("apply", self.write("new.yaml", text), status=None)
                self.assertEqual(result.status, 2)
                self.assertIn(f"'{field}' is not for a worker inside a process", result.err)
                self.assertIn("new.yaml:1: ", result.err)
        self.assertEqual(self.synk("ls", "--json").lines(), [])

    def test_retry_keeps_successes(self):
        self.write("half.yaml", f"""
processes:
  - id: half
    workers:
      - {{id: one, command: 'echo one >> {self.path("ran")}'}}
      - {{id: two, command: 'echo two >> {self.path("ran")}; test -e {self.path("go")}', dependsOn: [one]}}
      - {{id: three, command: 'echo three >> {self.path("ran")}', dependsOn: [two]}}
""")
        self.up(self.path("half.yaml"))
        self.synk("run", "half", "--wait", status=1)
        self.write("go", "")
        self.synk("retry", "half#1")
        self.synk("wait", "half#1")
        self.assertEqual(self.read("ran").split(), ["one", "two", "two", "three"])
        tasks = self.synk("show", "half#1", "--attempts", "--json").json()["tasks"]
        attempts = {task["worker"]: task["attemptList"] for task in tasks}
        self.assertEqual([(one["attempt"], one["outcome"], one["exit"]) for one in attempts["two"]],
                         [(1, "failed", 1), (2, "succeeded", 0)])

    def test_cancel_reaches_a_grandchild_that_ignores_sigterm(self):
        self.write("deaf.yaml", f"""
workers:
  - id: deaf
    command: (trap '' TERM; echo $BASHPID > {self.path('pid')}; exec sleep 1000) & wait
    env: {{SHELL: /bin/sh}}
""".replace("$BASHPID", "$(sh -c 'echo $PPID')"))
        self.up(self.path("deaf.yaml"))
        run = self.synk("run", "deaf", "--json").json()["run"]
        pid = int(wait_until(lambda: os.path.exists(self.path("pid")) and self.read("pid"),
                             "the grandchild runs"))
        self.synk("cancel", run)
        self.synk("wait", run, status=1)
        self.assertFalse(alive(pid))

    def test_timeout_kills(self):
        path = self.write("slow.yaml", "workers: [{id: slow, command: sleep 1000, timeoutMs: 200}]")
        run = self.synk("run", "--local", path, "--json", status=1).json()
        self.assertEqual(run["tasks"][0]["state"], "timed-out")

    def test_logs_pause_and_events(self):
        self.write("talk.yaml", "workers: [{id: talk, command: 'echo to-out; echo to-err >&2'}]")
        self.up(self.path("talk.yaml"))
        self.synk("run", "talk", "--wait")
        log = self.synk("logs", "talk#1").out
        self.assertIn("to-out", log)
        self.assertIn("to-err", log)
        self.synk("pause", "talk")
        run = self.synk("run", "talk", "--json").json()["run"]
        self.assertIn("paused", self.synk("explain", run).out)
        self.kill_supervisor()
        self.up()
        self.assertIn("paused", self.synk("explain", run).out)
        self.synk("resume", "talk")
        self.synk("wait", run)
        numbers = [event["seq"] for event in self.events("--since", 0)]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))

    def test_pool_submission_counts_every_task(self):
        self.up()
        self.synk("pool", "submit", "sim.noop", "--count", 1000, "--wait")
        run = self.synk("show", "pool#1", "--json").json()
        self.assertEqual(len(run["tasks"]), 1000)
        self.assertEqual({task["state"] for task in run["tasks"]}, {"succeeded"})

    def test_backup_opens_as_a_state(self):
        path = self.write("branch.yaml", BRANCH)
        self.up(path)
        self.synk("run", "branch", "--wait")
        copy = self.path("copy.db")
        self.synk("backup", copy)
        self.synk("down")
        self.synk("up", "--detach", "--state", f"sqlite:{copy}")
        self.assertEqual(self.synk("show", "branch#1", "--json").json()["status"], "succeeded")

    def test_down_right_after_up_leaves_nothing(self):
        for _ in range(10):
            self.up()
            self.synk("down")
            self.assertEqual(self.processes(), [])

    def test_shutdown_lets_running_work_finish(self):
        self.write("slow.yaml", f"workers: [{{id: slow, command: 'echo > {self.path('on')};"
                                f" while [ ! -e {self.path('go')} ]; do sleep 0.02; done;"
                                f" echo done > {self.path('done')}'}}]")
        self.up(self.path("slow.yaml"))
        self.synk("run", "slow")
        wait_until(lambda: os.path.exists(self.path("on")), "the task runs")
        down = self.spawn("synk", "down")
        self.write("go", "")
        self.assertEqual(down.wait(harness.PATIENCE_S), 0)
        down.communicate()
        self.assertTrue(os.path.exists(self.path("done")))
        self.up()
        self.assertEqual(self.synk("show", "slow#1", "--json").json()["status"], "succeeded")

    def test_past_the_grace_tasks_go_back_and_run_at_the_next_start(self):
        self.write("slow.yaml", f"workers: [{{id: slow, command: 'echo x >> {self.path('on')};"
                                f" while [ ! -e {self.path('go')} ]; do sleep 0.02; done'}}]")
        self.up(self.path("slow.yaml"))
        self.synk("run", "slow")
        wait_until(lambda: os.path.exists(self.path("on")), "the task runs")
        self.synk("down", "--grace", "0")
        self.assertEqual(self.processes(), [])
        self.write("go", "")
        self.up()
        self.synk("wait", "slow#1")
        self.assertEqual(len(self.read("on").split()), 2)


if __name__ == "__main__":
    harness.main()
