#!/usr/bin/env python3
"""Every command of the README's console blocks runs, in order, in an empty directory, as it stands there; outputs that
are shown are those of today."""

import os
import unittest

import harness
import pages
from harness import BIN, SOURCE, SynkTest


@unittest.skipIf("debug" in BIN or "tsan" in BIN, "the page's plugin needs an uninstrumented build")
class Readme(SynkTest):
    def test_every_command_succeeds_and_prints_what_stands_there(self):
        with open(os.path.join(SOURCE, "README.md")) as f:
            found = pages.run(self, f.read())
        self.assertGreater(len(found), 20)
        self.assertEqual([], [f"$ {step.command}\n{step.output}" for step in found
                              if "[exit status" in step.output])
        told = [step for step in found if step.said]
        self.assertGreater(len(told), 0)
        self.assertEqual([], list(pages.differences(told)))
        output = "".join(step.output for step in found)
        self.assertIn('"greeted":"world"', output)
        self.assertIn("started as", output)


if __name__ == "__main__":
    harness.main()
