/* A graph from the text of a file, frozen.  Include cmocka.h first. */
#ifndef TEST_LOADED_TEXT_H
#define TEST_LOADED_TEXT_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/tgraph.h"

static inline struct tg_graph *load_text(const char *text, size_t size, bool is_lines)
{
    char path[] = "/tmp/tgraph-test-text-XXXXXX.jsonl";
    if (!is_lines)
        path[strlen(path) - 1] = '\0';
    int fd = mkstemps(path, is_lines ? 6 : 5);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), (ssize_t)size);
    close(fd);
    struct tg_graph *graph = NULL;
    struct tg_error err;
    if (tg_graph_load(path, NULL, &graph, &err) != TG_OK)
        fail_msg("load: %s (%u:%u)", err.text, err.line, err.column);
    assert_int_equal(unlink(path), 0);
    if (tg_graph_freeze(graph, &err) != TG_OK)
        fail_msg("freeze: %s", err.text);
    return graph;
}

#endif
