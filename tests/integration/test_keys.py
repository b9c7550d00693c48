#!/usr/bin/env python3
"""Keys on tcp: who is let in, with which role, and what each role may ask for; with real processes."""

import os
import re
import socket
import stat
import struct
import subprocess
import sys

try:
    import msgpack
    import zmq
except ModuleNotFoundError:
    # They are packages of the system's Python, and another one may come first in PATH.
    if os.path.realpath(sys.executable) == os.path.realpath("/usr/bin/python3"):
        raise
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

import harness
from harness import SynkTest, wait_until
from test_remote import free_port

ROLES = ("observe", "submit", "worker", "admin")
VIEWS = {"observe", "submit", "admin"}
WORK = {"submit", "admin"}
ADMIN = {"admin"}
# Every request of PROTOCOL.md, and who may send it.
REQUESTS = {
    "connect": VIEWS, "show": VIEWS, "list": VIEWS, "fetch": VIEWS, "explain": VIEWS, "plan": VIEWS,
    "logs": VIEWS, "stats": VIEWS, "snapshot": VIEWS, "pool-order": VIEWS,
    "upload": WORK, "run": WORK, "submit": WORK, "wait": WORK, "cancel": WORK, "retry": WORK,
    "apply": ADMIN, "pause": ADMIN, "resume": ADMIN, "backup": ADMIN, "release": ADMIN, "set": ADMIN,
    "milestone": ADMIN, "tick": ADMIN, "scan": ADMIN, "resize": ADMIN, "pool-update": ADMIN,
    "prune": ADMIN, "drain": ADMIN, "shutdown": ADMIN,
}


def numbers():
    """The types by name, as PROTOCOL.md has them."""
    with open(os.path.join(harness.SOURCE, "proto/PROTOCOL.md")) as page:
        text = page.read()
    clients = text.split("## Clients")[1].split("## Subscribers")[0]
    found = {}
    for names, ids in re.findall(r"^\| ([a-z, -]+) \| ([\d, ]+) \|", clients, re.M):
        found.update(zip(names.split(", "), map(int, ids.split(", "))))
    return {name: number for name, number in found.items() if number < 128}


