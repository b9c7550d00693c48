#!/usr/bin/env python3
"""Each benchmark of synk-bench, small: it runs to its end and tells figures that can be."""

import json
import os
import subprocess
import unittest

import harness
from harness import BIN, SynkTest


class Bench(SynkTest):
    def bench(self, name, *arguments):
        done = subprocess.run([os.path.join(BIN, "synk-bench"), name, "--json", *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=harness.PATIENCE_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        figures = json.loads(done.stdout)
        self.assertEqual(figures["bench"], name)
        return figures

    def test_throughput_tells_its_ratio_to_the_floor(self):
        figures = self.bench("throughput", "--tasks", "2000", "--state", "memory:")
        self.assertEqual((figures["tasks"], figures["durability"]), (2000, "none"))
        self.assertGreater(figures["per_s"], 0)
        self.assertAlmostEqual(figures["ratio"], figures["per_s"] / figures["floor_per_s"], 2)

    def test_latency_tells_percentiles_and_what_they_are_made_of(self):
        figures = self.bench("latency", "--tasks", "20")
        self.assertLessEqual(0 < figures["p50_us"], figures["p99_us"])
        self.assertAlmostEqual(figures["floor_us"],
                               2 * figures["round_trip_us"] + 2 * figures["fsync_us"], delta=3)

    def test_graph_runs_to_its_end_and_is_loaded_half_way(self):
        for tasks in (1, 3000):  # one layer that is not full, and three
            figures = self.bench("graph", "--tasks", str(tasks))
            self.assertEqual(figures["tasks"], tasks)
            self.assertGreaterEqual(figures["apply_ms"], figures["validate_ms"] / 100)
            self.assertAlmostEqual(figures["total_ms"], figures["apply_ms"] +
                                   figures["start_ms"] + figures["run_ms"], delta=0.3)
        self.assertLess(figures["bytes_per_task"], 400)

    def test_what_it_does_not_know_is_a_usage_error(self):
        for arguments in (["nothing"], [], ["graph", "--tasks", "0"]):
            done = subprocess.run([os.path.join(BIN, "synk-bench"), *arguments], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(done.returncode, 2, arguments)


if __name__ == "__main__":
    harness.main()
