/* See home.h. */
#include "sched/home.h"

#include <string.h>

#include "graph/expr.h"

struct homes {
    const struct tgi_devices *devices;
    uint8_t *owner; /* by tile */
};

static struct tgi_expr_name resolve_index(void *user, const char *name, size_t length)
{
    static const char names[] = "ijklmnop";
    const struct tgi_buffer *b = user;
    struct tgi_expr_name found = {.kind = TGI_NAME_UNKNOWN};
    for (uint32_t i = 0; length == 1 && i < b->n_tile_dims && i < sizeof names - 1; i++)
        if (name[0] == names[i]) {
            found.kind = TGI_NAME_SLOT;
            found.slot = i;
        }
    return found;
}

static uint32_t node_of_ordinal(const struct homes *p, int64_t ordinal)
{
    for (uint32_t d = 0; d < p->devices->n_devices; d++)
        if (p->devices->ordinal[d] == ordinal)
            return d + 1;
    return TGI_NO_HOME; /* not in use: a hint that cannot be followed */
}

/* "cuda:{i}", "cyclic:{i+j}": an expression over the tile's index. */
static void set_computed_home(const struct homes *p, const struct tgi_buffer *b, const char *text, bool is_cyclic)
{
    struct tgi_expr_scope scope = {resolve_index, NULL, (void *)(uintptr_t)b, -1};
    struct tgi_expr_error error;
    struct tgi_expr *expr;
    size_t n = strcspn(text, "}");
    if (tgi_expr_compile(text, n, &scope, &expr, &error))
        return; /* the reader has checked it; through the C API a hint that says nothing */
    for (uint32_t t = 0; t < b->n_tiles; t++) {
        int64_t index[TG_MAX_DIMS], value;
        uint32_t rest = t;
        for (uint32_t d = b->n_tile_dims; d-- > 0; rest /= (uint32_t)b->tiles[d])
            index[d] = rest % b->tiles[d];
        if (tgi_expr_eval_int(expr, index, &value, &error))
            continue;
        int64_t n_devices = p->devices->n_devices;
        p->owner[b->first_tile + t] =
            (uint8_t)(is_cyclic ? (value % n_devices + n_devices) % n_devices + 1 : node_of_ordinal(p, value));
    }
    tgi_expr_destroy(expr);
}

static void set_home(const struct homes *p, const struct tgi_buffer *b)
{
    tgi_place place;
    if (!b->home)
        return;
    if (strncmp(b->home, "cyclic:{", 8) == 0) {
        set_computed_home(p, b, b->home + 8, true);
    } else if (strncmp(b->home, "cuda:{", 6) == 0) {
        set_computed_home(p, b, b->home + 6, false);
    } else if (tgi_place_parse(b->home, &place, NULL) == 0) {
        uint32_t node = place & TGI_PLACE_CPUS ? TGI_HOST_NODE : TGI_NO_HOME;
        for (uint32_t d = 0; d < p->devices->n_devices; d++)
            if (place & TGI_PLACE_CUDA_AT(p->devices->ordinal[d]))
                node = d + 1;
        memset(p->owner + b->first_tile, (int)node, b->n_tiles);
    }
}

void tgi_homes_find(const struct tgi_devices *devices, const struct tgi_space *space, uint8_t *owner)
{
    const struct homes homes = {devices, owner};
    memset(owner, TGI_NO_HOME, space->n_tiles);
    for (uint32_t i = 0; i < space->n_buffers; i++)
        set_home(&homes, &space->buffers[i]);
}
