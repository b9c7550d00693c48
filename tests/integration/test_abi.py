#!/usr/bin/env python3
"""libsynk keeps what programs are linked to: the exported symbols, their versions, the soname. The
list is tests/abi/libsynk.symbols; what is new is added to it by `test_abi.py --update`."""

import os
import re
import subprocess
import sys
import unittest

import harness
from harness import BIN, SOURCE

LIBRARY = os.path.join(os.path.dirname(BIN), "lib", "libsynk.so")
LIST = os.path.join(SOURCE, "tests/abi/libsynk.symbols")


def read(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def exported():
    lines = read("nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY).splitlines()
    return sorted(line.split()[-1] for line in lines if line.split()[-2] != "A")


def listed():
    with open(LIST) as f:
        return f.read().split()


class Abi(unittest.TestCase):
    def test_no_symbol_vanishes_or_changes_its_version(self):
        found, kept = exported(), listed()
        self.assertGreater(len(kept), 50)
        self.assertEqual([name for name in kept if name not in found], [], "gone from libsynk.so")
        new = [name for name in found if name not in kept]
        if new:
            print("not in the list yet (add with --update):", *new)

    def test_only_the_public_names_are_exported(self):
        strangers = [name for name in exported() if not re.match(r"synk_\w+@@SYNK_1\.\d+$", name)]
        self.assertEqual(strangers, [])

    def test_the_soname_is_that_of_version_1(self):
        self.assertIn("[libsynk.so.1]", read("readelf", "-d", LIBRARY))

    def test_every_exported_function_is_declared_in_a_public_header(self):
        headers = ""
        for folder in ("client/include/synk", "proto/include/synk"):
            for name in os.listdir(os.path.join(SOURCE, folder)):
                with open(os.path.join(SOURCE, folder, name)) as f:
                    headers += f.read()
        declared = set(re.findall(r"\b(synk_\w+)\(", headers))
        missing = [name.split("@")[0] for name in exported() if name.split("@")[0] not in declared]
        self.assertEqual(missing, [])


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        with open(LIST, "w") as f:
            f.write("\n".join(sorted(set(exported()) | set(listed()))) + "\n")
    else:
        harness.main()
