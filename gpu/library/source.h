/* Where in a program something happened: texts of the compiler's, shortened to what a record has room for. */
#ifndef TGD_SOURCE_H
#define TGD_SOURCE_H

#include "gpu/resident/order.h"

#define TGD_FILE_BYTES 32u /* of the file's name, its last ones */
#define TGD_TEXT_BYTES 64u /* of a text, its first ones; neither has a 0 behind it if it fills its room */

/* name and text: literals.  The sizes are known where it is compiled. */
struct tgi_source {
    const char *file, *text;
    uint32_t n_file, n_text, line;
};

TGI_FN struct tgi_source tgi_source_of(const char *file, uint32_t n_file, uint32_t line, const char *text, uint32_t n_text)
{
    struct tgi_source s;
    uint32_t left_out = n_file > TGD_FILE_BYTES ? n_file - TGD_FILE_BYTES : 0;
    s.file = file + left_out;
    s.n_file = n_file - left_out;
    s.text = text;
    s.n_text = n_text < TGD_TEXT_BYTES ? n_text : TGD_TEXT_BYTES;
    s.line = line;
    return s;
}
#define TGI_SOURCE(text) tgi_source_of(__FILE__, sizeof __FILE__ - 1, __LINE__, "" text, sizeof(text) - 1)

/* Four bytes of a text of n. */
TGI_FN uint32_t tgi_text_word(const char *text, uint32_t n, uint32_t word)
{
    uint32_t x = 0;
    for (uint32_t i = 0; i < 4; i++)
        if (word * 4 + i < n)
            x |= (uint32_t)(unsigned char)text[word * 4 + i] << 8 * i;
    return x;
}

#endif
