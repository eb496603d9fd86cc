/* "buffers": types, shapes, index spaces, initial contents. */
#include "io/json_reader.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/dtype.h"
#include "graph/error.h"
#include "io/json_init.h"
#include "io/npy.h"

enum { B_NAME, B_DTYPE, B_SHAPE, B_TILES, B_ONLY, B_INIT, B_SAVE, B_HOME, B_PINNED, B_TEMP, B_META, N_B };
static const char *const buffer_keys[N_B] = {"name", "dtype", "shape",  "tiles", "only", "init",
                                             "save", "home",  "pinned", "temp",  "meta"};

/* What the dimensions of the index space are called in "only", "home" and "save". */
static const char *const index_names[TG_MAX_DIMS] = {"i", "j", "k", "l", "m", "n", "o", "p"};

static void push_indices(struct tgi_reader *r, uint32_t n)
{
    r->n_vars = 0;
    for (uint32_t d = 0; d < n; d++)
        r->vars[r->n_vars++] = (struct tgi_var){index_names[d], 1, d};
}

static int read_dtype(struct tgi_reader *r, uint32_t node, enum tg_dtype *dtype_p)
{
    const char *names[TG_N_DTYPES];
    uint32_t word;
    for (int t = 0; t < TG_N_DTYPES; t++)
        names[t] = tg_dtype_name((enum tg_dtype)t);
    int rc = tgi_take_word(r, node, "\"dtype\"", names, TG_N_DTYPES, &word);
    if (rc == 0)
        *dtype_p = (enum tg_dtype)word;
    return rc;
}

static int read_extents(struct tgi_reader *r, uint32_t node, const char *what, int64_t least,
                        int64_t *extents, uint32_t *n_p)
{
    int rc = tgi_expect(r, node, TGI_TAPE_ARRAY, what);
    if (rc != 0)
        return rc;
    uint32_t n = tgi_tape_count(&r->tape, node), item = node + 1;
    if (n == 0 || n > TG_MAX_DIMS)
        return tgi_report(r, node, NULL, TG_E_SHAPE_MISMATCH, "%s has %u dimensions; 1 to %d are allowed",
                          what, n, TG_MAX_DIMS);
    for (uint32_t d = 0; d < n; d++, item = tgi_tape_next(&r->tape, item)) {
        struct tgi_number number;
        if ((rc = tgi_number_compile(r, &r->scratch, item, what, &number)) != 0 ||
            (rc = tgi_number_int(r, &number, &extents[d])) != 0)
            return rc;
        if (extents[d] < least)
            return tgi_report(r, item, NULL, TG_E_SHAPE_MISMATCH, "%s is %lld here; at least %lld is needed",
                              what, (long long)extents[d], (long long)least);
    }
    *n_p = n;
    return 0;
}

/* ---- Expressions over the index of a tile --------------------------------------------------
 *
 * The indices are the first slots of the frame. */

/* How many evaluations they take, more than UINT32_MAX - 1 or max_tasks being too many: a long expression counts
 * for more. */
static bool is_countable(const struct tgi_reader *r, uint32_t node, const struct tg_buffer_spec *spec, uint64_t *n_p)
{
    uint64_t n_tiles = 1;
    for (uint32_t d = 0; d < spec->n_tile_dims; d++)
        if (__builtin_mul_overflow(n_tiles, (uint64_t)spec->tiles[d], &n_tiles))
            n_tiles = UINT64_MAX;
    *n_p = n_tiles;
    return n_tiles <= r->max_tasks / (1 + r->tape.nodes[node].size / 64) && n_tiles < UINT32_MAX;
}

static void first_tile(struct tgi_reader *r, const struct tg_buffer_spec *spec)
{
    for (uint32_t d = 0; d < spec->n_tile_dims; d++)
        r->frame.i[d] = 0;
}

static void next_tile(struct tgi_reader *r, const struct tg_buffer_spec *spec)
{
    for (uint32_t d = spec->n_tile_dims; d > 0 && ++r->frame.i[d - 1] == spec->tiles[d - 1]; d--)
        r->frame.i[d - 1] = 0;
}

