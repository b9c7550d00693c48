#!/usr/bin/env bash
# Asks a web service how it is: check.sh HOST:PORT. Prints its answer as JSON; fails unless that is 200.
set -e
if ! { exec 9<>"/dev/tcp/${1%:*}/${1#*:}"; } 2>/dev/null; then
  echo "$1 does not answer" >&2
  exit 1
fi
printf 'GET / HTTP/1.0\r\n\r\n' >&9
read -r _ code _ <&9
printf '{"answer": %d}' "$code"
[ "$code" = 200 ]
