/* "kernels": signatures, costs and variants. */
#include "io/json_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/dtype.h"
#include "graph/error.h"
#include "io/diagnostic.h"
#include "io/path.h"

#define MAX_SOURCE_BYTES (4u << 20)

/* ---- Signature ----------------------------------------------------------------------------*/

static const char *const access_names[] = {"in", "out", "inout", "reduce", "commute"};
static const char *const op_names[] = {"sum", "prod", "min", "max"};

/* "f32" or "f32*". */
static int read_type(struct tgi_reader *r, uint32_t node, enum tg_dtype *dtype_p, bool *is_tile_p)
{
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "\"type\" of a parameter");
    if (rc != 0)
        return rc;
    const char *text = tgi_node_string(r, node);
    size_t length = strlen(text);
    *is_tile_p = length > 0 && text[length - 1] == '*';
    length -= *is_tile_p;
    while (length > 0 && text[length - 1] == ' ')
        length--;
    *dtype_p = tgi_dtype_parse(text, length);
    if (*dtype_p != TG_N_DTYPES)
        return 0;
    struct tgi_remark remark = {
        .help = "f16 bf16 f32 f64 i8 i16 i32 i64 u8 u16 u32 u64 c64 c128, with * for a tile"};
    return tgi_report(r, node, &remark, TG_E_BAD_VALUE, "unknown type \"%.100s\"", text);
}

static int read_param(struct tgi_reader *r, uint32_t node, struct tg_param *p)
{
    static const char *const keys[] = {"name", "type", "access", "op"};
    uint32_t v[4], word;
    bool is_tile;
    int rc = tgi_object_take(r, node, "a parameter", keys, 4, v);
    if (rc != 0)
        return rc;
    if (v[0] == TGI_TAPE_ABSENT || v[1] == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "a parameter needs \"%s\"",
                          v[0] == TGI_TAPE_ABSENT ? "name" : "type");
    if ((rc = tgi_expect(r, v[0], TGI_TAPE_STRING, "\"name\" of a parameter")) != 0 ||
        (rc = tgi_check_name(r, v[0], "a parameter", false, tgi_node_string(r, v[0]))) != 0 ||
        (rc = read_type(r, v[1], &p->dtype, &is_tile)) != 0)
        return rc;
    p->name = tgi_node_string(r, v[0]);
    p->access = TG_SCALAR;
    p->op = TG_SUM;
    if (is_tile && v[2] == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY,
                          "parameter \"%.100s\" is a tile and needs \"access\"", p->name);
    if (!is_tile && v[2] != TGI_TAPE_ABSENT)
        return tgi_report(r, v[2], NULL, TG_E_BAD_VALUE,
                          "parameter \"%.100s\" is passed by value and has no \"access\"", p->name);
    if (is_tile) {
        if ((rc = tgi_take_word(r, v[2], "\"access\"", access_names, 5, &word)) != 0)
            return rc;
        p->access = (enum tg_access)(TG_IN + word);
    }
    if (v[3] != TGI_TAPE_ABSENT) {
        if (p->access != TG_REDUCE)
            return tgi_report(r, v[3], NULL, TG_E_BAD_VALUE, "\"op\" goes with \"access\": \"reduce\" only");
        if ((rc = tgi_take_word(r, v[3], "\"op\"", op_names, 4, &word)) != 0)
            return rc;
        p->op = (enum tg_op)word;
    }
    return 0;
}

static int read_params(struct tgi_reader *r, uint32_t node, struct tg_param *params, uint32_t *n_p)
{
    int result = tgi_expect(r, node, TGI_TAPE_ARRAY, "\"params\" of a kernel");
    if (result != 0)
        return result;
    uint32_t n = tgi_tape_count(&r->tape, node);
    if (n > TG_MAX_PARAMS)
        return tgi_report(r, node, NULL, TG_E_LIMIT, "%u parameters; at most %d are allowed", n,
                          TG_MAX_PARAMS);
    uint32_t item = node + 1;
    for (uint32_t k = 0; k < n && !tgi_reader_is_done(r); k++, item = tgi_tape_next(&r->tape, item)) {
        int rc = read_param(r, item, &params[k]);
        result = rc != 0 ? rc : result;
    }
    *n_p = n;
    return result;
}

