/* What is suspicious in a graph that is valid. */
#ifndef TGI_IO_LINT_H
#define TGI_IO_LINT_H

#include "graph/model.h"

enum tgi_lint {
    TGI_LINT_UNUSED = 1,        /* buffers and kernels that no task uses, parameters that nothing does */
    TGI_LINT_UNINITIALISED = 2, /* tiles that are read, in program order, before anything writes them */
    TGI_LINT_REDUNDANT = 4,     /* control edges that other edges imply */
    TGI_LINT_CAPACITY = 8       /* buffers that do not fit into this machine's memory */
};

/* Reports every finding of the kinds in the mask.  *n_p becomes their number.  The graph is frozen. */
int tgi_lint_run(const struct tg_graph *g, unsigned kinds, tg_diagnostic_fn on_diagnostic, void *user,
                 uint32_t *n_p, struct tg_error *err);

#endif
