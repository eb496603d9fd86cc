/* What stands at the head of a file: version, name, parameters, requirements. */
#include "io/json_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/units.h"

static int check_version(struct tgi_reader *r, uint32_t root, uint32_t node)
{
    struct tgi_remark remark = {
        .help = "a graph file starts with {\"tgraph\": \"1.0\", ..}; \"tgraph import\" reads other formats"};
    if (node == TGI_TAPE_ABSENT)
        return tgi_report(r, root, &remark, TG_E_MISSING_KEY,
                          "not a graph file: the key \"tgraph\" is missing");
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "\"tgraph\"");
    if (rc != 0)
        return rc;
    const char *version = tgi_node_string(r, node);
    const char *minor = strncmp(version, "1.", 2) == 0 ? version + 2 : "";
    size_t digits = strspn(minor, "0123456789");
    if (digits > 0 && minor[digits] == '\0')
        return 0;
    return tgi_report(r, node, NULL, TG_E_VERSION,
                      "version \"%.40s\" of the format; this program reads \"1.0\"", version);
}

static int create_graph(struct tgi_reader *r, uint32_t name_node)
{
    struct tg_error err;
    const char *name = "", *slash = strrchr(r->file, '/');
    if (name_node != TGI_TAPE_ABSENT) {
        int rc = tgi_expect(r, name_node, TGI_TAPE_STRING, "\"name\"");
        if (rc != 0)
            return rc;
        name = tgi_node_string(r, name_node);
        if (strlen(name) > TGI_MAX_NAME)
            return tgi_report(r, name_node, NULL, TG_E_BAD_NAME, "\"name\" is longer than %d bytes",
                              TGI_MAX_NAME);
    }
    if (tg_graph_create(name, &r->graph, &err) != 0)
        return tgi_report_memory(r);
    struct tgi_space *space = r->graph->space;
    space->allow_plugins = r->options->allow_plugins;
    space->file = tgi_arena_strdup(&space->strings, r->file);
    space->folder = slash == NULL ? tgi_arena_strdup(&space->strings, ".")
                                  : tgi_arena_strndup(&space->strings, r->file,
                                                      slash == r->file ? 1 : (size_t)(slash - r->file));
    return space->file != NULL && space->folder != NULL ? 0 : tgi_report_memory(r);
}

static int read_requires(struct tgi_reader *r, uint32_t node)
{
    static const char *const keys[] = {"cuda", "cpu"};
    uint32_t v[2];
    int64_t n[2] = {0, 0};
    int rc = tgi_object_take(r, node, "\"requires\"", keys, 2, v);
    for (uint32_t k = 0; k < 2 && rc == 0; k++)
        if (v[k] != TGI_TAPE_ABSENT)
            rc = tgi_take_int(r, v[k], "a number of devices", 0, 65536, &n[k]);
    if (rc != 0)
        return rc;
    r->graph->space->requires_cuda = (uint32_t)n[0];
    r->graph->space->requires_cpu = (uint32_t)n[1];
    /* A graph for devices that are not here can still be read, checked and drawn, as if they were. */
    if (n[0] > r->n_cuda)
        r->n_cuda = (uint32_t)n[0];
    return 0;
}

/* Values as they came out, overrides included: what a graph written back is correct with. */
static int keep_params(struct tgi_reader *r)
{
    size_t size = 3, used = 1;
    for (uint32_t k = 0; k < r->params.n_entries; k++)
        size += r->params.entries[k].length + 40;
    char *text = tgi_arena_alloc(&r->graph->space->strings, size);
    if (text == NULL)
        return tgi_report_memory(r);
    text[0] = '{';
    for (uint32_t k = 0; k < r->params.n_entries; k++) {
        const struct tgi_param_value *value = &r->param_values[r->params.entries[k].value];
        used += (size_t)snprintf(text + used, size - used, "%s\"%s\":", k > 0 ? "," : "",
                                 r->params.entries[k].name);
        if (value->is_float)
            used += strlen(tgi_format_exact(value->f, text + used, size - used));
        else
            used += (size_t)snprintf(text + used, size - used, "%lld", (long long)value->i);
    }
    snprintf(text + used, size - used, "}");
    r->graph->space->params_text = text;
    return 0;
}

int tgi_read_head(struct tgi_reader *r, uint32_t node, const uint32_t *v)
{
    static const char *const deps[] = {"infer", "explicit"};
    uint32_t word = 0;
    int rc = check_version(r, node, v[TGI_HEAD_TGRAPH]), result = 0;
    if (rc != 0 || (rc = create_graph(r, v[TGI_HEAD_NAME])) != 0) {
        r->is_done = true; /* nothing below means what it says */
        return rc;
    }
    if (v[TGI_HEAD_DEPS] != TGI_TAPE_ABSENT)
        result = tgi_take_word(r, v[TGI_HEAD_DEPS], "\"deps\"", deps, 2, &word);
    r->graph->is_explicit = word == 1;
    if (v[TGI_HEAD_REQUIRES] != TGI_TAPE_ABSENT && !tgi_reader_is_done(r))
        result = (rc = read_requires(r, v[TGI_HEAD_REQUIRES])) != 0 ? rc : result;
    if (!tgi_reader_is_done(r))
        result = (rc = tgi_read_params(r, v[TGI_HEAD_PARAMS])) != 0 ? rc : result;
    if (v[TGI_HEAD_META] != TGI_TAPE_ABSENT &&
        (r->graph->space->meta_text =
             tgi_tape_copy_raw(&r->tape, v[TGI_HEAD_META], &r->graph->space->strings)) == NULL)
        return tgi_report_memory(r);
    if (r->params.n_entries > 0 && !tgi_reader_is_done(r))
        result = (rc = keep_params(r)) != 0 ? rc : result;
    tgi_json_pool_reset(&r->scratch);
    return result;
}