/* ---- Cost ---------------------------------------------------------------------------------*/

/* The kernel's scalar parameters become variables, their positions the slots. */
static void push_params(struct tgi_reader *r, const struct tgi_op *op)
{
    r->n_vars = 0;
    for (uint32_t i = 0; i < op->n_params; i++)
        if (op->params[i].access == TG_SCALAR)
            r->vars[r->n_vars++] =
                (struct tgi_var){op->params[i].name, (uint32_t)strlen(op->params[i].name), i};
}

static int read_cost(struct tgi_reader *r, uint32_t node, tg_kernel_id kernel)
{
    static const char *const keys[] = {"flops", "bytes", "us"};
    uint32_t v[3];
    struct tgi_expr *exprs[3] = {NULL, NULL, NULL};
    const char *texts[3] = {NULL, NULL, NULL};
    int rc = tgi_object_take(r, node, "\"cost\"", keys, 3, v);
    if (rc != 0)
        return rc;
    push_params(r, &r->graph->space->ops[kernel]);
    for (uint32_t k = 0; k < 3 && rc == 0; k++)
        if (v[k] != TGI_TAPE_ABSENT)
            rc = tgi_expr_keep(r, v[k], "a cost", &exprs[k], &texts[k]);
    r->n_vars = 0;
    struct tg_error err;
    if (rc == 0 && tgi_graph_set_cost(r->graph, kernel, exprs[0], exprs[1], exprs[2], &err) != 0)
        rc = tgi_report_error(r, node, &err);
    if (rc != 0) {
        for (uint32_t k = 0; k < 3; k++)
            tgi_expr_destroy(exprs[k]);
        return rc;
    }
    struct tgi_op *op = &r->graph->space->ops[kernel];
    op->flops_text = texts[0] != NULL ? texts[0] : op->flops_text;
    op->bytes_text = texts[1] != NULL ? texts[1] : op->bytes_text;
    op->us_text = texts[2] != NULL ? texts[2] : op->us_text;
    return 0;
}

/* ---- Variants -----------------------------------------------------------------------------*/

enum {
    V_ON,
    V_BUILTIN,
    V_C,
    V_SO,
    V_ENTRY,
    V_FILE,
    V_CODE,
    V_BINARY,
    V_GRID,
    V_BLOCK,
    V_CLUSTER,
    V_SMEM,
    V_OPTIONS,
    V_WIDTH,
    V_SPAWNS,
    N_V
};
static const char *const variant_keys[N_V] = {"on",      "builtin", "c",       "so",   "entry",
                                              "file",    "code",    "binary",  "grid", "block",
                                              "cluster", "smem",    "options", "width",   "spawns"};
/* Which keys go with which kind of device. */
static const uint32_t variant_allows[] = {
    1u << V_ON | 1u << V_BUILTIN | 1u << V_C | 1u << V_SO | 1u << V_ENTRY | 1u << V_OPTIONS,
    1u << V_ON | 1u << V_BUILTIN | 1u << V_ENTRY | 1u << V_FILE | 1u << V_CODE | 1u << V_BINARY |
        1u << V_GRID | 1u << V_BLOCK | 1u << V_CLUSTER | 1u << V_SMEM | 1u << V_OPTIONS,
    1u << V_ON | 1u << V_BUILTIN | 1u << V_ENTRY | 1u << V_FILE | 1u << V_CODE | 1u << V_WIDTH |
        1u << V_OPTIONS | 1u << V_SPAWNS,
};

