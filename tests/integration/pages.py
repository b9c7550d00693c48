"""Pages of documentation that run. The commands of a page's ```console blocks (lines that begin with "$ ",
continued by lines that begin with "> ") are run in order by one bash, in an empty directory, and what each
printed is compared with what the page says. Comments that a reader does not see steer it:

  <!-- file: NAME -->      the block that follows is the file NAME
  <!-- figures vary -->    numbers in the console block that follows are not compared
  <!-- hidden: COMMAND --> runs COMMAND without showing it

A line "…" stands for any lines. Times, durations, sizes, and runs of blanks are never compared. A command that
fails is followed by a line "[exit status N]". `write` puts what was printed into the page."""

import os
import re
import subprocess
import tempfile

import harness
from harness import BIN, SOURCE

HOME = "/home/me/jobs"  # what a page shows for the directory that it runs in
PARTS = re.compile(r"<!-- hidden: (?P<hidden>.*?) -->\n"
                   r"|(?:<!-- (?:file: (?P<file>\S+)|(?P<vary>figures vary)) -->\n)?"
                   r"```(?P<language>\w*)\n(?P<body>.*?)```", re.S)
MARK = "\x1e"


class Step:
    """One command, where its output stands in the page, and what it printed."""

    def __init__(self, command, said="", start=0, end=0, vary=False, shown=True):
        self.command, self.said, self.start, self.end = command, said, start, end
        self.vary, self.shown, self.output = vary, shown, None


def blocks(text):
    """("file", name, content) and ("console", body, offset of the body, vary) and ("hidden", command)."""
    for match in PARTS.finditer(text):
        if match["hidden"]:
            yield "hidden", match["hidden"], 0, False
        elif match["file"]:
            yield "file", match["file"], match["body"], False
        elif match["language"] == "console":
            yield "console", match["body"], match.start("body"), bool(match["vary"])


def steps_of(body, offset, vary):
    """The commands of a console block."""
    found, at = [], offset
    for line in body.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append(Step(line[2:].rstrip("\n"), "", at + len(line), at + len(line), vary))
        elif line.startswith("> ") and found and not found[-1].said:
            found[-1].command += "\n" + line[2:].rstrip("\n")
            found[-1].start = found[-1].end = at + len(line)
        elif found:
            found[-1].said += line
            found[-1].end = at + len(line)
        at += len(line)
    return found


def pkg_config(test):
    """A directory whose pkg-config files answer as after an install, but for this source tree."""
    folder = test.path(".pkgconfig")
    os.makedirs(folder, exist_ok=True)
    include = f"-I{SOURCE}/worker-host/include -I{SOURCE}/proto/include -I{SOURCE}/client/include"
    for name, libs in (("synk-worker", ""), ("synk", f"-L{BIN}/../lib -Wl,-rpath,{BIN}/../lib -lsynk")):
        test.write(f".pkgconfig/{name}.pc", f"Name: {name}\nDescription: headers\nVersion: 0\n"
                   f"Cflags: {include}\nLibs: {libs}\n")
    return folder


def run(test, text):
    """Runs a page in the test's directory; returns its steps with their outputs."""
    environment = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", PKG_CONFIG_PATH=pkg_config(test),
                       LC_ALL="C.UTF-8", TZ="UTC", COLUMNS="100")
    environment.pop("SYNK_DIR", None)
    folder = tempfile.mkdtemp(dir=test.root)
    found, script = [], [f"cd {folder}"]
    for kind, what, more, vary in blocks(text):
        if kind == "file":
            test.write(os.path.join(folder, what), more)
            continue
        for step in [Step(what, shown=False)] if kind == "hidden" else steps_of(what, more, vary):
            script.append(f"printf '\\036%s\\n' {len(found)}\n{step.command}\nprintf '\\036=%s\\n' $?")
            found.append(step)
    with open(test.path("out"), "wb") as out:
        subprocess.run(["bash", "-c", "\n".join(script)], env=environment, stdout=out,
                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=harness.PATIENCE_S * 2)
    with open(test.path("out"), errors="replace") as out:
        pieces = out.read().replace(os.path.realpath(folder), HOME).split(MARK)[1:]
    if len(pieces) != 2 * len(found):
        raise AssertionError(f"{len(pieces)} pieces of {len(found)} commands: {pieces[-1:]}")
    for step, (begin, end) in zip(found, zip(pieces[::2], pieces[1::2])):
        step.output = re.sub(r"[ \t]+$", "", begin.split("\n", 1)[1], flags=re.M)
        if step.output and not step.output.endswith("\n"):
            step.output += "\n"
        status = int(end[1:].split("\n", 1)[0])
        if status:
            step.output += f"[exit status {status}]\n"
    return found


def plain(line, vary):
    """What of a line is compared."""
    line = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?|\b\d\d:\d\d:\d\d(\.\d+)?", "TIME", line)
    line = re.sub(r"\b\d{13}\b", "TIME", line)
    line = re.sub(r'("\w*(?:Ms|At|Kb|Bytes|Ns|Us|epoch|pid)"): ?-?[\d.]+', r"\1:N", line)
    line = re.sub(r"\d+(\.\d+)? ?(B|KiB|MiB|GiB|kB|MB|KB|GB|K|M|G)\b", "SIZE", line)
    line = re.sub(r"\b\d+(\.\d+)? ?(ms|s|min|h|m|d)\b", "DURATION", line)
    line = re.sub(r"^supervisor \d+", "supervisor PID", line)
    if vary:
        line = re.sub(r"-?\d+(\.\d+)?", "N", line)
    return re.sub(r"[\s─━]+", " ", line).strip()


def matches(expected, actual, vary):
    """Whether the lines of a page allow what was printed; "…" stands for any lines."""
    if not expected:
        return not actual
    if expected[0].strip() == "…":
        return any(matches(expected[1:], actual[i:], vary) for i in range(len(actual) + 1))
    return bool(actual) and plain(expected[0], vary) == plain(actual[0], vary) and \
        matches(expected[1:], actual[1:], vary)


def holds(step):
    """Whether a command printed what the page says."""
    return matches(step.said.rstrip("\n").splitlines(), step.output.rstrip("\n").splitlines(), step.vary)


def differences(found):
    """A text for each command whose output is not what the page says."""
    for step in found:
        if not step.shown:
            if "[exit status" in step.output:
                yield f"$ {step.command}\n{step.output}"
        elif not holds(step):
            yield f"$ {step.command}\n--- the page\n{step.said}--- printed\n{step.output}"


def write(path, found, text):
    """Puts what was printed into the page where it says otherwise; what it cuts with "…" stays as it is."""
    for step in sorted((step for step in found if step.shown), key=lambda step: -step.start):
        if "…" not in step.said.splitlines() and not holds(step):
            text = text[:step.start] + step.output + text[step.end:]
    with open(path, "w") as page:
        page.write(text)