class Keys(SynkTest):
    def setUp(self):
        super().setUp()
        self.public = {}

    def keygen(self, name, role=None):
        self.public[name] = self.synk("keygen", self.path(f"{name}.key")).out.strip()
        if role:
            self.synk("keys", "add", self.public[name], role, name)
        return self.path(f"{name}.key")

    def listen(self, *words, slots=0):
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.up("--listen", self.address, "--keys", *words, slots=slots)
        self.server = self.synk("keys", "server").out.strip()

    def far(self, name, *words, status=0, server=None):
        """`synk` from elsewhere, with that key."""
        return self.synk(*words, status=status, env={
            "SYNK_CONNECT": self.address, "SYNK_KEY": self.path(f"{name}.key"),
            "SYNK_SERVER_KEY": server or self.server, "SYNK_DIR": ""})

    def dial(self, name, kind=zmq.DEALER, port=0, server=None):
        """A socket of a program that knows PROTOCOL.md and nothing else."""
        context = zmq.Context()
        self.addCleanup(context.term)
        one = context.socket(kind)
        self.addCleanup(one.close)
        one.linger = 0
        one.rcvtimeo = int(harness.PATIENCE_S * 1000)
        if name:
            with open(self.path(f"{name}.key")) as f:
                pair = dict(line.split() for line in f if line[0] != "#")
            one.curve_publickey = bytes.fromhex(pair["public"])
            one.curve_secretkey = bytes.fromhex(pair["secret"])
            one.curve_serverkey = bytes.fromhex(server or self.server)
        one.connect(f"tcp://127.0.0.1:{self.port + port}")
        return one

    def ask(self, one, number, body, sequence=1):
        one.send_multipart([struct.pack(">cBHIQ", b"S", 1, number, 0, sequence),
                            msgpack.packb(body)])
        header, reply = one.recv_multipart()
        return struct.unpack(">cBHIQ", header)[2], msgpack.unpackb(reply)

    def host(self, name, key, *words):
        return self.spawn("/bin/sh", "-c", 'exec "$@" 2>> "$0"', self.path(f"{name}.log"),
                          os.path.join(harness.BIN, "synk-worker-host"), "--connect", self.address,
                          "--key", key, "--server-key", self.server, "--user", "root",
                          "--name", name, "--slots", "1", *words)

    def states(self):
        return {host["name"]: host["state"] for host in self.synk("ls", "hosts", "--json").lines()}

    def test_files_of_keys(self):
        os.umask(0)
        self.addCleanup(os.umask, 0o022)
        path = self.keygen("a")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertRegex(self.public["a"], r"^[0-9a-f]{64}$")
        before = self.read("a.key")
        self.assertIn("is there already", self.synk("keygen", path, status=4).err)
        self.assertEqual(self.read("a.key"), before)
        self.listen()
        self.assertEqual(stat.S_IMODE(os.stat(self.path("d/server.key")).st_mode), 0o600)
        secret = re.search(r"secret (\S+)", before)[1]
        self.assertNotIn(secret, self.log())
        self.synk("keys", "add", path, "admin", "a")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("d/keys")).st_mode), 0o600)
        self.assertNotIn(secret, self.read("d/keys"))
        os.chmod(path, 0o640)
        self.assertIn("others may read the key", self.far("a", "ls", status=4).err)
        self.assertIn("64 hexadecimal", self.far("a", "ls", status=2, server="abc").err)

    def test_the_list(self):
        self.keygen("a", "observe")
        self.keygen("b", "worker")
        self.synk("keys", "add", self.path("a.key"), "admin", "anna")
        listed = self.synk("keys", "list").out
        self.assertEqual(listed, f"{self.public['a']}  admin    anna\n{self.public['b']}  worker   b\n")
        self.synk("keys", "revoke", "b")
        self.assertEqual([key["name"] for key in self.synk("keys", "list", "--json").lines()],
                         ["anna"])
        self.assertIn("no key is called 'b'", self.synk("keys", "revoke", "b", status=4).err)
        self.assertIn("a role is", self.synk("keys", "add", self.public["b"], "root", "b",
                                             status=2).err)
        self.assertIn("neither a public key", self.synk("keys", "add", "zz", "admin", "b",
                                                        status=2).err)
        # What is not understood is not thrown away by the next change.
        with open(self.path("d/keys"), "a") as f:
            f.write("nonsense\n")
        self.assertIn("line 3", self.synk("keys", "revoke", "anna", status=4).err)

    def test_every_request_by_every_role(self):
        self.assertEqual(set(numbers()), set(REQUESTS))
        self.listen()
        for role in ROLES:
            self.keygen(role, role)
        tried = 0
        for role in ROLES:
            one = self.dial(role)
            for name, number in sorted(numbers().items(), key=lambda pair: pair[0] == "shutdown"):
                body = {"graceMs": 0} if name == "shutdown" else {}
                kind, reply = self.ask(one, number, body, sequence=tried + 1)
                refused = kind == 129 and reply["status"] == "refused" and "role" in reply["text"]
                self.assertEqual(refused, role not in REQUESTS[name], (role, name, kind, reply))
                tried += 1
        self.assertEqual(tried, 4 * 30)
        self.assertRegex(self.log(), 'refused.*key=observe role=observe')
        print(f"{tried} requests over CURVE, each answered as the table says")

    def test_hosts_take_the_role_of_workers(self):
        self.listen()
        for role in ROLES:
            self.keygen(role, role)
            self.host(f"h-{role}", self.path(f"{role}.key"))
        wait_until(lambda: {"h-worker", "h-admin"} <= set(self.states()), "the two are there")
        for role in ("observe", "submit"):
            wait_until(lambda: f"key={role} role={role}" in self.log(), f"{role} is refused")
        self.assertEqual(set(self.states()), {"h-worker", "h-admin"})

    def test_submitters_run_what_is_defined_and_no_commands(self):
        self.write("w.json", '{"workers": [{"id": "w", "command": "true"}]}')
        for allow in (False, True):
            self.dir = self.path(f"d{allow}")
            self.listen(self.path("w.json"), *["--allow-exec"] * allow, slots=1)
            self.public.clear()
            name = f"s{allow}"
            self.keygen(name, "submit")
            self.far(name, "run", "w", "--wait")
            self.far(name, "pool", "submit", "sim.noop", "--wait")
            done = self.far(name, "pool", "submit", "exec", "--payload", '{"command": "true"}',
                            "--wait", status=0 if allow else 4)
            self.assertEqual("--allow-exec" in done.err, not allow)
            self.synk("down")

    def test_who_is_not_let_in(self):
        self.listen()
        self.keygen("in", "admin")
        self.keygen("out")
        self.far("in", "ls")
        self.assertIn("does not take this key", self.far("out", "ls", status=3).err)
        wait_until(lambda: self.public["out"] in self.log(), "the refusal is logged")
        none = self.synk("ls", status=3, env={"SYNK_CONNECT": self.address, "SYNK_DIR": ""})
        self.assertIn("asks for keys", none.err)
        wrong = self.far("in", "ls", status=3, server=self.public["out"])
        self.assertIn("no supervisor answers", wrong.err)
        lone = self.synk("ls", status=2, env={"SYNK_CONNECT": self.address, "SYNK_DIR": "",
                                              "SYNK_KEY": self.path("in.key")})
        self.assertIn("SYNK_SERVER_KEY", lone.err)
        # The same user on the same machine needs none.
        self.synk("ls")

    def test_garbage_instead_of_a_handshake(self):
        self.listen()
        self.keygen("in", "admin")
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + b"\x00" + bytes(31)
        null = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16) + b"\x00" + bytes(31)
        for port in range(3):
            for text in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), greeting + os.urandom(5000),
                         greeting + b"\x04\xc8\x05HELLO" + bytes(194), null + b"\x04\x05\x05READY"):
                with socket.create_connection(("127.0.0.1", self.port + port)) as one:
                    one.settimeout(harness.PATIENCE_S)
                    try:
                        one.sendall(text)
                        one.shutdown(socket.SHUT_WR)
                        while one.recv(4096):
                            pass
                    except OSError:
                        pass  # it may well be cut off while we speak
        self.far("in", "ls")

    def test_a_revoked_key_is_refused_on_the_connection_it_has(self):
        self.listen()
        self.keygen("leaver", "admin")
        self.keygen("stays", "observe")
        one, other = self.dial("leaver"), self.dial("stays")
        self.assertEqual(self.ask(one, 80, {})[0], 128)
        self.assertEqual(self.ask(other, 80, {})[0], 128)
        # Its role first, then all of it.
        self.synk("keys", "add", self.public["leaver"], "observe", "leaver")
        wait_until(lambda: self.ask(one, 84, {})[1].get("text", "").find("'observe'") > 0, "less")
        self.synk("keys", "revoke", "leaver")
        wait_until(lambda: self.ask(one, 80, {})[0] == 129, "it is refused")
        self.assertIn("not allowed here any more", self.ask(one, 80, {})[1]["text"])
        self.assertEqual(self.ask(other, 80, {})[0], 128)
        self.assertIn("does not take this key", self.far("leaver", "ls", status=3).err)
        self.synk("keys", "add", self.public["leaver"], "admin", "leaver")
        wait_until(lambda: self.ask(one, 80, {})[0] == 128, "it is back")

    def test_a_revoked_host_gets_nothing_more(self):
        self.listen()
        self.keygen("w", "worker")
        self.host("h", self.path("w.key"))
        wait_until(lambda: self.states().get("h") == "up", "it is up")
        self.synk("keys", "revoke", "w")
        wait_until(lambda: self.states().get("h") in ("suspect", "lost"), "it is let go")
        self.synk("keys", "add", self.public["w"], "worker", "w")
        wait_until(lambda: self.states().get("h") == "up", "it is up again")

    def test_a_revoked_subscriber_hears_nothing_more(self):
        self.listen()
        self.keygen("leaver", "observe")
        self.keygen("stays", "observe")
        self.keygen("worker", "worker")
        readers = {}
        for name in self.public:
            readers[name] = self.dial(name, zmq.SUB, port=2)
            readers[name].subscribe(b"head\0")
        for name in ("leaver", "stays"):
            self.assertEqual(len(readers[name].recv_multipart()), 3)
        self.synk("keys", "revoke", "leaver")
        wait_until(lambda: re.search(r"refused a connection.*for=events", self.log()) and
                   self.public["leaver"] in self.log(), "it tries to come back")
        for name in ("leaver", "stays"):
            while readers[name].poll(0):
                readers[name].recv_multipart()
        self.assertEqual(len(readers["stays"].recv_multipart()), 3)
        self.assertEqual(readers["leaver"].poll(0), 0)
        self.assertEqual(readers["worker"].poll(0), 0, "events take observe or more")

    def test_what_is_asked_for_where(self):
        beyond = self.spawn(os.path.join(harness.BIN, "synkd"), "--dir", self.path("e"), "--slots",
                            "0", "--listen", f"tcp://*:{free_port()}")
        said = ""
        while "ready" not in said:
            line = beyond.stderr.readline()
            self.assertTrue(line, said)
            said += line
        beyond.terminate()
        said += beyond.communicate()[1]
        self.assertIn("no key is allowed yet", said)
        self.assertRegex(said, r"server_key=[0-9a-f]{64}")
        if os.geteuid() == 0:
            host = subprocess.run([os.path.join(harness.BIN, "synk-worker-host"), "--connect",
                                   "tcp://127.0.0.1:1", "--name", "h"], capture_output=True,
                                  text=True)
            self.assertEqual(host.returncode, 64)
            self.assertIn("--user", host.stderr)

    def test_a_host_becomes_the_user_that_it_is_told_to(self):
        if os.geteuid() != 0:
            self.skipTest("only root may become somebody else")
        self.write("w.json", '{"workers": [{"id": "w", "command": "id -un", "cwd": "/"}]}')
        self.listen(self.path("w.json"))
        self.keygen("w", "worker")
        os.chmod(self.root, 0o711)
        os.makedirs(self.path("nobody"))
        os.chown(self.path("nobody"), 65534, 65534)
        self.host("h", self.path("w.key"), "--user", "nobody", "--dir", self.path("nobody/h"))
        wait_until(lambda: self.states().get("h") == "up", "it is up")
        self.synk("run", "w", "--wait")
        self.assertEqual(self.synk("logs", "w#1").out, "nobody\n")


if __name__ == "__main__":
    harness.main()
