#!/usr/bin/env python3
"""A web service that is well as long as it runs: `service.py NAME ADDRESSES`. Takes a free port and puts
NAME=HOST:PORT into the file of addresses, in place of an earlier line."""

import http.server
import os
import sys

name, path = sys.argv[1:]


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"well\n")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # whoever asked was killed before the answer


server = Server(("127.0.0.1", 0), Service)
with open(path, "a+") as file:
    file.seek(0)
    others = [line for line in file if not line.startswith(name + "=")]
with open(f"{path}.{name}", "w") as file:
    file.writelines([*others, f"{name}=127.0.0.1:{server.server_port}\n"])
os.rename(f"{path}.{name}", path)
server.serve_forever()