/* Evaluates "only" for every tile. */
static int read_only(struct tgi_reader *r, uint32_t node, const struct tg_buffer_spec *spec,
                     uint8_t **present_p)
{
    struct tgi_number only;
    uint64_t n_tiles, n_present = 0;
    int64_t value;
    if (!is_countable(r, node, spec, &n_tiles))
        return tgi_report(r, node, NULL, TG_E_EXPANSION, "\"only\" over more than %llu tiles",
                          (unsigned long long)r->max_tasks);
    push_indices(r, spec->n_tile_dims);
    int rc = tgi_number_compile(r, &r->scratch, node, "\"only\"", &only);
    r->n_vars = 0;
    uint8_t *present = rc == 0 ? calloc(n_tiles, 1) : NULL;
    if (rc == 0 && present == NULL)
        rc = tgi_report_memory(r);
    first_tile(r, spec);
    for (uint64_t tile = 0; tile < n_tiles && rc == 0; tile++, next_tile(r, spec)) {
        rc = tgi_number_int(r, &only, &value);
        if (rc == 0)
            n_present += present[tile] = value != 0;
    }
    if (rc == 0 && n_present == 0)
        rc = tgi_report(r, node, NULL, TG_E_BAD_VALUE, "\"only\" excludes every tile");
    if (rc != 0)
        free(present);
    else
        *present_p = present;
    return rc;
}

/* ---- Homes --------------------------------------------------------------------------------
 *
 * "cpu", "numa:0", "cuda:1+cuda:2", or computed from the index of the tile: "cuda:{i}", "cyclic:{i+j}".  Whoever
 * evaluates the expression later does not know the parameters of the file, so their values take the place of
 * their names. */

static uint32_t word_length(const char *text)
{
    uint32_t n = 0;
    while (text[n] == '_' || isalnum((unsigned char)text[n]))
        n++;
    return n;
}

static bool is_index(const struct tgi_reader *r, const char *name, uint32_t length)
{
    for (uint32_t k = 0; k < r->n_vars; k++)
        if (r->vars[k].length == length && memcmp(r->vars[k].name, name, length) == 0)
            return true;
    return false;
}

/* Writes the word at `at`; the expression has been compiled, so every name in it is known.  Returns its length. */
static uint32_t write_word(FILE *f, const struct tgi_reader *r, const char *at)
{
    uint32_t n = word_length(at), k = UINT32_MAX;
    if (at[n + strspn(at + n, " \t\r\n")] == '(') {
        uint32_t length = (uint32_t)strcspn(at, ")");
        if (n == 4 && memcmp(at, "ndev", 4) == 0) {
            fprintf(f, "(%u", memmem(at, length, "cuda", 4) != NULL ? r->n_cuda : 1);
            return length;
        }
        if (n == 6 && memcmp(at, "sizeof", 6) == 0)
            n = length; /* its argument is a word of its own */
    } else if (!is_index(r, at, n)) {
        k = tgi_name_index_find(&r->params, at, n);
    }
    if (k != UINT32_MAX)
        fprintf(f, "(%lld)", (long long)r->param_values[k].i);
    else
        fwrite(at, 1, n, f);
    return n;
}

/* NULL: no memory. */
static char *home_with_values(struct tgi_reader *r, const char *text)
{
    size_t size = 0;
    char *out = NULL;
    FILE *f = open_memstream(&out, &size);
    if (f == NULL)
        return NULL;
    const char *at = strchr(text, '{');
    fwrite(text, 1, (size_t)(at - text), f);
    while (*at != '\0')
        if (word_length(at) > 0)
            at += write_word(f, r, at);
        else
            fputc(*at++, f);
    char *kept = fclose(f) == 0 ? tgi_json_pool_strndup(&r->scratch, out, size) : NULL;
    free(out);
    return kept;
}

/* An error in a tile's home would not be heard of later, as it is a hint. */
static int check_homes(struct tgi_reader *r, const struct tgi_number *home, const struct tg_buffer_spec *spec)
{
    uint64_t n_tiles;
    int64_t value;
    int rc = 0;
    if (!is_countable(r, home->node, spec, &n_tiles))
        return tgi_report(r, home->node, NULL, TG_E_EXPANSION, "\"home\" over more than %llu tiles",
                          (unsigned long long)r->max_tasks);
    first_tile(r, spec);
    for (uint64_t tile = 0; tile < n_tiles && rc == 0; tile++, next_tile(r, spec))
        if (spec->present == NULL || spec->present[tile])
            rc = tgi_number_int(r, home, &value);
    return rc;
}

