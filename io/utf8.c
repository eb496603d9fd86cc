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
