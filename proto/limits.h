/* Every bound of the product, with its unit and its reason. docs/ and PROTOCOL.md quote this file.
 */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

enum {
    /* Ids are shown in tables and used as topics and file names: one screen line is enough. */
    LIMIT_ID_BYTES = 128,
    /* A result or payload passes through memory at every hop; larger data belongs in files. */
    LIMIT_VALUE_BYTES = 1 << 20,
    /* All inputs of one task together, 3.5 MiB: they travel in one frame of 4 MiB and lie in a
     * runner's ring beside names, payload and params. A named error past it. */
    LIMIT_INPUTS_BYTES = (4 << 20) - (512 << 10),
    /* One message body. MAXMSGSIZE of every socket is this plus room for the header. */
    LIMIT_FRAME_BYTES = 4 << 20,
    /* A body under construction is closed at this size, so that one more full item still fits:
     * frame - value - 64 KiB of item overhead. */
    LIMIT_BATCH_BYTES = LIMIT_FRAME_BYTES - LIMIT_VALUE_BYTES - (64 << 10),
    /* Events of one published message; beyond, it only says that there are some. With the 500
     * messages that wait for a subscriber: 16 MiB for one that never reads. */
    LIMIT_PUBLISHED_BYTES = 32 << 10,
    /* Nesting of any decoded value; deeper is an attack or a mistake. */
    LIMIT_VALUE_DEPTH = 16,
    /* Objects in one decoded message: 4 MiB of one-byte items would unpack to 100 MB; this caps the
     * unpacked form at about 8 MiB (24 bytes an object). */
    LIMIT_MESSAGE_ITEMS = 350000,
    /* A definition sent in chunks: 100,000 workers of 600 bytes, and room. */
    LIMIT_UPLOAD_BYTES = 256 << 20,
    /* Objects of such an upload: it is decoded once, under the same budget a byte. */
    LIMIT_UPLOAD_ITEMS = 24000000,
    /* An unfinished upload is dropped after this long without a chunk. */
    LIMIT_UPLOAD_IDLE_MS = 60000,
    LIMIT_UPLOADS = 16,
    /* Workers of one process. */
    LIMIT_WORKERS = 2000000,
    /* Named limits: a table that is looked through by name. */
    LIMIT_NAMED_LIMITS = 1000,
    /* Tasks of one pool submission. */
    LIMIT_POOL_TASKS = 2000000,
    /* Unfinished tasks in memory: 300 bytes each, 3 GB. Past it submissions are `busy`. */
    LIMIT_LIVE_TASKS = 10000000,
    /* A cron expression: all values of all fields listed one by one take 356 bytes. */
    LIMIT_CRON_BYTES = 512,
    /* A time zone's name: the longest has 32 bytes. */
    LIMIT_ZONE_NAME_BYTES = 64,
    /* A milestone's name: a topic that people write and read. */
    LIMIT_MILESTONE_BYTES = 256,
    LIMIT_EXPRESSION_BYTES = 4096,
    LIMIT_EXPRESSION_MEMORY_BYTES = 1 << 20,
    LIMIT_EXPRESSION_INSTRUCTIONS = 100000,
    /* The text of a task's error, as recorded. */
    LIMIT_ERROR_BYTES = 4096,
    /* Tail of standard output kept in the result of a command, and of standard error in its error.
     */
    LIMIT_STDOUT_TAIL_BYTES = 16 << 10,
    LIMIT_STDERR_TAIL_BYTES = 2 << 10,
    /* The log of one attempt; past it the middle is lost, and says so. */
    LIMIT_LOG_BYTES = 1 << 20,
    /* Plugins that a host says it refused, and the bytes of a name or reason: for people to read.
     */
    LIMIT_REFUSED_PLUGINS = 64,
    LIMIT_REFUSAL_BYTES = 512,
    /* Runs looked at for one page of them: some 10 ms. */
    LIMIT_SCAN_RUNS = 10000,
    /* Rows of one page of a query. */
    LIMIT_PAGE_ROWS = 1000,
    /* Slots of one host: a process each. */
    LIMIT_HOST_SLOTS = 1024,
    /* Peers of each ROUTER. */
    LIMIT_PEERS = 65536,
    /* Attempts that may crash their runner before the task is quarantined. */
    LIMIT_CRASHES = 3,
    /* Finished runs whose summary stays in memory. */
    LIMIT_FINISHED_RUNS = 1000,
};
/* How long a run may be put off: ten years, as all durations. */
#define LIMIT_DELAY_MS INT64_C(315360000000)

#endif
