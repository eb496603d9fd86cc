/* The module of all kernels for GPUs, taken into the library as it is. */
#include <stddef.h>

#include "kernels/launch.h"

#ifdef TG_KERNELS_FATBIN
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "tgi_kernels_fatbin_begin:\n"
        ".incbin \"" TG_KERNELS_FATBIN "\"\n"
        "tgi_kernels_fatbin_end:\n"
        ".byte 0\n"
        ".popsection\n");
extern const char tgi_kernels_fatbin_begin[] __attribute__((visibility("hidden")));
extern const char tgi_kernels_fatbin_end[] __attribute__((visibility("hidden")));

const void *tgi_kernels_fatbin(size_t *length_p)
{
    *length_p = (size_t)(tgi_kernels_fatbin_end - tgi_kernels_fatbin_begin);
    return tgi_kernels_fatbin_begin;
}
#else
const void *tgi_kernels_fatbin(size_t *length_p)
{
    *length_p = 0;
    return NULL;
}
#endif
