/* Tasks that make one element each out of single elements, as POSTs (mem/resident_program.h): successors look at the elements
 * themselves, without lists and without order in memory.
 *
 * That is right only among themselves.  Whatever is joined by edges becomes POSTs all together or not at all: all of it can, all that
 * is read but for elements is there before, each element is made by one of these tasks, and no edge says anything else. */
#ifndef TGI_SCHED_RESIDENT_POST_H
#define TGI_SCHED_RESIDENT_POST_H

#include <stdbool.h>
#include <stdint.h>

/* What a task can be; body 0: no POST. */
struct tgi_post {
    uint32_t body, bytes; /* of its element */
    uint64_t side;
};

/* A graph whose ids are in topological order; edges in CSR form.  Calls that can be POSTs have TGI_POST_N_WORDS words, the last one 0. */
struct tgi_posting {
    uint32_t n_tasks;
    const struct tgi_post *can; /* by task */
    uint32_t *succ_at, *succ;   /* malloc'ed; replaced where something became a POST */
    uint8_t *op;
    uint64_t *arg, *words;
};

/* Changes op, arg, words and edges of what becomes POSTs; *n_posts_p: how many.  False: no memory, and nothing has changed. */
bool tgi_resident_post(struct tgi_posting *p, uint32_t *n_posts_p);

#endif
