#!/usr/bin/env python3
"""Fetches one page: `fetch.py URL FILE`. Reports progress on descriptor 3, prints its result as JSON. Exit
status: 1 where another try may help, 44 where the page does not exist."""

import json
import os
import re
import sys
import urllib.error
import urllib.request

url, path = sys.argv[1:]
try:
    with urllib.request.urlopen(url) as reply, open(path + ".part", "wb") as file:
        total = int(reply.headers["Content-Length"])
        while chunk := reply.read1(2048):
            file.write(chunk)
            os.write(3, b'{"progress": %.3f}\n' % (file.tell() / total))
except urllib.error.HTTPError as e:
    sys.exit(print(f"{url}: {e}", file=sys.stderr) or (44 if e.code == 404 else 1))
except OSError as e:
    sys.exit(f"{url}: {e}")
os.rename(path + ".part", path)
with open(path) as file:
    page = file.read()
print(json.dumps({
    "title": re.search("<title>(.*)</title>", page)[1],
    "bytes": len(page.encode()),
    "tries": int(os.environ["SYNK_ATTEMPT"]),
}))
