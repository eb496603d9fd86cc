#include "gpu/library/trial.h"

#ifdef TG_LIBRARY_FATBIN
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "tgi_library_fatbin_begin:\n"
        ".incbin \"" TG_LIBRARY_FATBIN "\"\n"
        "tgi_library_fatbin_end:\n"
        ".byte 0\n"
        ".popsection\n");
extern const char tgi_library_fatbin_begin[] __attribute__((visibility("hidden")));
extern const char tgi_library_fatbin_end[] __attribute__((visibility("hidden")));

const void *tgi_library_fatbin(size_t *length_p)
{
    *length_p = (size_t)(tgi_library_fatbin_end - tgi_library_fatbin_begin);
    return tgi_library_fatbin_begin;
}
#else
const void *tgi_library_fatbin(size_t *length_p)
{
    *length_p = 0;
    return NULL;
}
#endif
