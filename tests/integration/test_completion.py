#!/usr/bin/env python3
"""Completion, in real shells: verbs, options and their values, ids and runs that there are."""

import os
import re
import shlex
import shutil
import subprocess
import unittest

import harness
from harness import BIN, SynkTest

UNITS = """
processes:
  - id: nightly
    workers: [{id: load, command: "true"}, {id: Fast Cleanup, command: "true"}]
workers:
  - {id: "news:paper", command: "true"}
"""


class Completion(SynkTest):
    shells = ("bash", "zsh") if shutil.which("zsh") else ("bash",)

    def script(self, shell):
        return self.synk("completion", shell).out

    def bash(self, line):
        """What bash's completion function answers to TAB at the end of the line."""
        words = line.split(" ")
        return self.shell("bash", f"""
source {self.path('bash')}
complete -p synk | grep -q -- '-F _synk' || exit 1
COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
COMP_WORDS=({' '.join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}
_synk synk; printf '%s\\n' "${{COMPREPLY[@]}}" """)

    def zsh(self, line):
        """The same of zsh, whose compadd and _files are played: they work in a line editor only."""
        words = line.split(" ")
        return self.shell("zsh", f"""
compdef() {{ [[ $2 == synk ]] || exit 1 }}
compset() {{ PREFIX=${{words[CURRENT]#*=}} }}
compadd() {{ shift; local one; for one in "$@"; do [[ $one == ${{PREFIX}}* ]] && print -r -- "$one"; done; true }}
_files() {{ print -rl -- ${{PREFIX}}*(N) }}
source {self.path('zsh')}
words=({' '.join(map(shlex.quote, words))}) CURRENT={len(words)} PREFIX={shlex.quote(words[-1])}
_synk """)

    def shell(self, shell, text):
        words = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"]}[shell]
        environment = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", SYNK_DIR=self.dir)
        result = subprocess.run([*words, text], env=environment, cwd=self.root, text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.PATIENCE_S)
        self.assertEqual(result.stderr, "")
        return sorted(line for line in result.stdout.splitlines() if line)

    def check(self, line, expected):
        for shell in self.shells:
            with self.subTest(shell=shell, line=line):
                self.assertEqual(getattr(self, shell)(line), sorted(expected))

    def setUp(self):
        super().setUp()
        for shell in self.shells:
            self.write(shell, self.script(shell))

    def verbs(self):
        return re.findall(r"^  ([a-z]+)  ", self.synk("--help").out, re.MULTILINE)

    def test_every_verb_and_every_option_of_its_help(self):
        verbs = self.verbs()
        self.assertIn("run", verbs)
        self.check("synk ", ["help", *verbs])
        self.check("synk sh", ["show", "shutdown"])
        for verb in verbs:
            text = self.synk(verb, "--help").out
            options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) | {"--help"}
            self.check(f"synk {verb} --", options)
        self.check("synk --json up --det", ["--detach"])

    def test_without_a_supervisor_it_is_silent(self):
        self.check("synk run ", [])
        self.check("synk wait ", [])
        self.assertFalse(os.path.exists(self.dir))

    def test_ids_runs_and_workers_that_there_are(self):
        self.up(self.write("units.yaml", UNITS))
        self.synk("run", "nightly", "--wait")
        self.synk("run", "news:paper", "--wait")
        self.check("synk run ni", ["nightly"])
        self.check("synk pause nightly ni", ["nightly"])
        self.check("synk wait ni", ["nightly#1"])
        self.assertIn("nightly#1", self.bash("synk show n"))
        self.check("synk explain nightly#1 lo", ["load"])
        self.check("synk wait nightly#1 ", [])
        self.check("synk events --unit ni", ["nightly"])
        self.check("synk events --unit=ni", ["nightly"])
        self.check("synk set nightly/lo", ["nightly/load"])
        self.check("synk wait nightly#la", ["nightly#last"])
        # A local run's units are those of its file.
        self.check("synk run --local units.yaml ni", [])
        # What readline and the shell would take for a break is left out or quoted.
        self.assertEqual(self.bash("synk run news:pa"), ["paper"])
        self.assertEqual(self.bash("synk retry nightly#1 Fast"), ["Fast\\ Cleanup"])
        # Another supervisor's directory on the line is heeded.
        self.check(f"synk --dir {self.root}/none run ", [])
        self.check(f"synk --dir={self.dir} run ni", ["nightly"])

    def test_values_and_files(self):
        self.write("a.yaml", "")
        self.check("synk apply a", ["a.yaml"])
        self.check("synk run --local a", ["a.yaml"])
        self.check("synk ls --kind ", ["process", "worker"])
        self.check("synk ls --status p", ["paused"])
        self.check("synk ls runs --status s", ["skipped", "succeeded"])
        self.check("synk set x maxR", ["maxRetries=", "maxRuns="])
        os.mkdir(self.path("a.dir"))
        self.assertEqual(self.bash("synk up --plugin-dir a"), ["a.dir"])
        os.rmdir(self.path("a.dir"))
        self.check("synk completion ", ["bash", "zsh"])
        self.check("synk ls ho", ["hosts"])
        self.check("synk help expl", ["explain"])
        self.check("synk pool re", ["resize", "resume"])
        self.check("synk run x --params ", [])

    def test_another_shell_is_refused(self):
        self.assertIn("bash and zsh", self.synk("completion", "fish", status=2).err)


if __name__ == "__main__":
    harness.main()
