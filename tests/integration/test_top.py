#!/usr/bin/env python3
"""synk top on a real terminal, tmux's: what it shows, what its keys do, how it leaves."""

import json
import os
import shutil
import signal
import subprocess
import unittest

import harness
from harness import BIN, SynkTest, alive, wait_until

UNITS = {"processes": [{"id": "media", "workers": [
    {"id": "Download", "run": "sim.sleep", "payload": {"ms": 600000}, "timeoutMs": 0},
    {"id": "Publish", "run": "sim.noop", "dependsOn": ["Download"]},
    {"id": "Prepare", "run": "sim.noop"}]}],
    "workers": [{"id": "broken", "run": "sim.fail", "payload": {"error": "no such thing"}}]}


class NoTerminal(SynkTest):
    def test_it_is_refused_without_a_terminal(self):
        for words in (["top"], ["top", "--json"]):
            result = self.synk(*words, status=2)
            self.assertRegex(result.err, "needs a terminal.*synk ls.*synk stats")


@unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
class Top(SynkTest):
    def setUp(self):
        super().setUp()
        self.up(self.write("units.json", json.dumps(UNITS)))
        self.synk("run", "media")
        self.synk("run", "broken", "--wait", status=1)

    def tmux(self, *words):
        return subprocess.run(["tmux", "-S", self.path("tmux"), "-f", "/dev/null", *words],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S).stdout

    def start(self, columns=80, lines=24, **env):
        script = self.write("script", f"stty -g > before; echo $$ > shell.pid\n{BIN}/synk top\n"
                            "echo $? > status.new; stty -g > after; mv status.new status\n"
                            "exec sleep 600\n")
        env = {"SYNK_DIR": self.dir, "LC_ALL": "C.UTF-8", **env}
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(lines), "-c", self.root,
                  *(f"-e{name}={value}" for name, value in env.items()), f"sh {script}")
        self.await_text("synk top", "media#1", "broken#1", "local")

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def await_text(self, *texts):
        shown = [""]

        def is_there():
            shown[0] = self.screen()
            return all(text in shown[0] for text in texts)
        try:
            wait_until(is_there, f"the screen shows {texts}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{shown[0]}") from None
        return shown[0]

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def pid(self):
        for pid in self.processes():
            if self.program(pid) == "synk":
                return pid
        return None

    def check_left(self, status):
        wait_until(lambda: os.path.exists(self.path("status")), "it has ended")
        self.assertEqual(self.read("status").strip(), str(status))
        self.assertEqual(self.read("before"), self.read("after"))
        flags = self.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}").strip()
        self.assertEqual(flags, "0 1")

    def test_it_shows_and_its_keys_act(self):
        self.start()
        self.await_text("units 2", "hosts 1", "1/2", "epoch 1", "start ", "error ")
        # One of the three tasks of the live run is done, and seen to be.
        self.await_text("███", "1/3", "1/1")
        self.press("BTab")
        self.await_text("▸units")
        self.press("p")
        self.await_text("paused media")
        wait_until(lambda: self.synk("show", "media", "--json").json()["paused"], "it is paused")
        self.press("r")
        self.await_text("resumed media")
        self.assertFalse(self.synk("show", "media", "--json").json()["paused"])
        self.press("Enter")
        self.await_text('"workers"', "q closes")
        self.press("End")
        self.await_text('"dependsOn"', "100%")
        self.press("q", "Tab")
        self.await_text("▸runs")
        # Live runs come first.
        self.press("g", "Enter")
        self.await_text("▸tasks 3", "Download", "Publish", "pending")
        self.press("Down", "e")
        self.await_text("why: media#1 Publish", "waits")
        self.press("Escape")
        self.press("c")
        self.await_text("cancel media#1? y/n")
        self.press("n", "c", "y")
        self.await_text("cancelled media#1")
        self.assertEqual(self.synk("wait", "media#1", "--json", status=1).json()["status"],
                         "cancelled")
        self.press("Escape")
        self.await_text("▸runs")
        self.press("?")
        self.await_text("Shift-Tab")
        self.press("q", "q")
        self.check_left(0)

    def test_it_follows_the_size_of_the_window(self):
        self.start()
        for columns, lines in ((120, 40), (200, 60), (80, 24)):
            self.tmux("resize-window", "-x", str(columns), "-y", str(lines))

            def fits():
                rows = self.screen().split("\n")[:lines]
                return ("q quit" in rows[-1] and any("▸runs" in row for row in rows) and
                        rows[0].rstrip().endswith(tuple("0123456789")) and
                        len(rows[0].rstrip()) == columns - 1)
            wait_until(fits, f"it fills {columns} by {lines}")
        self.tmux("resize-window", "-x", "40", "-y", "10")
        self.await_text("too small")
        self.press("q")
        self.check_left(0)

    def test_a_supervisor_that_goes_away_is_waited_for(self):
        self.start()
        self.kill_supervisor()
        self.await_text("waiting for it", "media#1")
        self.press("BTab", "p")
        self.up()
        self.await_text("epoch 2", "the supervisor is back")
        self.assertFalse(self.synk("show", "media", "--json").json()["paused"])
        self.press("r")
        self.await_text("resumed media")
        self.press("q")
        self.check_left(0)

    def test_signals_leave_the_terminal_as_it_was(self):
        self.start()
        os.kill(wait_until(self.pid, "it runs"), signal.SIGTERM)
        self.check_left(130)

    def test_fatal_signals_leave_the_terminal_as_it_was(self):
        self.start()
        os.kill(wait_until(self.pid, "it runs"), signal.SIGABRT)
        self.check_left(128 + signal.SIGABRT)

    def test_it_ends_with_its_terminal(self):
        self.start()
        pid = wait_until(self.pid, "it runs")
        self.tmux("kill-server")
        wait_until(lambda: not alive(pid), "it has ended")

    def test_a_locale_of_ascii_gets_ascii_and_no_color_none(self):
        self.start(LC_ALL="C", NO_COLOR="1")
        self.assertTrue(self.await_text(">runs", "q quit").isascii())
        coloured = self.tmux("capture-pane", "-p", "-e")
        self.assertNotRegex(coloured, "\033\\[[0-9;]*3[0-7]m")
        self.press("q")
        self.check_left(0)


if __name__ == "__main__":
    harness.main()
