/* Text under construction, in memory or on its way to a stream.  Errors are kept until the end, so
 * that writers read as what they write. */
#ifndef TGI_IO_TEXT_H
#define TGI_IO_TEXT_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "graph/tgraph.h"

/* Zero-initialised: empty, in memory. */
struct tgi_text {
    char *data; /* not terminated */
    size_t size, cap;
    FILE *to; /* what is written leaves memory in pieces for this stream; NULL: it stays */
    bool is_out_of_memory;
};

/* Room for `size` bytes behind data[size]; false without memory. */
bool tgi_text_reserve(struct tgi_text *text, size_t size);
void tgi_text_add(struct tgi_text *text, const char *bytes, size_t size);
static inline void tgi_text_str(struct tgi_text *text, const char *string)
{
    tgi_text_add(text, string, strlen(string));
}
void tgi_text_uint(struct tgi_text *text, uint64_t value);
/* The shortest digits that give the same number back. */
void tgi_text_double(struct tgi_text *text, double value);
/* A JSON string with its quotes; the text is UTF-8. */
void tgi_text_quoted(struct tgi_text *text, const char *string);
/* Seven bits a byte, the low ones first; all but the last have the eighth set. */
void tgi_text_varint(struct tgi_text *text, uint64_t value);
/* The same of 0, -1, 1, -2, .. as 0, 1, 2, 3, .. */
void tgi_text_zigzag(struct tgi_text *text, int64_t value);
/* RFC 4648, with padding. */
void tgi_text_base64(struct tgi_text *text, const void *bytes, size_t size);
void tgi_text_printf(struct tgi_text *text, const char *format, ...) TG_PRINTF(2, 3);
/* Writes what is left to the stream, if there is one; TG_E_NO_MEMORY if some text was lost.  An
 * error of the stream stays with the stream. */
int tgi_text_finish(struct tgi_text *text, struct tg_error *err);
void tgi_text_fini(struct tgi_text *text);

#endif
