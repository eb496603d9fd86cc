#include "io/utf8.h"

/* Writes one character, or a question mark; returns where the next one is. */
static const char *print_one(FILE *to, const char *text)
{
    int length = tgi_utf8_length(text);
    if (length == 0 || tgi_utf8_is_control(text))
        putc('?', to);
    else
        fwrite(text, 1, (size_t)length, to);
    return text + (length ? length : 1);
}

void tgi_utf8_print(FILE *to, const char *text)
{
    while (*text)
        text = print_one(to, text);
}

void tgi_utf8_print_column(FILE *to, const char *text, int most, int width)
{
    int n = 0;
    for (; *text && n < most; n++)
        text = print_one(to, text);
    fprintf(to, "%*s", width > n ? width - n : 0, "");
}

void tgi_utf8_write(FILE *to, const char *text, tgi_utf8_escape *escape)
{
    while (*text) {
        int length = tgi_utf8_length(text);
        if (length == 0)
            fputs("\xef\xbf\xbd", to);
        else if (tgi_utf8_is_control(text))
            putc('?', to);
        else if (!escape(to, text, length))
            fwrite(text, 1, (size_t)length, to);
        text += length ? length : 1;
    }
}
