#include "gpu/resident/module.h"

#ifdef TG_RESIDENT_FATBIN
#define EMBED(name, path)                                                    \
    __asm__(".pushsection .rodata\n"                                         \
            ".balign 64\n"                                                   \
            #name "_begin:\n"                                                \
            ".incbin \"" path "\"\n"                                         \
            #name "_end:\n"                                                  \
            ".byte 0\n"                                                      \
            ".popsection\n");                                                \
    extern const char name##_begin[] __attribute__((visibility("hidden")));  \
    extern const char name##_end[] __attribute__((visibility("hidden")));    \
                                                                             \
    const void *name(size_t *length_p)                                       \
    {                                                                        \
        *length_p = (size_t)(name##_end - name##_begin);                     \
        return name##_begin;                                                 \
    }
EMBED(tgi_resident_fatbin, TG_RESIDENT_FATBIN)
EMBED(tgi_resident_run_fatbin, TG_RESIDENT_RUN_FATBIN)
EMBED(tgi_resident_peers_fatbin, TG_RESIDENT_PEERS_FATBIN)
#else
const void *tgi_resident_fatbin(size_t *length_p)
{
    *length_p = 0;
    return NULL;
}

const void *tgi_resident_run_fatbin(size_t *length_p)
{
    *length_p = 0;
    return NULL;
}

const void *tgi_resident_peers_fatbin(size_t *length_p)
{
    *length_p = 0;
    return NULL;
}
#endif
