/* See decide.h. */
#include "gpu/decide.h"

#ifdef TG_DECIDE_FATBIN
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "tgi_decide_fatbin_begin:\n"
        ".incbin \"" TG_DECIDE_FATBIN "\"\n"
        "tgi_decide_fatbin_end:\n"
        ".byte 0\n"
        ".popsection\n");
extern const char tgi_decide_fatbin_begin[] __attribute__((visibility("hidden")));
extern const char tgi_decide_fatbin_end[] __attribute__((visibility("hidden")));

const void *tgi_decide_fatbin(size_t *length_p)
{
    *length_p = (size_t)(tgi_decide_fatbin_end - tgi_decide_fatbin_begin);
    return tgi_decide_fatbin_begin;
}
#else
const void *tgi_decide_fatbin(size_t *length_p)
{
    *length_p = 0;
    return NULL;
}
#endif
