#!/usr/bin/env python3
"""What somebody new gets wrong, and what they are told: each mistake is named, early, with a hint."""

import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
import unittest

import harness
from harness import BIN, SynkTest, wait_until

PLUGINS = os.environ.get("SYNK_PLUGINS", "")


class Newcomer(SynkTest):
    def plugins(self, mode=0o755):
        """A directory with the plugin `test`, for this test alone."""
        folder = self.path("plugins")
        os.mkdir(folder, 0o755)
        shutil.copy(os.path.join(PLUGINS, "test.so"), folder)
        os.chmod(os.path.join(folder, "test.so"), mode)
        return folder

    def refused_locally(self, definition, *words):
        path = self.write("t.yaml", definition)
        result = self.synk("run", "--local", path, *words, status=2)
        wait_until(lambda: not self.processes(), "nothing is left running")
        return result.err

    # --- functions that nobody has

    def test_local_run_refuses_a_mistyped_function_before_anything_runs(self):
        mark = self.path("ran")
        err = self.refused_locally(
            f"processes: [{{id: p, workers: [{{id: a, command: 'touch {mark}'}},"
            " {id: b, run: sim.nop, dependsOn: [a]}]}]")
        self.assertIn("worker 'p/b' runs 'sim.nop'", err)
        self.assertIn("did you mean 'sim.noop'?", err)
        self.assertFalse(os.path.exists(mark))

    def test_local_run_without_the_plugins_directory_says_so(self):
        err = self.refused_locally("workers: [{id: w, run: greet.hello}]")
        self.assertIn("worker 'w' runs 'greet.hello'", err)
        self.assertIn("--plugin-dir", err)

    def test_local_run_checks_only_what_it_runs(self):
        path = self.write("t.yaml", "processes: [{id: p, workers: [{id: a, command: 'true'},"
                                    " {id: b, run: no.such}]}]")
        self.synk("run", "--local", path, "p/a")
        self.synk("run", "--local", path, "p", status=2)

    def test_local_run_refuses_a_tag_that_its_host_has_not(self):
        self.assertIn("requires a host with the tag 'gpu'",
                      self.refused_locally("workers: [{id: w, command: x, requires: [gpu]}]"))

    @unittest.skipUnless(os.path.isfile(os.path.join(PLUGINS, "test.so")), "no test plugin was built")
    def test_a_refused_plugin_is_told_with_its_reason_everywhere(self):
        folder = self.plugins(mode=0o777)
        definition = "workers: [{id: w, run: test.echo}]"
        err = self.refused_locally(definition, "--plugin-dir", folder)
        self.assertIn("plugin 'test' was refused by host 'local'", err)
        self.assertIn("chmod go-w", err)
        self.assertIn("worker 'w' runs 'test.echo'", err)
        up = self.up("--plugin-dir", folder, self.path("t.yaml"))
        self.assertIn("warning: plugin 'test' was refused", up.err)
        self.assertIn("'w': no connected host offers 'test.echo': plugin 'test' was refused", up.err)
        hosts = self.synk("ls", "hosts")
        self.assertIn("FUNCTIONS", hosts.out)
        self.assertIn("plugin 'test' was refused", hosts.err)
        host = self.synk("ls", "hosts", "--json").json()
        self.assertIn("exec", host["functions"])
        self.assertEqual(host["refused"][0]["plugin"], "test")
        self.assertIn("chmod go-w", host["refused"][0]["reason"])
        run = self.synk("run", "w", "--json").json()["run"]
        self.assertIn("chmod go-w", self.synk("explain", run).out)

    @unittest.skipUnless(os.path.isfile(os.path.join(PLUGINS, "test.so")), "no test plugin was built")
    def test_a_refused_plugin_directory_is_told(self):
        folder = self.plugins()
        os.chmod(folder, 0o777)
        err = self.refused_locally("workers: [{id: w, run: test.echo}]", "--plugin-dir", folder)
        self.assertIn(f"warning: host 'local' refused the plugin directory {folder}: mode 777", err)
        self.assertIn("worker 'w' runs 'test.echo', which is not there: host 'local' refused the plugin"
                      f" directory {folder}", err)
        self.assertNotIn("name its directory", err)
        self.up("--plugin-dir", folder, self.path("t.yaml"))
        self.synk("run", "w")
        explained = self.synk("explain", "w#1").out
        self.assertIn("no connected host offers 'test.echo': host 'local' refused the plugin directory"
                      f" {folder}: mode 777", explained)
        self.assertIn("chmod go-w", explained)

    def test_a_file_that_is_no_plugin_is_told(self):
        os.mkdir(self.path("plugins"), 0o755)
        self.write("plugins/odd.so", "not an object")
        err = self.refused_locally("workers: [{id: w, run: odd.f}]", "--plugin-dir", self.path("plugins"))
        self.assertIn("plugin 'odd' was refused", err)

    def test_waiting_for_a_function_says_why_once(self):
        self.up(self.write("t.yaml", "workers: [{id: w, run: sim.nop}]"))
        for words in (["--wait"], ["--wait", "--json"]):
            waiting = self.spawn("synk", "run", "w", *words)
            line = waiting.stderr.readline()
            self.assertIn("no connected host offers 'sim.nop' (did you mean 'sim.noop'?)", line)
            self.synk("cancel", "w#last")
            out, err = waiting.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual((waiting.returncode, err), (1, ""))

    def test_waiting_for_what_is_paused_says_so(self):
        self.up(self.write("t.yaml", "workers: [{id: w, command: 'true'}]"))
        self.synk("pause", "w")
        waiting = self.spawn("synk", "run", "w", "--wait")
        self.assertIn("'w' is paused", waiting.stderr.readline())
        self.synk("resume", "w")
        waiting.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual(waiting.returncode, 0)

    def test_apply_warns_of_functions_that_nobody_offers(self):
        self.up()
        self.synk("pool", "submit", "sim.noop", "--wait")
        path = self.write("t.yaml", "workers: [{id: w, run: sim.nop}]")
        self.assertIn("did you mean 'sim.noop'", self.synk("apply", path).err)
        self.assertIn("did you mean 'sim.noop'", self.synk("pool", "submit", "sim.nop").err)

    def test_a_pool_function_needs_its_plugin(self):
        result = self.synk("pool", "submit", "noop", status=2)
        self.assertIn("sim.noop", result.err)

    # --- options

    def test_a_missing_plugin_directory_is_named(self):
        path = self.write("t.yaml", "workers: [{id: w, command: 'true'}]")
        for words in (["run", "--local", path], ["up", "--detach", path]):
            result = self.synk(*words, "--plugin-dir", self.path("none"), status=2)
            self.assertIn(self.path("none"), result.err)
        self.assertIn("not a directory",
                      self.synk("run", "--local", path, "--plugin-dir", path, status=2).err)

    def test_no_slots_for_a_local_run_is_refused(self):
        path = self.write("t.yaml", "workers: [{id: w, command: 'true'}]")
        self.assertIn("--slots", self.synk("run", "--local", path, "--slots", "0", status=2).err)

    def test_verbs_options_and_ids_are_guessed(self):
        self.assertIn("did you mean 'explain'", self.synk("explian", "x", status=2).err)
        self.assertIn("did you mean --follow", self.synk("events", "--folow", status=2).err)
        self.up(self.write("t.yaml", "workers: [{id: nightly, command: 'true'}]"))
        self.assertIn("did you mean 'nightly'", self.synk("run", "nigthly", status=4).err)
        self.assertIn("did you mean 'nightly'", self.synk("show", "nightl#1", status=4).err)
        self.assertIn("has not run yet", self.synk("show", "nightly#1", status=4).err)
        self.assertIn("`synk run nightly`", self.synk("explain", "nightly").out)

    def test_a_file_or_status_in_the_wrong_place_is_told(self):
        path = self.write("t.yaml", "workers: [{id: w, command: 'true'}]")
        self.assertIn("synk run --local", self.synk("run", path, status=2).err)
        self.assertIn("'runing' is not a status", self.synk("ls", "--status", "runing", status=2).err)
        self.assertNotIn("did you mean", self.synk("run", "--local", path, "x", status=4).err)

    def test_a_tab_that_indents_is_named(self):
        path = self.write("t.yaml", "workers:\n\t- id: a\n")
        self.assertIn("t.yaml:2:1: a tab cannot indent or begin", self.synk("plan", path, status=2).err)

    def test_params_are_given_by_either_name(self):
        path = self.write("t.yaml", 'workers: [{id: w, command: [echo, "${{ params.who }}"]}]')
        for option in ("--params", "--payload"):
            run = self.synk("run", "--local", path, option, '{"who": "me"}', "--json").json()
            self.assertEqual(run["tasks"][0]["result"]["stdout"], "me\n")
        self.assertIn("is not JSON", self.synk("run", "--local", path, "--params", "{who", status=2).err)

    def test_no_supervisor_names_the_directory_and_both_ways_out(self):
        err = self.synk("ls", status=3).err
        for part in (self.dir, "synk up", "--dir", "SYNK_DIR"):
            self.assertIn(part, err)

    def test_params_come_from_a_file_or_standard_input(self):
        path = self.write("t.yaml", 'workers: [{id: w, command: [echo, "${{ params.who }}"]}]')
        given = self.write("params.json", '{"who": "a file"}\n')
        run = self.synk("run", "--local", path, "--params", "@" + given, "--json").json()
        self.assertEqual(run["tasks"][0]["result"]["stdout"], "a file\n")
        for source in ("-", "@-"):
            with open(given) as stdin:
                result = subprocess.run(
                    [os.path.join(BIN, "synk"), "run", "--local", path, "--json", "--params", source],
                    stdin=stdin, text=True, capture_output=True, timeout=harness.PATIENCE_S,
                    env={**os.environ, "SYNK_DIR": self.dir})
            self.assertIn("a file\\n", result.stdout, result.stderr)
        none = self.path("none.json")
        self.assertIn(f"cannot open {none}",
                      self.synk("run", "--local", path, "--params", "@" + none, status=2).err)
        self.assertIn(f"{path} is not JSON",
                      self.synk("run", "--local", path, "--params", "@" + path, status=2).err)
        self.assertIn("@FILE reads a file",
                      self.synk("run", "--local", path, "--params", given, status=2).err)

    def test_options_are_told_as_they_were_written(self):
        self.assertIn("unknown option '--parms' (did you mean --params?)",
                      self.synk("run", "x", "--parms", "1", status=2).err)
        self.assertIn("a value is missing after '--dir'", self.synk("--dir", status=2).err)
        self.assertIn("unknown option '--jsn' (did you mean --json?)", self.synk("--jsn", "ls", status=2).err)

    # --- the pool

    def test_a_command_without_its_dashes_is_told_where_it_goes(self):
        self.assertIn("a command goes behind --: synk pool submit -- echo …",
                      self.synk("pool", "submit", "echo", "hi", status=2).err)
        self.assertIn("a command goes behind --: synk pool add mine -- echo …",
                      self.synk("pool", "add", "mine", "echo", "hi", status=2).err)
        self.assertIn("a command goes behind --", self.synk("pool", "submit", "ls", status=2).err)
        self.assertIn("'pool pause' needs a RUN", self.synk("pool", "pause", status=2).err)
        self.assertIn("takes no argument 'x'", self.synk("pool", "order", "x", status=2).err)

    def test_a_submission_is_found_by_its_name_when_it_has_ended(self):
        self.up(self.write("t.yaml", "workers: [{id: one, command: 'true'}]"))
        self.synk("pool", "add", "mine", "--wait", "--", "echo", "first")
        for verb in ("show", "wait"):
            self.assertIn("pool#1", self.synk(verb, "mine").out)
        self.assertIn("succeeded", self.synk("explain", "mine").out)
        self.assertEqual(self.synk("logs", "mine").out, "first\n")
        self.assertEqual({e["run"] for e in self.events("--run", "mine")}, {"pool#1"})
        # The latest of those that are called so.
        self.synk("pool", "add", "mine", "--wait", "--", "echo", "second")
        self.assertEqual(self.synk("logs", "mine").out, "second\n")
        self.assertIn("no unit 'yours'", self.synk("logs", "yours", status=4).err)

    def test_a_submission_that_nobody_can_run_says_so_while_it_is_waited_for(self):
        self.up()
        self.synk("pool", "submit", "sim.noop", "--wait")  # a host is there
        waiting = self.spawn("synk", "pool", "submit", "sim.nop", "--count", "3", "--wait")
        self.assertIn("warning: no connected host offers 'sim.nop'", waiting.stderr.readline())
        self.assertIn("pool#2: '0' waits: no connected host offers 'sim.nop'", waiting.stderr.readline())
        self.synk("cancel", "pool#2")
        waiting.communicate(timeout=harness.PATIENCE_S)

    def test_of_many_failures_the_first_ten_have_lines(self):
        self.up(slots=4)
        out = self.synk("pool", "submit", "--count", "60", "--wait", "--", "false", status=1).out
        self.assertEqual(out.count("failed   "), 10, out)
        self.assertIn("\nand 50 more that did not succeed\npool#1 failed", out)

    # --- definitions

    def test_apply_check_needs_no_supervisor(self):
        good = self.write("good.yaml", "workers: [{id: w, command: 'true'}]")
        bad = self.write("bad.yaml", "workers:\n- id: w\n  command: 'true'\n  retries: 3\n")
        self.assertIn("valid", self.synk("apply", "--check", good).out)
        self.assertEqual(self.synk("apply", "--check", "--json", good).json()["units"],
                         [{"id": "w", "change": "valid"}])
        self.assertIn("bad.yaml:4: ", self.synk("apply", "--check", bad, status=2).err)
        self.synk("apply", good, status=3)
        self.up()
        # What is not done is not said to be.
        self.assertEqual(self.synk("apply", "--check", good).out, "would create  w\n")
        self.assertEqual(self.synk("apply", "--check", "--json", good).json()["units"][0]["change"],
                         "created")
        self.synk("apply", good)
        self.assertIn("unchanged", self.synk("apply", "--check", good).out)

    def test_what_is_not_supported_is_refused_with_its_line(self):
        path = self.write("t.yaml", "processes:\n- id: p\n  workers:\n  - id: w\n    command: x\n"
                                    "    runOnStart: true\n")
        for words in (["plan", path], ["apply", "--check", path], ["run", "--local", path]):
            self.assertIn("t.yaml:6: process 'p', worker 'w': 'runOnStart'", self.synk(*words, status=2).err)

    # --- looking

    def test_an_unknown_worker_is_refused_and_an_ambiguous_one_resolved(self):
        self.up(self.write("t.yaml", """
processes:
  - {id: a, workers: [{id: load, command: 'true'}, {id: check, command: 'true'}]}
  - {id: b, workers: [{id: load, command: 'true'}]}
"""))
        self.synk("run", "a", "--wait")
        self.assertIn("did you mean 'load'", self.synk("explain", "a#1", "laod", status=4).err)
        self.assertIn("it has load, check", self.synk("explain", "a#1", "publish", status=4).err)
        self.assertIn("'a/load', 'b/load'", self.synk("run", "load", status=4).err)
        self.synk("explain", "a#1", "load")

    def test_what_there_is_not_is_refused_with_what_is_like_it(self):
        self.up(self.write("t.yaml", """
processes: [{id: words, workers: [{id: load, command: echo x}, {id: count, command: echo y}]}]
workers: [{id: one, command: echo z}]
"""))
        self.synk("run", "words", "--wait")
        self.synk("run", "one", "--wait")
        self.assertIn("did you mean 'words'", self.synk("events", "--unit", "wrods", status=4).err)
        self.assertIn("did you mean 'complete'", self.synk("events", "--type", "complet", status=2).err)
        self.assertIn("did you mean 'failed'", self.synk("ls", "runs", "--status", "faild", status=2).err)
        self.assertIn("words#1 has no worker 'cuont' (did you mean 'count'?)",
                      self.synk("logs", "words#1", "cuont", status=4).err)
        self.assertIn("there is no attempt 9 of one#last: the last is 1",
                      self.synk("logs", "one#last", "--attempt", "9", status=4).err)
        self.assertEqual(self.synk("logs", "one#last", "--attempt", "1").out, "z\n")
        # Events of a unit that is no more are events all the same; so are none of one that never ran.
        self.synk("apply", "--prune", self.write("u.yaml", "workers: [{id: new, command: 'true'}]"))
        self.assertIn("one#1", self.synk("events", "--unit", "one").out)
        self.synk("events", "--unit", "new", "--type", "retry")
        following = self.spawn("synk", "events", "--unit", "nwe", "--follow")
        self.assertIn("did you mean 'new'", following.stderr.readline())
        following.kill()
        following.communicate()

    def test_a_task_that_ran_before_it_was_waited_for_has_its_duration(self):
        self.up(self.write("t.yaml", f"workers: [{{id: slow, command: 'until test -e {self.path('go')};"
                                     " do sleep 0.01; done'}]"))
        self.synk("run", "slow")
        wait_until(lambda: "slow#1" in self.synk("ls", "slots").out, "it runs")
        ours, theirs = pty.openpty()
        waiting = self.spawn("synk", "wait", "slow#1", stdout=theirs, env={"NO_COLOR": "1", "TERM": "xterm"})
        os.close(theirs)
        out = b""
        while b"1 running" not in out:
            out += os.read(ours, 65536)
        self.write("go", "")
        self.assertEqual(waiting.wait(harness.PATIENCE_S), 0, waiting.communicate()[1])
        out += os.read(ours, 65536)
        os.close(ours)
        self.assertRegex(out.decode(), r"✓ slow +succeeded +[0-9.]+ m?s")

    def test_reasons_are_whole_in_a_pipe(self):
        condition = "result.stdout == '" + "x" * 120 + "'"
        path = self.write("t.yaml", f"""
processes:
  - id: p
    workers:
      - {{id: a-worker-with-a-name-of-more-than-twenty-eight-columns, command: 'true'}}
      - {{id: b, command: 'true', dependsOn: [{{id: a-worker-with-a-name-of-more-than-twenty-eight-columns, condition: "{condition}"}}]}}
      - {{id: c, command: "echo {'long ' * 40} >&2; exit 1"}}
""")
        local = self.synk("run", "--local", path, status=1).out
        self.up(path)
        self.synk("run", "p", status=0)
        waited = self.synk("wait", "p#1", status=1).out
        for out in (local, self.synk("show", "p#1").out, self.synk("explain", "p#1").out):
            self.assertIn(condition, out)
            self.assertIn("long " * 39 + "long", out)
        self.assertNotIn("…", local + waited)
        self.assertIn("a-worker-with-a-name-of-more-than-twenty-eight-columns", local)

    def test_attempts_are_shown_with_their_errors(self):
        self.up(self.write("t.yaml", "workers: [{id: w, command: 'echo try $SYNK_ATTEMPT >&2; exit 7',"
                                     " maxRetries: 1}]"))
        self.synk("run", "w", "--wait", status=1)
        out = self.synk("show", "w#1", "--attempts").out
        self.assertIn("1. failed", out)
        self.assertEqual(out.count("\n       exit status 7: try 1\n"), 1, out)
        self.assertEqual(out.count("\n       exit status 7: try 2\n"), 1, out)

    def test_a_command_that_wrote_nothing_has_no_line_for_its_output(self):
        self.up(self.write("t.yaml", "processes: [{id: p, workers:"
                                     " [{id: a, command: 'true'}, {id: b, command: echo told}]}]"))
        self.synk("run", "p", "--wait")
        lines = self.synk("show", "p#1").out.splitlines()
        self.assertEqual([line for line in lines if not line.strip()], [], lines)
        self.assertIn("    told", lines)

    def on_terminal(self, *words):
        """What a terminal of 80 columns is given, without styles."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = self.spawn("synk", *words, stdout=theirs, env={"NO_COLOR": "1", "TERM": "xterm"})
        os.close(theirs)
        out = b""
        try:
            while piece := os.read(ours, 65536):
                out += piece
        except OSError:  # EIO: the other side is closed
            pass
        os.close(ours)
        self.assertEqual(process.wait(harness.PATIENCE_S), 0, process.communicate()[1])
        return out.decode().replace("\r", "").splitlines()

    def test_no_line_of_events_or_runs_is_wider_than_the_terminal(self):
        # Who started a run can be a long text, and so can what an event carries.
        self.up(self.write("t.yaml", "workers: [{id: worker-so-name, command: 'true', onComplete:"
                                     " {emit: such-a-long-name-of-a-milestone-that-a-line-is-full}},"
                                     " {id: b, command: 'exit 3', runOnMilestone:"
                                     " such-a-long-name-of-a-milestone-that-a-line-is-full},"
                                     " {id: behind-it, command: 'true', onComplete: worker-so-name}]"))
        self.synk("run", "behind-it", "--wait")
        wait_until(lambda: "'b' failed" in self.synk("events").out, "the last run has ended")
        lines = self.on_terminal("events") + self.on_terminal("ls", "runs", "--unit", "worker-so-name")
        self.assertIn("hook:be", lines[-1])
        self.assertEqual([line for line in lines if len(line) > 80], [])

    def test_logs_end_their_lines_before_a_header(self):
        self.up(self.write("t.yaml", "processes: [{id: p, runMode: sequential, workers:"
                                     " [{id: a, command: 'printf x'}, {id: b, command: 'printf y'}]}]"))
        self.synk("run", "p", "--wait")
        self.assertEqual(self.synk("logs", "p#1").out, "==> a <==\nx\n==> b <==\ny")

    def test_retry_waits(self):
        self.up(self.write("t.yaml", f"workers: [{{id: w, command: 'test -e {self.path('go')}'}}]"))
        self.synk("run", "w", "--wait", status=1)
        self.synk("retry", "w#1", "--wait", status=1)
        self.write("go", "")
        # The task may have ended before the answer to the retry is here; its line is there all the same.
        self.assertIn("✓ w ", self.synk("retry", "w#1", "--wait").out)
        self.assertEqual(self.synk("retry", "w#1", "--wait", "--json").json()["status"], "succeeded")

    # --- leaving

    def test_an_interrupt_leaves_a_waited_run_and_cancels_a_local_one(self):
        path = self.write("t.yaml", f"workers: [{{id: w, command: 'echo > {self.path('on')}; sleep 1000'}}]")
        for words, expected, status in ((["run", "--local", path], "cancelling w#1", 1),
                                        (["run", "w", "--wait"], "synk wait w#1", 130)):
            if "--local" not in words:
                os.remove(self.path("on"))
                self.up(path)
            running = self.spawn("synk", *words)
            wait_until(lambda: os.path.exists(self.path("on")), "the task runs")
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual(running.returncode, status, out + err)
            self.assertIn(expected, err)
        self.assertIn("running", self.synk("show", "w#1").out)


if __name__ == "__main__":
    harness.main()
