#!/usr/bin/env python3
"""synk graph: rails, run modes, states of a run, what fits 80 columns, and DOT that Graphviz reads."""

import json
import shutil
import subprocess
import unittest

import harness
from harness import SynkTest

BRANCH = """
processes:
  - id: branch
    workers:
      - {id: Probe, command: 'echo "{\\"n\\": 42}"', output: json}
      - {id: Small, command: [echo, small], dependsOn: [{id: Probe, condition: result.n < 10}]}
      - {id: Large, command: "exit 3", dependsOn: [{id: Probe, condition: result.n >= 10}]}
      - {id: Join, command: "true", dependsOn: [{id: Small, on: notError}, {id: Large, on: notError}]}
"""
UTF8, ASCII = {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C"}


class Graph(SynkTest):
    def wide(self, name, width, depth=2):
        """`width` chains side by side that end in one worker."""
        workers = [{"id": f"w{i}-{level}", "run": "sim.noop",
                    **({"dependsOn": [f"w{i}-{level - 1}"]} if level else {})}
                   for level in range(depth) for i in range(width)]
        workers.append({"id": "end", "run": "sim.noop",
                        "dependsOn": [f"w{i}-{depth - 1}" for i in range(width)]})
        return self.write(name, json.dumps({"processes": [{"id": "wide", "workers": workers}]}))

    def test_a_file_needs_no_supervisor(self):
        path = self.write("branch.yaml", BRANCH)
        drawn = self.synk("graph", path, env=UTF8).out
        self.assertIn("branch  graph, 4 workers in 3 levels", drawn)
        self.assertRegex(drawn, r"├─╮ +if result\.n < 10\n│ ● +Small")
        self.assertRegex(drawn, r"├─╯ if Small: notError, Large: notError\n● +Join")
        plain = self.synk("graph", path, env=ASCII).out
        self.assertTrue(plain.isascii())
        self.assertRegex(plain, r"\+-\+ +if result\.n < 10\n\| o +Small")

    def test_a_run_shows_its_states(self):
        self.up(self.write("branch.yaml", BRANCH))
        self.synk("run", "branch", "--wait", status=1)
        drawn = self.synk("graph", "branch#last", env=UTF8).out
        self.assertRegex(drawn, r"branch#1  failed .*graph, 4 workers")
        for line in (r"✓ +Probe +succeeded", r"– +Small +skipped", r"✗ │ Large +failed",
                     r"– +Join +skipped"):
            self.assertRegex(drawn, line)
        self.assertNotIn("\033", drawn)
        self.assertRegex(self.synk("graph", "branch#1", env=ASCII).out, r"F \| Large +failed")
        steps = self.synk("graph", "branch#1", "--json").json()["steps"]
        self.assertEqual({step["worker"]: step["state"] for step in steps},
                         {"Probe": "succeeded", "Small": "skipped", "Large": "failed",
                          "Join": "skipped"})
        self.assertIn("● ", self.synk("graph", "branch", env=UTF8).out)
        self.synk("graph", "branch#7", status=4)
        self.synk("graph", "nobody", status=4)

    def test_run_modes_show_what_starts_together(self):
        workers = "[{id: a, run: sim.noop}, {id: b, run: sim.noop}, {id: c, run: sim.noop}]"
        path = self.write("modes.yaml", "processes:\n" + "".join(
            f"  - {{id: {mode}, runMode: {mode}, workers: {workers}}}\n"
            for mode in ("sequential", "isolated", "batched", "parallel")))
        drawn = self.synk("graph", path, env=UTF8).out
        self.assertEqual(drawn.count("↓"), 2 + 2 + 1 + 0)
        self.assertRegex(drawn, r"batched, 3 workers in 2 steps\n╭ ● a.*\n╰ ● b.*\n  ↓\n  ● c")
        self.assertRegex(drawn, r"parallel, 3 workers\n╭ ● a.*\n│ ● b.*\n╰ ● c")

    def test_fifty_workers_fit_80_columns_and_wider_graphs_are_listed_by_level(self):
        narrow = self.synk("graph", self.wide("narrow.json", 12, 4), env=UTF8).out
        self.assertIn("├─", narrow)
        self.assertLessEqual(max(map(len, narrow.splitlines())), 80)
        wide = self.synk("graph", self.wide("wide.json", 300), env=UTF8).out
        self.assertRegex(wide, r"level 0  300 workers\n")
        self.assertIn("and 100 more", wide)
        self.assertRegex(wide, r"level 2  1 worker\n  ● end\n")
        self.assertLessEqual(max(map(len, wide.splitlines())), 80)

    @unittest.skipUnless(shutil.which("dot"), "graphviz is not installed")
    def test_graphviz_renders_what_users_wrote(self):
        names = ['quo"te', "back\\slash \\N", "Ünïcode ✓", "<b>&amp;<i>", "a -> b; }"]
        workers = [{"id": name, "run": "sim.noop"} for name in names]
        workers.append({"id": "end", "run": "sim.noop", "dependsOn": [
            {"id": names[0], "condition": 'result == "x\\\\y"'}, {"id": names[1], "on": "any"},
            *names[2:]]})
        mode = {"id": 'mo"de', "runMode": "batched", "workers": workers[:-1]}
        path = self.write("odd.json", json.dumps(
            {"processes": [{"id": 'o"d\\d', "workers": workers}, mode]}))
        dot = self.synk("graph", path, "--dot").out
        done = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, text=True,
                              timeout=harness.PATIENCE_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.count("<svg"), 2)
        for shown in ("quo&quot;te", "back\\slash \\N", "Ünïcode ✓", "&lt;b&gt;&amp;amp;&lt;i&gt;",
                      "a &#45;&gt; b; }", "result == &quot;x\\\\y&quot;", ">any<"):
            self.assertIn(shown, done.stdout)
        self.assertEqual(done.stdout.count('class="edge"'), len(names) + 2)


if __name__ == "__main__":
    harness.main()
