#!/usr/bin/env python3
"""Worker hosts on other machines: cables that are pulled, hosts that die, work that is drained."""

import collections
import json
import os
import re
import shutil
import signal
import subprocess
import time

import harness
from harness import SynkTest, wait_until
from machines import Cluster, Network


def executions(path):
    """(worker, attempt, host) of every execution that began."""
    try:
        with open(path) as f:
            return [tuple(line.split()) for line in f if line.count(" ") == 2]
    except FileNotFoundError:
        return []


class Machines(SynkTest):
    def cluster(self, *hosts, **options):
        cluster = Cluster(self, **options)
        cluster.start_supervisor()
        for name in hosts:
            cluster.start_host(name, "--tag", name)
        for name in hosts:
            cluster.wait_for(name, "up")
        return cluster

    def end(self, cluster):
        """Everything leaves in order, so that sanitizers have their say."""
        for name, process in cluster.hosts.items():
            process.terminate()
        for name, process in cluster.hosts.items():
            self.assertEqual(process.wait(harness.PATIENCE_S), 0, self.read(f"host-{name}.log"))
        cluster.synk("down")
        self.assertEqual(cluster.supervisor.wait(harness.PATIENCE_S), 0)
        logs = cluster.log() + "".join(self.read(f"host-{name}.log") for name in cluster.hosts)
        for mark in ("Sanitizer", "runtime error", "assertion"):
            self.assertNotIn(mark, logs)

    def test_cable_kill_and_drain_under_load(self):
        cluster = self.cluster("a", "b", "c")
        ran = self.path("ran")
        command = f'echo "$SYNK_WORKER $SYNK_ATTEMPT $SYNK_TEST_HOST" >> {ran}; sleep 0.05'
        self.write("many.json", json.dumps({"processes": [{
            "id": "many", "runMode": "parallel",
            "workers": [{"id": f"w{i}", "command": command} for i in range(500)]}]}))
        cluster.synk("apply", self.path("many.json"))
        began = time.monotonic()
        run = cluster.synk("run", "many", "--json").json()["run"]
        pool = cluster.synk("pool", "submit", "sim.noop", "--count", 1500, "--json").json()["run"]

        def busy(name):
            wait_until(lambda: any(host == name for _, _, host in executions(ran)),
                       f"{name} has work")

        busy("a")
        cluster.network.machines["a"].pull_cable()
        cluster.wait_for("a", "lost")
        cluster.network.machines["a"].put_cable_back()
        busy("b")
        cluster.hosts["b"].kill()
        cluster.hosts["b"].wait()
        cluster.start_host("b", "--tag", "b")
        busy("c")
        cluster.synk("drain", "c", "--wait")
        drained_at = len(executions(ran))
        self.assertEqual(cluster.host_states()["c"], "drained")
        cluster.wait_for("a", "up")
        cluster.wait_for("b", "up")
        cluster.synk("wait", run)
        cluster.synk("wait", pool)
        took = time.monotonic() - began
        self.assertNotIn("c", {host for _, _, host in executions(ran)[drained_at:]})
        cluster.synk("drain", "c", "--undo")
        self.assertEqual(cluster.host_states()["c"], "up")

        for name, count in ((run, 500), (pool, 1500)):
            tasks = cluster.synk("show", name, "--json").json()["tasks"]
            states = collections.Counter(task["state"] for task in tasks)
            self.assertEqual(states, {"succeeded": count})
        ends = collections.Counter((event["run"], event["worker"])
                                   for event in cluster.synk("events", "--type", "complete",
                                                             "--json").lines()
                                   if event.get("worker") and event.get("run") in (run, pool))
        self.assertEqual(len(ends), 2000)
        self.assertEqual(set(ends.values()), {1}, "an outcome was told twice")
        again = collections.defaultdict(list)
        for worker, attempt, host in executions(ran):
            again[worker].append((int(attempt), host))
        self.assertEqual(len(again), 500)
        repeated = {worker: tries for worker, tries in again.items() if len(tries) > 1}
        for worker, tries in repeated.items():
            # All but the last were on a host that was lost.
            self.assertTrue({host for _, host in sorted(tries)[:-1]} <= {"a", "b"}, (worker, tries))
        self.assertTrue(repeated, "nothing was lost: the test shows nothing")
        self.assertLess(len(repeated), 20)
        numbers = [event["seq"] for event in cluster.synk("events", "--json").lines()]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
        print(f"2000 tasks in {took:.1f} s: 2000 outcomes, {len(repeated)} executed again, all of "
              f"them lost with host a or b; {len(numbers)} events without a gap")
        self.end(cluster)

    def gated(self, name):
        """A worker that waits for a file, and tells when it begins and when it ends."""
        return {"id": name, "command":
                f'echo "$SYNK_WORKER $SYNK_ATTEMPT $SYNK_TEST_HOST" >> {self.path("ran")}; '
                f'while [ ! -e {self.path("go-")}$SYNK_TEST_HOST ]; do sleep 0.02; done; '
                f'echo "$SYNK_TEST_HOST" >> {self.path("ended")}'}

    def test_what_a_cut_off_host_finishes_counts_where_it_is_back_in_time(self):
        cluster = self.cluster("a", lost_ms=12000)
        self.write("w.json", json.dumps({"workers": [self.gated("w")]}))
        cluster.synk("apply", self.path("w.json"))
        run = cluster.synk("run", "w", "--json").json()["run"]
        wait_until(lambda: executions(self.path("ran")), "the task runs")
        cluster.network.machines["a"].pull_cable()
        self.write("go-a", "")
        wait_until(lambda: os.path.exists(self.path("ended")), "the task has ended")
        cluster.wait_for("a", "suspect")
        cluster.network.machines["a"].put_cable_back()
        cluster.synk("wait", run)
        self.assertEqual(executions(self.path("ran")), [("w", "1", "a")])
        self.end(cluster)

    def test_what_a_lost_host_still_runs_is_ended_when_it_is_back(self):
        cluster = self.cluster("a")
        self.write("w.json", json.dumps({"workers": [self.gated("w")]}))
        cluster.synk("apply", self.path("w.json"))
        run = cluster.synk("run", "w", "--json").json()["run"]
        wait_until(lambda: executions(self.path("ran")), "the task runs")
        cluster.network.machines["a"].pull_cable()
        cluster.wait_for("a", "lost")
        self.write("go-b", "")
        cluster.start_host("b")
        cluster.synk("wait", run)
        shown = cluster.synk("show", run, "--attempts", "--json").json()["tasks"][0]
        self.assertEqual([(tried["host"], tried["outcome"]) for tried in shown["attemptList"]],
                         [("a", "lost"), ("b", "succeeded")])
        cluster.network.machines["a"].put_cable_back()
        cluster.wait_for("a", "up")
        # Its command never sees its file: it is killed, and a has its slots for other work.
        wait_until(lambda: not [pid for pid in self.processes() if self.program(pid) in
                                ("dash", "sh", "bash", "sleep")], "the old attempt has ended")
        self.assertEqual(self.read("ended").split(), ["b"])
        self.end(cluster)

    def test_a_follower_whose_cable_is_pulled_sees_every_event_once(self):
        cluster = self.cluster("a")
        self.write("w.json", json.dumps({"workers": [{"id": "w", "command": "true"}]}))
        cluster.synk("apply", self.path("w.json"))
        home = cluster.network.machine("home")
        follower = cluster.popen(home, "synk", "--connect", cluster.connect, "events", "--follow",
                                 "--since", 0, "--json", log="followed")

        def followed():
            return [json.loads(line)["seq"] for line in self.read("followed").splitlines()
                    if line.startswith("{") and line.endswith("}")]

        def head():
            return cluster.synk("events", "--json").lines()[-1]["seq"]

        cluster.synk("run", "w", "--wait")
        last = head()
        wait_until(lambda: last in followed(), "the follower is there")
        home.pull_cable()
        for _ in range(3):
            cluster.synk("run", "w", "--wait")
        last = head()
        self.assertNotIn(last, followed())
        home.put_cable_back()
        wait_until(lambda: last in followed(), "the follower has caught up")
        self.assertEqual(followed(), list(range(1, len(followed()) + 1)))
        follower.send_signal(signal.SIGINT)
        follower.wait(harness.PATIENCE_S)
        self.end(cluster)


