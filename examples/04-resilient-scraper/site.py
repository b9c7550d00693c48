#!/usr/bin/env python3
"""A web site that fails at first: `site.py PORT-FILE`. The port is one that is free, and is written to the
file once the site can be reached. What fails how is in the table below."""

import http.server
import os
import sys
import threading
import time

# Per page, what its first requests come to; later ones are answered.
TROUBLES = {
    "/weather": [],
    "/prices": [503, 503],
    "/news": ["hang up"],
    "/archive": ["hang"],
    "/removed": [404] * 99,
}


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        trouble = TROUBLES[self.path].pop(0) if TROUBLES.get(self.path) else None
        if trouble == "hang up":
            self.close_connection = True
        elif trouble == "hang":
            time.sleep(3600)
        elif trouble or self.path not in TROUBLES:
            self.send_error(trouble or 404)
        else:
            self.send_page()

    def send_page(self):
        lines = [f"<p>{self.path[1:]}, paragraph {i}</p>\n".encode() for i in range(300)]
        page = b"<title>All about " + self.path[1:].encode() + b"</title>\n" + b"".join(lines)
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        for at in range(0, len(page), 1024):  # a long page on a slow line
            self.wfile.write(page[at:at + 1024])
            time.sleep(0.15 if self.path == "/archive" else 0)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
server.daemon_threads = True
with open(sys.argv[1] + ".new", "w") as f:
    f.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
threading.Thread(target=server.serve_forever).start()
