#!/usr/bin/env bash
# The core must not reach for the world: no undefined symbol of libzmq, libuv, SQLite, hiredis, Lua,
# threads, environment, standard I/O, clocks, files or sockets in the archives given (libsynk-core.a
# and the pure half of proto that it links).
#   core_is_pure.sh ARCHIVE…
set -euo pipefail
forbidden='^(zmq_.*|uv_.*|sqlite3_.*|redis.*|lua_.*|luaL_.*'
forbidden+='|pthread_.*|thrd_.*|mtx_.*|sem_.*|(secure_)?getenv|setenv|putenv|environ|__environ'
forbidden+='|v?f?printf|v?dprintf|__v?f?printf_chk|f?puts|f?putc|putchar|fwrite|fread|fopen|fdopen|freopen|fclose|fflush|stdout|stderr|stdin|perror|v?f?scanf|syslog'
forbidden+='|time|clock|clock_.*|gettimeofday|times|localtime.*|gmtime.*|mktime|strftime|nanosleep|u?sleep|alarm|timer_.*|timerfd_.*'
forbidden+='|open|open64|openat.*|creat|close|read|write|readv|writev|pread.*|pwrite.*|lseek.*|l?stat|fstat.*|unlink.*|rename.*|mmap.*|munmap|mkdir.*|opendir|readdir.*|ftruncate.*|f(data)?sync|fcntl.*|ioctl|dup[23]?|pipe2?|eventfd'
forbidden+='|socket|socketpair|connect|bind|listen|accept4?|send|sendto|sendmsg|recv|recvfrom|recvmsg|p?poll|p?select|epoll_.*'
forbidden+='|fork|vfork|clone|exec[lv].*|posix_spawn.*|kill|killpg|wait|waitpid|wait[34]|waitid|system|signal|sigaction'
forbidden+='|s?random|s?rand|rand_r|drand48|getrandom|getentropy|arc4random.*|getpid|syscall)$'

names() { nm "$1" --format=posix "${@:2}" 2>/dev/null | awk 'NF > 1 {print $1}' | sed 's/@.*//' | sort -u; }

reached=$(comm -23 <(names --undefined-only "$@") <(names --defined-only "$@"))
[ "$(wc -l <<<"$reached")" -gt 5 ] || { echo "no undefined symbols in $*: is nm looking at them?"; exit 1; }
found=$(grep -E "$forbidden" <<<"$reached" || true)
if [ -n "$found" ]; then
  echo "the core reaches for:" $found
  exit 1
fi
echo "the core needs only:" $reached
