#!/usr/bin/env python3
"""Chaos: a supervisor under load whose processes are killed and stopped at random; then it is left to
heal, and what it promised is counted.

    chaos.py [--seconds S] [--seed N] [--spare host] [--slots N] [--keep]

Not a part of CTest: it runs for as long as it is told. $SYNK_BIN names the folder of programs. The
seed fixes what is done, not when the machine does it. Exit status 1 when a promise was broken; the
directory is then left for a look.

Counted: acknowledged runs that are lost; tasks that do not have exactly one outcome, in the record and
in the events; tasks executed again though no host was lost and no attempt had failed; numbers of events
that are missing or come twice, in the log and for a follower that was there all along; processes left
after `synk down`.
"""

import argparse
import collections
import json
import os
import random
import signal
import sys
import threading
import time

import harness
from harness import SynkTest, alive, wait_until

ENDED = {"succeeded", "failed", "cancelled", "skipped", "timed-out", "quarantined"}


class Chaos(SynkTest):
    def runTest(self):
        pass

    def begin(self, options):
        self.setUp()
        self.options = options
        self.random = random.Random(options.seed)
        self.lock = threading.Lock()
        self.acknowledged, self.cancelled = set(), set()
        self.done = collections.Counter()
        self.is_over = threading.Event()
        self.anomalies = []
        self.lines = self.path("lines")
        open(self.lines, "w").close()
        self.write("units.json", json.dumps({"processes": [
            self.graph("wide", 12, None), self.graph("chain", 8, 1), self.graph("tree", 9, 2),
        ]}))

    def graph(self, name, size, fan):
        say = f'echo "$SYNK_RUN $SYNK_WORKER $SYNK_ATTEMPT" >> {self.lines}'
        workers = []
        for i in range(size):
            end = ' ; test "$SYNK_ATTEMPT" -ge 2' if i % 5 == 3 else ""
            pause = f"sleep 0.{i % 4:02d}; "
            worker = {"id": f"w{i}", "command": pause + say + end, "maxRetries": 3,
                      "retryDelayMs": 20}
            if fan and i:
                worker["dependsOn"] = [f"w{(i - 1) // fan}"]
            workers.append(worker)
        return {"id": name, "runMode": "parallel" if not fan else "sequential",
                "overlap": "queue" if fan == 1 else "allow",
                "workers": workers}

    # The load.

    def ask(self, *words):
        """A command that may fail, as clients do when their supervisor dies."""
        with self.lock:
            if self.is_over.is_set():
                return None
        process = self.spawn("synk", *words)
        try:
            out, err = process.communicate(timeout=harness.PATIENCE_S)
        except Exception:
            process.kill()
            process.communicate()
            self.wrong(f"synk {' '.join(words)}: no end")
            return None
        self.done[f"{words[0]} {process.returncode}"] += 1
        if process.returncode not in (0, 1, 3, 4):
            self.wrong(f"synk {' '.join(words)}: exit {process.returncode}: {err.strip()}")
        return out if process.returncode == 0 else None

    def load(self, number):
        chance = random.Random(self.options.seed * 1000 + number)
        while not self.is_over.is_set():
            what, out = chance.random(), None
            if what < 0.45:
                out = self.ask("run", chance.choice(["wide", "chain", "tree"]), "--json")
            elif what < 0.7:
                out = self.ask("pool", "submit", "sim.noop", "--count", str(chance.randint(1, 300)),
                               "--json")
            elif what < 0.8:
                out = self.ask("pool", "submit", "sim.fail", "--payload", '{"attempts": 1}',
                               "--count", "20", "--retries", "2", "--json")
            elif what < 0.9:
                with self.lock:
                    runs = sorted(self.acknowledged)[-6:]
                if runs:
                    run = chance.choice(runs)
                    with self.lock:
                        self.cancelled.add(run)  # it may be, whatever the answer
                    self.ask("cancel", run)
                continue
            else:
                self.ask(chance.choice(["stats", "ls"]), "--json")
            if out:
                with self.lock:
                    self.acknowledged.add(json.loads(out)["run"])
            time.sleep(chance.uniform(0, 0.1))  # how hard it is driven, not synchronisation

    # The chaos.

    def signal_some(self, pids, number):
        pids = [pid for pid in pids if alive(pid)]
        if pids:
            try:
                os.kill(self.random.choice(sorted(pids)), number)
                return True
            except ProcessLookupError:
                pass
        return False

    def host(self):
        try:
            with open(os.path.join(self.dir, "hosts/local/host.lock")) as f:
                return [int(f.read().split()[0])]
        except (OSError, ValueError, IndexError):
            return []

    def runners(self):
        host = self.host()
        found = []
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    words = f.read().rsplit(")", 1)
            except OSError:
                continue
            if "(synk-runner" in words[0] and host and int(words[1].split()[1]) == host[0]:
                found.append(pid)
        return found

    def supervisor(self):
        try:
            pid = self.supervisor_pid()
        except (OSError, ValueError):
            return []
        return [pid] if self.program(pid) == "synkd" else []

    def start(self):
        end = time.monotonic() + harness.PATIENCE_S
        while not self.supervisor():
            words = self.synk("up", "--detach", "--slots", self.options.slots, status=None)
            if words.status and time.monotonic() > end:
                raise AssertionError(f"synk up: {words.err}{self.log()}")

    def stop_a_while(self, pids):
        pids = [pid for pid in pids if alive(pid)]
        for pid in pids[:1]:
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(self.random.uniform(0.05, 2.5))
            finally:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass

    def hurt(self):
        acts = ["kill supervisor", "kill supervisor", "stop supervisor", "stop host", "stop runner",
                "kill runner"]
        if self.options.spare != "host":
            acts += ["kill host", "kill all"]
        act = self.random.choice(acts)
        self.done[act] += 1
        if act == "kill supervisor":
            self.signal_some(self.supervisor(), signal.SIGKILL)
        elif act == "stop supervisor":
            self.stop_a_while(self.supervisor())
        elif act == "stop host":
            self.stop_a_while(self.host())
        elif act == "stop runner":
            self.stop_a_while(self.runners())
        elif act == "kill runner":
            self.signal_some(self.runners(), signal.SIGKILL)
        elif act == "kill host":
            self.signal_some(self.host(), signal.SIGKILL)
        else:
            self.signal_some(self.supervisor(), signal.SIGKILL)
            self.signal_some(self.host(), signal.SIGKILL)
        time.sleep(self.random.uniform(0, 0.3))  # for how long nobody is there
        self.start()

    # The count.

    def wrong(self, text):
        self.anomalies.append(text)
        print("WRONG:", text, flush=True)

    def heal(self):
        def idle():
            stats = self.synk("stats", "--json", status=None)
            if stats.status:
                return False
            shown = stats.json()
            return shown["liveRuns"] == 0 and shown["liveTasks"] == 0
        try:
            wait_until(idle, "every run has ended", 4 * harness.PATIENCE_S)
        except AssertionError:
            stuck = self.synk("ls", "runs", "--status", "running", status=None)
            self.wrong(f"not idle after healing:\n{stuck.out}{stuck.err}"
                       f"{self.synk('stats', '--json', status=None).out}{self.log()}")

    def read_log(self):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            for line in f:
                if any(word in line for word in ("Sanitizer", "runtime error:", "Assertion ")):
                    self.wrong("the log has: " + line.strip())

    def count_records(self):
        shown = {}
        for run in sorted(self.acknowledged):
            answer = self.synk("show", run, "--json", "--attempts", status=None)
            if answer.status:
                self.wrong(f"acknowledged run {run} is lost: {answer.err.strip()}")
                continue
            shown[run] = answer.json()
            if shown[run]["status"] not in ("succeeded", "failed", "cancelled", "skipped"):
                self.wrong(f"run {run} has not ended: {shown[run]['status']}")
            if len(shown[run]["tasks"]) != shown[run]["taskCount"]:
                self.wrong(f"run {run}: {len(shown[run]['tasks'])} tasks of "
                           f"{shown[run]['taskCount']}")
            for task in shown[run]["tasks"]:
                if task["state"] not in ENDED:
                    self.wrong(f"{run} {task['worker']}: no outcome, {task['state']}")
                if task["state"] != "succeeded" and run not in self.cancelled:
                    self.done["tasks that did not succeed"] += 1
                    print(f"note: {run} {task['worker']}: {task['state']} {task['error']} "
                          f"{task['attempts']} {task['reason']}")
        return shown

    def count_events(self):
        events = self.events()
        numbers = [event["seq"] for event in events]
        self.check_numbers("the log", numbers)
        ends = collections.Counter()
        for event in events:
            if event["type"] in ("complete", "error", "skip", "cancel") and event.get("worker"):
                ends[event.get("run"), event["worker"]] += 1
        return numbers, ends

    def check_numbers(self, whose, numbers):
        for before, number in zip([0] + numbers, numbers):
            if number != before + 1:
                self.wrong(f"events of {whose}: {number} follows {before}")

    def count_follower(self, follower, head):
        def seen():
            with open(self.path("followed")) as f:
                return [json.loads(line)["seq"] for line in f if line.endswith("\n")]
        try:
            wait_until(lambda: seen() and seen()[-1] >= head, "the follower has seen all", 30)
        except AssertionError:
            self.wrong(f"the follower is at {seen()[-1:]} of {head}")
        self.check_numbers("the follower", seen())
        follower.send_signal(signal.SIGINT)
        follower.wait()
        if self.read("followed.err"):
            self.wrong("the follower said: " + self.read("followed.err"))

    def count_executions(self, shown):
        ran = collections.defaultdict(list)
        with open(self.lines) as f:
            for line in f:
                run, worker, attempt = line.split()
                ran[run, worker].append(int(attempt))
        hosts_lost = self.done["kill host"] + self.done["kill all"]
        again = 0
        for (run, worker), attempts in ran.items():
            if len(set(attempts)) == len(attempts):
                continue
            again += 1
            if not hosts_lost:
                self.wrong(f"{run} {worker} ran again with no host lost: attempts {attempts}")
        for run, view in shown.items():
            if view["unit"] == "pool":
                continue
            for task in view["tasks"]:
                attempts = ran.get((run, task["worker"]), [])
                if task["state"] == "succeeded" and not attempts:
                    self.wrong(f"{run} {task['worker']} succeeded without having run")
                failed = [a for a in task["attemptList"] if a["outcome"] not in ("succeeded",)]
                if not hosts_lost and len(attempts) > 1 + len(failed):
                    self.wrong(f"{run} {task['worker']}: ran {attempts}, of which {len(failed)} "
                               f"did not succeed: {task['attemptList']}")
        return sum(map(len, ran.values())), again

    def go(self):
        self.start()
        self.synk("apply", self.path("units.json"))
        with open(self.path("followed"), "w") as out, open(self.path("followed.err"), "w") as err:
            follower = harness.subprocess.Popen(
                [os.path.join(harness.BIN, "synk"), "events", "--follow", "--since", "0", "--json"],
                env=dict(os.environ, SYNK_DIR=self.dir), stdout=out, stderr=err)
        loaders = [threading.Thread(target=self.load, args=(i,)) for i in range(3)]
        for loader in loaders:
            loader.start()
        end = time.monotonic() + self.options.seconds
        try:
            while time.monotonic() < end:
                time.sleep(self.random.uniform(0.1, 1.2))  # between two blows
                self.hurt()
        finally:
            self.is_over.set()
            for loader in loaders:
                loader.join()
        began = time.monotonic()
        self.heal()
        healed = time.monotonic() - began
        shown = self.count_records()
        numbers, ends = self.count_events()
        for run, view in shown.items():
            if not view["startedAt"]:
                continue  # its end is its tasks': no task has an event of its own
            for task in view["tasks"]:
                if ends[run, task["worker"]] != 1:
                    self.wrong(f"{run} {task['worker']} ({task['state']}): "
                               f"{ends[run, task['worker']]} events of an outcome")
        self.count_follower(follower, numbers[-1])
        executions, again = self.count_executions(shown)
        stats = self.synk("stats", "--json").json()
        self.synk("down")
        try:
            wait_until(lambda: not self.processes(), "nothing is left", 10)
        except AssertionError:
            self.wrong("left running after `synk down`: " + " ".join(
                f"{pid} {self.program(pid)}" for pid in self.processes()))
        self.read_log()
        print(json.dumps({
            "seed": self.options.seed, "seconds": self.options.seconds, "spare": self.options.spare,
            "done": dict(sorted(self.done.items())), "acknowledgedRuns": len(self.acknowledged),
            "tasks": sum(view["taskCount"] for view in shown.values()), "events": len(numbers),
            "executions": executions, "executedAgain": again,
            "reexecutions": stats["reexecutions"], "epoch": stats["epoch"],
            "healedSeconds": round(healed, 2), "anomalies": len(self.anomalies)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slots", type=int, default=3)
    parser.add_argument("--spare", choices=["host", "none"], default="none",
                        help="host: never kill it, so that nothing may be executed twice")
    parser.add_argument("--keep", action="store_true", help="leave the directory")
    options = parser.parse_args()
    chaos = Chaos()
    chaos.begin(options)
    try:
        chaos.go()
    except Exception as problem:
        chaos.wrong(f"{type(problem).__name__}: {problem}")
    finally:
        if options.keep or chaos.anomalies:
            print("see", chaos.root)
            os.environ["SYNK_DIR"] = chaos.dir
            chaos.synk("down", status=None)
        else:
            chaos.doCleanups()
    sys.exit(1 if chaos.anomalies else 0)


if __name__ == "__main__":
    main()
