"""What the integration tests share: the built programs, a directory of each test's own, and ways to
wait for something to become true. Standard library only. $SYNK_BIN names the folder of programs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = os.environ.get("SYNK_BIN") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "../../build/bin"))
SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
SHARED = os.path.abspath(os.path.join(SOURCE, "../shared"))
# Sanitized programs are several times slower; no test depends on the value otherwise.
PATIENCE_S = float(os.environ.get("SYNK_PATIENCE_S", "60"))
SKIPPED = 77  # what CTest is told to read as "skipped"


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]


def alive(pid):
    """Whether the process runs; a zombie does not, but its threads may for a while yet: until they
    have ended, what it held open is held."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
            return fields[0] not in "ZX" or int(fields[17]) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(true, what, patience_s=None):
    """Returns the first truthy answer of `true`; fails naming `what` when patience ends."""
    end = time.monotonic() + (patience_s or PATIENCE_S)
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.01)


class SynkTest(unittest.TestCase):
    """A test with a supervisor directory of its own; whatever still runs there is killed at the end."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="synk-it.")
        self.dir = os.path.join(self.root, "d")
        self.addCleanup(self.clean)

    def clean(self):
        def none_left():
            # Again and again: what is supervised comes back until its supervisor is dead.
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not self.processes()

        wait_until(none_left, "nothing of the test runs")
        log = self.log()
        shutil.rmtree(self.root, ignore_errors=True)
        for mark in ("Sanitizer", "runtime error", "assertion"):
            self.assertNotIn(mark, log)

    def processes(self):
        """The live processes whose command line or environment names this test's directory."""
        mark, found = self.root.encode(), []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    line = f.read()
                with open(f"/proc/{name}/environ", "rb") as f:
                    environment = f.read()
            except OSError:
                continue
            if (mark in line or mark in environment) and alive(int(name)):
                found.append(int(name))
        return found

    def write(self, name, text):
        path = os.path.join(self.root, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def path(self, name):
        return os.path.join(self.root, name)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def spawn(self, *words, **options):
        environment = {**os.environ, "SYNK_DIR": self.dir, **options.pop("env", {})}
        options.setdefault("stdout", subprocess.PIPE)
        return subprocess.Popen([os.path.join(BIN, words[0]), *words[1:]], env=environment,
                                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                cwd=self.root, **options)

    def synk(self, *words, status=0, timeout=None, env=None):
        """Runs the command line; fails with its output when the exit status is another."""
        process = self.spawn("synk", *[str(word) for word in words], env=env or {})
        try:
            out, err = process.communicate(timeout=timeout or PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"synk {' '.join(map(str, words))}: no end\n{out}{err}{self.log()}")
        if status is not None and process.returncode != status:
            raise AssertionError(f"synk {' '.join(map(str, words))}: exit {process.returncode}, "
                                 f"not {status}\n{out}\n{err}\n{self.log()}")
        return Result(process.returncode, out, err)

    def log(self):
        try:
            with open(os.path.join(self.dir, "log")) as f:
                return "--- log\n" + f.read()[-6000:]
        except OSError:
            return ""

    def up(self, *words, slots=2):
        return self.synk("up", "--detach", "--slots", slots, *words)

    def supervisor_pid(self):
        with open(os.path.join(self.dir, "synkd.pid")) as f:
            return int(f.read())

    def kill_supervisor(self):
        pid = self.supervisor_pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), "the supervisor is dead")

    def host_pids(self):
        return [pid for pid in self.processes() if self.program(pid) == "synk-worker-host"]

    def program(self, pid):
        try:
            return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        except OSError:
            return ""

    def events(self, *words):
        return self.synk("events", "--json", *words).lines()


def main():
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun == len(result.skipped):
        sys.exit(SKIPPED)
