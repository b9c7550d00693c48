/*
 * Reads options and arguments out of the texts of the verbs, which people read, too. An option is
 * "--" and small letters; its value is a word of capitals one blank behind it, anywhere in the
 * text.
 */
#include "tools/synk/completion.h"

static bool is_option_byte(char c)
{
    return (c >= 'a' && c <= 'z') || c == '-';
}

static bool is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* The next option at or behind `text`, or NULL; *ret_size is that of its name, dashes included. */
static const char *next_option(const char *text, size_t *ret_size)
{
    while ((text = strstr(text, "--"))) {
        size_t size = 2;
        while (is_option_byte(text[size]))
            size++;
        if (size > 2) {
            *ret_size = size;
            return text;
        }
        text += size;
    }
    return NULL;
}

/* Whether a blank-separated list has the word. */
static bool has_word(struct buf *list, const char *word, size_t size)
{
    const char *text = (const char *)list->data;
    for (size_t i = 0; i + size <= list->size; i++)
        if (memcmp(text + i, word, size) == 0 && (i == 0 || text[i - 1] == ' ') &&
            (i + size == list->size || text[i + size] == ' '))
            return true;
    return false;
}

static void add_options(const char *text, bool valued, struct buf *out)
{
    size_t size;
    for (; (text = next_option(text, &size)); text += size) {
        bool takes_value = text[size] == ' ' && is_capital(text[size + 1]);
        if ((takes_value || !valued) && !has_word(out, text, size))
            buf_printf(out, "%s%.*s", out->size ? " " : "", (int)size, text);
    }
}

void completion_options(const struct verb *verb, bool valued, struct buf *out)
{
    struct buf list = {0};
    add_options(verb->arguments, valued, &list);
    add_options(verb->help, valued, &list);
    add_options(args_everywhere, valued, &list);
    add_options("--help", valued, &list);
    buf_append(out, list.data, list.size);
    buf_fini(&list);
}

enum { POSITIONS = 8 };

/* Adds one alternative to a position, "submit|add", unless it is there. */
static void add_alternative(struct buf *position, const char *word, size_t size)
{
    const char *text = (const char *)position->data;
    for (size_t at = 0; at < position->size;) {
        const char *bar = memchr(text + at, '|', position->size - at);
        size_t end = bar ? (size_t)(bar - text) : position->size;
        if (end - at == size && memcmp(text + at, word, size) == 0)
            return;
        at = end + 1;
    }
    buf_printf(position, "%s%.*s", position->size ? "|" : "", (int)size, word);
}

void completion_arguments(const struct verb *verb, struct buf *out)
{
    struct buf positions[POSITIONS] = {0};
    size_t position = 0;
    bool is_value = false;
    for (const char *text = verb->arguments + strspn(verb->arguments, " \n"), *end; *text;
         text = end + strspn(end, " \n")) {
        end = text + strcspn(text, " \n");
        const char *word = text + strspn(text, "["), *stop = end;
        bool is_option = word[0] == '-' && word[1] == '-';
        if (stop - word == 1 && *word == '|') { /* another form begins */
            position = 0;
            is_value = false;
            continue;
        }
        while (stop > word && stop[-1] == ']')
            stop--;
        if (!is_option && !is_value && position < POSITIONS)
            add_alternative(&positions[position++], word, (size_t)(stop - word));
        is_value = is_option && !memchr(word, ']', (size_t)(end - word));
    }
    for (size_t i = 0; i < POSITIONS; i++) {
        if (positions[i].size)
            buf_printf(out, "%s%.*s", i ? " " : "", (int)positions[i].size,
                       (const char *)positions[i].data);
        buf_fini(&positions[i]);
    }
}
