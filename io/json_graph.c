/* The graphs of "graphs", which tasks call: declared first, so that their order does not matter, then compiled, then
 * searched for calls that lead back. */
#include "io/json_reader.h"

#include <stdlib.h>
#include <string.h>

#include "graph/vec.h"

enum { G_PARAMS, G_TASKS, G_META, N_G };
static const char *const graph_keys[N_G] = {"params", "tasks", "meta"};

static int declare_params(struct tgi_reader *r, uint32_t node, struct tgi_subgraph *g)
{
    int rc = tgi_expect(r, node, TGI_TAPE_ARRAY, "\"params\" of a graph");
    if (rc != 0)
        return rc;
    uint32_t n = tgi_tape_count(&r->tape, node), item = node + 1;
    if (n > TGI_MAX_VARS)
        return tgi_report(r, node, NULL, TG_E_LIMIT, "more than %d parameters", TGI_MAX_VARS);
    if ((g->params = tgi_json_pool_alloc(&r->keep, (n + 1) * sizeof *g->params)) == NULL)
        return tgi_report_memory(r);
    for (uint32_t k = 0; k < n; k++, item = tgi_tape_next(&r->tape, item)) {
        if ((rc = tgi_expect(r, item, TGI_TAPE_STRING, "a parameter of a graph")) != 0)
            return rc;
        const char *name = tgi_node_string(r, item);
        for (const char *s = name; *s != '\0' || s == name; s++)
            if (!tgi_is_name_char(*s, s == name))
                return tgi_report(r, item, NULL, TG_E_BAD_NAME,
                                  "\"%.100s\" cannot be the name of a parameter", name);
        for (uint32_t j = 0; j < k; j++)
            if (strcmp(g->params[j], name) == 0)
                return tgi_report(r, item, NULL, TG_E_DUPLICATE_NAME, "two parameters \"%.100s\"", name);
        g->params[g->n_params++] = name;
    }
    return 0;
}

static int declare_graph(struct tgi_reader *r, uint32_t node)
{
    uint32_t v[N_G];
    const char *name = tgi_node_string(r, node - 1);
    int rc = tgi_check_name(r, node, "a graph", true, name);
    if (rc != 0 || (rc = tgi_object_take(r, node, "a graph", graph_keys, N_G, v)) != 0)
        return rc;
    if (v[G_TASKS] == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "graph \"%.100s\" needs \"tasks\"", name);
    struct tgi_subgraph *g = tgi_json_pool_alloc(&r->keep, sizeof *g);
    if (g == NULL ||
        !tgi_vec_reserve(&r->subgraphs, &r->cap_subgraphs, (uint64_t)r->n_subgraphs + 1,
                         sizeof *r->subgraphs) ||
        !tgi_name_index_add(&r->graphs, name, strlen(name), r->n_subgraphs))
        return tgi_report_memory(r);
    g->name = name;
    g->node = node;
    r->subgraphs[r->n_subgraphs++] = g;
    return v[G_PARAMS] != TGI_TAPE_ABSENT ? declare_params(r, v[G_PARAMS], g) : 0;
}

static int compile_graph(struct tgi_reader *r, struct tgi_subgraph *g)
{
    uint32_t v[N_G];
    int rc = tgi_object_take(r, g->node, "a graph", graph_keys, N_G, v);
    if (rc != 0)
        return rc;
    r->n_vars = 0;
    for (uint32_t k = 0; k < g->n_params && rc == 0; k++)
        rc = tgi_push_var(r, v[G_PARAMS], g->params[k], (uint32_t)strlen(g->params[k]), k);
    if (rc == 0)
        rc = tgi_compile_tasks(r, &r->keep, v[G_TASKS], "\"tasks\"", NULL, g, &g->first);
    r->n_vars = 0;
    return rc;
}

enum { UNSEEN, ON_PATH, DONE };

/* Depth-first from one graph, with the path kept in `path`; position[d]: next call to follow. */
static int find_recursion(struct tgi_reader *r, uint32_t from, uint32_t *path, uint32_t *position)
{
    uint32_t depth = 0;
    path[0] = from;
    position[0] = 0;
    r->subgraphs[from]->mark = ON_PATH;
    for (;;) {
        struct tgi_subgraph *g = r->subgraphs[path[depth]];
        if (position[depth] == g->n_calls) {
            g->mark = DONE;
            if (depth-- == 0)
                return 0;
            continue;
        }
        uint32_t next = g->calls[position[depth]++];
        if (r->subgraphs[next]->mark == ON_PATH) {
            struct tgi_remark remark = {
                .is_key = true,
                .help = "calls are inlined when the file is read; repeat and while run loops"};
            return tgi_report(r, g->node, &remark, TG_E_CYCLE, "graph \"%.100s\" calls itself%s%.100s%s",
                              r->subgraphs[next]->name, g == r->subgraphs[next] ? "" : " through \"",
                              g == r->subgraphs[next] ? "" : g->name, g == r->subgraphs[next] ? "" : "\"");
        }
        if (r->subgraphs[next]->mark == UNSEEN) {
            depth++;
            path[depth] = next;
            position[depth] = 0;
            r->subgraphs[next]->mark = ON_PATH;
        }
    }
}

static int check_recursion(struct tgi_reader *r)
{
    int rc = 0;
    uint32_t *path = malloc(((size_t)r->n_subgraphs + 1) * 2 * sizeof *path);
    if (path == NULL)
        return tgi_report_memory(r);
    for (uint32_t k = 0; k < r->n_subgraphs && rc == 0; k++)
        if (r->subgraphs[k]->mark == UNSEEN)
            rc = find_recursion(r, k, path, path + r->n_subgraphs + 1);
    free(path);
    return rc;
}

int tgi_read_graphs(struct tgi_reader *r, uint32_t node)
{
    int result = tgi_expect(r, node, TGI_TAPE_OBJECT, "\"graphs\""), rc;
    if (result != 0)
        return result;
    uint32_t key = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0 && !tgi_reader_is_done(r); left--) {
        if ((rc = declare_graph(r, key + 1)) != 0) {
            result = rc;
            if (!tgi_name_index_mark_broken(&r->graphs, tgi_node_string(r, key)))
                return tgi_report_memory(r);
        }
        key = tgi_tape_next(&r->tape, key + 1);
    }
    for (uint32_t k = 0; k < r->n_subgraphs && !tgi_reader_is_done(r); k++)
        if ((rc = compile_graph(r, r->subgraphs[k])) != 0)
            result = rc;
    if (result == 0 || !tgi_reader_is_done(r))
        result = (rc = check_recursion(r)) != 0 ? rc : result;
    return result;
}
