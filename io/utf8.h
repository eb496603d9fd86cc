/* UTF-8 from outside, which need not be well-formed. */
#ifndef TGI_IO_UTF8_H
#define TGI_IO_UTF8_H

#include <stdbool.h>
#include <stdio.h>

/* Text for a terminal: control characters and bytes that are no UTF-8 become question marks. */
void tgi_utf8_print(FILE *to, const char *text);

/* The same, at most so many characters of it and padded to `width` characters. */
void tgi_utf8_print_column(FILE *to, const char *text, int most, int width);

/* Writes the character at `at`, of `length` bytes, in another way than it stands, or returns false: it may stand as it is. */
typedef bool tgi_utf8_escape(FILE *to, const char *at, int length);
/* Text for a file of another language: control characters become question marks, bytes that are no UTF-8 U+FFFD, and what
 * that language takes for its own is escaped. */
void tgi_utf8_write(FILE *to, const char *text, tgi_utf8_escape *escape);

/* Bytes of the well-formed sequence at `text`, or 0.  NUL is a sequence of one byte. */
static inline int tgi_utf8_length(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    int length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    /* overlong forms, surrogates, beyond U+10FFFF */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

/* C0 and C1 control characters and DEL, which terminals and XML must not get to see. */
static inline int tgi_utf8_is_control(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    return p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
}

#endif
