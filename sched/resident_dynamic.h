/* Tables of a dynamic program: the graph as it is, with nothing placed; see mem/resident_dynamic.h. */
#ifndef TGI_SCHED_RESIDENT_DYNAMIC_H
#define TGI_SCHED_RESIDENT_DYNAMIC_H

#include "mem/resident_dynamic.h"
#include "sched/resident_plan.h"

/* is_urgent: by task; NULL: none is.  TG_E_UNSUPPORTED: more tasks than words can name.  TG_E_INVALID: an argument is missing.
 * TG_E_NO_MEMORY. */
int tgi_resident_dynamic_create(const struct tgi_resident_dag *dag, const uint8_t *is_urgent,
                                struct tgi_resident_dynamic **program_p, struct tg_error *err);
/* The same as a program of bodies, for a cluster: for tgi_resident_program_destroy().  n_spawn_words: words of a task that a body makes,
 * at most; 0: none makes any. */
int tgi_resident_dynamic_plan(const struct tgi_resident_dag *dag, uint32_t n_blocks, uint32_t n_workers_each, uint32_t n_spawn_words,
                              struct tgi_resident_program **program_p, struct tg_error *err);
void tgi_resident_dynamic_destroy(struct tgi_resident_dynamic *program);

#endif
