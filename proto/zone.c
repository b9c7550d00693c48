/*
 * Finding time zones: names become files of the database, and files become rules (tzif.c).
 *
 * Names come from definitions, hence from others: one that is not made of the letters of a zone
 * name never becomes a path. A file is looked at (stat) at every call and read again when it is
 * another one, so that a daemon that has run for months heeds a new release of the database; while
 * such a file cannot be used, the rules read before stay in force.
 */
#include "proto/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/nearest.h"
#include "proto/tzif.h"

enum {
    ENTRIES = 64,          /* zones kept; 2 KB each */
    FILE_BYTES = 64 << 10, /* the largest zone has 4 KB */
    NAMES_BYTES = 1 << 20, /* the list of names has 115 KB */
    PATH_BYTES = 1024,
};

struct entry {
    char name[LIMIT_ZONE_NAME_BYTES + 1]; /* "" = unused */
    struct tzif *tzif;
    struct stat file; /* as it was when it was read */
    uint64_t used;    /* of zones->uses; the least goes first */
};
struct zones {
    struct entry entries[ENTRIES];
    uint64_t uses;
};

struct zones *zones_new(void)
{
    return mem_zalloc(1, sizeof(struct zones));
}

void zones_free(struct zones *zones)
{
    for (size_t i = 0; zones && i < ENTRIES; i++)
        tzif_free(zones->entries[i].tzif);
    free(zones);
}

static const char *directory(void)
{
    const char *set = getenv("TZDIR");
    return set && *set ? set : "/usr/share/zoneinfo";
}

/* Reads a regular file of at most `most` bytes, and what stat says about it. */
static enum synk_status read_file(const char *path, size_t most, struct buf *out,
                                  struct stat *ret_file, struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
    if (fstat(fd, ret_file) != 0)
        status = status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(ret_file->st_mode) || ret_file->st_size > (off_t)most)
        status = status_fail(error, SYNK_CORRUPT, "%s: not a time zone file", path);
    while (!status) {
        buf_reserve(out, 4096);
        got = read(fd, out->data + out->size, 4096);
        if (got > 0)
            out->size += (size_t)got;
        else if (!got)
            break;
        else if (errno != EINTR)
            status = status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
        if (out->size > most)
            status = status_fail(error, SYNK_CORRUPT, "%s: too large", path);
    }
    close(fd);
    return status;
}

/* Whether the last part of a zone's name is what was asked for: Berlin, of Europe/Berlin. */
static bool is_city(struct synk_bytes zone, struct synk_bytes city)
{
    if (zone.size <= city.size + 1)
        return false;
    const char *tail = (const char *)zone.data + zone.size - city.size;
    return tail[-1] == '/' && !strncasecmp(tail, city.data, city.size);
}

/* The database lists its zones as lines "Z NAME ..." and other names of them as "L ZONE NAME". */
static void fail_unknown(struct synk_bytes name, struct synk_error *error)
{
    char path[PATH_BYTES];
    struct buf list = {0};
    struct stat file;
    struct nearest nearest = nearest_of(name);
    struct synk_bytes city = {NULL, 0};
    snprintf(path, sizeof(path), "%s/tzdata.zi", directory());
    /* Without the list there is just no hint. */
    if (read_file(path, NAMES_BYTES, &list, &file, NULL))
        buf_clear(&list);
    buf_append(&list, "\n", 2);
    for (char *next, *line = (char *)list.data; (next = strchr(line, '\n')); line = next + 1) {
        if (line[1] != ' ' || (line[0] != 'Z' && line[0] != 'L'))
            continue;
        *next = '\0';
        char *found = line + 2;
        if (line[0] == 'L')
            found += strcspn(found, " ") + 1;
        struct synk_bytes zone = bytes_of(found, strcspn(found, " "));
        nearest_try(&nearest, zone);
        if (is_city(zone, name))
            city = zone;
    }
    if (!city.size)
        city = nearest.found;
    if (city.size)
        status_fail(error, SYNK_INVALID, "there is no time zone '%.*s' (did you mean '%.*s'?)",
                    (int)name.size, (const char *)name.data, (int)city.size,
                    (const char *)city.data);
    else
        status_fail(error, SYNK_INVALID,
                    "there is no time zone '%.*s': write a name such as 'Europe/Berlin', or 'UTC'",
                    (int)name.size, (const char *)name.data);
    buf_fini(&list);
}

