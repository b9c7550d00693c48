#!/usr/bin/env python3
"""The pages of docs/ are true: what their consoles show is what is printed, every field and every verb stands
in them, every test that they name exists, every link leads somewhere. With --update PAGE…, the outputs in
those pages are written anew."""

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
