#!/usr/bin/env python3
"""Prints what was fetched: `report.py WORKER...`. Their results are in the task's input."""

import json
import os
import sys

with open(os.environ["SYNK_INPUT"]) as file:
    results = json.load(file)["inputs"]
print("PAGE     TRIES  BYTES  TITLE")
for name in sys.argv[1:]:
    page = results.get(name)
    print(f"{name:<8} {page['tries']:>5} {page['bytes']:>6}  {page['title']}" if page else
          f"{name:<8}     -      -  could not be fetched")
print(f"{len(results)} of {len(sys.argv) - 1} pages, {sum(page['bytes'] for page in results.values())} bytes")
