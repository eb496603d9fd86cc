/* Writes JSON to a stream, piece by piece: commas, indentation and escapes are seen to here.  In an
 * object `key` names the value; in an array it is NULL. */
#ifndef TGI_IO_JSON_OUT_H
#define TGI_IO_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum tgi_json_style {
    TGI_JSON_PRETTY, /* two spaces a level; a newline after the outermost value */
    TGI_JSON_LINE    /* all on one line; a newline after the outermost value */
};

struct tgi_json {
    FILE *to;
    enum tgi_json_style style;
    uint32_t depth;
    uint64_t is_filled; /* bit d: the container at depth d has an element */
    uint64_t is_array;
    uint64_t is_flat;   /* its elements go on one line */
};

static inline struct tgi_json tgi_json_begin(FILE *to, enum tgi_json_style style)
{
    struct tgi_json json = {to, style, 0, 0, 0, 0};
    return json;
}
/* Nesting ends at 63 levels (asserted). */
void tgi_json_object(struct tgi_json *json, const char *key);
void tgi_json_array(struct tgi_json *json, const char *key);
/* The same, with all elements on one line whatever the style. */
void tgi_json_flat_object(struct tgi_json *json, const char *key);
void tgi_json_flat_array(struct tgi_json *json, const char *key);
void tgi_json_end(struct tgi_json *json);
void tgi_json_string(struct tgi_json *json, const char *key, const char *value); /* NULL: null */
void tgi_json_int(struct tgi_json *json, const char *key, int64_t value);
void tgi_json_uint(struct tgi_json *json, const char *key, uint64_t value);
/* The shortest digits that give the same number back; NAN and infinities become null. */
void tgi_json_double(struct tgi_json *json, const char *key, double value);
void tgi_json_bool(struct tgi_json *json, const char *key, bool value);
void tgi_json_null(struct tgi_json *json, const char *key);
/* Text that is JSON already. */
void tgi_json_raw(struct tgi_json *json, const char *key, const char *text);

/* The text as a JSON string with its quotes: control characters escaped, bytes that are not UTF-8
 * replaced by U+FFFD. */
void tgi_json_quote(FILE *to, const char *text);

#endif
