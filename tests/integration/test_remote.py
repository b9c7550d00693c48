#!/usr/bin/env python3
"""A supervisor that listens on tcp, and hosts and clients that come by it: one machine is enough."""

import json
import os
import random
import re
import signal
import socket
import time

import harness
from harness import SynkTest, wait_until


def free_port():
    """The first of three ports that nobody has."""
    while True:
        first = random.randrange(20000, 60000)
        sockets = []
        try:
            for port in range(first, first + 3):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            pass
        finally:
            for one in sockets:
                one.close()


class Remote(SynkTest):
    def listen(self, *words, slots=0):
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.up("--listen", self.address, *words, slots=slots)

    def host(self, name, *words, slots=2):
        return self.spawn("/bin/sh", "-c", 'exec "$@" 2>> "$0"', self.path(f"{name}.log"),
                          os.path.join(harness.BIN, "synk-worker-host"), "--connect", self.address,
                          "--name", name, "--slots", str(slots), "--user", "root",
                          *words,
                          env={"SYNK_TEST_HOST": name})

    def states(self):
        return {host["name"]: host["state"] for host in self.synk("ls", "hosts", "--json").lines()}

    def wait_for(self, name, state):
        wait_until(lambda: self.states().get(name) == state, f"{name} is {state}")

    def gated(self, *names, **more):
        """Workers that say where they run and wait for a file."""
        return {"processes": [{"id": "p", "runMode": "parallel", "workers": [dict({
            "id": name, "command": f"echo $SYNK_WORKER $SYNK_TEST_HOST >> {self.path('ran')}; "
                                   f"while [ ! -e {self.path('go')} ]; do sleep 0.02; done"},
            **more) for name in names]}]}

    def ran(self):
        try:
            return self.read("ran").split("\n")[:-1]
        except FileNotFoundError:
            return []

    def test_tasks_go_where_their_tags_are(self):
        self.write("w.json", json.dumps({"workers": [
            {"id": "gpu", "command": "echo $SYNK_TEST_HOST", "requires": ["gpu"]},
            {"id": "big", "command": "echo $SYNK_TEST_HOST", "requires": ["big", "gpu"]},
            {"id": "none", "command": "true", "requires": ["tape"]}]}))
        self.listen(self.path("w.json"))
        self.host("a", "--tag", "gpu", "--tag", "big")
        self.host("b", "--tag", "disk")
        self.wait_for("a", "up")
        self.wait_for("b", "up")
        for unit in ("gpu", "big"):
            self.synk("run", unit, "--wait")
            self.assertEqual(self.synk("logs", f"{unit}#1").out, "a\n")
        self.synk("run", "none")
        self.assertIn("no connected host offers 'exec' with tags 'tape'",
                      self.synk("explain", "none#1", status=None).out)
        # Both have a directory that nobody named.
        self.assertTrue(os.path.exists(self.path("d/hosts/a/host.lock")))
        self.assertTrue(os.path.exists(self.path("d/hosts/b/host.lock")))
        shown = self.synk("ls", "hosts").out
        self.assertRegex(shown, r"up\s+a\s+\d+\s+2 .*gpu,big")

    def test_sigterm_finishes_what_runs_and_hands_back_the_rest(self):
        self.write("p.json", json.dumps(self.gated("w1", "w2", "w3")))
        self.listen(self.path("p.json"))
        leaves = self.host("a", slots=2)
        self.wait_for("a", "up")
        run = self.synk("run", "p", "--json").json()["run"]
        wait_until(lambda: len(self.ran()) == 2, "two tasks run")
        leaves.send_signal(signal.SIGTERM)
        self.wait_for("a", "draining")
        self.host("b", slots=1)
        wait_until(lambda: len(self.ran()) == 3, "the third runs elsewhere")
        self.assertTrue(self.ran()[2].endswith(" b"))
        self.write("go", "")
        self.assertEqual(leaves.wait(harness.PATIENCE_S), 0)
        self.synk("wait", run)
        tasks = self.synk("show", run, "--json").json()["tasks"]
        self.assertEqual(sorted(task["host"] for task in tasks), ["a", "a", "b"])
        self.assertNotIn("a", self.states())
        self.assertEqual(len(self.ran()), 3, "a task ran twice")

    def test_a_second_sigterm_or_the_grace_ends_sooner(self):
        for name, words, signals in (("a", [], 2), ("b", ["--grace", "200ms"], 1)):
            with self.subTest(host=name):
                self.dir = self.path(f"d-{name}")
                self.write(f"{name}.json", json.dumps(self.gated("w")))
                self.listen(self.path(f"{name}.json"))
                leaves = self.host(name, *words)
                self.wait_for(name, "up")
                before = len(self.ran())
                run = self.synk("run", "p", "--json").json()["run"]
                wait_until(lambda: len(self.ran()) == before + 1, "the task runs")
                for heard in range(signals):
                    leaves.send_signal(signal.SIGTERM)
                    wait_until(lambda: self.read(f"{name}.log").count("event=signal") > heard,
                               "it is heard")
                self.assertEqual(leaves.wait(harness.PATIENCE_S), 0)
                other = self.host("other")
                wait_until(lambda: len(self.ran()) == before + 2, "it runs elsewhere")
                self.write("go", "")
                self.synk("wait", run)
                os.unlink(self.path("go"))
                shown = self.synk("show", run, "--attempts", "--json").json()["tasks"][0]
                self.assertEqual([(tried["host"], tried["outcome"])
                                  for tried in shown["attemptList"]],
                                 [(name, "lost"), ("other", "succeeded")])
                other.terminate()
                self.assertEqual(other.wait(harness.PATIENCE_S), 0)
                self.synk("down")

    def test_a_host_that_comes_back_from_its_directory_is_let_in_at_once(self):
        self.write("p.json", json.dumps(self.gated("w")))
        self.listen(self.path("p.json"))
        first = self.host("a")
        self.wait_for("a", "up")
        run = self.synk("run", "p", "--json").json()["run"]
        wait_until(lambda: len(self.ran()) == 1, "the task runs")
        first.kill()
        first.wait()
        self.write("go", "")
        self.host("a")
        self.synk("wait", run)  # within the time after which the first would be suspect
        self.assertEqual(self.ran(), ["w a", "w a"])

    def test_more_hosts_do_more_at_once(self):
        names = [f"w{i}" for i in range(6)]
        self.write("p.json", json.dumps(self.gated(*names)))
        self.listen(self.path("p.json"))
        self.host("a")
        self.wait_for("a", "up")
        run = self.synk("run", "p", "--json").json()["run"]
        wait_until(lambda: len(self.ran()) == 2, "a is full")
        self.host("b")
        self.host("c")
        wait_until(lambda: len(self.ran()) == 6, "all run at once")
        self.assertEqual(sorted(line.split()[1] for line in self.ran()), list("aabbcc"))
        self.write("go", "")
        self.synk("wait", run)

    def test_hosts_wait_for_the_next_supervisor(self):
        self.write("w.json", json.dumps({"workers": [{"id": "w", "command": "true"}]}))
        self.listen(self.path("w.json"))
        host = self.host("a")
        self.wait_for("a", "up")
        self.synk("run", "w", "--wait")
        self.synk("down")
        self.assertIsNone(host.poll())
        self.up("--listen", self.address, slots=0)
        self.synk("run", "w", "--wait")

    def test_a_host_of_two_addresses_goes_where_it_is_answered(self):
        self.listen()
        first = self.address
        self.dir = self.path("second")
        self.listen()
        second, self.address = self.address, f"{first},{self.address}"
        self.host("a")
        at = {"SYNK_CONNECT": first}, {"SYNK_CONNECT": second}

        def is_at(env):
            return [host["state"] for host in self.synk("ls", "hosts", "--json", env=env).lines()]

        wait_until(lambda: is_at(at[0]) == ["up"], "it is at the first")
        self.dir = self.path("d")
        self.kill_supervisor()
        began = time.monotonic()
        self.dir = self.path("second")
        wait_until(lambda: is_at(at[1]) == ["up"], "it is at the second")
        self.assertLess(time.monotonic() - began, 8, "it waited for silence")

    def test_two_hosts_of_one_name_do_not_fight(self):
        self.listen()
        first = self.host("a")
        self.wait_for("a", "up")
        second = self.spawn("synk-worker-host", "--connect", self.address, "--name", "a", "--dir",
                            self.path("elsewhere"), "--user", "root")
        line = second.stderr.readline()
        while "refused" not in line:
            line = second.stderr.readline()
        self.assertIn("another host of the name 'a' is connected", line)
        self.assertEqual([host["pid"] for host in self.synk("ls", "hosts", "--json").lines()],
                         [first.pid])
        second.kill()
        second.communicate()

    def test_a_drained_host_stays_drained(self):
        self.write("w.json", json.dumps({"workers": [{"id": "w", "command": "true"}]}))
        self.listen(self.path("w.json"), slots=1)
        self.wait_for("local", "up")
        out = self.synk("drain", "local", "--wait").out
        self.assertIn("local has no work left, and gets none", out)
        self.synk("run", "w")
        self.assertIn("is drained", self.synk("explain", "w#1", status=None).out)
        self.kill_supervisor()
        self.up("--listen", self.address, slots=1)
        self.wait_for("local", "drained")
        self.assertEqual(self.synk("drain", "locale", status=4).err.strip(),
                         "synk: there is no host 'locale' (did you mean 'local'?)")
        self.synk("drain", "local", "--undo")
        self.synk("wait", "w#1")

    def test_what_waits_behind_a_long_task_goes_to_a_new_host(self):
        self.listen()
        self.host("a", slots=1)
        self.wait_for("a", "up")
        self.synk("pool", "submit", "sim.noop", "--count", "10", "--wait")
        gate = self.path("go")
        self.synk("pool", "submit", "--", "sh", "-c", f"touch {self.path('runs')}; "
                  f"while [ ! -e {gate} ]; do sleep 0.02; done")
        wait_until(lambda: os.path.exists(self.path("runs")), "the long one runs")
        behind = self.synk("pool", "submit", "sim.noop", "--count", "20", "--json").json()["run"]
        self.host("b", slots=1)
        self.synk("wait", behind)
        self.write("go", "")

    def test_clients_find_their_supervisor(self):
        self.listen()
        elsewhere = {"SYNK_DIR": self.path("nowhere")}
        self.assertIn("no supervisor runs on", self.synk("ls", status=3, env=elsewhere).err)
        self.synk("ls", env=dict(elsewhere, SYNK_CONNECT=self.address))
        self.synk("--connect", self.address, "ls", env=elsewhere)
        self.synk("ls", "--connect", f"tcp://127.0.0.1:{free_port()},{self.address}", env=elsewhere)
        # What is said beats what the environment says.
        dead = f"tcp://127.0.0.1:{free_port()}"
        self.synk("--dir", self.dir, "ls", env={"SYNK_CONNECT": dead})
        err = self.synk("ls", status=3, env={"SYNK_CONNECT": f"{dead},tcp://127.0.0.1:1"}).err
        self.assertIn(dead, err)
        self.assertIn("tcp://127.0.0.1:1", err)
        self.assertIn("which of the two",
                      self.synk("--dir", self.dir, "--connect", dead, "ls", status=2).err)
        self.assertIn("by number", self.synk("--connect", "tcp://localhost:7", "ls", status=2).err)
        # A supervisor that is started here is meant, whatever SYNK_CONNECT says.
        one = self.write("one.yaml", "workers: [{id: one, command: 'true'}]\n")
        self.synk("up", "--detach", "--slots", "0", one, env={"SYNK_CONNECT": dead})
        self.assertIn("one", self.synk("ls").out)
        self.assertIn("--listen", self.synk("up", "--connect", dead, status=2).err)
        self.synk("down", "--connect", self.address, env=elsewhere)
        wait_until(lambda: not self.processes(), "the supervisor has ended")

    def test_an_address_that_cannot_be_had_is_told(self):
        self.listen()
        port = int(self.address.rsplit(":", 1)[1])
        self.dir = self.path("other")
        err = self.synk("up", "--detach", "--listen", f"tcp://127.0.0.1:{port - 1}", status=4).err
        self.assertIn(f"cannot listen on tcp://127.0.0.1:{port}: Address already in use", err)
        for address, why in (("127.0.0.1:7400", "write tcp://IP:PORT"),
                             ("tcp://127.0.0.1:65534", "a port from 1 to 65533")):
            self.assertIn(why, self.synk("up", "--detach", "--listen", address, status=2).err)
        self.assertIn("only with --listen", self.synk("up", "--insecure", status=2).err)
        self.assertFalse(os.path.exists(self.path("other/state.db-wal")))
        self.synk("up", "--detach", "--slots", "0", "--listen", f"tcp://*:{free_port()}",
                  "--insecure")
        self.assertIn("without keys", self.log())

    def test_hosts_say_what_is_wrong_with_their_arguments(self):
        for words, why in ((["--name", "a"], "which supervisor"),
                           (["--connect", "tcp://127.0.0.1", "--name", "a"], "needs a port"),
                           (["--connect", "tcp://127.0.0.1:7400", "--name", "a/b"], "--name takes"),
                           (["--connect", "tcp://127.0.0.1:7400", "--name", "local"],
                            "choose another --name"),
                           (["--connect", "tcp://127.0.0.1:7400", "--grace", "soon"], "--grace")):
            process = self.spawn("synk-worker-host", *words)
            _, err = process.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual(process.returncode, 64, err)
            self.assertTrue(re.search(why, err), err)


if __name__ == "__main__":
    harness.main()
