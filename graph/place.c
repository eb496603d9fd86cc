#include "graph/error.h"
#include "graph/model.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CUDA = 32, MAX_NUMA = 16 };

/* One name between separators; 0 if it is none. */
static tgi_place place_of(const char *text, size_t length)
{
    if (length == 3 && memcmp(text, "cpu", 3) == 0)
        return TGI_PLACE_CPU;
    if (length == 4 && memcmp(text, "cuda", 4) == 0)
        return TGI_PLACE_CUDA;
    if (length < 6 || length > 7)
        return 0;
    unsigned index = 0;
    for (size_t i = 5; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        index = 10 * index + (unsigned)(text[i] - '0');
    }
    if (memcmp(text, "cuda:", 5) == 0 && index < MAX_CUDA)
        return TGI_PLACE_CUDA_AT(index);
    if (memcmp(text, "numa:", 5) == 0 && index < MAX_NUMA)
        return TGI_PLACE_NUMA_AT(index);
    return 0;
}

int tgi_place_parse(const char *text, tgi_place *place_p, struct tg_error *err)
{
    tgi_place places = 0;
    const char *p = text;
    for (;;) {
        size_t length = strcspn(p, "+,");
        tgi_place one = place_of(p, length);
        if (!one)
            return tgi_error(err, TG_E_BAD_VALUE,
                             "\"%s\" is not a set of devices (cpu, cuda, cuda:0..31, numa:0..15, joined by +)", text);
        places |= one;
        if (!p[length])
            break;
        p += length + 1;
    }
    *place_p = places;
    return 0;
}

void tgi_place_format(tgi_place place, char *text, size_t size)
{
    size_t used = 0;
    if (!size)
        return;
    text[0] = '\0';
    for (unsigned bit = 0; bit < 64; bit++) {
        if (!(place >> bit & 1))
            continue;
        char one[16];
        if (bit == 0)
            snprintf(one, sizeof one, "cpu");
        else if (bit == 1)
            snprintf(one, sizeof one, "cuda");
        else if (bit >= 48)
            snprintf(one, sizeof one, "numa:%u", bit - 48);
        else
            snprintf(one, sizeof one, "cuda:%u", bit - 16);
        int n = snprintf(text + used, size - used, "%s%s", used ? "+" : "", one);
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
}
