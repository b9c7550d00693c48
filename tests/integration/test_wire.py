#!/usr/bin/env python3
"""The worker host in Python of examples/11-another-language does what proto/PROTOCOL.md asks of one, where
attempts end otherwise than well and where the host or the supervisor goes."""

import os
import shutil
import signal
import subprocess
import unittest

import harness
from harness import SOURCE, SynkTest, alive, wait_until

HOST = os.path.join(SOURCE, "examples", "11-another-language", "host.py")
# Debian's modules belong to Debian's Python, which need not be the one that runs this.
PYTHON = next((python for python in ("python3", "/usr/bin/python3") if shutil.which(python) and subprocess.run(
    [python, "-c", "import msgpack, zmq"], capture_output=True).returncode == 0), None)

WORK = """
workers:
  - {id: count, run: py.count, overlap: allow, timeoutMs: 0}
  - {id: short, run: py.count, payload: {steps: 1000}, timeoutMs: 300}
  - {id: wrong, run: py.reverse, payload: 7}
  - {id: twice, run: py.count, payload: {steps: 5}, maxRetries: 1, retryDelayMs: 1}
"""


@unittest.skipUnless(PYTHON, "no Python with pyzmq and msgpack: apt install python3-zmq python3-msgpack")
class Wire(SynkTest):
    def setUp(self):
        super().setUp()
        self.up(self.write("work.yaml", WORK))
        self.host = self.start_host()

    def start_host(self, *words):
        host = subprocess.Popen([PYTHON, "-B", HOST, "--slots", "1", *words], stdout=subprocess.PIPE, text=True,
                                env=dict(os.environ, SYNK_DIR=self.dir))
        self.addCleanup(host.communicate)
        self.addCleanup(host.kill)
        self.assertIn("welcomed", host.stdout.readline())
        # Up where it is told of after what the host had before.
        wait_until(lambda: any("py.count" in row["functions"] and row["pid"] == host.pid
                               for row in self.synk("ls", "hosts", "--json").lines()), "the host is there")
        return host

    def start(self, unit, *words):
        return self.synk("run", unit, *words).out.split()[0]

    def await_start(self, run):
        wait_until(lambda: self.events("--type", "start", "--run", run), f"{run} runs")

    def result(self, run):
        self.synk("wait", run, status=None)
        task = self.synk("show", run, "--attempts", "--json").json()["tasks"][0]
        return task["state"], [attempt["outcome"] for attempt in task["attemptList"]], task["error"] or task["result"]

    def functions(self):
        """The processes of attempts."""
        with open(f"/proc/{self.host.pid}/task/{self.host.pid}/children") as children:
            return [int(pid) for pid in children.read().split()]

    def test_what_goes_wrong_is_told_as_what_it_is(self):
        self.assertEqual(self.result(self.start("short"))[:2], ("timed-out", ["timed-out"]))
        self.assertEqual(self.result(self.start("wrong")),
                         ("failed", ["failed"], "TypeError: only a text can be turned round"))
        run = self.start("twice")
        self.await_start(run)
        os.kill(wait_until(self.functions, "its process is there")[0], signal.SIGKILL)
        self.assertEqual(self.result(run), ("succeeded", ["crashed", "succeeded"], 5))

    def test_a_host_that_leaves_ends_what_runs_and_gives_back_the_rest(self):
        runs = [self.start("count", "--params", '{"steps": 8}') for _ in range(2)]
        self.await_start(runs[0])
        self.host.send_signal(signal.SIGTERM)
        self.assertEqual(self.host.wait(harness.PATIENCE_S), 0)
        self.assertEqual(self.result(runs[0]), ("succeeded", ["succeeded"], 8))
        self.assertFalse(self.events("--type", "start", "--run", runs[1]))
        self.host = self.start_host()
        self.assertEqual(self.result(runs[1]), ("succeeded", ["succeeded"], 8))

    def test_results_of_while_no_supervisor_was_there_are_not_lost(self):
        runs = [self.start("count", "--params", '{"steps": 5}') for _ in range(2)]
        self.await_start(runs[0])
        first = wait_until(self.functions, "its process is there")[0]
        self.kill_supervisor()
        wait_until(lambda: not alive(first), "the first has ended, told to nobody")
        self.up()
        for run in runs:
            self.assertEqual(self.result(run), ("succeeded", ["succeeded"], 5))
        self.assertEqual(len(self.events("--type", "complete", "--unit", "count")), 2)

    def test_a_host_that_is_killed_takes_its_processes_along(self):
        run = self.start("twice")
        self.await_start(run)
        process = wait_until(self.functions, "its process is there")[0]
        self.host.kill()
        self.host.wait()
        wait_until(lambda: not alive(process), "its process has ended")
        self.synk("cancel", run)


if __name__ == "__main__":
    harness.main()
