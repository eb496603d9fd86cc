#include "io/graph_writer.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

/* Which tiles exist, as an expression over i, j, ..: rows of the last index, or'ed together, after
 * the common shapes have been tried. */
static bool matches(const struct tgi_buffer *b, bool (*test)(int64_t i, int64_t j))
{
    for (uint32_t t = 0; t < b->n_tiles; t++) {
        if ((b->present[t] != 0) != test(t / b->tiles[1], t % b->tiles[1]))
            return false;
    }
    return true;
}
static bool is_ge(int64_t i, int64_t j) { return i >= j; }
static bool is_le(int64_t i, int64_t j) { return i <= j; }
static bool is_gt(int64_t i, int64_t j) { return i > j; }
static bool is_lt(int64_t i, int64_t j) { return i < j; }
static bool is_eq(int64_t i, int64_t j) { return i == j; }
static bool is_band(int64_t i, int64_t j) { return i - j <= 1 && j - i <= 1; }

static const char *common_shape(const struct tgi_buffer *b)
{
    static const struct {
        bool (*test)(int64_t, int64_t);
        const char *text;
    } shapes[] = {{is_ge, "i >= j"}, {is_le, "i <= j"}, {is_gt, "i > j"}, {is_lt, "i < j"}, {is_eq, "i == j"},
                  {is_band, "abs(i-j) <= 1"}};
    if (b->n_tile_dims != 2)
        return NULL;
    for (size_t k = 0; k < sizeof(shapes) / sizeof(*shapes); k++) {
        if (matches(b, shapes[k].test))
            return shapes[k].text;
    }
    return NULL;
}

static char *runs_text(const struct tgi_buffer *b)
{
    static const char names[] = "ijklmnop";
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    uint32_t last = b->n_tile_dims - 1;
    uint32_t n_row = (uint32_t)b->tiles[last];
    const char *separator = "";
    for (uint32_t t = 0, end; t < b->n_tiles; t = end) {
        uint32_t row_end = (t / n_row + 1) * n_row;
        for (end = t + 1; end < row_end && !b->present[end] == !b->present[t]; end++)
            ;
        if (!b->present[t])
            continue;
        fputs(separator, to);
        separator = " || ";
        uint64_t rest = t / n_row;
        for (uint32_t d = last; d > 0; d--) {
            fprintf(to, "%c == %llu && ", names[d - 1],
                    (unsigned long long)(rest % (uint64_t)b->tiles[d - 1]));
            rest /= (uint64_t)b->tiles[d - 1];
        }
        fprintf(to, "%c >= %u && %c < %u", names[last], t % n_row, names[last], t % n_row + (end - t));
    }
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    if (size == 0)
        strcpy(text, "0");
    return text;
}

static void put_only(struct tgi_graph_writer *w, const struct tgi_buffer *b)
{
    if (!b->present || b->n_present == b->n_tiles || b->n_tile_dims == 0)
        return;
    const char *common = common_shape(b);
    if (common) {
        tgi_json_string(&w->json, "only", common);
        return;
    }
    char *text = runs_text(b);
    if (text)
        tgi_json_string(&w->json, "only", text);
    else
        w->rc = tgi_error_memory(w->err, "writing a buffer");
    free(text);
}

static void put_init(struct tgi_graph_writer *w, const struct tgi_buffer *b)
{
    if (b->host || (b->init == TG_INIT_CALL && !b->init_text)) {
        w->rc = tgi_error(w->err, TG_E_UNSUPPORTED, "buffer \"%s\": a file cannot hold %s", b->name,
                          b->host ? "memory of the program" : "a C function");
        return;
    }
    switch (b->init) {
    case TG_INIT_NONE:
        tgi_json_string(&w->json, "init", "none");
        return;
    case TG_INIT_ZERO:
        tgi_json_string(&w->json, "init", "zero");
        return;
    case TG_INIT_FILL:
        tgi_json_flat_object(&w->json, "init");
        tgi_json_double(&w->json, "fill", b->init_value);
        break;
    case TG_INIT_IOTA:
        tgi_json_flat_object(&w->json, "init");
        tgi_json_bool(&w->json, "iota", true);
        break;
    case TG_INIT_RANDOM:
    case TG_INIT_SPD:
        tgi_json_flat_object(&w->json, "init");
        tgi_json_flat_object(&w->json, b->init == TG_INIT_SPD ? "spd" : "random");
        tgi_json_uint(&w->json, "seed", b->init_seed);
        tgi_json_end(&w->json);
        break;
    case TG_INIT_CALL:
        tgi_json_raw(&w->json, "init", b->init_text);
        return;
    }
    tgi_json_end(&w->json);
}

void tgi_write_buffer(struct tgi_graph_writer *w, const struct tgi_buffer *b)
{
    tgi_write_begin(w, "buffer", b->name);
    tgi_json_string(&w->json, "dtype", tg_dtype_name(b->dtype));
    tgi_write_integers(w, "shape", b->shape, b->n_dims);
    if (b->n_tile_dims > 0)
        tgi_write_integers(w, "tiles", b->tiles, b->n_tile_dims);
    put_only(w, b);
    put_init(w, b);
    if (b->save)
        tgi_json_string(&w->json, "save", b->save);
    if (b->home)
        tgi_json_string(&w->json, "home", b->home);
    if (b->is_pinned)
        tgi_json_bool(&w->json, "pinned", true);
    if (b->is_temp)
        tgi_json_bool(&w->json, "temp", true);
    tgi_write_end(w);
}
