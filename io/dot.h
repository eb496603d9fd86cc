/* A frozen graph in the DOT language: streamed, deterministic, and inert whatever the names in it. */
#ifndef TGI_IO_DOT_H
#define TGI_IO_DOT_H

#include <stdio.h>

#include "graph/model.h"

enum tgi_picture_view {
    TGI_VIEW_TASKS, /* a node for each task; bodies of control tasks as boxes of their own */
    TGI_VIEW_TYPES  /* a node for each kernel, with counts */
};
enum tgi_picture_group { TGI_GROUP_NONE, TGI_GROUP_KERNEL, TGI_GROUP_PREFIX };

struct tgi_picture {
    enum tgi_picture_view view;
    enum tgi_picture_group group;
    bool marks_critical;    /* the longest path, by declared costs if there are any */
    const uint8_t *shown;   /* by task of the outermost graph, 0: left out; NULL: all are shown */
    const char *remark;     /* for the title, e.g. why not every task is shown; NULL: none */
};

int tgi_dot_write(const struct tg_graph *g, const struct tgi_picture *picture, FILE *to,
                  struct tg_error *err);

/* Marks the tasks at most `hops` edges away from `task`, in either direction.  The caller frees
 * *shown_p. */
int tgi_picture_focus(const struct tg_graph *g, tg_task_id task, uint32_t hops, uint8_t **shown_p,
                      struct tg_error *err);
/* True if the edge carries no data: the two tasks share no tile that one of them writes. */
bool tgi_edge_is_control(const struct tg_graph *g, uint32_t from, uint32_t to);
/* Text inside the quotes of a label or tooltip. */
void tgi_dot_write_label(FILE *to, const char *text);
/* Tasks with those of all bodies. */
uint64_t tgi_graph_count_all(const struct tg_graph *g);

#endif