static int read_home(struct tgi_reader *r, uint32_t node, struct tg_buffer_spec *spec)
{
    struct tgi_pattern pattern;
    struct tg_error err;
    tgi_place place;
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "\"home\"");
    if (rc != 0)
        return rc;
    const char *text = tgi_node_string(r, node);
    size_t kind = strcspn(text, "{");
    if (text[kind] == '\0' && strncmp(text, "cyclic", 6) != 0) {
        spec->home = text;
        return tgi_place_parse(text, &place, &err) != 0 ? tgi_report_error(r, node, &err) : 0;
    }
    const char *end = strchr(text, '}');
    push_indices(r, spec->n_tile_dims);
    rc = tgi_pattern_compile(r, &r->scratch, node, &pattern);
    /* Two braces stand for one, which is none of an expression. */
    if (rc == 0 && (pattern.n_parts == 0 || text[kind + 1] == '{' || end == NULL || end[1] != '\0' ||
                    !((kind == 5 && memcmp(text, "cuda:", 5) == 0) || (kind == 7 && memcmp(text, "cyclic:", 7) == 0))))
        rc = tgi_report(r, node, NULL, TG_E_BAD_VALUE,
                        "\"%.100s\" is not a home; one that is computed looks like cuda:{i} or cyclic:{i+j}", text);
    if (rc == 0 && (spec->home = home_with_values(r, text)) == NULL)
        rc = tgi_report_memory(r);
    r->n_vars = 0;
    return rc == 0 ? check_homes(r, &pattern.parts[0].number, spec) : rc;
}

/* ---- Buffers ------------------------------------------------------------------------------*/

static int check_save(struct tgi_reader *r, uint32_t node, uint32_t n_tile_dims)
{
    struct tgi_pattern pattern;
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "\"save\"");
    if (rc != 0)
        return rc;
    const char *text = tgi_node_string(r, node);
    size_t length = strlen(text);
    if (length < 5 || strcmp(text + length - 4, ".npy") != 0)
        return tgi_report(r, node, NULL, TG_E_BAD_VALUE, "\"save\" names a file that ends in .npy");
    if (text[0] == '/' || strncmp(text, "../", 3) == 0 || strstr(text, "/../") != NULL)
        return tgi_report(r, node, NULL, TG_E_PATH_ESCAPE, "\"%.200s\" leaves the graph's folder", text);
    push_indices(r, n_tile_dims);
    rc = tgi_pattern_compile(r, &r->scratch, node, &pattern);
    r->n_vars = 0;
    return rc;
}

static int read_spec(struct tgi_reader *r, uint32_t node, const uint32_t *v, struct tg_buffer_spec *spec,
                     uint8_t **present_p)
{
    static const uint32_t needed[] = {B_DTYPE, B_SHAPE};
    int rc = 0;
    for (uint32_t k = 0; k < 2; k++)
        if (v[needed[k]] == TGI_TAPE_ABSENT)
            return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "buffer \"%.100s\" needs \"%s\"", spec->name,
                              buffer_keys[needed[k]]);
    if ((rc = read_dtype(r, v[B_DTYPE], &spec->dtype)) != 0 ||
        (rc = read_extents(r, v[B_SHAPE], "\"shape\"", 0, spec->shape, &spec->n_dims)) != 0)
        return rc;
    if (v[B_TILES] != TGI_TAPE_ABSENT &&
        (rc = read_extents(r, v[B_TILES], "\"tiles\"", 1, spec->tiles, &spec->n_tile_dims)) != 0)
        return rc;
    if (v[B_ONLY] != TGI_TAPE_ABSENT && v[B_TILES] == TGI_TAPE_ABSENT)
        return tgi_report(r, v[B_ONLY], NULL, TG_E_BAD_VALUE,
                          "\"only\" chooses among tiles, and there are no \"tiles\"");
    if (v[B_TEMP] != TGI_TAPE_ABSENT && (rc = tgi_take_bool(r, v[B_TEMP], "\"temp\"", &spec->is_temp)) != 0)
        return rc;
    if (v[B_SAVE] != TGI_TAPE_ABSENT && (rc = check_save(r, v[B_SAVE], spec->n_tile_dims)) != 0)
        return rc;
    if (v[B_ONLY] != TGI_TAPE_ABSENT && (rc = read_only(r, v[B_ONLY], spec, present_p)) != 0)
        return rc;
    spec->present = *present_p;
    return v[B_HOME] != TGI_TAPE_ABSENT ? read_home(r, v[B_HOME], spec) : 0;
}

