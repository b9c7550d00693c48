/*
 * The lexical side of expressions: which names one uses, what it may not say, where a template
 * ends. Used by expression.c and expression_template.c only. Pure: Lua is not needed to split Lua's
 * tokens.
 */
#ifndef PROTO_EXPRESSION_SCAN_H
#define PROTO_EXPRESSION_SCAN_H

#include "proto/expression.h"

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_NUMBER, TOKEN_STRING, TOKEN_SYMBOL, TOKEN_BAD };

struct token {
    enum token_kind kind;
    size_t start, size; /* of TOKEN_BAD: what cannot be read */
};

/* Reads the token at or after *position, blanks and comments skipped, and moves *position past it.
 */
struct token expression_token(struct synk_bytes source, size_t *position);

/*
 * Refuses what an expression may not contain: no tokens at all, statements' keywords, `function`,
 * foreign operators, unknown names, several values. What passes may still not compile.
 * Fails with SYNK_INVALID, its text starting with the place.
 */
enum synk_status expression_scan(struct synk_bytes source, unsigned *ret_uses,
                                 struct synk_error *error);

/* Where the "}}" is that closes a template whose expression starts at `start`: one that is neither
 * in a Lua string nor closes a table; SIZE_MAX where there is none. */
size_t expression_template_end(struct synk_bytes text, size_t start);

#define EXPRESSION_PLACE_BYTES 64
/* "column 8", or "line 2, column 8" in sources of several lines; columns count characters from 1.
 */
void expression_place(struct synk_bytes source, size_t offset, char place[EXPRESSION_PLACE_BYTES]);

#define EXPRESSION_QUOTE_BYTES 168
/* The source for an error's text: on one line, and cut so that the rest of the text has room. */
void expression_quote(struct synk_bytes source, char quote[EXPRESSION_QUOTE_BYTES]);

/* Without the blanks around it. */
struct synk_bytes expression_trim(struct synk_bytes source);

#endif
