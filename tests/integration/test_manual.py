#!/usr/bin/env python3
"""The manual pages name every verb and option that the programs' --help names, and render."""

import os
import re
import shutil
import subprocess
import unittest

import harness
from harness import BIN, SOURCE


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=harness.PATIENCE_S)


def options_of(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def page(name):
    with open(os.path.join(SOURCE, "man", name)) as f:
        return re.sub(r"\\f[BIR]", "", f.read().replace("\\-", "-"))


class Manual(unittest.TestCase):
    def test_daemons(self):
        for program, name in (("synkd", "synkd.8"), ("synk-worker-host", "synk-worker-host.8")):
            text = run(os.path.join(BIN, program), "--help").stdout
            self.assertTrue(options_of(text))
            self.assertEqual(options_of(text) - options_of(page(name)), set(), name)

    def test_verbs(self):
        text, manual = run(os.path.join(BIN, "synk"), "--help").stdout, page("synk.1")
        verbs = re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE)
        self.assertIn("run", verbs)
        for verb in verbs:
            with self.subTest(verb):
                self.assertRegex(manual, rf"(?m)^({verb}\b|\w+, {verb}\b)")
                options = options_of(run(os.path.join(BIN, "synk"), verb, "--help").stdout)
                self.assertEqual(options - options_of(manual), set())

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_pages_render_without_a_warning(self):
        for name in os.listdir(os.path.join(SOURCE, "man")):
            result = run("groff", "-man", "-ww", "-Tutf8", os.path.join(SOURCE, "man", name))
            self.assertEqual((result.returncode, result.stderr), (0, ""), name)


if __name__ == "__main__":
    harness.main()
