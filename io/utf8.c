#include "io/utf8.h"

void tgi_utf8_print(FILE *to, const char *text)
{
    while (*text) {
        int length = tgi_utf8_length(text);
        if (length == 0 || tgi_utf8_is_control(text))
            putc('?', to);
        else
            fwrite(text, 1, (size_t)length, to);
        text += length ? length : 1;
    }
}

void tgi_utf8_print_column(FILE *to, const char *text, int most, int width)
{
    int n = 0;
    for (; *text && n < most; n++) {
        int length = tgi_utf8_length(text);
        if (length == 0 || tgi_utf8_is_control(text))
            putc('?', to);
        else
            fwrite(text, 1, (size_t)length, to);
        text += length ? length : 1;
    }
    fprintf(to, "%*s", width > n ? width - n : 0, "");
}
