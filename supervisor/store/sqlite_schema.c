/*
 * The tables, and every statement on them.
 *
 * For people: `sqlite3 FILE` on a copy, or while the daemon is down, and the readable_* views. In a
 * row, NULL stands for 0 or for nothing: most columns of most tasks are NULL, which keeps the
 * rows of a large run small. Times are milliseconds since the epoch. The numbers of states are
 * those of supervisor/core/states.h, and never change their meaning. The columns of a table are
 * the fields of record_fields.c, in that order.
 */
#include "supervisor/store/sqlite.h"

/*
 * How a file becomes what the statements below expect: step N brings version N - 1 to N, and a new
 * file takes them all. Files out there were made by any prefix of this list, so an entry is never
 * changed: the next change of a table is one more entry, and columns are added behind the others.
 */
const char *const sqlite_migrations[] = {
    /* 1 */
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB) STRICT, WITHOUT ROWID;"
    "CREATE TABLE units(id TEXT PRIMARY KEY, version INTEGER, enabled INTEGER, paused INTEGER,"
    " last_number INTEGER, success_count INTEGER, run_count INTEGER, last_run_at INTEGER,"
    " due_at INTEGER, status INTEGER, execution BLOB) STRICT, WITHOUT ROWID;"
    "CREATE TABLE definitions(unit TEXT, version INTEGER, worker_count INTEGER, header BLOB,"
    " PRIMARY KEY(unit, version)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE workers(unit TEXT, version INTEGER, number INTEGER, body BLOB,"
    " PRIMARY KEY(unit, version, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE hosts(name TEXT PRIMARY KEY, instance INTEGER, seen_at INTEGER)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE keys(key TEXT PRIMARY KEY, reply BLOB, expires_at INTEGER)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE runs(run INTEGER PRIMARY KEY, unit TEXT, worker TEXT, number INTEGER,"
    " version INTEGER, status INTEGER NOT NULL, cancelling INTEGER, task_count INTEGER,"
    " started_by TEXT, params BLOB, spec BLOB, error TEXT, created_at INTEGER,"
    " started_at INTEGER, ended_at INTEGER) STRICT;"
    "CREATE INDEX runs_by_unit ON runs(unit);"
    "CREATE INDEX runs_by_number ON runs(unit, number);"
    "CREATE INDEX runs_unfinished ON runs(unit, version) WHERE status < 2;"
    "CREATE TABLE tasks(run INTEGER, task INTEGER, state INTEGER NOT NULL, crashes INTEGER,"
    " attempts INTEGER, epoch INTEGER, worker TEXT, host TEXT, started_at INTEGER,"
    " ended_at INTEGER, due_at INTEGER, exit_status INTEGER, signal INTEGER, user_us INTEGER,"
    " system_us INTEGER, max_rss_kib INTEGER, execution_us INTEGER, result BLOB, error TEXT,"
    " reason TEXT, has_readers INTEGER, PRIMARY KEY(run, task)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE attempts(run INTEGER, task INTEGER, attempt INTEGER, epoch INTEGER,"
    " outcome INTEGER NOT NULL, host TEXT, error TEXT, started_at INTEGER, ended_at INTEGER,"
    " exit_status INTEGER, signal INTEGER, user_us INTEGER, system_us INTEGER,"
    " max_rss_kib INTEGER, PRIMARY KEY(run, task, attempt)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE event_batches(last INTEGER PRIMARY KEY, first INTEGER NOT NULL, at INTEGER,"
    " count INTEGER NOT NULL, items BLOB NOT NULL) STRICT;"
    "CREATE TABLE quarantine(kind TEXT, key TEXT, reason TEXT, at INTEGER, row TEXT) STRICT;"
    "CREATE VIEW readable_runs AS SELECT run AS id,"
    " unit || coalesce('/' || worker, '') || '#' || coalesce(number, 0) AS run,"
    " CASE status WHEN 0 THEN 'queued' WHEN 1 THEN 'running' WHEN 2 THEN 'succeeded'"
    " WHEN 3 THEN 'failed' WHEN 4 THEN 'cancelled' WHEN 5 THEN 'skipped' END AS status,"
    " task_count AS tasks, started_by,"
    " datetime(created_at / 1000, 'unixepoch') AS created,"
    " datetime(started_at / 1000, 'unixepoch') AS started,"
    " datetime(ended_at / 1000, 'unixepoch') AS ended, error FROM runs;"
    "CREATE VIEW readable_tasks AS SELECT"
    " r.unit || coalesce('/' || r.worker, '') || '#' || coalesce(r.number, 0) AS run,"
    " t.task AS task, t.worker AS worker,"
    " CASE t.state WHEN 0 THEN 'pending' WHEN 1 THEN 'ready' WHEN 2 THEN 'dispatched'"
    " WHEN 3 THEN 'running' WHEN 4 THEN 'retry-wait' WHEN 5 THEN 'succeeded' WHEN 6 THEN 'failed'"
    " WHEN 7 THEN 'timed-out' WHEN 8 THEN 'cancelled' WHEN 9 THEN 'skipped'"
    " WHEN 10 THEN 'quarantined' END AS state,"
    " coalesce(t.attempts, 0) AS attempts, t.host AS host,"
    " datetime(t.started_at / 1000, 'unixepoch') AS started,"
    " datetime(t.ended_at / 1000, 'unixepoch') AS ended,"
    " coalesce(t.exit_status, 0) AS exit_status, t.error AS error, t.reason AS reason,"
    " length(t.result) AS result_bytes FROM tasks t LEFT JOIN runs r ON r.run = t.run;"
    "PRAGMA application_id = 1400467051;",
    /* 2: what ended first is removed first; which versions are needed; removed runs whose tasks are
     * still to be removed (some files of version 1 have these already). Up to which report of a
     * host everything was applied. */
    "CREATE INDEX IF NOT EXISTS runs_by_end ON runs(ended_at) WHERE status >= 2;"
    "CREATE INDEX IF NOT EXISTS runs_by_version ON runs(unit, version) WHERE version IS NOT NULL;"
    "CREATE TABLE IF NOT EXISTS removed_runs(run INTEGER PRIMARY KEY) STRICT;"
    "ALTER TABLE hosts ADD COLUMN applied INTEGER;",
    /* 3: which attempts count against maxRetries. Of a task that waits for its next (4), those that
     * did not crash are the closest that earlier files tell. */
    "ALTER TABLE tasks ADD COLUMN tries INTEGER;"
    "UPDATE tasks SET tries = nullif(min(max(attempts - coalesce(crashes, 0), 0), 65535), 0)"
    " WHERE state = 4 AND run IN (SELECT run FROM runs WHERE status < 2);",
    /* 4: what was set at run time. */
    "ALTER TABLE units ADD COLUMN overlay BLOB;",
    /* 5: the highest version that was given; so far, the highest that something tells of. */
    "ALTER TABLE units ADD COLUMN last_version INTEGER;"
    "UPDATE units SET last_version = nullif(max(coalesce(version, 0),"
    " coalesce((SELECT max(d.version) FROM definitions d WHERE d.unit = units.id), 0),"
    " coalesce((SELECT max(r.version) FROM runs r WHERE r.unit = units.id AND"
    " r.version NOT NULL), 0)), 0);",
    /* 6: a run's own priority (NULL: its workers'), and what a submission to the pool is called. */
    "ALTER TABLE runs ADD COLUMN priority INTEGER;"
    "ALTER TABLE runs ADD COLUMN name TEXT;"
    "ALTER TABLE runs ADD COLUMN paused INTEGER;",
    /* 7: runs that were asked for with a delay. */
    "ALTER TABLE runs ADD COLUMN not_before INTEGER;",
    /* 8: what a run makes of those before it. */
    "ALTER TABLE runs ADD COLUMN overlap INTEGER;",
    /* 9: whose failure a skipped task was skipped for. */
    "ALTER TABLE tasks ADD COLUMN cause INTEGER;",
};
const int sqlite_schema_version = sizeof(sqlite_migrations) / sizeof(*sqlite_migrations);

