#!/usr/bin/env python3
"""What `cmake --install` puts down is enough to build and run: a plugin in C, a program in C++."""

import os
import re
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
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <synk/client.h>
#include <synk/worker.h>
#include <vector>

namespace {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

template <typename Call, typename... Arguments> void ask(Call call, Arguments... arguments)
{
    synk_error error{};
    if (call(arguments..., &error) != SYNK_OK)
        throw Error(error.text);
}

template <auto free_it> struct Freed {
    template <typename T> void operator()(T *thing) const { free_it(thing); }
};
using Client = std::unique_ptr<synk_client, Freed<synk_client_close>>;
using Document = std::unique_ptr<synk_document, Freed<synk_document_free>>;
using List = std::unique_ptr<synk_list, Freed<synk_list_close>>;
using Builder = std::unique_ptr<synk_builder, Freed<synk_builder_free>>;

std::string text(const synk_value *map, const char *key)
{
    synk_bytes bytes = synk_value_bytes(synk_value_get(map, key));
    return std::string(static_cast<const char *>(bytes.data), bytes.size);
}

struct Seen {
    std::vector<std::string> events;
    synk_subscription *subscription = nullptr;
};

void on_event(void *context, const synk_event_view *event)
{
    auto *seen = static_cast<Seen *>(context);
    if (event->kind != SYNK_EVENT_START && event->kind != SYNK_EVENT_COMPLETE)
        return;
    seen->events.push_back(std::string(event->type) + " " + event->run);
    if (event->kind == SYNK_EVENT_COMPLETE)
        synk_unsubscribe(seen->subscription);
}

void tell(const char *file)
{
    synk_client *opened = nullptr;
    synk_client_options options{};
    options.timeout_ms = 60000;
    options.fail_fast = true;
    ask(synk_client_open, &options, &opened);
    Client client(opened);
    ask(synk_apply, client.get(), &file, std::size_t{1}, false, false, nullptr);

    Seen seen;
    synk_filter filter{};
    filter.unit = "hello";
    ask(synk_on_event, client.get(), UINT64_MAX, &filter, on_event, static_cast<void *>(&seen),
        &seen.subscription);
    Builder params(synk_builder_new());
    synk_builder_map(params.get(), 1);
    synk_builder_string(params.get(), "who");
    synk_builder_string(params.get(), "C++");
    char *run = nullptr;
    ask(synk_run, client.get(), "hello", synk_builder_bytes(params.get()), &run);
    std::unique_ptr<char, Freed<std::free>> label(run);
    synk_document *body = nullptr;
    ask(synk_wait, client.get(), run, &body);
    Document ended(body);
    while (seen.events.size() < 2)
        synk_client_wait(client.get(), -1);
    std::cout << run << ' ' << text(synk_document_root(ended.get()), "status") << '\n';
    for (const auto &event : seen.events)
        std::cout << event << '\n';

    synk_list *tasks = nullptr;
    ask(synk_list_tasks, client.get(), run, false, &tasks);
    List list(tasks);
    for (const synk_value *task = nullptr;;) {
        ask(synk_list_next, list.get(), &task);
        if (!task)
            break;
        std::cout << text(synk_value_get(task, "result"), "greeted") << '\n';
    }
}

} // namespace

int main(int, char **argv)
{
    try {
        tell(argv[1]);
    } catch (const Error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
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
                     "include/synk/connection.h", "include/synk/worker.h", "share/man/man1/synk.1",
                     "share/man/man5/synk-definition.5", "share/doc/synk/proto/PROTOCOL.md",
                     "share/bash-completion/completions/synk", "share/zsh/site-functions/_synk"):
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
        self.run_checked("c++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o", "client",
                         "client.cpp", *client_flags.split())
        definition = self.write("hello.yaml",
                                "workers: [{id: hello, run: hello.greet, payload: {who: world}}]")
        self.up("--plugin-dir", self.path("plugins"))
        environment["SYNK_DIR"] = self.dir
        self.assertEqual(self.run_checked("./client", definition, env=environment),
                         "hello#1 succeeded\nstart hello#1\ncomplete hello#1\nworld\n")
        task = self.synk("show", "hello#1", "--json").json()["tasks"][0]
        self.assertEqual(task["result"], {"greeted": "world"})
        self.assertIn("hellopp.greet", self.synk("ls", "hosts", "--json").json()["functions"])


class Documentation(SynkTest):
    def test_every_link_of_the_installed_copy_leads_somewhere(self):
        prefix = self.path("prefix")
        subprocess.run(["cmake", "--install", os.path.dirname(BIN), "--prefix", prefix, "--component", "doc"],
                       check=True, stdout=subprocess.DEVNULL)
        root, count = os.path.join(prefix, "share/doc/synk"), 0
        for folder, _, names in os.walk(root):
            for name in (name for name in names if name.endswith(".md")):
                with open(os.path.join(folder, name)) as page:
                    text = re.sub(r"(?ms)^```.*?^```", "", page.read())
                for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
                    target = os.path.normpath(os.path.join(folder, link))
                    self.assertTrue(os.path.exists(target) and target.startswith(root),
                                    f"{os.path.relpath(os.path.join(folder, name), root)}: {link}")
                    count += 1
        self.assertGreater(count, 60)
        self.assertTrue(os.access(os.path.join(root, "examples/01-basic-worker/run"), os.X_OK))


if __name__ == "__main__":
    harness.main()
