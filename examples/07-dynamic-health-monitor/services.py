#!/usr/bin/env python3
"""Web services in one process: `services.py FILE NAME…`, each on a port that is free. Adds a line
`NAME HOST:PORT` for each to the file. A NAME! answers 503 to its first three requests."""

import http.server
import sys
import threading


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.troubles -= 1
        self.send_response(503 if self.server.troubles >= 0 else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # whoever asked has gone


with open(sys.argv[1], "a") as file:
    for name in sys.argv[2:]:
        server = Server(("127.0.0.1", 0), Service)
        server.troubles = 3 if name.endswith("!") else 0
        threading.Thread(target=server.serve_forever).start()
        file.write(f"{name.strip('!')} 127.0.0.1:{server.server_port}\n")
