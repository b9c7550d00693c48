#!/usr/bin/env python3
"""Every command of the README's console blocks runs, in order, in an empty directory, as it stands there."""

import os
import re
import subprocess
import unittest

import harness
from harness import BIN, SOURCE, SynkTest


def steps(text):
    """The files and commands of a page, in order: ("file", name, content) or ("command", line)."""
    block = re.compile(r"(?:<!-- file: (\S+) -->\n)?```(\w*)\n(.*?)```", re.S)
    for name, language, body in block.findall(text):
        if name:
            yield "file", name, body
        elif language == "console":
            for line in body.splitlines():
                if line.startswith("$ "):
                    yield "command", line[2:], None


@unittest.skipIf("debug" in BIN or "tsan" in BIN, "the page's plugin needs an uninstrumented build")
class Readme(SynkTest):
    def test_every_command_succeeds(self):
        # pkg-config answers as after an install.
        folder = self.path(".pkgconfig")
        os.mkdir(folder)
        self.write(".pkgconfig/synk-worker.pc", "Name: synk-worker\nDescription: headers\nVersion: 0\n"
                   f"Cflags: -I{SOURCE}/worker-host/include -I{SOURCE}/proto/include\n")
        environment = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", PKG_CONFIG_PATH=folder,
                           SYNK_DIR="", LC_ALL="C.UTF-8")
        script = ["set -e", f"cd {self.root}", "unset SYNK_DIR"]
        with open(os.path.join(SOURCE, "README.md")) as f:
            page = list(steps(f.read()))
        self.assertGreater(len(page), 20)
        for kind, what, content in page:
            if kind == "file":
                self.write(what, content)
            else:
                script.append(f"echo '+ step {len(script)}' >&2\n{what}")
        result = subprocess.run(["bash", "-c", "\n".join(script)], env=environment, text=True,
                                capture_output=True, timeout=harness.PATIENCE_S * 2)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn('"greeted":"world"', result.stdout)
        self.assertIn("started as", result.stdout)


if __name__ == "__main__":
    harness.main()
