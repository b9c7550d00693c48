#!/usr/bin/env python3
"""The plugin SDK in use, with real processes: sub-tasks, waits that a cancel ends, plugins of the first
version, plugins that a host cannot load."""

import json
import os
import re
import shutil
import subprocess
import unittest

import harness
from harness import BIN, SOURCE, wait_until
from test_workflows import PLUGINS, Workflow

INCLUDES = ("worker-host/include", "proto/include")
HEADERS = ("worker-host/include/synk/worker.h", "proto/include/synk/value.h",
           "proto/include/synk/status.h")

CXX = r"""
#include <synk/worker.h>

static int add(synk_task *task, const synk_subtask_try *now)
{
    *static_cast<long *>(now->context) += static_cast<long>(now->index);
    return now->attempt == 1 && now->index == 2 ? synk_task_fail(task, "not yet") : 0;
}

static int sum(synk_task *task)
{
    long total = 0;
    synk_subtasks list = {};
    list.count = 4;
    list.run = add;
    list.context = &total;
    list.max_retries = 1;
    if (synk_run_tasks(task, &list, nullptr, nullptr) != SYNK_OK)
        return -1;
    synk_builder_int(synk_task_result(task), total);
    return 0;
}

SYNK_PLUGIN("cxx", {"sum", sum})
"""


@unittest.skipUnless(PLUGINS, "needs the plugins that the build makes")
class Sdk(Workflow):
    def local(self, run, payload=None, status=0, plugins=PLUGINS, **worker):
        """A function run by `synk run --local`: its task, and the milestones that it gave."""
        self.write("w.json", json.dumps({"workers": [
            {"id": "w", "run": run, "payload": payload, **worker}]}))
        out = self.synk("run", "--local", self.path("w.json"), "--plugin-dir", plugins,
                        "--events", self.path("events"), "--json", status=status)
        shown = out.json()
        events = [json.loads(line) for line in self.read("events").splitlines()]
        told = [event for event in events if event["type"] == "milestone" and event.get("worker")]
        return shown["tasks"][0], told

    def serve(self, *workers):
        self.start([], list(workers), "--plugin-dir", PLUGINS)

    def until_milestone(self, name):
        return wait_until(lambda: [event for event in self.events("--type", "milestone")
                                   if event["milestone"] == name], f"{name} is told")


class SubTasks(Sdk):
    def test_the_report_is_the_result_and_each_end_is_told(self):
        task, told = self.local("sdk.items", {
            "lenient": True, "maxRetries": 2,
            "items": [{"id": "a"}, {"id": "b", "fails": 2}, {"id": "c", "fails": 9}]})
        self.assertEqual(task["result"], {
            "totalTasks": 3, "successful": 2, "failed": 1, "notRun": 0, "retries": 4,
            "successPercentage": 66.66, "cancelled": False, "resultsLeftOut": 0,
            "errorsLeftOut": 0, "results": {"a": {"tries": 1}, "b": {"tries": 3}},
            "errors": {"c": "try 3 of c"}})
        self.assertEqual([event["payload"] for event in told], ["a", "b", "c"])

    def test_a_failure_is_the_attempts_and_may_end_the_list(self):
        items = [{"id": "a"}, {"id": "b", "fails": 9}, {"id": "c"}]
        task, told = self.local("sdk.items", {"items": items}, status=1)
        self.assertIn("1 of 3 sub-tasks failed, the first 'b' after 1 try: try 1 of b",
                      task["error"])
        self.assertEqual(len(told), 3)
        task, told = self.local("sdk.items", {"items": items, "stopOnError": True,
                                              "lenient": True})
        self.assertEqual((task["result"]["notRun"], len(told)), (1, 2))

    def test_no_items_are_done(self):
        task, told = self.local("sdk.items", {"items": []})
        self.assertEqual((task["result"]["totalTasks"], task["result"]["successPercentage"]),
                         (0, 100))
        self.assertEqual(told, [])

    def test_bad_lists_fail_before_anything_runs(self):
        for payload, problem in (
                ({"items": [{"id": "x"}, {"id": "y"}, {"id": "x"}]},
                 "sub-tasks 0 and 2 have the same id 'x'"),
                ({"items": [{"id": "x" * 129}]}, "the id of sub-task 0 is not 1 to 128 bytes"),
                ({"items": [{}], "noFunction": True}, "sub-task 0 has no function"),
                ({"items": [{}], "delayMs": -1}, "a delay between sub-tasks is negative")):
            task, told = self.local("sdk.items", payload, status=1)
            self.assertIn(problem, task["error"])
            self.assertEqual(told, [])

    def test_functions_of_their_own_and_lists_inside_lists(self):
        report = self.local("sdk.tasks")[0]["result"]["report"]
        self.assertEqual((report["successful"], report["results"]["one"]), (2, "1"))
        self.assertEqual(report["results"]["two"]["results"], {"x": "in x", "y": "in y"})

    def test_a_cancel_ends_the_delay_between_retries(self):
        self.serve({"id": "w", "run": "sdk.items", "timeoutMs": 0, "payload": {
            "maxRetries": 5, "retryDelayMs": 3600000,
            "items": [{"id": "a"}, {"id": "b", "fails": 9}, {"id": "c"}]}})
        run = self.begin("w")
        self.until_milestone("item-done")
        self.synk("cancel", run)
        task = self.end(run, "cancelled")["w"]
        self.assertEqual(task["state"], "cancelled")
        partial = self.until_milestone("partial")[0]["payload"]
        self.assertEqual((partial["successful"], partial["failed"], partial["notRun"],
                          partial["cancelled"]), (1, 1, 1, True))
        self.assertEqual(partial["errors"], {"b": "try 1 of b"})

    def test_a_time_limit_ends_the_delay_between_sub_tasks(self):
        task, told = self.local("sdk.items", {"delayMs": 3600000, "items": [{"id": "a"}, {}]},
                                status=1, timeoutMs=300)
        self.assertEqual(task["state"], "timed-out")
        self.assertEqual([event["milestone"] for event in told], ["item-done", "partial"])