/* A string, or an array of lines. */
static int read_text(struct tgi_reader *r, uint32_t node, const char *what, const char **text_p)
{
    if (tgi_node_type(r, node) == TGI_TAPE_STRING) {
        *text_p = tgi_node_string(r, node);
        return 0;
    }
    if (tgi_node_type(r, node) != TGI_TAPE_ARRAY)
        return tgi_report(r, node, NULL, TG_E_WRONG_TYPE, "%s must be a string or an array of lines", what);
    size_t size = 1, used = 0;
    uint32_t item = node + 1, n = tgi_tape_count(&r->tape, node);
    for (uint32_t k = 0; k < n; k++, item = tgi_tape_next(&r->tape, item)) {
        int rc = tgi_expect(r, item, TGI_TAPE_STRING, "a line of source code");
        if (rc != 0)
            return rc;
        size += tgi_tape_count(&r->tape, item) + 1;
    }
    char *text = tgi_json_pool_alloc(&r->scratch, size);
    if (text == NULL)
        return tgi_report_memory(r);
    item = node + 1;
    for (uint32_t k = 0; k < n; k++, item++) {
        uint32_t length = tgi_tape_count(&r->tape, item);
        memcpy(text + used, tgi_node_string(r, item), length);
        used += length;
        text[used++] = '\n';
    }
    *text_p = text;
    return 0;
}

/* The source is given line by line: each gets its place in the file, for compilers' errors. */
static int add_line_sites(struct tgi_reader *r, uint32_t node, struct tgi_variant *variant)
{
    if (node == TGI_TAPE_ABSENT || tgi_node_type(r, node) != TGI_TAPE_ARRAY)
        return 0;
    uint32_t item = node + 1;
    for (uint32_t k = tgi_tape_count(&r->tape, node); k > 0; k--, item++) {
        const char *text = tgi_node_string(r, item);
        do { /* a string may hold several lines */
            uint32_t site = tgi_reader_site(r, item);
            if (site == TG_NONE)
                return tgi_report_memory(r);
            if (variant->n_lines++ == 0)
                variant->line_site = site;
            text = strchr(text, '\n');
        } while (text != NULL && *++text != '\0');
    }
    return 0;
}

/* Opens a file of the graph's folder and gives its contents; text_p NULL: only looks whether it can
 * be opened. */
static int read_file(struct tgi_reader *r, uint32_t node, const char *path, const char **text_p)
{
    struct tg_error err;
    struct stat st;
    int fd, rc = 0;
    const char *folder = r->graph->space->folder;
    if (tgi_path_open_beneath(folder != NULL ? folder : ".", path, O_RDONLY | O_NONBLOCK, &fd, &err) != 0)
        return tgi_report_error(r, node, &err);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        rc = tgi_report(r, node, NULL, TG_E_OPEN, "\"%.200s\" is not a regular file", path);
    else if (text_p != NULL && st.st_size > (off_t)MAX_SOURCE_BYTES)
        rc = tgi_report(r, node, NULL, TG_E_LIMIT, "\"%.200s\" has more than %u bytes", path,
                        MAX_SOURCE_BYTES);
    else if (text_p != NULL) {
        char *text = tgi_json_pool_alloc(&r->scratch, (size_t)st.st_size + 1);
        ssize_t n = 0, got = 0;
        while (text != NULL && got < st.st_size && (n = read(fd, text + got, (size_t)(st.st_size - got))) > 0)
            got += n;
        if (text == NULL)
            rc = tgi_report_memory(r);
        else if (n < 0)
            rc = tgi_report(r, node, NULL, TG_E_READ, "\"%.200s\" cannot be read: %s", path, strerror(errno));
        else if (memchr(text, '\0', (size_t)got) != NULL)
            rc = tgi_report(r, node, NULL, TG_E_READ, "\"%.200s\" holds NUL bytes and is no source code",
                            path);
        *text_p = text;
    }
    close(fd);
    return rc;
}

