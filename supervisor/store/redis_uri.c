/*
 * Taking a URI apart. Invariant: what is not understood is refused with what is, never passed over:
 * a mistyped `unsafe` or `cluster` must not choose another state.
 */
#include "supervisor/store/redis_uri.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CLUSTER_BYTES = 64,
    SECRET_BYTES = 512,
    DEFAULT_PORT = 6379,
    DEFAULT_SENTINEL_PORT = 26379,
};

static enum synk_status parse_number(const char *text, long max, const char *what, long *ret_number,
                                     struct synk_error *error)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (*text == '\0' || *end || errno || number < 0 || number > max || !isdigit((uint8_t)*text))
        return status_fail(error, SYNK_INVALID, "%s '%s' is not a number from 0 to %ld", what, text,
                           max);
    *ret_number = number;
    return SYNK_OK;
}

/* "host", "host:port", "[::1]:port". */
static enum synk_status parse_host(char *text, uint16_t port, struct redis_address *ret_address,
                                   struct synk_error *error)
{
    char *host = text, *colon = strrchr(text, ':');
    long number = port;
    if (*text == '[') {
        char *close = strchr(text, ']');
        if (!close)
            return status_fail(error, SYNK_INVALID, "'%s': no ']' behind the address", text);
        *close = '\0';
        host = text + 1;
        colon = close[1] == ':' ? close + 1 : NULL;
    }
    if (colon) {
        enum synk_status status = parse_number(colon + 1, UINT16_MAX, "port", &number, error);
        if (status)
            return status;
        *colon = '\0';
    }
    if (*host == '\0' || number == 0)
        return status_fail(error, SYNK_INVALID, "'%s': write HOST:PORT", text);
    *ret_address = (struct redis_address){mem_strdup(host), (uint16_t)number};
    return SYNK_OK;
}

static enum synk_status parse_hosts(struct redis_uri *uri, char *text, struct synk_error *error)
{
    size_t most = uri->transport == REDIS_SENTINEL ? REDIS_URI_HOSTS : 1;
    uint16_t port = uri->transport == REDIS_SENTINEL ? DEFAULT_SENTINEL_PORT : DEFAULT_PORT;
    for (char *one; (one = strsep(&text, ","));) {
        if (uri->host_count == most)
            return status_fail(error, SYNK_INVALID, "more than %zu address%s", most,
                               most == 1 ? "; use redis+sentinel:// for several" : "es");
        enum synk_status status = parse_host(one, port, &uri->hosts[uri->host_count], error);
        if (status)
            return status;
        uri->host_count++;
    }
    return SYNK_OK;
}

/* In place: %XX to its byte. */
static void unescape(char *text)
{
    char *to = text;
    for (char *at = text; *at; at++, to++) {
        if (*at == '%' && isxdigit((uint8_t)at[1]) && isxdigit((uint8_t)at[2])) {
            char hex[3] = {at[1], at[2], '\0'};
            *to = (char)strtol(hex, NULL, 16);
            at += 2;
        } else {
            *to = *at;
        }
    }
    *to = '\0';
}

static enum synk_status set_cluster(struct redis_uri *uri, const char *value,
                                    struct synk_error *error)
{
    size_t size = strlen(value);
    bool fits = size > 0 && size <= CLUSTER_BYTES;
    for (size_t i = 0; i < size && fits; i++)
        fits = isalnum((uint8_t)value[i]) || strchr("._-", value[i]);
    if (!fits)
        return status_fail(error, SYNK_INVALID,
                           "cluster '%s': up to %d letters, digits, '.', '_' and '-'", value,
                           CLUSTER_BYTES);
    free(uri->cluster);
    uri->cluster = mem_strdup(value);
    return SYNK_OK;
}

static void set_text(char **place, const char *value)
{
    free(*place);
    *place = mem_strdup(value);
}

