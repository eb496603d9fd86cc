/* Programs of a service from graphs.
 *
 * Whether a graph can be one, and where its tiles lie, is known from the graph alone.  A tile is an instance's own, in its seat, or
 * shared by all, because no task writes it.  Inputs come first in a seat, in one piece, so that they are copied there as they are
 * sent.  A tile of a seat that is read before it is written over gets its first contents from a copy that all share, by a task of its
 * own before all that touch it: instances know nothing of each other.
 *
 * What its tasks call is asked of the devices, once with addresses that are made up and once more with others: what differs is an
 * address and whose, which tells it from a number that happens to look like one. */
#ifndef TGI_SCHED_SERVICE_GRAPH_H
#define TGI_SCHED_SERVICE_GRAPH_H

#include "graph/tgraph_service.h"
#include "mem/stay.h"
#include "sched/resident_plan.h"

enum tgi_service_home { TGI_HOME_NOWHERE, TGI_HOME_SEAT, TGI_HOME_SHARED };

struct tgi_service_graph {
    const struct tg_graph *graph; /* the user's */
    uint8_t *home;      /* by tile, enum tgi_service_home; NOWHERE: nobody touches it */
    uint64_t *at;       /* by tile: where, in its home */
    uint64_t *first_at; /* by tile of a seat: its first contents in what is shared; UINT64_MAX: it needs none */
    uint32_t n_firsts;  /* tiles that need some */
    uint64_t seat_bytes, shared_bytes, input_bytes;
    uint32_t *outputs;  /* words of a seat, counted from its beginning, that are the answer */
    uint32_t n_outputs, cap_outputs;
};

/* TG_E_STATE: the graph is not frozen; TG_E_UNSUPPORTED names the task that a service cannot execute; TG_E_INVALID: the buffer
 * that cannot be an input or an output, or is read and never written; TG_E_LIMIT: there is too much of it. */
int tgi_service_graph_create(const struct tg_graph *graph, const tg_buffer_id *inputs, uint32_t n_inputs, const tg_buffer_id *outputs,
                             uint32_t n_outputs, struct tgi_service_graph **graph_p, struct tg_error *err);
void tgi_service_graph_destroy(struct tgi_service_graph *graph); /* takes NULL */
/* What all share, into memory of shared_bytes. */
int tgi_service_graph_fill(const struct tgi_service_graph *graph, unsigned char *shared, struct tg_error *err);

/* What CALLs are given, where it does not yet say at which address. */
struct tgi_service_words {
    uint32_t n;
    uint64_t *words;
    uint8_t *home; /* by word: what it is an offset in; NOWHERE: it is a number */
};
void tgi_service_words_fini(struct tgi_service_words *words);
/* For a seat and what is shared that begin at these addresses. */
void tgi_service_words_locate(const struct tgi_service_words *words, uint64_t seat, uint64_t shared, uint64_t *to);

/* Asks the first device for each task's body, and plans.  TG_E_UNSUPPORTED names a task that has none; TG_E_NO_VARIANT,
 * TG_E_COMPILE, TG_E_NO_LIBRARY as when a run is created.  The calling thread is attached. */
int tgi_service_graph_plan(const struct tgi_service_graph *graph, struct tgi_devices *devices, const struct tgi_resident_shape *shape,
                           struct tgi_resident_program **program_p, struct tgi_service_words *words_p, struct tg_error *err);

#endif