/* Versions in force and those of unfinished runs. */
#define NEEDED "SELECT id, version FROM units UNION SELECT unit, version FROM runs WHERE status < 2"
#define RECENT                                                                                     \
    "SELECT run FROM runs WHERE status < 2 UNION SELECT run FROM"                                  \
    " (SELECT run FROM runs WHERE status >= 2 ORDER BY run DESC LIMIT ?1)"

/* Those that put and remove records are made of record_shapes. */
const char *const sqlite_sql[STATEMENTS] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
    [STATEMENT_REMOVE_DEFINITION_WORKERS] = "DELETE FROM workers WHERE unit=? AND version=?",
    [STATEMENT_REMOVE_RUN_TASKS] = "DELETE FROM tasks WHERE run=?",
    [STATEMENT_REMOVE_RUN_ATTEMPTS] = "DELETE FROM attempts WHERE run=?",
    [STATEMENT_PUT_EVENTS] = "REPLACE INTO event_batches VALUES(?,?,?,?,?)",
    /* The number of the last event outlives the event: numbers are never given twice. */
    [STATEMENT_KEEP_LAST_EVENT] =
        "REPLACE INTO meta SELECT 'store.last_event', CAST(CAST(last AS TEXT) AS BLOB) FROM"
        " event_batches ORDER BY last DESC LIMIT 1",
    [STATEMENT_DROP_EVENTS] = "DELETE FROM event_batches WHERE last=?",
    [STATEMENT_EVENT_BOUNDS] =
        "SELECT (SELECT first FROM event_batches ORDER BY last LIMIT 1),"
        " (SELECT max(last) FROM event_batches),"
        " (SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta WHERE name='store.last_event')",
    [STATEMENT_GET_META] = "SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta WHERE name=?",
    [STATEMENT_LOAD_META] = "SELECT * FROM meta WHERE name NOT GLOB 'store.*' ORDER BY name",
    [STATEMENT_LOAD_UNITS] = "SELECT * FROM units ORDER BY id",
    [STATEMENT_LOAD_NEEDED] = NEEDED,
    [STATEMENT_LOAD_HOSTS] = "SELECT * FROM hosts ORDER BY name",
    [STATEMENT_LOAD_KEYS] = "SELECT * FROM keys ORDER BY expires_at,key",
    [STATEMENT_LOAD_RUNS] = "SELECT * FROM runs WHERE run IN (" RECENT ") ORDER BY run",
    [STATEMENT_GET_DEFINITION] = "SELECT * FROM definitions WHERE unit=? AND version=?",
    [STATEMENT_GET_WORKERS] = "SELECT * FROM workers WHERE unit=? AND version=? ORDER BY number",
    [STATEMENT_GET_WORKER] = "SELECT * FROM workers WHERE unit=? AND version=? AND number=?",
    [STATEMENT_GET_RUN] = "SELECT * FROM runs WHERE run=?",
    [STATEMENT_FIND_RUN] =
        "SELECT * FROM runs WHERE unit=? AND worker IS ? AND number=? ORDER BY run DESC LIMIT 1",
    [STATEMENT_FIND_LAST_RUN] =
        "SELECT * FROM runs WHERE unit=? AND worker IS ? ORDER BY run DESC LIMIT 1",
    [STATEMENT_LIST_RUNS] = "SELECT * FROM runs WHERE run<? ORDER BY run DESC",
    [STATEMENT_LIST_UNIT_RUNS] = "SELECT * FROM runs WHERE run<? AND unit=? ORDER BY run DESC",
    [STATEMENT_GET_TASKS] = "SELECT * FROM tasks WHERE run=? AND task>=? AND task<? ORDER BY task",
    [STATEMENT_GET_RESULT] = "SELECT result FROM tasks WHERE run=? AND task=?",
    [STATEMENT_GET_ATTEMPTS] =
        "SELECT * FROM attempts WHERE run=? AND task=? ORDER BY attempt DESC",
    [STATEMENT_GET_EVENTS] =
        "SELECT last, first, items FROM event_batches WHERE last>? ORDER BY last",
    [STATEMENT_GET_RUN_STATUS] = "SELECT status FROM runs WHERE run=?",
    [STATEMENT_COUNT_FINISHED] = "SELECT count(*) FROM runs WHERE status >= 2",
    [STATEMENT_OLDEST_FINISHED] =
        "SELECT run, ended_at FROM runs WHERE status >= 2 ORDER BY ended_at, run LIMIT 1",
    [STATEMENT_PUT_REMOVED] = "REPLACE INTO removed_runs VALUES(?)",
    [STATEMENT_FIRST_REMOVED] = "SELECT run FROM removed_runs ORDER BY run LIMIT 1",
    [STATEMENT_DROP_REMOVED] = "DELETE FROM removed_runs WHERE run=?",
    [STATEMENT_SIZE_TASKS] =
        "SELECT task, coalesce(length(result), 0) FROM tasks WHERE run=? ORDER BY task",
    [STATEMENT_DROP_TASKS] = "DELETE FROM tasks WHERE run=? AND task<=?",
    [STATEMENT_SIZE_ATTEMPTS] =
        "SELECT task, coalesce(length(error), 0) FROM attempts WHERE run=? ORDER BY task",
    [STATEMENT_DROP_ATTEMPTS] = "DELETE FROM attempts WHERE run=? AND task<=?",
    [STATEMENT_OLDEST_EVENTS] =
        "SELECT last, at, length(items), count FROM event_batches ORDER BY last LIMIT 1",
    [STATEMENT_NEXT_VERSION] =
        "SELECT unit, version, EXISTS(SELECT 1 FROM units u WHERE u.id=d.unit AND"
        " u.version=d.version) OR EXISTS(SELECT 1 FROM runs r WHERE r.unit=d.unit AND"
        " r.version=d.version) FROM definitions d WHERE (unit, version) > (?, ?)"
        " ORDER BY unit, version LIMIT 1",
    [STATEMENT_SIZE_WORKERS] =
        "SELECT number, coalesce(length(body), 0) FROM workers WHERE unit=? AND version=?"
        " ORDER BY number",
    [STATEMENT_DROP_WORKERS] = "DELETE FROM workers WHERE unit=? AND version=? AND number<=?",
    /* Neither a unit in force, nor the pool, nor a paused worker: what stays of a released unit. */
    [STATEMENT_DROP_RELEASED] =
        "DELETE FROM units WHERE id IN (SELECT id FROM units u WHERE version IS NULL AND"
        " id != 'pool' AND id NOT GLOB '*/*' AND"
        " NOT EXISTS(SELECT 1 FROM runs r WHERE r.unit=u.id) AND"
        " NOT EXISTS(SELECT 1 FROM definitions d WHERE d.unit=u.id) AND"
        " coalesce(due_at, 0) < coalesce((SELECT at FROM event_batches ORDER BY last LIMIT 1),"
        " 9223372036854775807) LIMIT 500)",
    [STATEMENT_PAGE_COUNT] = "PRAGMA page_count",
};
