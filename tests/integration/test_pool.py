#!/usr/bin/env python3
"""The pool, with real processes: tasks by the thousand from lines of a file, names, pauses, changes,
the order, and hosts that are resized while they run."""

import os
import subprocess
import time

import harness
from harness import BIN, wait_until
from test_workflows import Workflow


class Pool(Workflow):
    def pool(self, *words, **options):
        return self.synk("pool", *words, **options)

    def submit(self, *words):
        return self.pool("submit", "--json", *words).json()["run"]

    def submissions(self):
        return {row["run"]: row for row in self.synk("ls", "pool", "--json").lines()}

    def waits(self):
        return ["sh", "-c", f"until test -e {self.path('go')}; do sleep 0.02; done"]

    def slots(self):
        return self.synk("ls", "slots", "--json").lines()

    def is_busy(self):
        slots = self.slots()
        return slots and not slots[0]["isIdle"]

    def test_a_task_for_each_line_of_a_file(self):
        self.up(slots=2)
        path = self.write("names", "one\n\ntwo words\n$(three) 'x'\n")
        run = self.submit("--each-line", path, "--wait", "--", "sh", "-c",
                          f'echo "<$1>" >> {self.path("said")}', "_", "{}!")
        self.assertEqual(sorted(self.read("said").splitlines()),
                         sorted(["<one!>", "<two words!>", "<$(three) 'x'!>"]))
        self.assertEqual(self.show(run)["status"], "succeeded")

    def test_lines_from_standard_input_are_params_of_a_function(self):
        self.up(slots=2)
        path = self.write("lines.jsonl", '{"n": 1}\n[2]\n')
        self.submit("exec", "--payload", '{"command": ["cat", "/dev/null"]}', "--each-line", path,
                    "--json-lines", "--wait")
        echo = ["sh", "-c", f'cat "$SYNK_INPUT" >> {self.path("inputs")}; echo >> {self.path("inputs")}']
        environment = dict(os.environ, SYNK_DIR=self.dir)
        for words, text in ((["--json-lines"], '{"n": 1}\n'), ([], "plain\n")):
            subprocess.run([os.path.join(BIN, "synk"), "pool", "submit", "--each-line", "-", *words,
                            "--wait", "--", *echo], input=text, text=True, check=True,
                           env=environment, cwd=self.root, stdout=subprocess.DEVNULL)
        inputs = self.read("inputs")
        self.assertIn('"params":{"n":1}', inputs.replace(" ", ""))
        self.assertIn('"params":"plain"', inputs.replace(" ", ""))

    def test_bad_lines_and_bad_words_are_refused(self):
        self.up()
        cases = [
            (["submit"], "a function is missing"),
            (["submit", "nodot"], "is not a function"),
            (["submit", "sim.noop", "--", "true"], "not both"),
            (["submit", "sim.noop", "--each-line", "/nowhere"], "cannot open /nowhere"),
            (["submit", "sim.noop", "--each-line", self.write("empty", "\n\n")], "no line"),
            (["submit", "sim.noop", "--json-lines", "--each-line", self.write("bad", "1\n{\n")],
             "bad:2: not JSON"),
            (["submit", "sim.noop", "--uses", "db=0"], "LIMIT=AMOUNT"),
            (["submit", "sim.noop", "--uses", "db"], "there is no limit 'db'"),
            (["sbmit", "sim.noop"], "did you mean 'submit'"),
            (["resize", "0"], "number of slots"),
            (["resize", "5000"], "from 1 to 1024"),
            (["update", "pool#1"], "nothing to change"),
        ]
        for words, text in cases:
            with self.subTest(words):
                self.assertIn(text, self.pool(*words, status=2).err)
        self.assertIn("no host 'far'", self.pool("resize", "2", "--host", "far", status=4).err)

    def test_three_hundred_thousand_lines(self):
        self.up(slots=2)
        path = self.path("many")
        with open(path, "w") as f:
            f.writelines(f"line {i}\n" for i in range(300000))
        began = time.monotonic()
        run = self.submit("sim.noop", "--each-line", path, "--paused", "--name", "many")
        took = time.monotonic() - began
        row = self.submissions()[run]
        self.assertEqual((row["taskCount"], row["name"], row["paused"]), (300000, "many", True))
        self.assertLess(took, 30)  # a second or two without sanitizers
        self.kill_supervisor()
        self.up()
        self.assertEqual(self.submissions()[run]["taskCount"], 300000)
        order = self.pool("order", "--limit", 3, "--json").json()["items"]
        self.assertEqual([item["worker"] for item in order], ["0", "1", "2"])
        self.pool("cancel", "many")

    def test_names_pauses_changes_and_the_order(self):
        self.up(slots=1)
        self.pool("add", "first", "--", *self.waits())
        wait_until(self.is_busy, "the first has the slot")
        self.pool("add", "second", "--", "true")
        self.assertIn("called 'second' already", self.pool("add", "second", "sim.noop", status=4).err)
        self.pool("submit", "--name", "third", "--", "true")

        def order():
            return [item["name"] for item in self.pool("order", "--json").json()["items"]]

        self.assertEqual(order(), ["second", "third"])
        self.pool("update", "third", "--priority", "5")
        self.assertEqual(order(), ["third", "second"])
        self.assertIn("begun", self.pool("update", "first", "--priority", "5", status=4).err)
        self.assertIn("paused  third", self.pool("pause", "third").out)
        self.assertIn("behind pool#3, which is paused", self.pool("order").out)
        self.assertIn("held", self.synk("ls", "pool").out)
        self.assertEqual(self.show("first")["run"], "pool#1")
        self.write("go", "")
        self.synk("wait", "pool#1", status=0)
        self.assertEqual(self.show("pool#2")["tasks"][0]["state"], "ready")
        self.assertIn("which is before it, is paused", self.synk("explain", "pool#2").out)
        self.pool("resume", "third")
        self.synk("wait", "pool#2")
        self.synk("wait", "pool#3")
        self.pool("stop")
        run = self.submit("--", "true")
        self.assertEqual(self.show(run)["status"], "queued")
        self.pool("start")
        self.synk("wait", run)

    def test_options_of_submissions(self):
        self.up(slots=2)
        self.synk("apply", self.write("l.yaml", "limits: {db: 1}\n"))
        run = self.submit("--retries", 2, "--no-retry-exit", "3", "--", "sh", "-c", "exit 3")
        self.synk("wait", run, status=1)
        self.assertEqual(self.show(run)["tasks"][0]["attempts"], 1)
        held = self.submit("--uses", "db", "--", *self.waits())
        wait_until(lambda: self.show(held)["tasks"][0]["state"] == "running", "it runs")
        late = self.submit("--uses", "db=1", "--", "true")
        self.assertIn("waits for limit 'db'", self.synk("explain", late).out)
        far = self.submit("--requires", "gpu", "--", "true")
        self.assertIn("gpu", self.synk("explain", far).out)
        self.assertIn("0: cancelled", self.synk("cancel", far, "0").out)
        self.assertEqual(self.show(far)["status"], "cancelled")
        self.write("go", "")
        self.synk("wait", late)

    def test_one_task_is_cancelled_and_the_run_goes_on(self):
        self.start([{"id": "p", "runMode": "parallel", "workers": [
            {"id": "long", "command": "sleep 60"}, {"id": "short", "command": self.waits()}]}])
        run = self.begin("p")
        wait_until(lambda: self.states(run) == {"long": "running", "short": "running"}, "both run")
        self.assertIn("is being cancelled", self.synk("cancel", run, "long").out)
        wait_until(lambda: self.states(run)["long"] == "cancelled", "it has ended")
        self.assertEqual(self.states(run)["short"], "running")
        self.write("go", "")
        self.assertEqual(self.end(run, "cancelled")["short"]["state"], "succeeded")

    def test_a_runs_own_priority(self):
        self.start(workers=[{"id": "w", "overlap": "allow", "command": "true"}], slots=1)
        self.pool("add", "busy", "--", *self.waits())
        wait_until(self.is_busy, "the slot is taken")
        self.begin("w")
        urgent = self.synk("run", "w", "--priority", "9", "--json").json()["run"]
        self.write("go", "")
        self.synk("wait", "w#1")
        self.synk("wait", urgent)
        starts = [self.show(run)["tasks"][0]["startedAt"] for run in ("w#1", urgent)]
        self.assertLessEqual(starts[1], starts[0])

    def test_a_host_is_resized_while_it_runs(self):
        self.up(slots=1)
        run = self.submit("--count", 4, "--", *self.waits())

        def running():
            return sum(task["state"] == "running" for task in self.show(run)["tasks"])

        wait_until(lambda: running() == 1, "one runs")
        self.assertIn("local: 3 slots", self.pool("resize", 3).out)
        wait_until(lambda: running() == 3, "three run")
        self.pool("resize", 1)
        self.assertEqual(running(), 3)  # they may end
        self.kill_supervisor()
        self.up()  # with one slot at first, but the host is the one of before

        def host():
            hosts = self.synk("ls", "hosts", "--json").lines()
            return hosts and hosts[0]["state"] == "up" and hosts[0]["slots"]

        self.assertEqual(wait_until(host, "the host is back"), 1)
        self.write("go", "")
        self.synk("wait", run)
        runners = lambda: len(self.host_pids()) - 1
        wait_until(lambda: runners() == 1, "the other runners are gone")
        self.pool("resize", 2)
        wait_until(lambda: runners() == 2, "one came back")
        self.synk("wait", self.submit("--count", 10, "--", "true"))


if __name__ == "__main__":
    harness.main()