static bool names_c_file(const char *text)
{
    size_t n = strlen(text);
    return n > 2 && strcmp(text + n - 2, ".c") == 0 && strpbrk(text, "\n{;") == NULL;
}

static int find_builtin(struct tgi_reader *r, uint32_t node, const struct tgi_builtin **builtin_p)
{
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "\"builtin\"");
    if (rc != 0)
        return rc;
    const char *name = tgi_node_string(r, node);
    if ((*builtin_p = tgi_builtin_find(name)) != NULL)
        return 0;
    uint32_t n;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n);
    const char *names[512], *found;
    char help[320];
    struct tgi_remark remark = {0};
    n = n < 512 ? n : 512;
    for (uint32_t k = 0; k < n; k++)
        names[k] = all[k]->name;
    if ((found = tgi_suggest(name, names, n)) != NULL) {
        snprintf(help, sizeof help, "did you mean \"%s\"? (%s)", found, tgi_builtin_find(found)->brief);
        remark.help = help;
    }
    return tgi_report(r, node, &remark, TG_E_UNKNOWN_BUILTIN, "unknown built-in kernel \"%.100s\"", name);
}

static int read_cpu_variant(struct tgi_reader *r, uint32_t node, const uint32_t *v,
                            struct tgi_variant *variant)
{
    if (v[V_BUILTIN] != TGI_TAPE_ABSENT) {
        variant->form = TGI_VARIANT_BUILTIN;
        return find_builtin(r, v[V_BUILTIN], &variant->builtin);
    }
    if (v[V_C] != TGI_TAPE_ABSENT) {
        variant->form = TGI_VARIANT_SOURCE;
        int rc = read_text(r, v[V_C], "\"c\"", &variant->text);
        if (rc == 0 && tgi_node_type(r, v[V_C]) == TGI_TAPE_STRING && names_c_file(variant->text)) {
            variant->path = variant->text;
            rc = read_file(r, v[V_C], variant->path, &variant->text);
        }
        return rc;
    }
    if (v[V_SO] != TGI_TAPE_ABSENT) {
        int rc = tgi_expect(r, v[V_SO], TGI_TAPE_STRING, "\"so\"");
        if (rc != 0)
            return rc;
        if (!r->options->allow_plugins) {
            struct tgi_remark remark = {
                .help = "a shared object is code that runs as you: pass --allow-plugins if you trust it"};
            return tgi_report(r, v[V_SO], &remark, TG_E_PLUGIN_REFUSED,
                              "shared objects are loaded with --allow-plugins only");
        }
        variant->form = TGI_VARIANT_BINARY;
        variant->path = tgi_node_string(r, v[V_SO]);
        return read_file(r, v[V_SO], variant->path, NULL);
    }
    return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "a cpu variant needs \"builtin\", \"c\" or \"so\"");
}

static int read_device_variant(struct tgi_reader *r, uint32_t node, const uint32_t *v,
                               struct tgi_variant *variant)
{
    int rc;
    if (v[V_BUILTIN] != TGI_TAPE_ABSENT) {
        variant->form = TGI_VARIANT_BUILTIN;
        return find_builtin(r, v[V_BUILTIN], &variant->builtin);
    }
    if (v[V_CODE] != TGI_TAPE_ABSENT) {
        variant->form = TGI_VARIANT_SOURCE;
        return read_text(r, v[V_CODE], "\"code\"", &variant->text);
    }
    uint32_t path = v[V_FILE] != TGI_TAPE_ABSENT ? v[V_FILE] : v[V_BINARY];
    if (path == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY,
                          "a device variant needs \"builtin\", \"file\", \"code\" or \"binary\"");
    if ((rc = tgi_expect(r, path, TGI_TAPE_STRING, "the name of a file")) != 0)
        return rc;
    variant->path = tgi_node_string(r, path);
    variant->form = path == v[V_FILE] ? TGI_VARIANT_SOURCE : TGI_VARIANT_BINARY;
    return read_file(r, path, variant->path, path == v[V_FILE] ? &variant->text : NULL);
}