class Values(Sdk):
    def test_paths_and_strings(self):
        self.serve()
        for path, more, status, found in (
                ("has.dots/streams/1/codec", {}, "succeeded", "opus"),
                ("has.dots/streams/7/codec", {"otherwise": "none"}, "succeeded", "none"),
                ("has.dots/streams", {}, "failed", "is no text")):
            self.write("p.json", json.dumps({"processes": [{"id": "p", "workers": [
                {"id": "has.dots", "output": "json", "command":
                 "echo '{\"streams\": [{\"codec\": \"av1\"}, {\"codec\": \"opus\"}]}'"},
                {"id": "look", "run": "sdk.look", "dependsOn": ["has.dots"],
                 "payload": {"path": path, **more}}]}]}))
            self.synk("apply", self.path("p.json"))
            task = self.complete("p", status)["look"]
            self.assertIn(found, task["result"] or task["error"])


class Surroundings(Sdk):
    def test_a_function_works_in_the_root_directory_whatever_another_did(self):
        self.write("w.json", json.dumps({"processes": [{"id": "p", "workers": [
            {"id": "first", "run": "sdk.where"}, {"id": "second", "run": "sdk.where"}]}]}))
        tasks = self.synk("run", "--local", self.path("w.json"), "--plugin-dir", PLUGINS, "--slots", "1",
                          "--json").json()["tasks"]
        self.assertEqual([task["result"] for task in tasks], ["/", "/"])


    def test_a_hosts_relative_directory_is_where_the_host_was_started(self):
        self.up(slots=0)
        self.spawn("synk-worker-host", "--connect", f"ipc://{self.dir}/host.sock", "--name", "mine",
                   "--dir", "mine", "--plugin-dir", os.path.relpath(PLUGINS, self.root))
        self.write("w.json", json.dumps({"workers": [
            {"id": "w", "run": "sdk.items", "payload": {"items": [{"id": "a"}]}}]}))
        self.synk("apply", self.path("w.json"))
        self.synk("run", "w", "--wait")
        self.assertIn("1/1 a ok", self.synk("logs", "w#1").out)
        self.assertIn("host.lock", os.listdir(self.path("mine")))


class Undone(Sdk):
    def test_a_result_that_was_not_ended_is_told_as_such(self):
        for run, payload, text in (
                ("sdk.undone", None, "the result is not one whole value: a map was begun and not ended"),
                ("sdk.undone", "who", "the result is not one whole value: key 'who' has no value"),
                ("sdk.tasks_undone", None, "its result cannot be kept: an array was begun and not ended")):
            with self.subTest(text):
                self.assertIn(text, self.local(run, payload, status=1)[0]["error"])