/* Letters, digits and _+- in parts separated by slashes. */
static bool is_name(struct synk_bytes name)
{
    char before = '/';
    for (size_t i = 0; i < name.size; i++) {
        char byte = ((const char *)name.data)[i];
        bool is_letter =
            (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
        if (!is_letter && !strchr("_+-", byte) && (byte != '/' || before == '/'))
            return false;
        if (!byte)
            return false;
        before = byte;
    }
    return before != '/';
}

static enum synk_status check_name(struct synk_bytes name, struct synk_error *error)
{
    static const char *const local[] = {"local", "localtime", "posixrules"};
    if (name.size > LIMIT_ZONE_NAME_BYTES)
        return status_fail(error, SYNK_TOO_LARGE,
                           "the time zone's name has %zu bytes, more than %d", name.size,
                           LIMIT_ZONE_NAME_BYTES);
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        if (name.size == strlen(local[i]) && !strncasecmp(name.data, local[i], name.size))
            return status_fail(
                error, SYNK_INVALID,
                "the time zone must be named, not '%s': the definition must mean the "
                "same time on every machine",
                local[i]);
    if (!is_name(name))
        return status_fail(error, SYNK_INVALID,
                           "'%.*s' is not the name of a time zone: write a name such as "
                           "'Europe/Berlin', or 'UTC'",
                           (int)name.size, (const char *)name.data);
    return SYNK_OK;
}

/* Tells why there is no file of that name. */
static enum synk_status fail_missing(struct synk_bytes name, struct synk_error *error)
{
    struct stat file;
    if (stat(directory(), &file) != 0)
        return status_fail(error, SYNK_UNAVAILABLE,
                           "there is no time zone database at %s: install tzdata, or set TZDIR",
                           directory());
    fail_unknown(name, error);
    return SYNK_INVALID;
}

static enum synk_status load(struct entry *entry, const char *path, struct synk_error *error)
{
    struct buf bytes = {0};
    struct stat file;
    struct tzif *tzif;
    enum synk_status status = read_file(path, FILE_BYTES, &bytes, &file, error);
    if (!status) {
        status = tzif_parse(buf_bytes(&bytes), &tzif, error);
        if (status)
            status_prefix(error, "%s", path);
    }
    buf_fini(&bytes);
    if (status)
        return status;
    tzif_free(entry->tzif);
    entry->tzif = tzif;
    entry->file = file;
    return SYNK_OK;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The entry of that name; else an unused one, or the one whose last use is the longest ago. */
static struct entry *find_entry(struct zones *zones, struct synk_bytes name)
{
    struct entry *oldest = &zones->entries[0];
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *entry = &zones->entries[i];
        if (bytes_equal(bytes_str(entry->name), name))
            return entry;
        if (entry->used < oldest->used)
            oldest = entry;
    }
    return oldest;
}

enum synk_status zones_find(struct zones *zones, struct synk_bytes name,
                            struct zone_rules *ret_rules, struct synk_error *error)
{
    if (!name.size || bytes_equal(name, bytes_str("UTC"))) {
        *ret_rules = zone_utc;
        return SYNK_OK;
    }
    char path[PATH_BYTES];
    struct stat file;
    enum synk_status status = check_name(name, error);
    if (status)
        return status;
    int size = snprintf(path, sizeof(path), "%s/%.*s", directory(), (int)name.size,
                        (const char *)name.data);
    if (size >= (int)sizeof(path))
        return status_fail(error, SYNK_UNAVAILABLE, "TZDIR is too long");
    struct entry *entry = find_entry(zones, name);
    bool is_kept = bytes_equal(bytes_str(entry->name), name);
    bool exists = stat(path, &file) == 0 && !S_ISDIR(file.st_mode);
    if (!exists && !is_kept)
        return fail_missing(name, error);
    if (!is_kept || (exists && !is_same(&file, &entry->file))) {
        struct entry fresh = {.tzif = NULL};
        status = load(&fresh, path, is_kept ? NULL : error);
        if (status && !is_kept)
            return status;
        if (!status) {
            memcpy(fresh.name, name.data, name.size);
            tzif_free(entry->tzif);
            *entry = fresh;
        }
    }
    entry->used = ++zones->uses;
    *ret_rules = tzif_rules(entry->tzif);
    return SYNK_OK;
}

/* Parsing takes a tenth of a microsecond, less than finding it among kept ones would save. */
static enum synk_status next(void *context, struct synk_bytes cron, struct synk_bytes zone,
                             int64_t after_wall_ms, int64_t *ret_due_ms, struct synk_error *error)
{
    struct cron parsed;
    struct zone_rules rules;
    enum synk_status status = cron_parse(cron, &parsed, error);
    if (!status)
        status = zones_find(context, zone, &rules, error);
    if (!status)
        status = cron_next(&parsed, &rules, after_wall_ms, ret_due_ms, error);
    return status;
}

static enum synk_status check(void *context, struct synk_bytes cron, struct synk_bytes zone,
                              struct synk_error *error)
{
    struct cron parsed;
    struct zone_rules rules;
    enum synk_status status = cron_parse(cron, &parsed, error);
    return status ? status : zones_find(context, zone, &rules, error);
}

void calendar_init(struct calendar *calendar)
{
    *calendar = (struct calendar){zones_new(), next, check};
}

void calendar_fini(struct calendar *calendar)
{
    zones_free(calendar->context);
    *calendar = (struct calendar){NULL, NULL, NULL};
}
