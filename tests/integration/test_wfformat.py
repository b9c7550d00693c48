#!/usr/bin/env python3
"""Recorded scientific workflows run, and no child starts before its parents have ended."""

import glob
import json
import os
import unittest

import harness
from harness import SHARED, SynkTest

GRAPHS = sorted(glob.glob(os.path.join(SHARED, "data/wfinstances/*.json")))


@unittest.skipUnless(GRAPHS, f"no workflow graphs in {SHARED}/data/wfinstances")
class WfFormat(SynkTest):
    def test_every_graph_runs_locally_in_order(self):
        for graph in GRAPHS:
            with self.subTest(os.path.basename(graph)):
                definition = self.synk("import", "wfformat", graph, "--scale", "0").out
                path = self.write("graph.json", definition)
                log = self.path("events.jsonl")
                self.synk("run", "--local", path, "--events", log)
                self.check_order(json.loads(definition)["processes"][0], log)

    def check_order(self, process, log):
        started, ended = {}, {}
        with open(log) as f:
            events = [json.loads(line) for line in f]
        self.assertEqual([event["seq"] for event in events],
                         list(range(events[0]["seq"], events[0]["seq"] + len(events))))
        for event in events:
            if not event.get("worker"):
                continue
            if event["type"] == "start":
                started[event["worker"]] = event["seq"]
            elif event["type"] == "complete":
                ended[event["worker"]] = event["seq"]
        workers = process["workers"]
        self.assertEqual(set(ended), {worker["id"] for worker in workers})
        for worker in workers:
            for parent in worker.get("dependsOn", []):
                self.assertLess(ended[parent], started[worker["id"]])


if __name__ == "__main__":
    harness.main()
