/*
 * Status codes and error reports, shared by the client library, the plugin SDK and the programs.
 *
 * A call that can fail returns an enum synk_status: 0 is success, every failure is negative. Where
 * a text helps, the last parameter is an optional struct synk_error, filled once by the frame that
 * knows the context; on success it is left untouched.
 */
#ifndef SYNK_STATUS_H
#define SYNK_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SYNK_API __attribute__((visibility("default")))
#else
#define SYNK_API
#endif

/* name, value, wire name. Values and wire names are stable: new ones are appended. */
#define SYNK_STATUS_LIST(X)                                                                        \
    X(SYNK_OK, 0, "ok")                                                                            \
    X(SYNK_INVALID, -1, "invalid")         /* malformed input, a definition that does not hold */  \
    X(SYNK_NOT_FOUND, -2, "not-found")     /* no unit, run, task or host of that name */           \
    X(SYNK_EXISTS, -3, "exists")           /* the name is taken */                                 \
    X(SYNK_REFUSED, -4, "refused")         /* understood, and not allowed in this state or role */ \
    X(SYNK_BUSY, -5, "busy")               /* a bound is reached: try again later */               \
    X(SYNK_TOO_LARGE, -6, "too-large")     /* past a documented limit; the text says which */      \
    X(SYNK_UNSUPPORTED, -7, "unsupported") /* another version, an unknown message */               \
    X(SYNK_TIMEOUT, -8, "timeout")         /* the caller's own time limit passed */                \
    X(SYNK_UNAVAILABLE, -9, "unavailable") /* nobody answers at the address */                     \
    X(SYNK_STORE_DOWN, -10, "store-down")  /* state cannot be saved now: not acknowledged */       \
    X(SYNK_IO, -11, "io")                  /* the operating system said no; the text has errno */  \
    X(SYNK_CORRUPT, -12, "corrupt")        /* stored bytes that do not decode */                   \
    X(SYNK_PROTOCOL, -13, "protocol")      /* a peer's bytes that do not decode */                 \
    X(SYNK_CANCELLED, -14, "cancelled")    /* ended by a cancel */                                 \
    X(SYNK_FAILED, -15, "failed")          /* the work itself failed */                            \
    X(SYNK_NOT_LEADER, -16, "not-leader")  /* another supervisor leads; the text has its address */

enum synk_status {
#define SYNK_STATUS_ENUM(name, value, wire) name = value,
    SYNK_STATUS_LIST(SYNK_STATUS_ENUM)
#undef SYNK_STATUS_ENUM
};

/* Bytes in an error's text, its terminating NUL included. */
#define SYNK_ERROR_TEXT_BYTES 512

struct synk_error {
    enum synk_status status;
    char text[SYNK_ERROR_TEXT_BYTES]; /* what was wrong, where, and what to do; UTF-8, cut to fit */
};

/* The stable wire name of a status, "unknown" for a number not in the list. Never NULL. */
SYNK_API const char *synk_status_name(enum synk_status status);

#ifdef __cplusplus
}
#endif
#endif
