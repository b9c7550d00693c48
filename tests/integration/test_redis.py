#!/usr/bin/env python3
"""The state in Redis: what survives kills of the supervisor and of the server, and the way there and back."""

import collections
import json
import os
import shutil
import socket
import subprocess
import sys
import unittest

import harness
import test_recovery
from harness import SynkTest, wait_until
from test_recovery import exec_process

SERVER = shutil.which("redis-server")


class Redis(SynkTest):
    """A redis-server of the test's own, at a socket in its directory; it ends with the directory's processes."""

    outcomes = test_recovery.Recovery.outcomes
    test_ten_kills_of_the_supervisor_lose_and_repeat_nothing = \
        test_recovery.Recovery.test_ten_kills_of_the_supervisor_lose_and_repeat_nothing

    def setUp(self):
        super().setUp()
        self.socket = self.path("redis")
        self.uri = f"unix:{self.socket}?cluster=test"
        self.start_server()

    def start_server(self):
        self.server = subprocess.Popen(
            [SERVER, "--port", "0", "--unixsocket", self.socket, "--dir", self.root, "--save", "",
             "--appendonly", "yes", "--appendfsync", "always", "--logfile", self.path("redis.log")])

        def answers():
            with socket.socket(socket.AF_UNIX) as s:
                try:
                    s.connect(self.socket)
                    s.sendall(b"PING\r\n")
                    return s.recv(16).startswith(b"+PONG")
                except OSError:
                    return False
        wait_until(answers, "the server answers")
        self.addCleanup(self.end_server, self.server)

    @staticmethod
    def end_server(server):
        server.kill()
        server.wait()

    def kill_server(self):
        self.server.kill()
        self.server.wait()
        os.unlink(self.socket)

    def up(self, *words, slots=2):
        return super().up("--state", self.uri, *words, slots=slots)

    def test_three_kills_of_the_server_lose_and_repeat_nothing(self):
        lines = self.path("lines")
        self.write("many.json", exec_process("many", 200, f"sleep 0.02; echo @ >> {lines}"))
        self.up(self.path("many.json"))
        self.assertEqual(self.synk("stats", "--json").json()["durability"], "fsync")
        run = self.synk("run", "many", "--json").json()["run"]
        for part in (20, 60, 100):
            wait_until(lambda: os.path.exists(lines) and len(self.read("lines").split()) >= part,
                       f"{part} tasks have run")
            self.kill_server()
            self.start_server()
        self.synk("wait", run)
        written = collections.Counter(self.read("lines").split())
        self.assertEqual(len(written), 200)
        self.assertEqual(set(written.values()), {1})
        self.assertEqual(self.outcomes(run), {"succeeded": 200})

    def test_while_the_server_is_away_nothing_is_taken_and_all_goes_on_after(self):
        self.write("w.yaml", f"""
workers:
  - id: long
    command: echo x >> {self.path('began')}; while [ ! -e {self.path('go')} ]; do sleep 0.02; done
  - {{id: other, command: "true"}}
""")
        self.up(self.path("w.yaml"))
        run = self.synk("run", "long", "--json").json()["run"]
        wait_until(lambda: os.path.exists(self.path("began")), "the task runs")
        self.kill_server()
        self.spawn("synk", "pause", "other", stdout=subprocess.DEVNULL)
        wait_until(lambda: "cannot save" in self.log(), "the supervisor has noticed")
        refused = self.synk("run", "other", status=None)
        self.assertNotEqual(refused.status, 0)
        self.write("go", "")
        self.start_server()
        wait_until(lambda: "saving works again" in self.log(), "it works again")
        self.synk("wait", run)
        self.assertEqual(len(self.read("began").split()), 1)

    def test_a_second_supervisor_is_refused_and_takes_over_after_a_stop(self):
        self.up()
        first = self.dir
        self.dir = self.path("d2")
        told = self.synk("up", "--detach", "--state", self.uri, status=None)
        self.assertNotEqual(told.status, 0)
        self.assertIn("leads", told.err + self.log())
        self.dir = first
        self.synk("down")
        self.dir = self.path("d2")
        self.up()
        self.synk("down")

    def test_a_state_moves_to_redis_and_back(self):
        self.write("w.yaml", "workers: [{id: w, command: 'echo out'}]\n")
        SynkTest.up(self, self.path("w.yaml"))
        self.synk("run", "w", "--wait")
        before = self.synk("show", "w#1", "--json").json()
        self.synk("down")
        file = f"sqlite:{self.dir}/state.db"
        self.synk("state", "copy", file, self.uri)
        self.assertIn("sound", self.synk("state", "check", self.uri).out)
        self.assertIn("already", self.synk("state", "copy", file, self.uri, status=1).err)
        self.up()
        self.assertEqual(self.synk("show", "w#1", "--json").json(), before)
        self.synk("run", "w", "--wait")
        self.assertIn("leads", self.synk("state", "check", self.uri, status=1).err)
        self.synk("backup", self.path("backup.db"))
        self.synk("down")
        self.synk("state", "copy", self.uri, f"sqlite:{self.path('back.db')}")
        for copy in ("back.db", "backup.db"):
            self.synk("up", "--detach", "--state", f"sqlite:{self.path(copy)}")
            self.assertEqual(self.synk("show", "w#2", "--json").json()["status"], "succeeded")
            self.synk("down")


