# Sourced by each example's `run`: finds the built programs, makes a directory for this run alone with
# the example's files in it, goes there, and puts everything away at the end, whatever the end is.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[1]}")" && pwd)
bin=${SYNK_BIN:-$here/../../build/bin}
if ! [ -x "$bin/synk" ]; then
  echo "There is no $bin/synk. Build first, or name the folder of the programs in SYNK_BIN:" >&2
  echo "  cmake --preset release && cmake --build --preset release" >&2
  exit 2
fi
bin=$(cd -- "$bin" && pwd)
built=${bin%/*}/examples/${here##*/} # what the build made of this folder's C sources
PATH=$bin:$PATH

work=
finish() {
  trap '' INT TERM HUP
  for job in $(jobs -p); do
    kill "$job" 2>/dev/null && wait "$job" 2>/dev/null || true
  done
  # Where the supervisor was killed its worker host is still there, with what it runs: a new
  # supervisor adopts it, and takes it along.
  if [ -d "${SYNK_DIR-}" ]; then
    { synk down --grace 1 || { synk up --detach && synk down --grace 1; }; } >/dev/null 2>&1 || true
  fi
  if [ -n "$work" ]; then rm -rf "$work"; fi
}
unset SYNK_DIR
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
work=$(mktemp -d "${TMPDIR:-/tmp}/synk-example.XXXXXX")
export SYNK_DIR=$work/synk
cp -- "$here"/*.* "$work"
cd -- "$work"

# A paragraph about what comes next.
say() {
  printf '\n'
  printf '%s\n' "$*" | fold -s -w 76 | sed 's/^/# /; s/ *$//'
}

# A command, and what it prints. Its exit status is this function's.
show() {
  local word
  printf '$'
  for word in "$@"; do
    case $word in
    *[!A-Za-z0-9_./:=#@%+,-]*) printf " '%s'" "$word" ;;
    *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
  "$@"
}

# await COUNT PATTERN: returns when the event log has so many lines with the pattern.
await() {
  until [ "$(synk events | grep -c -- "$2")" -ge "$1" ]; do sleep 0.05; done
}

# plugin NAME...: takes what the build made to ./plugins. A host loads no plugin that others could
# write to, and whether they can write to the folder of the build is a matter of the umask.
plugin() {
  local name
  for name in "$@"; do
    install -D -m 755 "$built/$name.so" "plugins/$name.so"
  done
}
