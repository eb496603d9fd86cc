/* A graph whose names try to break out of whatever they are written into. */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include "graph/model.h"

static const char *const hostile_names[] = {
    "plain[1,2]",
    "\"quoted\"",
    "back\\slash\\",
    "\\N \\G \\L \\E \\n",
    "\"]; evil [URL=\"javascript:alert(1)\"]; x [label=\"",
    "<script>alert(1)</script>",
    "</title></rect><script>alert(2)</script>",
    "&lt;b&gt; &amp; &#60; &quot;",
    "<<b>html</b>>",
    "]]> --> %%{init: {}}%% `x` #quot;",
    "it's $(rm) `id` ; | & *",
    "a:port:n",
    "#3",
    "\xff\xfe broken \xc3( utf-8 \xed\xa0\x80",
    "\xc2\x9b[31mred\xc2\x85",
    "\xef\xbf\xbe\xef\xbf\xbf",
    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xf0\x9f\x98\x80",
    "node", "graph", "strict", "edge", "digraph", "subgraph",
    "-1.5", "a b", "tab", "x/*y*/z//", "${HOME}", "{a|b}", "%s%n%d",
};
#define N_HOSTILE (sizeof hostile_names / sizeof *hostile_names)

/* A buffer and a kernel for each name, and two tasks, the second without a name: 2 N_HOSTILE tasks,
 * N_HOSTILE data edges and as many control edges between tasks without names. */
static inline int hostile_graph(struct tg_graph **graph_p, struct tg_error *err)
{
    struct tg_graph *g;
    int rc = tg_graph_create(hostile_names[4], &g, err);
    tg_task_id last = TG_NONE;
    for (size_t i = 0; rc == 0 && i < N_HOSTILE; i++) {
        struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
        struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        tg_buffer_id buffer_id;
        tg_kernel_id kernel_id;
        buffer.name = kernel.name = task.name = hostile_names[i];
        buffer.dtype = TG_F64;
        buffer.n_dims = 1;
        buffer.shape[0] = 4;
        buffer.init = TG_INIT_ZERO;
        kernel.builtin = "scale";
        rc = tg_graph_add_buffer(g, &buffer, &buffer_id, err);
        if (rc == 0)
            rc = tg_graph_add_kernel(g, &kernel, &kernel_id, err);
        if (rc)
            break;
        struct tg_arg args[] = {tg_arg_int(4), tg_arg_float(2), tg_arg_tile(buffer_id, 0)};
        task.kernel = kernel_id;
        task.args = args;
        task.n_args = 3;
        rc = tg_graph_add_task(g, &task, NULL, err);
        task.name = NULL;
        task.after = &last;
        task.n_after = last != TG_NONE;
        tg_task_id id = TG_NONE;
        if (rc == 0)
            rc = tg_graph_add_task(g, &task, &id, err);
        last = id;
    }
    if (rc == 0)
        rc = tg_graph_freeze(g, err);
    if (rc)
        tg_graph_destroy(g);
    else
        *graph_p = g;
    return rc;
}

#endif
