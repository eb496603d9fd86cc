/* libFuzzer target: the reader of graph files, then freeze.  The first byte of the input chooses the
 * form: even a document, odd JSON Lines.  Whatever the bytes are, the answer is a graph or an error. */
#include <stdio.h>
#include <stdlib.h>

#include "graph/tgraph.h"
#include "io/diagnostic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sink(void *user, const struct tg_diagnostic *d)
{
    if (d->message == NULL || d->status >= 0 || (d->line == 0 && d->column != 0))
        abort();
    tgi_diagnostic_print(user, d, TGI_DIAGNOSTIC_FULL, true);
}

/* A file whose path ends in the extension of the form, in a folder of its own. */
static const char *input_path(int is_stream)
{
    static char folder[64], paths[2][96];
    if (folder[0] == '\0') {
        snprintf(folder, sizeof folder, "/tmp/tgraph-fuzz-XXXXXX");
        if (mkdtemp(folder) == NULL)
            abort();
        snprintf(paths[0], sizeof paths[0], "%s/input.json", folder);
        snprintf(paths[1], sizeof paths[1], "%s/input.jsonl", folder);
    }
    return paths[is_stream];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    struct tg_graph *graph = NULL;
    struct tg_error err;
    if (size == 0)
        return 0;
    if (nowhere == NULL && (nowhere = fopen("/dev/null", "w")) == NULL)
        abort();
    const char *path = input_path(data[0] & 1);
    FILE *f = fopen(path, "w");
    if (f == NULL || fwrite(data + 1, 1, size - 1, f) != size - 1 || fclose(f) != 0)
        abort();
    options.max_tasks = 2000;
    options.on_diagnostic = sink;
    options.user = nowhere;
    if (tg_graph_load(path, &options, &graph, &err) == 0) {
        (void)tg_graph_freeze(graph, &err);
        tg_graph_destroy(graph);
    } else if (graph != NULL || err.status >= 0 || err.text[0] == '\0') {
        abort();
    }
    return 0;
}