@unittest.skipUnless(shutil.which("redis-sentinel") and shutil.which("redis-cli"),
                     "there is no redis-sentinel or redis-cli (tools/setup installs both)")
class Sentinel(SynkTest):
    """A master, a replica and a Sentinel, each at a port that was free a moment ago."""

    def free_port(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def start(self, program, port, *options):
        directory = self.path(f"r{port}")
        os.mkdir(directory)
        process = subprocess.Popen(
            [program, *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory,
             "--logfile", os.path.join(directory, "log")])
        self.addCleanup(Redis.end_server, process)
        wait_until(lambda: self.cli(port, "PING") == "PONG", "it answers")

    def cli(self, port, *words):
        return subprocess.run(["redis-cli", "-p", str(port), *words], text=True,
                              capture_output=True).stdout.strip()

    def test_a_failover_is_followed(self):
        master, replica, sentinel = (self.free_port() for _ in range(3))
        log = ("--save", "", "--appendonly", "yes")
        self.start(SERVER, master, *log)
        self.start(SERVER, replica, *log, "--replicaof", "127.0.0.1", str(master))
        config = self.write("sentinel.conf", f"sentinel monitor main 127.0.0.1 {master} 1\n"
                                             "sentinel down-after-milliseconds main 1000\n")
        self.start("redis-sentinel", sentinel, config)
        wait_until(lambda: "master_link_status:up" in self.cli(replica, "INFO", "replication"),
                   "the replica is in step")
        wait_until(lambda: f":{replica}" in self.cli(sentinel, "SENTINEL", "replicas", "main")
                   or str(replica) in self.cli(sentinel, "SENTINEL", "replicas", "main"),
                   "the Sentinel knows the replica")
        self.write("w.yaml", "workers: [{id: w, command: 'echo out'}]\n")
        self.up("--state", f"redis+sentinel://127.0.0.1:{sentinel}/main?cluster=test",
                self.path("w.yaml"))
        self.synk("run", "w", "--wait")
        wait_until(lambda: self.cli(sentinel, "SENTINEL", "failover", "main") == "OK",
                   "a failover begins")
        wait_until(lambda: "role:master" in self.cli(replica, "INFO", "replication"),
                   "the replica is the master")
        wait_until(lambda: "role:slave" in self.cli(master, "INFO", "replication"),
                   "the master is a replica")
        wait_until(lambda: self.synk("run", "w", "--wait", status=None).status == 0,
                   "it saves at the new master")
        shown = self.synk("show", "w#1", "--json").json()
        self.assertEqual(shown["status"], "succeeded")
        self.assertNotEqual(self.cli(replica, "HGET", "synk:{test}:state", "lsn"), "")


if __name__ == "__main__":
    if not SERVER:
        print("SKIPPED: there is no redis-server (tools/setup installs it)")
        sys.exit(harness.SKIPPED)
    harness.main()
