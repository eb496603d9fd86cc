/* A stand-in for a profiler's NVTX library: libstandin-nvtx.so, which NVTX_INJECTION64_PATH names, or which is found
 * as libnvToolsExt.so.1.  Appends a line for each range that begins ("push NAME") and ends ("pop") to the file that
 * TGRAPH_STANDIN_NVTX names. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef void (*function)(void);

struct callbacks {
    size_t size;
    int (*function_table)(int module, function ***table, unsigned *n);
};

EXPORT int nvtxRangePushA(const char *name);
EXPORT int nvtxRangePop(void);
EXPORT int InitializeInjectionNvtx2(const void *(*export_table)(uint32_t id));

static _Thread_local int depth;

static void note(const char *what, const char *name)
{
    const char *path = getenv("TGRAPH_STANDIN_NVTX");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (!f)
        return;
    fprintf(f, "%s%s\n", what, name);
    fclose(f);
}

int nvtxRangePushA(const char *name)
{
    note("push ", name);
    return depth++;
}

int nvtxRangePop(void)
{
    note("pop", depth > 0 ? "" : " of nothing");
    return --depth;
}

/* As profilers do: every slot of a module is filled, or none. */
int InitializeInjectionNvtx2(const void *(*export_table)(uint32_t id))
{
    enum { CALLBACKS = 1, CORE = 1, PUSH_A = 9, POP = 11, N_CORE = 16 };
    const struct callbacks *callbacks = export_table(CALLBACKS);
    function **slots;
    unsigned n;
    if (getenv("TGRAPH_STANDIN_NVTX_REFUSES") || !callbacks || callbacks->size < sizeof *callbacks ||
        !callbacks->function_table(CORE, &slots, &n) || n != N_CORE)
        return 0;
    for (int module = 2; module <= 6; module++) {
        function **others;
        if (!callbacks->function_table(module, &others, &n) || n < 7 || !others[1] || !others[n - 1])
            return 0;
    }
    *slots[PUSH_A] = (function)nvtxRangePushA;
    *slots[POP] = (function)nvtxRangePop;
    return 1;
}
