#!/usr/bin/env bash
# The core must not reach for the world: no undefined symbol of libzmq, libuv, SQLite, hiredis, Lua,
# threads, environment, standard I/O, clocks, files or sockets in libsynk-core.a and what it links.
#   core_is_pure.sh ARCHIVE…
set -euo pipefail
forbidden='^(zmq_|uv_|sqlite3_|redis|lua_|luaL_|pthread_|thrd_|mtx_|sem_|getenv$|secure_getenv$|setenv$|environ$'
forbidden+='|f?printf$|v?f?printf$|puts$|fputs$|fputc$|putchar$|fwrite$|fread$|fopen$|fclose$|fflush$|stdout$|stderr$|stdin$|perror$|scanf$|fscanf$'
forbidden+='|time$|clock|gettimeofday$|localtime|gmtime|mktime$|nanosleep$|sleep$|usleep$'
forbidden+='|open$|open64$|openat|close$|read$|write$|pread|pwrite|lseek|stat|fstat|unlink|rename|mmap|mkdir|opendir'
forbidden+='|socket$|connect$|bind$|listen$|accept|send$|sendto$|sendmsg$|recv|poll$|select$|epoll|fork$|vfork$|exec|posix_spawn|kill$|wait|rand$|random$|srand|getrandom|arc4random)'
status=0
for archive in "$@"; do
  found=$(nm --undefined-only --format=posix "$archive" 2>/dev/null | awk '{print $1}' | sed 's/@.*//' |
          grep -E "$forbidden" | sort -u || true)
  if [ -n "$found" ]; then
    echo "$archive reaches for:" $found
    status=1
  fi
done
[ $status = 0 ] && echo "pure: $*"
exit $status
