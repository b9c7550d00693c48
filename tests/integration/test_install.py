#!/usr/bin/env python3
"""What `cmake --install` puts down is enough to build and run: a plugin in C, a program in C++."""

import os
import subprocess
import unittest

import harness
from harness import BIN, SynkTest

PLUGIN = r"""
#include <synk/worker.h>

static int greet(struct synk_task *task)
{
    struct synk_bytes who = synk_value_bytes(synk_value_get(synk_task_payload(task), "who"));
    if (!who.size)
        return synk_task_fail(task, "payload.who is missing");
    struct synk_builder *result = synk_task_result(task);
    synk_builder_map(result, 1);
    synk_builder_string(result, "greeted");
    synk_builder_string_n(result, (const char *)who.data, who.size);
    return 0;
}

SYNK_PLUGIN("hello", {"greet", greet})
"""

PROGRAM = r"""
#include <cstdio>
#include <cstdlib>
#include <synk/client.h>
#include <synk/worker.h>

int main()
{
    struct synk_error error = {};
    struct synk_client *client = nullptr;
    if (synk_client_open(nullptr, &client, &error) != SYNK_OK)
        return std::fprintf(stderr, "%s\n", error.text), 1;
    char *run = nullptr;
    struct synk_document *body = nullptr;
    if (synk_run(client, "hello", synk_bytes{nullptr, 0}, &run, &error) != SYNK_OK ||
        synk_wait(client, run, &body, &error) != SYNK_OK)
        return std::fprintf(stderr, "%s\n", error.text), 1;
    char *status = synk_value_string_dup(synk_value_get(synk_document_root(body), "status"));
    std::printf("%s %s\n", run, status);
    std::free(status);
    std::free(run);
    synk_document_free(body);
    synk_client_close(client);
}
"""


@unittest.skipIf("debug" in BIN or "tsan" in BIN, "an instrumented library needs the program's runtime")
class Install(SynkTest):
    def run_checked(self, *words, **options):
        result = subprocess.run(words, capture_output=True, text=True, cwd=self.root,
                                timeout=harness.PATIENCE_S, **options)
        self.assertEqual(result.returncode, 0, f"{words}\n{result.stdout}{result.stderr}")
        return result.stdout

    def test_plugin_and_program_against_an_installed_copy(self):
        prefix = self.path("prefix")
        self.run_checked("cmake", "--install", os.path.dirname(BIN), "--prefix", prefix)
        for name in ("bin/synk", "bin/synkd", "bin/synk-worker-host", "include/synk/client.h",
                     "include/synk/worker.h", "share/man/man1/synk.1", "share/doc/synk/PROTOCOL.md"):
            self.assertTrue(os.path.exists(os.path.join(prefix, name)), name)
        self.run_checked(os.path.join(prefix, "bin/synk"), "--version")
        config = subprocess.run(["find", prefix, "-name", "*.pc"], capture_output=True, text=True)
        folder = os.path.dirname(config.stdout.split()[0])
        environment = dict(os.environ, PKG_CONFIG_PATH=folder, LD_LIBRARY_PATH=os.path.join(
            prefix, os.path.relpath(os.path.dirname(folder), prefix)))
        worker_flags = self.run_checked("pkg-config", "--cflags", "synk-worker", env=environment)
        client_flags = self.run_checked("pkg-config", "--cflags", "--libs", "synk", env=environment)

        os.mkdir(self.path("plugins"), 0o755)
        self.write("hello.c", PLUGIN)
        self.run_checked("cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
                         "plugins/hello.so", "hello.c", *worker_flags.split())
        self.write("hellopp.cpp", PLUGIN.replace('"hello", {', '"hellopp", {'))
        self.run_checked("c++", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC",
                         "-o", "plugins/hellopp.so", "hellopp.cpp", *worker_flags.split())
        self.write("client.cpp", PROGRAM)
        self.run_checked("c++", "-Wall", "-Wextra", "-Werror", "-o", "client", "client.cpp",
                         *client_flags.split())
        definition = self.write("hello.yaml",
                                "workers: [{id: hello, run: hello.greet, payload: {who: world}}]")
        self.up("--plugin-dir", self.path("plugins"), definition)
        environment["SYNK_DIR"] = self.dir
        self.assertEqual(self.run_checked("./client", env=environment), "hello#1 succeeded\n")
        task = self.synk("show", "hello#1", "--json").json()["tasks"][0]
        self.assertEqual(task["result"], {"greeted": "world"})
        self.assertIn("hellopp.greet", self.synk("ls", "hosts", "--json").json()["functions"])


if __name__ == "__main__":
    harness.main()
