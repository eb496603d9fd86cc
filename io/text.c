#include "io/text.h"

#include <stdarg.h>
#include <stdlib.h>

#include "graph/error.h"
#include "io/units.h"

#define PIECE 65536

bool tgi_text_reserve(struct tgi_text *text, size_t size)
{
    if (size <= text->cap - text->size)
        return true;
    if (text->to && text->size > 0) {
        fwrite(text->data, 1, text->size, text->to);
        text->size = 0;
        if (size <= text->cap)
            return true;
    }
    size_t cap = text->cap ? text->cap : PIECE;
    while (cap - text->size < size && cap <= SIZE_MAX / 2)
        cap *= 2;
    char *data = cap - text->size >= size ? realloc(text->data, cap) : NULL;
    if (!data) {
        text->is_out_of_memory = true;
        return false;
    }
    text->data = data;
    text->cap = cap;
    return true;
}

void tgi_text_add(struct tgi_text *text, const char *bytes, size_t size)
{
    if (size == 0 || !tgi_text_reserve(text, size))
        return;
    memcpy(text->data + text->size, bytes, size);
    text->size += size;
}

void tgi_text_uint(struct tgi_text *text, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    tgi_text_add(text, digits + at, sizeof(digits) - at);
}

void tgi_text_double(struct tgi_text *text, double value)
{
    char digits[TGI_UNITS_SIZE];
    tgi_text_str(text, tgi_format_exact(value, digits, sizeof(digits)));
}

void tgi_text_quoted(struct tgi_text *text, const char *string)
{
    tgi_text_add(text, "\"", 1);
    for (const char *p = string; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            char escaped[2] = {'\\', *p};
            tgi_text_add(text, escaped, 2);
        } else if (c < 0x20 || c == 0x7f) {
            tgi_text_printf(text, "\\u%04x", c);
        } else {
            tgi_text_add(text, p, 1);
        }
    }
    tgi_text_add(text, "\"", 1);
}

void tgi_text_varint(struct tgi_text *text, uint64_t value)
{
    char bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (char)(value | 0x80);
    bytes[n++] = (char)value;
    tgi_text_add(text, bytes, n);
}

void tgi_text_zigzag(struct tgi_text *text, int64_t value)
{
    tgi_text_varint(text, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

void tgi_text_base64(struct tgi_text *text, const void *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = bytes;
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t word = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        char four[4] = {digits[word >> 18], digits[word >> 12 & 63], n > 1 ? digits[word >> 6 & 63] : '=',
                        n > 2 ? digits[word & 63] : '='};
        tgi_text_add(text, four, 4);
    }
}

void tgi_text_printf(struct tgi_text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size >= 0 && tgi_text_reserve(text, (size_t)size + 1)) {
        vsnprintf(text->data + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
}

int tgi_text_finish(struct tgi_text *text, struct tg_error *err)
{
    if (text->to && text->size > 0) {
        fwrite(text->data, 1, text->size, text->to);
        text->size = 0;
    }
    return text->is_out_of_memory ? tgi_error_memory(err, "writing text") : TG_OK;
}

void tgi_text_fini(struct tgi_text *text)
{
    free(text->data);
    *text = (struct tgi_text){.to = text->to};
}
