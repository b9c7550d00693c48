#!/usr/bin/env python3
"""The pages of docs/ are true: what their consoles show is what is printed, every field and every verb stands
in them, every test that they name exists, every link leads somewhere. With --update PAGE…, the outputs in
those pages are written anew."""

import ast
import os
import re
import subprocess
import sys
import unittest

import harness
import pages
from harness import BIN, SOURCE, SynkTest


def read(*names):
    with open(os.path.join(SOURCE, *names)) as f:
        return f.read()


def is_instrumented():
    """Whether programs that link the library would need a sanitizer's runtime."""
    needed = subprocess.run(["readelf", "-d", os.path.join(BIN, "../lib/libsynk.so")], capture_output=True,
                            text=True).stdout
    return "libasan" in needed or "libtsan" in needed


class Consoles(SynkTest):
    def check(self, name):
        found = pages.run(self, read("docs", name + ".md"))
        self.assertTrue(found)
        self.assertEqual([], list(pages.differences(found)))

    def test_concepts(self):
        self.check("concepts")

    def test_cli(self):
        self.check("cli")

    def test_definition(self):
        self.check("definition")

    @unittest.skipIf(is_instrumented(), "the page's program needs an uninstrumented library")
    def test_migrating(self):
        self.check("migrating")

    @unittest.skipIf(is_instrumented(), "the page's plugins need an uninstrumented host")
    def test_plugins(self):
        self.check("plugins")

    def test_run_modes(self):
        self.check("run-modes")


class Facts(unittest.TestCase):
    def test_the_moves_of_a_task_are_those_of_the_table(self):
        source = read("supervisor", "core", "states.c")
        name = dict(re.findall(r'\[(TASK_\w+)\] = "([a-z-]+)"', source))
        final = re.search(r"#define TO_FINAL(.*?)\nstatic", source, re.S)[1]
        table = source.split("moves[TASK_STATES] = {")[1].replace("TO_FINAL", final)
        expected = {}
        for state, value in re.findall(r"\[(TASK_\w+)\] =\s*((?:[^,/]|/\*.*?\*/)*),", table, re.S):
            expected[name[state]] = {name[to] for to in re.findall(r"TO\((\w+)\)", value)}
        page = read("docs", "concepts.md").split("<!-- moves -->")[1].split("\n\n")[0]
        told = {row[0]: set(row[1:]) for row in
                (re.findall(r"`([a-z-]+)`", line) for line in page.splitlines()) if row}
        self.assertEqual(len(expected), len(name))
        self.assertEqual(told, expected)

    def test_every_field_stands_where_it_may(self):
        source = read("proto", "definition_fields.c")
        letters = {"IN_UNIT": "WP", "IN_WORKER": "W", "IN_PROCESS": "P", "IN_DEFAULTS": "D"}
        fields = {}
        for name, places in re.findall(r'\[FIELD_\w+\] = \{"(\w+)",\s*([A-Z_ |]+),', source):
            for place in places.split(" | "):
                fields.setdefault(name, set()).update(letters[place])
        self.assertEqual(len(set(re.findall(r"\[FIELD_\w+\] = \{\"(\w+)", source))), len(fields))
        told = {name: set(where.split()) for name, where in
                re.findall(r"(?m)^\| `(\w+)` \| ([WPD ]+) \|", read("docs", "definition.md"))}
        self.assertEqual(told, fields)
        manual = re.sub(r"\\f[BIR]", "", read("man", "synk-definition.5")).split(".SH EXPRESSIONS")[0]
        self.assertEqual([], [name for name in fields if not re.search(rf"(?m)^\.BR? .*\b{name}\b", manual)])
        defaults = re.search(r"(?m)^`defaults` takes `([^`]+)`", read("docs", "definition.md"))[1]
        self.assertEqual(set(defaults.split()), {name for name in fields if "D" in fields[name]})

    def test_every_verb_has_its_place(self):
        page = read("docs", "cli.md")
        verbs = re.findall(r"^  ([a-z]+)  ", subprocess.run([os.path.join(BIN, "synk"), "--help"],
                                                          capture_output=True, text=True).stdout, re.M)
        self.assertIn("run", verbs)
        self.assertEqual([], [verb for verb in verbs if not re.search(rf"\*\*{verb}\b", page)])
        self.assertEqual([], [verb for verb in verbs if not re.search(rf"(?m)^\$ .*\bsynk (?:--dir \S+ )?{verb}\b", page)
                              and verb != "shutdown"])

    def test_links_lead_somewhere(self):
        for name in ["README.md", *(f"docs/{file}" for file in os.listdir(os.path.join(SOURCE, "docs")))]:
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read(name)):
                path = os.path.join(SOURCE, os.path.dirname(name), link)
                self.assertTrue(os.path.exists(path), f"{name}: {link}")


class Ancestor(unittest.TestCase):
    """docs/ancestor.md has every row, and every test, call and verb that it names is there."""

    def setUp(self):
        self.page = read("docs", "ancestor.md")
        self.rows = [line.strip("| ").split(" | ") for line in self.page.splitlines()
                     if re.match(r"\| \d+ \|", line)]

    def test_every_row_names_tests(self):
        self.assertEqual([int(row[0]) for row in self.rows], list(range(1, 26)))
        for row in self.rows:
            self.assertRegex(row[-1], r"`test_\w+(\.py)? \S+`", row[0])

    def named(self):
        found = re.findall(r"`(test_\w+(?:\.py)?) (\S+)`", self.page)
        self.assertGreater(len(found), 75)
        return found

    def test_every_test_exists(self):
        for program, case in self.named():
            with self.subTest(f"{program} {case}"):
                if not program.endswith(".py"):
                    source = read("tests", "unit", program + ".c")
                    self.assertRegex(source, rf'\{{"{re.escape(case)}",|CASE\({re.escape(case)}\)')
                    continue
                tree = ast.parse(read("tests", "integration", program))
                methods = {f"{one.name}.{each.name}" for one in tree.body if isinstance(one, ast.ClassDef)
                           for each in one.body if isinstance(each, ast.FunctionDef)}
                self.assertIn(case, methods)

    def test_every_failure_has_its_test(self):
        told = {case for program, case in self.named() if program == "test_ancestor.py"}
        there = {f"Failures.{name}" for name in
                 re.findall(r"def (test_\w+)", read("tests", "integration", "test_ancestor.py"))}
        self.assertEqual(told, there)

    def test_every_call_and_verb_exists(self):
        symbols = "".join(
            read("client", "include", "synk", name)
            for name in os.listdir(os.path.join(SOURCE, "client", "include", "synk")))
        symbols += read("worker-host", "include", "synk", "worker.h")
        verbs = re.findall(r"^  ([a-z]+)  ", subprocess.run([os.path.join(BIN, "synk"), "--help"],
                                                          capture_output=True, text=True).stdout, re.M)
        for name in re.findall(r"`(synk_\w+)", self.page + read("docs", "migrating.md")):
            self.assertRegex(symbols, rf"\b{name}\(")
        for verb in re.findall(r"`synk ([a-z]+)", self.page + read("docs", "migrating.md")):
            self.assertIn(verb, verbs)


def update(paths):
    """Writes what is printed now into pages."""
    class Update(SynkTest):
        def runTest(self):
            for path in paths:
                text = read(path)
                pages.write(os.path.join(SOURCE, path), pages.run(self, text), text)
    return unittest.TextTestRunner().run(Update())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--update"]:
        sys.exit(not update(sys.argv[2:]).wasSuccessful())
    harness.main()