class Deployment(SynkTest):
    """docs/deployment.md, each command on the machine that it is for."""

    BLOCKS = re.compile(r"<!-- on: (\w+)(, background)? -->\n```console\n(.*?)```"
                        r"|```yaml\n# (\S+)\n(.*?)```", re.S)

    def setUp(self):
        super().setUp()
        self.network = Network(self)
        self.background = {}

    def home(self, name):
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        return path

    def bring_keys(self):
        """What the page leaves to scp."""
        for file in os.listdir(self.home("center")):
            for name in ("render1", "render2", "desk"):
                if file.endswith((".key", ".pub")):
                    shutil.copy(os.path.join(self.home("center"), file), self.home(name))

    def run_on(self, name, script, background):
        # The page speaks to people; here it is root who does it.
        script = script.replace("synk-worker-host ", "synk-worker-host --user root ")
        machine = self.network.machines[name]
        # Everybody has a directory, as every machine has; a desk is told nothing else.
        environment = dict(os.environ, PATH=f"{harness.BIN}:{os.environ['PATH']}",
                           SYNK_DIR=os.path.join(self.home(name), "synk"))
        words = ["ip", "netns", "exec", machine.space, "bash", "-ec", script]
        if background:
            with open(self.path(f"{name}.log"), "ab") as log:
                self.background[name] = subprocess.Popen(
                    words[:-2] + ["-c", f"exec {script}"], env=environment, cwd=self.home(name),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_until(lambda: "event=started" in self.read(f"{name}.log"), f"{name} has started")
            return
        done = subprocess.run(words, env=environment, cwd=self.home(name), text=True, timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual(done.returncode, 0, f"{name}: {script}\n{done.stdout}\n{done.stderr}")

    def test_every_command_of_the_page(self):
        with open(os.path.join(harness.SOURCE, "docs/deployment.md")) as f:
            page = f.read()
        for name in ("center", "render1", "render2", "desk", "single"):
            self.assertEqual(self.network.machine(name).name, name)
        ran, script = collections.Counter(), {}
        for on, background, body, file, content in self.BLOCKS.findall(page):
            if file:
                for name in ("desk", "single"):
                    with open(os.path.join(self.home(name), file), "w") as f:
                        f.write(content)
                continue
            commands = re.findall(r"^\$ (.*)$", body, re.M)
            # What a block exports is there in the next ones of that machine.
            exports = script.setdefault(on, [])
            exports += [command for command in commands if command.startswith("export ")]
            self.run_on(on, "\n".join([*exports, *commands]), background)
            if on == "center":
                self.bring_keys()
            ran[on] += len(commands)
        self.assertEqual(self.background["render2"].wait(harness.PATIENCE_S), 0)
        self.assertIsNone(self.background["render1"].poll())
        self.background["render1"].terminate()
        self.assertEqual(self.background["render1"].wait(harness.PATIENCE_S), 0)
        self.assertEqual(set(ran), set(self.network.machines))
        print(f"{sum(ran.values())} commands on {len(ran)} machines")


if __name__ == "__main__":
    harness.main()
