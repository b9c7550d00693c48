#!/usr/bin/env python3
"""Each folder of examples/ runs from anywhere, says what it is meant to show, and leaves nothing behind; and
its C sources need an installed copy and nothing else of the tree."""

import os
import re
import shutil
import signal
import subprocess
import unittest

import harness
from harness import BIN, SOURCE, SynkTest, wait_until

EXAMPLES = os.path.join(SOURCE, "examples")
# Debian's modules belong to Debian's Python, which need not be the one that runs this.
HAS_ZMQ = any(subprocess.run([python, "-c", "import msgpack, zmq"], capture_output=True).returncode == 0
              for python in ("python3", "/usr/bin/python3") if shutil.which(python))
BUILT = os.path.join(os.path.dirname(BIN), "examples")
FOLDERS = sorted(name for name in os.listdir(EXAMPLES) if re.match(r"\d\d-", name))


class Example(SynkTest):
    def start(self, folder):
        """The example, working in this test's directory: what it leaves there is found."""
        environment = dict(os.environ, SYNK_BIN=BIN, TMPDIR=self.root, LC_ALL="C.UTF-8")
        environment.pop("SYNK_DIR", None)
        return subprocess.Popen([os.path.join(EXAMPLES, folder, "run")], cwd="/", env=environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def assert_nothing_is_left(self):
        wait_until(lambda: not self.processes(), "no process of the example is left")
        self.assertEqual(os.listdir(self.root), [])


@unittest.skipUnless(os.path.isdir(BUILT), "built without SYNK_EXAMPLES")
class Examples(Example):
    def run_example(self, folder):
        process = self.start(folder)
        out, _ = process.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual(process.returncode, 0, out)
        for mark in ("Sanitizer", "runtime error", "Traceback", "ssertion"):
            self.assertNotIn(mark, out)
        self.assert_nothing_is_left()
        return out

    def assert_in_order(self, out, *parts):
        at = 0
        for part in parts:
            found = out.find(part, at)
            self.assertGreaterEqual(found, 0, f"'{part}' is not in its place in\n{out}")
            at = found + len(part)

    def test_01_basic_worker(self):
        out = self.run_example("01-basic-worker")
        self.assertEqual(len(re.findall(r"^Hello, world\. It is [\d:.]{12}\.$", out, re.M)), 4, out)
        self.assertRegex(out, r"succeeded +hello#3 .* schedule")
        self.assertRegex(out, r"succeeded +hello#1 .* start")
        self.assertIn("hello (disabled: maxRuns reached)", out)
        self.assert_in_order(out, "hello#4 succeeded", "complete   hello#1  hello")

    def test_02_run_tasks(self):
        out = self.run_example("02-run-tasks")
        self.assertRegex(out, r"3 of 4: south\.csv  imported after [3-9] tries")
        self.assertIn("4 of 4: west.csv   failed after 9 tries: a line is not", out)
        for line in ('"totalTasks": 4', '"successful": 3', '"failed": 1', '"successPercentage": 75.0',
                     '"cents": 2385', '"west.csv": "a line is not `what,cents`"'):
            self.assertIn(line, out)

    def test_03_physics(self):
        out = self.run_example("03-physics")
        self.assert_in_order(out, "planets  sequential", "✓ Setup", "✓ Coarse", "✓ Fine", "✓ Check", "✓ Report",
                             "planets#1 succeeded", "the years of Earth, Jupiter, Saturn: 1.000 11.8")
        ratio = float(re.search(r"half the step, 1/([\d.]+) of the error", out)[1])
        self.assertAlmostEqual(ratio, 4, delta=0.2)

    def test_04_resilient_scraper(self):
        out = self.run_example("04-resilient-scraper")
        for line in (r"Weather +1 +\d+  All about weather", r"Prices +3 +\d+  All about prices",
                     r"News +2 +\d+  All about news", r"Archive +2 +\d+  All about archive",
                     r"Removed +- +-  could not be fetched", "4 of 5 pages", "timed out after 2000 ms",
                     "HTTP Error 503", r"scrape#1 failed in .* 5 succeeded, 1 failed", r"running .* \d+% done"):
            self.assertRegex(out, line)
        self.assertNotIn("2. failed", out.split("✗ Removed")[-1])

    def test_05_multi_stage_pipeline(self):
        out = self.run_example("05-multi-stage-pipeline")
        told = [line.split()[2:] for line in out.splitlines() if re.match(r" *\d+ ms  ", line)]

        def of(stage):
            return [line[-1] for line in told if line[0] == stage + "#1" and line[1][0].isupper()]

        self.assertEqual(of("collect")[:4], ["starts"] * 4)
        self.assertEqual(of("crunch"), ["starts", "starts", "done", "done"] * 2)
        self.assertEqual(of("publish"), ["starts", "done"] * 4)
        self.assertRegex(out, r"publish#1 .* milestone")
        self.assertRegex(out, r"crunch#1 .* hook:collect#1")
        for name in ("east.log.gz", "errors.txt", "north.log.gz", "south.log.gz", "west.log.gz"):
            self.assertIn(f"{name}: OK", out)

    def test_06_health_monitor(self):
        out = self.run_example("06-health-monitor")
        journal = out[out.index("The journal has changes"):out.index("The runs have")]
        for unit, error in (("mail", "does not answer"), ("shop", "timed out after 2000 ms")):
            lines = [line for line in journal.splitlines() if line.startswith(unit)]
            self.assertEqual([line.split()[1] for line in lines], ["succeeded", "failed", "succeeded"], out)
            self.assertIn(error, lines[1])
        self.assertRegex(out, r"error +worker .* mail")
        ports = re.findall(r"^MAIL=\S+:(\d+)$", out, re.M)
        self.assertEqual((len(ports), len(set(ports))), (2, 2))

    def test_07_dynamic_health_monitor(self):
        out = self.run_example("07-dynamic-health-monitor")
        self.assert_in_order(
            out, "mail: it answers 503", "pool#1: 6 services checked, 1 down", "pool#4: 6 services checked, 0 down",
            "chat: Connection refused", "8 services checked, 1 down", "7 services checked, 0 down",
            "pool#1  ✗ failed", "health:down", '"service":"mail"', "paused  pool", "PRIORITY", "urgent  0",
            "checks  0", "local: 1 slot")
        ends = dict(reversed(pair) for pair in re.findall(r"^(succeeded) +(pool#\d+)", out, re.M)[-3:])
        self.assertEqual(len(ends), 3, out)

    def test_08_status_tracker(self):
        out = self.run_example("08-status-tracker")
        told = [line.split(None, 2)[1:] for line in out.splitlines() if line.startswith("tracker: ")]
        self.assertEqual([what for unit, what in told if unit == "backup"], [
            "created", 'status-change: "idle" -> "running"', 'status-change: "running" -> "error"',
            'status-change: "error" -> "idle"', 'status-change: "idle" -> "running"',
            'status-change: "running" -> "completed"', 'config-change: {"maxRetries":0} -> {"maxRetries":2}',
            'status-change: "completed" -> "paused"'])
        self.assert_in_order(out, "backup#1  failed", "backup#2  succeeded", "$ ls vault", "data.txt", "the vault is slow today")

    def test_09_dependency_graph(self):
        out = self.run_example("09-dependency-graph")
        self.assert_in_order(
            out, "release  graph", "if result.bytes < 1000", "condition 'result.bytes >= 1000' of Measure was false",
            "Publish              failed", "7 succeeded, 1 failed, 2 skipped", "– Announce  skipped",
            "✗     Publish", "the release has not come through", "✓ Publish ", "9 succeeded, 1 skipped",
            "hello is out", "hello.tar.gz")
        self.assertEqual(re.findall(r"^✓ (\S+) +succeeded +↻2", out, re.M), ["Publish"])

    def test_10_persistent_engine(self):
        out = self.run_example("10-persistent-engine")
        self.assert_in_order(out, "A2 begins", "$ kill -9", "(exit status 3)", "A2 ended", "$ synk up",
                             "A3 begins", "night#1 succeeded: 6 steps, each with one end", "without a gap")
        ledger = out[out.index("$ sort ledger.txt"):].splitlines()[1:13]
        self.assertEqual(ledger, [f"{chain}{n} {what}" for chain in "AB" for n in "123"
                                  for what in ("began", "ended")])
        shown = out[out.index("$ synk show night#1"):out.index("$ synk ls\n")]
        self.assertEqual(shown.count("    1. succeeded"), 6)
        self.assertNotIn("    2. ", shown)
        self.assertRegex(out, r"paused +worker .* weekly")
        self.assert_in_order(out, "$ synk down", "night#2 succeeded")

    @unittest.skipUnless(HAS_ZMQ, "no Python with pyzmq and msgpack: apt install python3-zmq python3-msgpack")
    def test_11_another_language(self):
        out = self.run_example("11-another-language")
        self.assert_in_order(
            out, "connected to synkd", "started words#1", "start words#1 there", "start words#1 count", "host python up",
            "milestone words#1 count counted {'steps': 15}", "complete words#1 shout", "run words#1 succeeded",
            "0 gaps told, 0 missing; epoch 2", "there    succeeded  Synchronik", "back     succeeded  kinorhcnyS",
            "welcomed, epoch 1, 0 in hand", "welcomed, epoch 2, 1 in hand", "events 3 to", "are gone",
            "words#1 succeeded: ", "1 gaps told, 0 missing; epoch 2", "long#1: is being cancelled",
            "long#1 cancelled in", "host python: gone")
        shown = out[out.index("$ synk show words#1"):out.index("# Events that are no longer")]
        self.assertEqual((shown.count("    1. succeeded"), shown.count("  on python")), (4, 3))
        self.assertNotIn("    2. ", shown)
        numbers = re.findall(r"^event +(\d+)  (?:run|start|complete|milestone) words#1", out[:out.index(shown)], re.M)
        self.assertGreaterEqual(len(numbers), 12)
        self.assertEqual(len(numbers), len(set(numbers)))


@unittest.skipUnless(os.path.isdir(BUILT), "built without SYNK_EXAMPLES")
class Leaving(Example):
    def interrupt(self, folder, after, number):
        process = self.start(folder)
        for line in process.stdout:
            if after in line:
                break
        os.killpg(process.pid, number)
        process.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual(process.returncode, 128 + number)
        self.assert_nothing_is_left()

    def test_an_interrupted_example_cleans_up(self):
        self.interrupt("04-resilient-scraper", "It starts.", signal.SIGINT)

    def test_an_example_interrupted_without_a_supervisor_cleans_up(self):
        self.interrupt("10-persistent-engine", "There is no supervisor", signal.SIGINT)

    def test_a_terminated_example_cleans_up(self):
        self.interrupt("01-basic-worker", "created    hello", signal.SIGTERM)

    def test_an_example_without_programs_says_what_to_build(self):
        result = subprocess.run([os.path.join(EXAMPLES, FOLDERS[0], "run")], capture_output=True, text=True,
                                env=dict(os.environ, SYNK_BIN=self.path("none"), TMPDIR=self.root))
        self.assertEqual(result.returncode, 2)
        self.assertIn("Build first", result.stderr)
        self.assertEqual(os.listdir(self.root), [])


@unittest.skipIf("debug" in BIN or "tsan" in BIN, "an instrumented library needs the program's runtime")
class Sources(SynkTest):
    def test_every_source_builds_against_an_installed_copy(self):
        prefix = self.path("prefix")
        subprocess.run(["cmake", "--install", os.path.dirname(BIN), "--prefix", prefix], check=True,
                       stdout=subprocess.DEVNULL)
        pages = subprocess.run(["find", prefix, "-name", "synk.pc"], capture_output=True, text=True).stdout
        environment = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(pages.strip()))
        built = 0
        for folder in FOLDERS:
            for name in sorted(os.listdir(os.path.join(EXAMPLES, folder))):
                if not name.endswith(".c"):
                    continue
                shutil.copy(os.path.join(EXAMPLES, folder, name), self.root)
                with open(self.path(name)) as source:
                    is_plugin = "SYNK_PLUGIN(" in source.read()
                flags = ("-shared -fPIC $(pkg-config --cflags synk-worker) -lm" if is_plugin
                         else "$(pkg-config --cflags --libs synk)")
                result = subprocess.run(
                    ["sh", "-c", f"cc -Wall -Wextra -Werror -o {name}.out {name} {flags}"], cwd=self.root,
                    env=environment, capture_output=True, text=True)
                self.assertEqual(result.returncode, 0, result.stderr)
                built += 1
        self.assertGreaterEqual(built, 7)


if __name__ == "__main__":
    harness.main()