/* What tg_buffer_spec has no room for. */
static int finish(struct tgi_reader *r, uint32_t node, const uint32_t *v, tg_buffer_id id)
{
    struct tgi_space *space = r->graph->space;
    struct tgi_buffer *b = &space->buffers[id];
    int rc = v[B_PINNED] != TGI_TAPE_ABSENT ? tgi_take_bool(r, v[B_PINNED], "\"pinned\"", &b->is_pinned) : 0;
    if (rc == 0 && v[B_SAVE] != TGI_TAPE_ABSENT &&
        (b->save = tgi_arena_strdup(&space->strings, tgi_node_string(r, v[B_SAVE]))) == NULL)
        rc = tgi_report_memory(r);
    if (rc == 0 && v[B_INIT] != TGI_TAPE_ABSENT &&
        (b->init_text = tgi_tape_copy_raw(&r->tape, v[B_INIT], &space->strings)) == NULL)
        rc = tgi_report_memory(r);
    b->site = tgi_reader_site(r, node);
    if (rc == 0 && !tgi_name_index_add(&r->buffers, b->name, strlen(b->name), id))
        rc = tgi_report_memory(r);
    return rc;
}

/* The message is about a size, or else about the name. */
static int report_buffer(struct tgi_reader *r, uint32_t name_node, bool is_key, const uint32_t *v,
                         const struct tg_error *err)
{
    struct tgi_remark remark = {.is_key = is_key};
    if (err->status == TG_E_SIZE_OVERFLOW || err->status == TG_E_SHAPE_MISMATCH)
        return tgi_report_error(r, strstr(err->text, "tiles") && v[B_TILES] != TGI_TAPE_ABSENT ? v[B_TILES] : v[B_SHAPE], err);
    return tgi_report(r, name_node, &remark, err->status, "%s", err->text);
}

int tgi_read_buffer(struct tgi_reader *r, uint32_t name_node, bool is_key, uint32_t node)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    struct tg_error err;
    uint32_t v[N_B];
    uint8_t *present = NULL;
    tg_buffer_id id;
    spec.name = tgi_node_string(r, is_key ? name_node - 1 : name_node);
    int rc = tgi_check_name(r, name_node, "a buffer", is_key, spec.name);
    if (rc != 0 || (rc = tgi_object_take(r, node, "a buffer", buffer_keys, N_B, v)) != 0)
        return rc;
    if (is_key && v[B_NAME] != TGI_TAPE_ABSENT) {
        struct tgi_remark remark = {.is_key = true, .help = "the name is the key in front of the buffer"};
        return tgi_report(r, v[B_NAME], &remark, TG_E_UNKNOWN_KEY, "unknown key \"name\" in a buffer");
    }
    rc = read_spec(r, node, v, &spec, &present);
    if (rc == 0 && v[B_INIT] != TGI_TAPE_ABSENT)
        rc = tgi_read_init(r, v[B_INIT], &spec);
    if (rc == 0 && tg_graph_add_buffer(r->graph, &spec, &id, &err) != 0)
        rc = report_buffer(r, name_node, is_key, v, &err);
    free(present);
    if (rc != 0) {
        if (spec.init == TG_INIT_CALL)
            tgi_file_init_destroy(spec.init_user);
        return rc;
    }
    if (spec.init == TG_INIT_CALL)
        r->graph->space->buffers[id].init_user_free = tgi_file_init_destroy;
    return finish(r, node, v, id);
}

int tgi_read_buffers(struct tgi_reader *r, uint32_t node)
{
    int result = tgi_expect(r, node, TGI_TAPE_OBJECT, "\"buffers\"");
    if (result != 0)
        return result;
    uint32_t key = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0 && !tgi_reader_is_done(r); left--) {
        int rc = tgi_read_buffer(r, key + 1, true, key + 1);
        if (rc != 0 && !tgi_name_index_mark_broken(&r->buffers, tgi_node_string(r, key)))
            rc = tgi_report_memory(r);
        result = rc != 0 ? rc : result;
        tgi_json_pool_reset(&r->scratch);
        key = tgi_tape_next(&r->tape, key + 1);
    }
    return result;
}
