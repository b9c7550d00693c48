#!/usr/bin/env python3
"""What goes wrong around the supervisor: values too large, commands and plugins that misbehave, a full
disk, a stopped supervisor, clients that go away."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import time

import harness
from harness import BIN, SOURCE, SynkTest, alive, wait_until

MIB = 1 << 20
BAD_PLUGINS = {
    # name: (what it defines, the text that says why it is refused)
    "old": ('SYNK_API extern const struct synk_plugin synk_plugin; SYNK_API const struct synk_plugin '
            'synk_plugin = {SYNK_PLUGIN_ABI + 1, "old", functions};', "ABI"),
    "loud": ('__attribute__((constructor)) static void load(void) { __builtin_trap(); } '
             'SYNK_PLUGIN("loud", {"f", f})', "crashed while it was loaded"),
    "gone": ('__attribute__((constructor)) static void load(void) { _exit(3); } '
             'SYNK_PLUGIN("gone", {"f", f})', "exited while it was loaded, with status 3"),
    "open": ('SYNK_PLUGIN("open", {"f", f})', "writ"),
}


class Faults(SynkTest):
    def tasks(self, run):
        return self.synk("show", run, "--json", "--attempts").json()["tasks"]

    def only(self, run):
        return self.tasks(run)[0]

    def one(self, name, command, **fields):
        path = self.write(f"{name}.json", json.dumps(
            {"workers": [{"id": name, "command": command, **fields}]}))
        self.synk("apply", path)

    def test_values_beyond_their_limits_fail_their_attempt_with_the_sizes(self):
        big = self.write("big", json.dumps("x" * (900 * 1024)))
        over = self.write("over", json.dumps("x" * (MIB + 1)))
        self.write("sizes.json", json.dumps({"processes": [{"id": "sum", "workers": [
            *({"id": f"p{i}", "command": ["cat", big], "output": "json"} for i in range(5)),
            {"id": "all", "command": "true", "dependsOn": [f"p{i}" for i in range(5)]},
        ]}], "workers": [{"id": "over", "command": ["cat", over], "output": "json"}]}))
        self.up(self.path("sizes.json"))
        self.synk("run", "over", "--wait", status=1)
        self.assertIn(str(MIB), self.only("over#1")["error"])
        self.synk("run", "sum", "--wait", status=1)
        shown = self.synk("show", "sum#1", "--json").json()["tasks"]
        self.assertEqual([task["state"] for task in shown], ["succeeded"] * 5 + ["failed"])
        self.assertIn(f"the limit is {7 * MIB // 2}", shown[5]["error"])
        self.write("sizes.json", self.read("sizes.json").replace(', "p3", "p4"]', "]"))
        self.synk("apply", self.path("sizes.json"))
        self.synk("run", "sum", "--wait")
        submitted = self.spawn("synk", "pool", "submit", "sim.echo", "--payload", "@" + over)
        _, err = submitted.communicate(timeout=harness.PATIENCE_S)
        self.assertIn(submitted.returncode, (2, 4), err)
        self.synk("pool", "submit", "sim.noop", "--wait")

    def test_output_without_end_is_bounded_and_the_slot_goes_on(self):
        self.up(slots=1)
        self.one("flood", "yes 0123456789012345678901234567890123456789012345678 | "
                          "head -c 100000000")
        self.synk("run", "flood", "--wait")
        self.assertLess(len(self.only("flood#1")["result"]["stdout"]), 20000)
        log = self.synk("logs", "flood#1").out
        self.assertLess(len(log), 2 * MIB)
        self.one("lines", "seq 1000000")
        self.synk("run", "lines", "--wait")
        log = self.synk("logs", "lines#1").out
        self.assertTrue(log.startswith("1\n2\n"), log[:100])
        self.assertTrue(log.endswith("\n1000000\n"), log[-100:])
        self.assertLess(len(log), 2 * MIB)

    def test_a_command_that_daemonizes_does_not_outlive_its_attempt(self):
        self.up(slots=1)
        self.one("daemon", f"setsid sh -c 'echo $$ > {self.path('pid')}; exec sleep 1000' & "
                           f"while [ ! -s {self.path('pid')} ]; do sleep 0.01; done; echo done")
        self.synk("run", "daemon", "--wait")
        self.assertEqual(self.only("daemon#1")["result"]["stdout"], "done\n")
        self.assertFalse(alive(int(self.read("pid"))))

    def test_a_command_that_closes_its_output_runs_on_and_costs_no_processor_time(self):
        self.up(slots=1)
        self.one("closed", "exec >&- 2>&-; sleep 1; exit 5")
        before = self.synk("stats", "--json").json()["hosts"][0]["cpuUs"]
        self.synk("run", "closed", "--wait", status=1)
        task = self.only("closed#1")
        self.assertEqual(task["attemptList"][0]["exit"], 5)
        self.assertGreater(task["durationMs"], 900)
        after = self.synk("stats", "--json").json()["hosts"][0]["cpuUs"]
        self.assertLess(after - before, 700000)

    def test_plugins_that_cannot_be_trusted_are_refused_and_cost_nothing_else(self):
        plugins = self.path("plugins")
        os.mkdir(plugins, 0o755)
        for name, (code, _) in BAD_PLUGINS.items():
            source = self.write(f"{name}.c", "#include <synk/worker.h>\n#include <unistd.h>\n"
                                "static int f(struct synk_task *task) { (void)task; return 0; }\n"
                                "static const struct synk_plugin_function functions[] "
                                '__attribute__((unused)) = {{"f", f}, {0, 0}};\n' + code + "\n")
            subprocess.run(["cc", "-shared", "-fPIC", f"-I{SOURCE}/worker-host/include",
                            f"-I{SOURCE}/proto/include", "-o", f"{plugins}/{name}.so", source],
                           check=True)
            os.chmod(f"{plugins}/{name}.so", 0o777 if name == "open" else 0o755)
        self.up("--plugin-dir", plugins)
        self.synk("pool", "submit", "sim.noop", "--count", 10, "--wait")
        log = self.read("d/log")
        for name, (_, why) in BAD_PLUGINS.items():
            line = [line for line in log.splitlines() if f"{name}.so" in line or f"={name}" in line]
            self.assertTrue(any(why in text for text in line), f"{name}: {line}\n{log}")

    def test_a_plugin_that_scribbles_over_the_shared_page_loses_its_own_attempt_alone(self):
        plugins = os.path.join(os.path.dirname(BIN), "tests/plugins")
        if not os.path.exists(os.path.join(plugins, "test.so")):
            self.skipTest("no test plugin is built")
        self.up("--plugin-dir", plugins)
        host = self.host_lock()
        noops = self.synk("pool", "submit", "sim.sleep", "--payload", '{"ms": 2}', "--count", 300,
                          "--json").json()["run"]
        bad = self.synk("pool", "submit", "test.scribble", "--json").json()["run"]
        self.synk("wait", bad, status=None)
        self.synk("wait", noops)
        self.assertEqual({task["state"] for task in self.tasks(noops)}, {"succeeded"})
        self.assertEqual(self.host_lock(), host, "the host did not survive")

    def host_lock(self):
        def pid():
            try:
                with open(os.path.join(self.dir, "hosts/local/host.lock")) as f:
                    return int(f.read().split()[0])
            except (OSError, IndexError):
                return 0
        return wait_until(pid, "the host has its lock")

    def test_a_stopped_supervisor_declares_no_host_lost(self):
        self.up(slots=1)
        self.one("long", f"echo x >> {self.path('ran')}; "
                         f"while [ ! -e {self.path('go')} ]; do sleep 0.05; done")
        run = self.synk("run", "long", "--json").json()["run"]
        wait_until(lambda: os.path.exists(self.path("ran")), "the task runs")
        pid = self.supervisor_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(17)  # longer than a host may be silent
        finally:
            os.kill(pid, signal.SIGCONT)
        self.synk("stats")
        self.write("go", "")
        self.synk("wait", run)
        self.assertEqual(self.read("ran"), "x\n")
        lost = [event for event in self.events("--type", "host")
                if event["payload"]["state"] == "lost"]
        self.assertEqual(lost, [])

    def test_clients_that_go_away_and_many_at_once(self):
        self.up()
        waiting = self.spawn("synk", "pool", "submit", "sim.sleep", "--payload", '{"ms": 300}',
                             "--wait")
        wait_until(lambda: "pool#1" in self.synk("ls", "runs").out, "it has begun")
        waiting.kill()
        waiting.communicate()
        self.synk("wait", "pool#1")
        crowd = [self.spawn("synk", "pool", "submit", "sim.noop", "--count", "5", "--wait")
                 for _ in range(40)]
        for one in crowd:
            _, err = one.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual(one.returncode, 0, err)
        shell = subprocess.run(f"{BIN}/synk events --json | head -1", shell=True, text=True,
                               capture_output=True, env=dict(os.environ, SYNK_DIR=self.dir))
        self.assertEqual(json.loads(shell.stdout)["seq"], 1)
        self.assertEqual(shell.stderr, "")

    def test_more_connections_than_files_may_be_open_are_refused(self):
        os.mkdir(self.dir, 0o700)
        log = open(self.path("d/log"), "w")
        self.addCleanup(log.close)
        environment = dict(os.environ, SYNK_DIR=self.dir)
        daemon = subprocess.Popen(
            [os.path.join(BIN, "synkd"), "--slots", "1"], env=environment, stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96)))
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        address = self.path("d/client.sock")
        wait_until(lambda: "event=started" in self.read("d/log"), "the host runs")
        self.synk("pool", "submit", "sim.noop", "--wait")
        crowd = []
        for _ in range(200):
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].connect(address)
        wait_until(lambda: "connections are refused" in self.read("d/log"), "it tells")
        self.assertIn("few files may be open", self.read("d/log"))
        self.assertIsNone(daemon.poll(), "it ended")
        for one in crowd:
            one.close()
        self.synk("pool", "submit", "sim.noop", "--wait")
        self.assertGreater(self.synk("stats", "--json").json()["process"]["connectionsRefused"], 100)

    def submit_as_the_disk_fills(self, filler):
        """A submission that is being saved when the disk proves full: it waits until it is saved."""
        for _ in range(20):
            # Stopped, so that it does not notice before somebody has asked for something.
            pid = self.supervisor_pid()
            os.kill(pid, signal.SIGSTOP)
            with open(filler, "wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            submitted = self.spawn("synk", "pool", "submit", "sim.noop", "--json")
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda: not self.synk("stats", "--json").json()["storeOk"], "it is full")
            try:
                submitted.wait(timeout=0.5)  # and leave what it says to be read
            except subprocess.TimeoutExpired:
                return submitted
            os.unlink(filler)  # something else was saved before it: it was refused
            wait_until(lambda: self.synk("stats", "--json").json()["storeOk"], "it has room")
        raise AssertionError("nothing was being saved when the disk was full")

    def test_a_full_disk_refuses_and_goes_on_when_there_is_room(self):
        disk = self.path("disk")
        os.mkdir(disk, 0o700)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", disk],
                          capture_output=True).returncode:
            self.skipTest("a file system may not be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", disk])
        self.dir = os.path.join(disk, "d")
        self.up()
        acknowledged = [self.synk("pool", "submit", "sim.noop", "--wait", "--json").json()["run"]]
        waiting = [self.submit_as_the_disk_fills(os.path.join(disk, "filler"))]
        refused = self.synk("pool", "submit", "sim.noop", status=4)
        self.assertIn("the disk is full", refused.err)
        self.assertIn(acknowledged[0], self.synk("ls", "runs").out)
        self.synk("show", acknowledged[0])
        self.synk("events", "--json")
        # Who waits is told why, and still waits.
        wait_until(lambda: select.select([waiting[0].stderr], [], [], 0)[0], "who waits is told")
        told = waiting[0].stderr.readline()
        self.assertIn("cannot save its state, and answers once it can", told)
        self.assertIn("the disk is full", told)
        self.assertIsNone(waiting[0].poll())
        os.unlink(os.path.join(disk, "filler"))
        wait_until(lambda: self.synk("pool", "submit", "sim.noop", "--wait", status=None).status == 0,
                   "it accepts again")
        for one in waiting:
            out, err = one.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual(one.returncode, 0, err)
            acknowledged.append(json.loads(out)["run"])
        for run in acknowledged:
            self.synk("wait", run)
        self.synk("down")
        wait_until(lambda: not self.processes(), "nothing is left", 10)


if __name__ == "__main__":
    harness.main()