static void destroy_sizes(struct tgi_variant *v)
{
    for (uint32_t d = 0; d < 3; d++) {
        tgi_expr_destroy(v->grid[d]);
        tgi_expr_destroy(v->block[d]);
        tgi_expr_destroy(v->cluster[d]);
    }
    tgi_expr_destroy(v->smem);
}

static int read_sizes(struct tgi_reader *r, uint32_t node, const char *what, struct tgi_expr **exprs,
                      const char **texts)
{
    if (node == TGI_TAPE_ABSENT)
        return 0;
    int rc = tgi_expect(r, node, TGI_TAPE_ARRAY, what);
    if (rc != 0)
        return rc;
    uint32_t n = tgi_tape_count(&r->tape, node), item = node + 1;
    if (n < 1 || n > 3)
        return tgi_report(r, node, NULL, TG_E_BAD_VALUE, "%s has 1 to 3 dimensions, not %u", what, n);
    for (uint32_t d = 0; d < n && rc == 0; d++, item = tgi_tape_next(&r->tape, item))
        rc = tgi_expr_keep(r, item, what, &exprs[d], &texts[d]);
    return rc;
}

static int read_string_key(struct tgi_reader *r, uint32_t node, const char *what, const char **text_p)
{
    if (node == TGI_TAPE_ABSENT)
        return 0;
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, what);
    if (rc == 0)
        *text_p = tgi_node_string(r, node);
    return rc;
}

static int check_variant_keys(struct tgi_reader *r, const uint32_t *v, uint32_t kind,
                              const char *const *kinds)
{
    static const uint32_t sources[] = {V_BUILTIN, V_C, V_SO, V_FILE, V_CODE, V_BINARY};
    uint32_t n_sources = 0;
    for (uint32_t k = 0; k < N_V; k++)
        if (v[k] != TGI_TAPE_ABSENT && (variant_allows[kind] >> k & 1) == 0) {
            struct tgi_remark remark = {.is_key = true};
            return tgi_report(r, v[k], &remark, TG_E_UNKNOWN_KEY, "\"%s\" does not go with \"on\": \"%s\"",
                              variant_keys[k], kinds[kind]);
        }
    for (uint32_t k = 0; k < 6; k++)
        if (v[sources[k]] != TGI_TAPE_ABSENT && ++n_sources > 1) {
            struct tgi_remark remark = {.is_key = true};
            return tgi_report(r, v[sources[k]], &remark, TG_E_BAD_VALUE,
                              "a variant has one source; \"%s\" is a second one", variant_keys[sources[k]]);
        }
    return 0;
}

