#!/usr/bin/env python3
"""docs/client.md holds: every block of C compiles, strictly, and the first program prints what stands there."""

import os
import re
import subprocess

import harness
from harness import BIN, SOURCE, SynkTest

INCLUDES = ["-I" + os.path.join(SOURCE, folder) for folder in ("client/include", "proto/include")]
STRICT = ["-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]


def blocks(language):
    with open(os.path.join(SOURCE, "docs/client.md")) as f:
        return re.findall(rf"^```{language}\n(.*?)^```", f.read(), re.S | re.M)


class ClientDocs(SynkTest):
    def compile(self, source, *words):
        result = subprocess.run(["cc", *STRICT, *INCLUDES, source, *words], capture_output=True,
                                text=True, cwd=self.root, timeout=harness.PATIENCE_S)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_every_block_compiles(self):
        found = blocks("c")
        self.assertGreater(len(found), 7)
        for number, block in enumerate(found):
            with self.subTest(block=block.splitlines()[:8]):
                self.write(f"block{number}.c", block)
                self.compile(f"block{number}.c", "-c")

    def test_each_header_compiles_alone_in_c_and_in_cxx(self):
        for name in os.listdir(os.path.join(SOURCE, "client/include/synk")):
            with self.subTest(header=name):
                self.write("alone.c", f"#include <synk/{name}>\n")
                self.compile("alone.c", "-fsyntax-only", "-Wpedantic")
                self.write("alone.cpp", f"#include <synk/{name}>\n")
                result = subprocess.run(["c++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                                         "-fsyntax-only", *INCLUDES, "alone.cpp"], cwd=self.root,
                                        capture_output=True, text=True)
                self.assertEqual(result.returncode, 0, result.stderr)

    def test_the_first_program_prints_what_the_page_says(self):
        folder = os.path.join(os.path.dirname(BIN), "lib")
        needed = subprocess.run(["readelf", "-d", os.path.join(folder, "libsynk.so")], text=True,
                                capture_output=True, check=True).stdout
        if "libasan" in needed or "libtsan" in needed:
            self.skipTest("an instrumented library needs the program's runtime")
        self.write("hello.c", blocks("c")[0])
        self.write("hello.yaml", blocks("yaml")[0])
        self.compile("hello.c", "-o", "hello", "-L" + folder, "-lsynk", "-Wl,-rpath," + folder)
        self.up()
        result = subprocess.run(["./hello"], capture_output=True, text=True, cwd=self.root,
                                env=dict(os.environ, SYNK_DIR=self.dir), timeout=harness.PATIENCE_S)
        expected = blocks("console")[0].split("$ ./hello\n")[1]
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, expected, ""))

    def test_the_headers_on_the_page_are_those_there_are(self):
        with open(os.path.join(SOURCE, "docs/client.md")) as f:
            named = set(re.findall(r"`synk/(\w+\.h)`", f.read()))
        there = set(os.listdir(os.path.join(SOURCE, "client/include/synk")))
        self.assertEqual(named - {"value.h", "status.h"}, there)


if __name__ == "__main__":
    harness.main()
