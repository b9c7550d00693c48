"""Several machines on one: network namespaces with cables between them that can be pulled. Needs the
right to make namespaces (root, as a rule) and iproute2; a test that asks for a network where it cannot
be made is skipped, and says why."""

import os
import subprocess
import unittest

from harness import BIN, wait_until

PORT = 7400  # everybody's: each machine has ports of its own


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Machine:
    """`address` is its own; whoever is on the network reaches it there."""

    def __init__(self, network, name, number):
        self.network, self.name = network, name
        self.space = f"{network.prefix}-{name}"
        self.cable = f"v{number}-{os.getpid() % 100000}"
        self.address = f"10.0.{number}.2"
        ip("netns", "add", self.space)
        network.spaces.append(self.space)
        near = ["-n", self.space]
        middle = ["-n", network.middle]
        ip("link", "add", self.cable, "netns", network.middle, "type", "veth", "peer", "name",
           "eth0", "netns", self.space)
        ip(*near, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip(*near, "link", "set", "lo", "up")
        ip(*near, "link", "set", "eth0", "up")
        ip(*middle, "address", "add", f"10.0.{number}.1/24", "dev", self.cable)
        ip(*middle, "link", "set", self.cable, "up")
        ip(*near, "route", "add", "default", "via", f"10.0.{number}.1")

    def pull_cable(self):
        ip("-n", self.network.middle, "link", "set", self.cable, "down")

    def put_cable_back(self):
        ip("-n", self.network.middle, "link", "set", self.cable, "up")

    def words(self, program, *words):
        """The command line that runs a program on this machine, as the same process."""
        return ["ip", "netns", "exec", self.space, os.path.join(BIN, program), *map(str, words)]


class Network:
    """Machines around a router, so that each has a cable of its own."""

    def __init__(self, test):
        self.prefix = f"synk{os.getpid()}"
        self.middle = f"{self.prefix}-middle"
        self.spaces, self.machines = [], {}
        try:
            ip("netns", "add", self.middle)
        except OSError as error:
            raise unittest.SkipTest(f"network namespaces are not allowed here: {error}")
        self.spaces.append(self.middle)
        test.addCleanup(self.close)
        try:
            ip("-n", self.middle, "link", "set", "lo", "up")
            subprocess.run(["ip", "netns", "exec", self.middle, "sh", "-c",
                            "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True,
                           capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise unittest.SkipTest(f"no network can be made here: {error}")

    def machine(self, name):
        machine = Machine(self, name, len(self.machines) + 1)
        self.machines[name] = machine
        return machine

    def close(self):
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


class Cluster:
    """A supervisor on a machine of its own, and hosts on others. `test` is a SynkTest."""

    def __init__(self, test, lost_ms=2000):
        self.test, self.lost_ms = test, lost_ms
        self.network = Network(test)
        self.center = self.network.machine("center")
        self.connect = f"tcp://{self.center.address}:{PORT}"
        self.hosts = {}
        # A program that works from elsewhere, as people do.
        self.desk = self.network.machine("desk")

    def popen(self, machine, program, *words, log=None, env=None):
        environment = dict(os.environ, **(env or {}))
        out = open(self.test.path(log), "ab") if log else subprocess.PIPE
        try:
            return subprocess.Popen(machine.words(program, *words), env=environment,
                                    stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=out if log else subprocess.PIPE, text=not log,
                                    cwd=self.test.root)
        finally:
            if log:
                out.close()

    def start_supervisor(self, *words, listen=f"tcp://*:{PORT}"):
        ready, told = os.pipe()
        environment = dict(os.environ)
        log = open(self.test.path("supervisor.log"), "ab")
        self.supervisor = subprocess.Popen(
            self.center.words("synkd", "--dir", self.test.dir, "--slots", 0, "--listen", listen,
                              "--insecure", "--lost-ms", self.lost_ms, "--ready-fd", told, *words),
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[told])
        log.close()
        os.close(told)
        with os.fdopen(ready) as reader:
            line = reader.readline()
        if not line:
            raise AssertionError("the supervisor did not start: " + self.log())
        return self.supervisor

    def log(self):
        try:
            with open(self.test.path("supervisor.log")) as f:
                return f.read()[-6000:]
        except OSError:
            return ""

    def start_host(self, name, *words, slots=2):
        machine = self.network.machines.get(name) or self.network.machine(name)
        process = self.popen(machine, "synk-worker-host", "--connect", self.connect, "--name", name,
                             "--user", "root", "--dir", self.test.path(f"host-{name}"), "--slots", slots, *words,
                             log=f"host-{name}.log", env={"SYNK_TEST_HOST": name})
        self.hosts[name] = process
        return process

    def synk(self, *words, status=0, machine=None):
        process = self.popen(machine or self.desk, "synk", *words,
                             env={"SYNK_CONNECT": self.connect, "SYNK_DIR": "/nonexistent"})
        out, err = process.communicate(timeout=120)
        if status is not None and process.returncode != status:
            raise AssertionError(f"synk {' '.join(map(str, words))}: exit {process.returncode}\n"
                                 f"{out}\n{err}\n{self.log()}")
        import harness
        return harness.Result(process.returncode, out, err)

    def host_states(self):
        return {host["name"]: host["state"]
                for host in self.synk("ls", "hosts", "--json").lines()}

    def wait_for(self, name, *states):
        wait_until(lambda: self.host_states().get(name) in states, f"host {name} is {states}")