class Waiting(Sdk):
    def test_a_cancel_ends_a_wait_and_the_next_task_waits_again(self):
        self.serve({"id": "long", "run": "sdk.wait", "timeoutMs": 0, "payload": {"ms": 3600000}},
                   {"id": "short", "run": "sdk.wait", "payload": {"ms": 50}})
        run = self.begin("long")
        self.until_milestone("waits")
        self.synk("cancel", run)
        self.end(run, "cancelled")
        self.until_milestone("woken")
        self.complete("short")
        self.assertEqual(len(self.until_milestone("woken")), 1)


class Loading(Sdk):
    def build(self, name, text, compiler="cc", *words):
        os.makedirs(self.path("plugins"), mode=0o755, exist_ok=True)
        suffix = "cpp" if compiler == "c++" else "c"
        source = self.write(f"{name}.{suffix}", text)
        subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                        *(f"-I{SOURCE}/{folder}" for folder in INCLUDES), *words,
                        "-o", self.path(f"plugins/{name}.so"), source], check=True,
                       timeout=harness.PATIENCE_S)
        return self.path("plugins")

    def test_a_plugin_of_the_first_version_loads_and_runs(self):
        task, told = self.local("abi1.all", {"list": [5, 2.5, True, "text"]})
        self.assertEqual(task["result"], {"abi": 1, "list": [0.5, None]})
        self.assertEqual([event["milestone"] for event in told], ["abi"])

    @unittest.skipUnless(shutil.which("c++"), "needs a C++ compiler")
    def test_a_plugin_in_cxx(self):
        plugins = self.build("cxx", CXX, "c++", "-std=c++11", "-Wpedantic")
        self.assertEqual(self.local("cxx.sum", plugins=plugins)[0]["result"], 8)

    def test_a_plugin_that_needs_a_newer_host_is_refused_by_name(self):
        plugins = self.build("future", """
            #include <synk/worker.h>
            int synk_task_levitate(struct synk_task *task);
            static int run(struct synk_task *task) { return synk_task_levitate(task); }
            SYNK_PLUGIN("future", {"run", run})""")
        listed = subprocess.run([os.path.join(BIN, "synk-worker-host"), "--list",
                                 os.path.join(plugins, "future.so")], capture_output=True,
                                text=True, timeout=harness.PATIENCE_S)
        self.assertIn("it calls synk_task_levitate, which this host", listed.stdout)

    def test_the_host_has_and_the_guide_names_every_function_of_the_headers(self):
        declared = set()
        for header in HEADERS:
            with open(os.path.join(SOURCE, header)) as f:
                text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
            declared |= set(re.findall(r"\b(synk_\w+)\(", text))
        names = subprocess.run(["nm", "-D", "--defined-only",
                                os.path.join(BIN, "synk-worker-host")], check=True,
                               capture_output=True, text=True).stdout.split()
        self.assertGreater(len(declared), 40)
        self.assertEqual(declared - set(names), set())
        with open(os.path.join(SOURCE, "docs/plugins.md")) as f:
            guide = f.read()
        self.assertEqual([name for name in sorted(declared) if name not in guide], [])

    def test_the_guides_plugins_build_and_run(self):
        with open(os.path.join(SOURCE, "docs/plugins.md")) as f:
            guide = f.read()
        codes = re.findall(r"```c\n(.*?)```", guide, re.S)
        definitions = re.findall(r"```yaml\n(.*?)```", guide, re.S)
        results = re.findall(r"succeeded +\+\d+ ms +\d+ ms +(\{.*\})$", guide, re.M)
        self.assertEqual((len(codes), len(definitions), len(results)), (2, 2, 2))
        for code, definition, result in zip(codes, definitions, results):
            plugins = self.build(re.search(r'SYNK_PLUGIN\("(\w+)"', code)[1], code)
            out = self.synk("run", "--local", self.write("guide.yaml", definition),
                            "--plugin-dir", plugins, "--json").json()
            self.assertEqual(out["tasks"][0]["result"], json.loads(result))


if __name__ == "__main__":
    harness.main()