static int read_variant(struct tgi_reader *r, uint32_t node, tg_kernel_id kernel)
{
    static const char *const kinds[] = {"cpu", "cuda", "resident"}, *const widths[] = {"thread", "warp",
                                                                                       "block"};
    uint32_t v[N_V], kind, width;
    int rc = tgi_object_take(r, node, "a variant", variant_keys, N_V, v);
    if (rc != 0)
        return rc;
    if (v[V_ON] == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "a variant needs \"on\"");
    if ((rc = tgi_take_word(r, v[V_ON], "\"on\" of a variant", kinds, 3, &kind)) != 0 ||
        (rc = check_variant_keys(r, v, kind, kinds)) != 0)
        return rc;
    struct tgi_variant variant = {.on = (enum tgi_device_kind)kind, .site = TG_NONE};
    rc = kind == 0 ? read_cpu_variant(r, node, v, &variant) : read_device_variant(r, node, v, &variant);
    if (rc == 0)
        rc = read_string_key(r, v[V_ENTRY], "\"entry\"", &variant.entry);
    if (rc == 0)
        rc = read_string_key(r, v[V_OPTIONS], "\"options\"", &variant.options);
    if (rc == 0 && v[V_WIDTH] != TGI_TAPE_ABSENT &&
        (rc = tgi_take_word(r, v[V_WIDTH], "\"width\"", widths, 3, &width)) == 0)
        variant.width = widths[width];
    if (rc == 0 && v[V_SPAWNS] != TGI_TAPE_ABSENT)
        rc = tgi_take_bool(r, v[V_SPAWNS], "\"spawns\"", &variant.spawns);
    push_params(r, &r->graph->space->ops[kernel]);
    if (rc == 0)
        rc = read_sizes(r, v[V_GRID], "\"grid\"", variant.grid, variant.grid_text);
    if (rc == 0)
        rc = read_sizes(r, v[V_BLOCK], "\"block\"", variant.block, variant.block_text);
    if (rc == 0)
        rc = read_sizes(r, v[V_CLUSTER], "\"cluster\"", variant.cluster, variant.cluster_text);
    if (rc == 0 && v[V_SMEM] != TGI_TAPE_ABSENT)
        rc = tgi_expr_keep(r, v[V_SMEM], "\"smem\"", &variant.smem, &variant.smem_text);
    r->n_vars = 0;
    uint32_t source = v[V_C] != TGI_TAPE_ABSENT ? v[V_C] : v[V_CODE];
    if (rc == 0)
        rc = add_line_sites(r, source, &variant);
    if (rc == 0) {
        struct tg_error err;
        uint32_t at = v[V_BUILTIN] != TGI_TAPE_ABSENT ? v[V_BUILTIN] : node;
        variant.site = tgi_reader_site(r, source != TGI_TAPE_ABSENT ? source : at);
        if ((rc = tgi_graph_add_variant(r->graph, kernel, &variant, &err)) != 0)
            rc = tgi_report_error(r, at, &err);
    }
    if (rc != 0)
        destroy_sizes(&variant);
    return rc;
}

/* ---- Kernels ------------------------------------------------------------------------------*/

/* The built-in that gives a kernel without "params" its signature: its own, or that of its first
 * variant that has one. */
static uint32_t signature_builtin(const struct tgi_reader *r, uint32_t builtin, uint32_t variants)
{
    if (builtin != TGI_TAPE_ABSENT || variants == TGI_TAPE_ABSENT ||
        tgi_node_type(r, variants) != TGI_TAPE_ARRAY)
        return builtin;
    uint32_t item = variants + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, variants); left > 0;
         left--, item = tgi_tape_next(&r->tape, item)) {
        if (tgi_node_type(r, item) != TGI_TAPE_OBJECT)
            continue;
        uint32_t key = item + 1;
        for (uint32_t n = tgi_tape_count(&r->tape, item); n > 0; n--, key = tgi_tape_next(&r->tape, key + 1))
            if (strcmp(tgi_node_string(r, key), "builtin") == 0)
                return key + 1;
    }
    return TGI_TAPE_ABSENT;
}

enum { K_NAME, K_BUILTIN, K_PARAMS, K_COST, K_VARIANTS, K_META, N_K };

