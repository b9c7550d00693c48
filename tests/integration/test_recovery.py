#!/usr/bin/env python3
"""What survives: kill -9 of the supervisor, of the host, of everything at once."""

import collections
import json
import os
import random
import signal
import time

import harness
from harness import SynkTest, alive, wait_until


def exec_process(name, count, command):
    return json.dumps({"processes": [{"id": name, "runMode": "parallel", "workers": [
        {"id": f"w{i}", "command": command.replace("@", str(i))} for i in range(count)]}]})


class Recovery(SynkTest):
    def outcomes(self, run):
        tasks = self.synk("show", run, "--json").json()["tasks"]
        return collections.Counter(task["state"] for task in tasks)

    def test_ten_kills_of_the_supervisor_lose_and_repeat_nothing(self):
        lines = self.path("lines")
        self.write("many.json", exec_process(
            "many", 300, f"sleep 0.02; echo @ >> {lines}"))
        self.up(self.path("many.json"))
        run = self.synk("run", "many", "--json").json()["run"]
        chance = random.Random(7)
        for _ in range(10):
            time.sleep(chance.uniform(0.0, 0.25))  # a random moment, not synchronisation
            self.kill_supervisor()
            self.up()
        self.synk("wait", run)
        written = self.read("lines").split()
        self.assertEqual(len(written), 300)
        self.assertEqual(len(set(written)), 300)
        self.assertEqual(self.outcomes(run), {"succeeded": 300})
        shown = self.synk("show", run, "--json").json()
        self.assertEqual({task["attempts"] for task in shown["tasks"]}, {1})
        ends = collections.Counter(event["worker"] for event in self.events("--type", "complete")
                                   if event.get("run") == run and event.get("worker"))
        self.assertEqual(len(ends), 300)
        self.assertEqual(set(ends.values()), {1})

    def test_up_right_after_a_kill_starts_another(self):
        self.write("w.yaml", "workers: [{id: w, command: 'true'}]\n")
        self.up(self.path("w.yaml"))
        for _ in range(10):
            killed = self.supervisor_pid()
            os.kill(killed, signal.SIGKILL)  # it still holds its directory for a moment
            self.synk("up", "--detach", self.path("w.yaml"))
            self.assertNotEqual(self.supervisor_pid(), killed)
        self.synk("run", "w", "--wait")

    def test_a_running_task_is_adopted(self):
        self.write("long.yaml", f"""
workers:
  - id: long
    command: echo $$ >> {self.path('pids')}; while [ ! -e {self.path('go')} ]; do sleep 0.05; done
""")
        self.up(self.path("long.yaml"))
        run = self.synk("run", "long", "--json").json()["run"]
        wait_until(lambda: os.path.exists(self.path("pids")), "the task runs")
        hosts = set(self.host_pids())
        self.kill_supervisor()
        self.up()
        self.assertEqual(set(self.host_pids()), hosts, "a second set of hosts was started")
        self.write("go", "")
        self.synk("wait", run)
        self.assertEqual(len(self.read("pids").split()), 1, "the task ran more than once")

    def test_a_result_that_came_while_the_supervisor_was_dead_is_kept(self):
        self.write("one.yaml", f"""
workers:
  - id: one
    command: echo x >> {self.path('began')}; while [ ! -e {self.path('go')} ]; do sleep 0.02; done; echo done >> {self.path('ended')}
""")
        self.up(self.path("one.yaml"))
        run = self.synk("run", "one", "--json").json()["run"]
        wait_until(lambda: os.path.exists(self.path("began")), "the task runs")
        self.kill_supervisor()
        self.write("go", "")
        wait_until(lambda: os.path.exists(self.path("ended")), "the task ended")
        self.up()
        self.synk("wait", run)
        self.assertEqual(len(self.read("began").split()), 1)

    def test_everything_killed_at_once_runs_the_unfinished_again_and_the_finished_not(self):
        self.write("mix.json", json.dumps({"processes": [{"id": "mix", "workers": [
            {"id": "first", "command": f"echo first >> {self.path('ran')}"},
            {"id": "second", "dependsOn": ["first"],
             "command": f"echo second >> {self.path('ran')}; "
                        f"while [ ! -e {self.path('go')} ]; do sleep 0.05; done"},
            {"id": "third", "dependsOn": ["second"], "command": f"echo third >> {self.path('ran')}"},
        ]}]}))
        self.up(self.path("mix.json"))
        run = self.synk("run", "mix", "--json").json()["run"]
        wait_until(lambda: os.path.exists(self.path("ran")) and "second" in self.read("ran"),
                   "the second task runs")
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not self.processes(), "everything is dead")
        self.write("go", "")
        self.up()
        self.synk("wait", run)
        ran = collections.Counter(self.read("ran").split())
        self.assertEqual(ran, {"first": 1, "second": 2, "third": 1})

    def test_a_killed_host_is_back_and_its_task_runs_again(self):
        self.write("long.yaml", f"""
workers:
  - id: long
    command: echo $$ >> {self.path('pids')}; while [ ! -e {self.path('go')} ]; do sleep 0.05; done
""")
        self.up(self.path("long.yaml"), slots=1)
        run = self.synk("run", "long", "--json").json()["run"]
        first = int(wait_until(lambda: os.path.exists(self.path("pids")) and self.read("pids"),
                               "the task runs"))
        with open(os.path.join(self.dir, "hosts/local/host.lock")) as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)
        wait_until(lambda: len(self.read("pids").split()) == 2, "the task runs again")
        self.assertFalse(alive(first), "the first attempt is still alive")
        self.write("go", "")
        self.synk("wait", run)

    def test_a_task_that_kills_its_host_each_time_is_quarantined(self):
        self.write("killer.yaml", f"""
workers:
  - id: killer
    command: echo x >> {self.path('ran')}; kill -9 $(head -n 1 {self.dir}/hosts/local/host.lock); sleep 60
""")
        self.up(self.path("killer.yaml"), slots=2)
        run = self.synk("run", "killer", "--json").json()["run"]
        self.synk("wait", run, status=None)
        self.assertEqual(self.outcomes(run), {"quarantined": 1})
        self.assertEqual(len(self.read("ran").split()), 3)

    def test_a_crashing_plugin_is_quarantined_and_can_be_retried(self):
        self.write("crash.yaml", "workers:\n  - {id: crash, run: sim.crash}\n")
        self.up(self.path("crash.yaml"), slots=1)
        self.synk("run", "crash", "--wait", status=1)
        task = self.synk("show", "crash#1", "--json", "--attempts").json()["tasks"][0]
        self.assertEqual(task["state"], "quarantined")
        self.assertEqual(task["attempts"], 3)
        self.assertTrue(all(a["signal"] for a in task["attemptList"]), task)
        self.synk("retry", "crash#1")
        self.synk("wait", "crash#1", status=1)


if __name__ == "__main__":
    harness.main()