static enum synk_status parse_parameter(struct redis_uri *uri, char *text, struct synk_error *error)
{
    char *value = strchr(text, '=');
    long number;
    if (value)
        *value++ = '\0';
    if (!value || !*value)
        return status_fail(error, SYNK_INVALID, "parameter '%s' has no value", text);
    unescape(value);
    if (strcmp(text, "cluster") == 0)
        return set_cluster(uri, value, error);
    if (strcmp(text, "db") == 0) {
        enum synk_status status = parse_number(value, INT32_MAX, "db", &number, error);
        uri->db = status ? 0 : (int)number;
        return status;
    }
    if (strcmp(text, "unsafe") == 0) {
        if (strcmp(value, "allow") != 0)
            return status_fail(error, SYNK_INVALID, "unsafe=%s: the only value is allow", value);
        uri->allows_unsafe = true;
        return SYNK_OK;
    }
    const struct {
        const char *name;
        char **place;
    } texts[] = {
        {"user", &uri->user},
        {"password-file", &uri->password_file},
        {"sentinel-user", &uri->sentinel_user},
        {"sentinel-password-file", &uri->sentinel_password_file},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (strcmp(text, texts[i].name) == 0) {
            set_text(texts[i].place, value);
            return SYNK_OK;
        }
    return status_fail(error, SYNK_INVALID,
                       "no parameter '%s'; there are cluster, db, user, password-file, "
                       "sentinel-user, sentinel-password-file and unsafe=allow",
                       text);
}

static enum synk_status parse_place(struct redis_uri *uri, char *text, struct synk_error *error)
{
    long number = 0;
    if (uri->transport == REDIS_UNIX) {
        while (text[0] == '/' && text[1] == '/')
            text++;
        if (text[0] != '/')
            return status_fail(error, SYNK_INVALID, "no absolute path of a socket");
        uri->path = mem_strdup(text);
        return SYNK_OK;
    }
    if (strncmp(text, "//", 2) != 0)
        return status_fail(error, SYNK_INVALID, "write %s",
                           uri->transport == REDIS_TCP ? "redis://HOST:PORT/DB"
                                                       : "redis+sentinel://H1:P1,H2:P2/MASTER");
    char *slash = strchr(text + 2, '/');
    if (slash)
        *slash++ = '\0';
    if (strchr(text, '@'))
        return status_fail(error, SYNK_INVALID,
                           "no user or password before '@': everybody reads a command line; use "
                           "?user=U&password-file=PATH");
    enum synk_status status = parse_hosts(uri, text + 2, error);
    if (status || (uri->transport == REDIS_TCP && (!slash || !*slash)))
        return status;
    if (uri->transport == REDIS_SENTINEL) {
        if (!slash || !*slash)
            return status_fail(error, SYNK_INVALID, "no name of a master behind the addresses");
        uri->master = mem_strdup(slash);
        return SYNK_OK;
    }
    status = parse_number(slash, INT32_MAX, "database", &number, error);
    uri->db = (int)number;
    return status;
}

enum synk_status redis_uri_parse(enum redis_transport transport, const char *rest,
                                 struct redis_uri *ret_uri, struct synk_error *error)
{
    struct redis_uri uri = {.transport = transport, .cluster = mem_strdup("synk")};
    char *copy = mem_strdup(rest), *parameters = strchr(copy, '?');
    if (parameters)
        *parameters++ = '\0';
    enum synk_status status = parse_place(&uri, copy, error);
    for (char *one; !status && (one = strsep(&parameters, "&"));)
        status = parse_parameter(&uri, one, error);
    if (!status && uri.user && !uri.password_file)
        status = status_fail(error, SYNK_INVALID, "user without password-file");
    free(copy);
    if (status) {
        redis_uri_fini(&uri);
        status_prefix(error, "store '%s'", rest);
        return status;
    }
    *ret_uri = uri;
    return SYNK_OK;
}

void redis_uri_fini(struct redis_uri *uri)
{
    if (!uri)
        return;
    for (size_t i = 0; i < uri->host_count; i++)
        free(uri->hosts[i].host);
    free(uri->path);
    free(uri->master);
    free(uri->cluster);
    free(uri->user);
    free(uri->password_file);
    free(uri->sentinel_user);
    free(uri->sentinel_password_file);
    *uri = (struct redis_uri){0};
}

char *redis_uri_name(const struct redis_uri *uri)
{
    struct buf text = {0};
    if (uri->transport == REDIS_UNIX)
        buf_printf(&text, "redis+unix:%s", uri->path);
    else
        buf_printf(&text, "redis%s://", uri->transport == REDIS_SENTINEL ? "+sentinel" : "");
    for (size_t i = 0; i < uri->host_count; i++)
        buf_printf(&text, "%s%s:%u", i ? "," : "", uri->hosts[i].host, uri->hosts[i].port);
    if (uri->master)
        buf_printf(&text, "/%s", uri->master);
    buf_printf(&text, "?cluster=%s", uri->cluster);
    buf_append(&text, "", 1);
    return (char *)text.data;
}

char *redis_uri_secret(const char *path, struct synk_error *error)
{
    char text[SECRET_BYTES + 1];
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        status_fail(error, SYNK_IO, "cannot read the password file '%s': %s", path,
                    strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    ssize_t size = read(fd, text, SECRET_BYTES);
    close(fd);
    if (info.st_mode & 077) {
        status_fail(error, SYNK_REFUSED, "password file '%s': others may read it; chmod 600", path);
        return NULL;
    }
    if (size < 0)
        size = 0;
    text[size] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    if (!*text) {
        status_fail(error, SYNK_INVALID, "password file '%s': no password in its first line", path);
        return NULL;
    }
    return mem_strdup(text);
}