static int add_kernel(struct tgi_reader *r, uint32_t name_node, bool is_key, uint32_t node, const uint32_t *v,
                      tg_kernel_id *id_p)
{
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    struct tg_param params[TG_MAX_PARAMS];
    struct tg_error err;
    struct tgi_remark remark = {.is_key = is_key};
    const struct tgi_builtin *builtin = NULL;
    int rc = 0;
    memset(params, 0, sizeof params);
    spec.name = tgi_node_string(r, is_key ? name_node - 1 : name_node);
    spec.params = params;
    if (v[K_PARAMS] != TGI_TAPE_ABSENT && (rc = read_params(r, v[K_PARAMS], params, &spec.n_params)) != 0)
        return rc;
    uint32_t signature =
        v[K_PARAMS] == TGI_TAPE_ABSENT ? signature_builtin(r, v[K_BUILTIN], v[K_VARIANTS]) : v[K_BUILTIN];
    if (signature != TGI_TAPE_ABSENT && (rc = find_builtin(r, signature, &builtin)) != 0)
        return rc;
    spec.builtin = builtin != NULL ? builtin->name : NULL;
    if (tg_graph_add_kernel(r->graph, &spec, id_p, &err) != 0)
        return tgi_report(
            r, err.status == TG_E_SIGNATURE && signature != TGI_TAPE_ABSENT ? signature : name_node,
            err.status == TG_E_SIGNATURE ? NULL : &remark, err.status, "%s", err.text);
    const struct tgi_op *op = &r->graph->space->ops[*id_p];
    r->graph->space->ops[*id_p].site = tgi_reader_site(r, node);
    if (!tgi_name_index_add(&r->kernels, op->name, strlen(op->name), *id_p))
        return tgi_report_memory(r);
    if (signature != v[K_BUILTIN]) /* the variant is added with the others, in the order of the file */
        r->graph->space->ops[*id_p].n_variants = 0;
    return 0;
}

int tgi_read_kernel(struct tgi_reader *r, uint32_t name_node, bool is_key, uint32_t node)
{
    static const char *const keys[N_K] = {"name", "builtin", "params", "cost", "variants", "meta"};
    uint32_t v[N_K];
    tg_kernel_id kernel;
    const char *name = tgi_node_string(r, is_key ? name_node - 1 : name_node);
    int rc = tgi_check_name(r, name_node, "a kernel", is_key, name);
    if (rc != 0 || (rc = tgi_object_take(r, node, "a kernel", keys, N_K, v)) != 0)
        return rc;
    if (is_key && v[K_NAME] != TGI_TAPE_ABSENT) {
        struct tgi_remark remark = {.is_key = true, .help = "the name is the key in front of the kernel"};
        return tgi_report(r, v[K_NAME], &remark, TG_E_UNKNOWN_KEY, "unknown key \"name\" in a kernel");
    }
    if (v[K_BUILTIN] == TGI_TAPE_ABSENT && v[K_VARIANTS] == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY,
                          "kernel \"%.100s\" needs \"builtin\" or \"variants\"", name);
    if ((rc = add_kernel(r, name_node, is_key, node, v, &kernel)) != 0)
        return rc;
    int result = 0;
    if (v[K_VARIANTS] != TGI_TAPE_ABSENT) {
        if ((rc = tgi_expect(r, v[K_VARIANTS], TGI_TAPE_ARRAY, "\"variants\"")) != 0)
            return rc;
        uint32_t item = v[K_VARIANTS] + 1;
        for (uint32_t left = tgi_tape_count(&r->tape, v[K_VARIANTS]); left > 0 && !tgi_reader_is_done(r);
             left--) {
            result = (rc = read_variant(r, item, kernel)) != 0 ? rc : result;
            item = tgi_tape_next(&r->tape, item);
        }
    }
    if (v[K_COST] != TGI_TAPE_ABSENT && !tgi_reader_is_done(r))
        result = (rc = read_cost(r, v[K_COST], kernel)) != 0 ? rc : result;
    return result;
}

int tgi_read_kernels(struct tgi_reader *r, uint32_t node)
{
    int result = tgi_expect(r, node, TGI_TAPE_OBJECT, "\"kernels\"");
    if (result != 0)
        return result;
    uint32_t key = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0 && !tgi_reader_is_done(r); left--) {
        int rc = tgi_read_kernel(r, key + 1, true, key + 1);
        if (rc != 0 && !tgi_name_index_mark_broken(&r->kernels, tgi_node_string(r, key)))
            rc = tgi_report_memory(r);
        result = rc != 0 ? rc : result;
        tgi_json_pool_reset(&r->scratch);
        key = tgi_tape_next(&r->tape, key + 1);
    }
    return result;
}
