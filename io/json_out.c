#include "io/json_out.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "io/utf8.h"

#define BIT(depth) ((uint64_t)1 << (depth))

void tgi_json_quote(FILE *to, const char *text)
{
    const char *p = text;
    putc('"', to);
    while (*p) {
        int length = tgi_utf8_length(p);
        if (*p == '"' || *p == '\\')
            fprintf(to, "\\%c", *p);
        else if (*p == '\n')
            fputs("\\n", to);
        else if (*p == '\t')
            fputs("\\t", to);
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            fprintf(to, "\\u%04x", (unsigned)*p);
        else if (length == 0)
            fputs("\\ufffd", to);
        else
            fwrite(p, 1, (size_t)length, to);
        p += length ? length : 1;
    }
    putc('"', to);
}

static bool is_flat(const struct tgi_json *json)
{
    return json->style == TGI_JSON_LINE || (json->is_flat & BIT(json->depth));
}

static void break_line(struct tgi_json *json, uint32_t depth)
{
    fprintf(json->to, "\n%*s", (int)(2 * depth), "");
}

/* What stands before a value: comma, line break, key. */
static void begin_value(struct tgi_json *json, const char *key)
{
    if (json->depth > 0) {
        if (json->is_filled & BIT(json->depth))
            fputs(is_flat(json) ? ", " : ",", json->to);
        if (!is_flat(json))
            break_line(json, json->depth);
        json->is_filled |= BIT(json->depth);
    }
    if (key) {
        tgi_json_quote(json->to, key);
        fputs(": ", json->to);
    }
}

static void end_value(struct tgi_json *json)
{
    if (json->depth == 0)
        putc('\n', json->to);
}

static void open_container(struct tgi_json *json, const char *key, bool is_array, bool wants_flat)
{
    begin_value(json, key);
    putc(is_array ? '[' : '{', json->to);
    bool flat = wants_flat || (json->depth > 0 && is_flat(json));
    json->depth++;
    assert(json->depth < 64);
    uint64_t bit = BIT(json->depth);
    json->is_filled &= ~bit;
    json->is_array = is_array ? json->is_array | bit : json->is_array & ~bit;
    json->is_flat = flat ? json->is_flat | bit : json->is_flat & ~bit;
}

void tgi_json_object(struct tgi_json *json, const char *key) { open_container(json, key, false, false); }
void tgi_json_array(struct tgi_json *json, const char *key) { open_container(json, key, true, false); }
void tgi_json_flat_object(struct tgi_json *json, const char *key) { open_container(json, key, false, true); }
void tgi_json_flat_array(struct tgi_json *json, const char *key) { open_container(json, key, true, true); }

void tgi_json_end(struct tgi_json *json)
{
    assert(json->depth > 0);
    uint64_t bit = BIT(json->depth);
    if ((json->is_filled & bit) && !is_flat(json))
        break_line(json, json->depth - 1);
    putc(json->is_array & bit ? ']' : '}', json->to);
    json->depth--;
    end_value(json);
}

void tgi_json_string(struct tgi_json *json, const char *key, const char *value)
{
    begin_value(json, key);
    if (value)
        tgi_json_quote(json->to, value);
    else
        fputs("null", json->to);
    end_value(json);
}

void tgi_json_int(struct tgi_json *json, const char *key, int64_t value)
{
    begin_value(json, key);
    fprintf(json->to, "%" PRId64, value);
    end_value(json);
}

void tgi_json_uint(struct tgi_json *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    fprintf(json->to, "%" PRIu64, value);
    end_value(json);
}

void tgi_json_double(struct tgi_json *json, const char *key, double value)
{
    char text[40];
    begin_value(json, key);
    if (!isfinite(value)) {
        fputs("null", json->to);
    } else {
        int digits = 6;
        do {
            snprintf(text, sizeof(text), "%.*g", digits, value);
        } while (strtod(text, NULL) != value && ++digits <= 17);
        fputs(text, json->to);
    }
    end_value(json);
}

void tgi_json_bool(struct tgi_json *json, const char *key, bool value)
{
    begin_value(json, key);
    fputs(value ? "true" : "false", json->to);
    end_value(json);
}

void tgi_json_null(struct tgi_json *json, const char *key)
{
    begin_value(json, key);
    fputs("null", json->to);
    end_value(json);
}

void tgi_json_raw(struct tgi_json *json, const char *key, const char *text)
{
    begin_value(json, key);
    fputs(text, json->to);
    end_value(json);
}
