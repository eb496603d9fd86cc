/* A policy of sched/policy.h between the workers of a run on CPUs: which of the ready tasks is next.
 *
 * Ready tasks are the policy's.  What lies in deques and sources meanwhile are *tickets*: an item names a task that was
 * ready when it was made, and whoever takes it gets the task that the policy hands out instead.  A task is pushed before its
 * ticket is published and taken by whoever has a ticket, so there are never fewer ready tasks than tickets: a worker with a
 * ticket always gets one, and all that is known about deques, sources, stealing and sleeping holds as it does without.
 *
 * Workers belong to the device of their NUMA node.  One that finds nothing of its device, and nothing worth stealing, takes
 * what is another's all the same: it has a ticket, and the ticket's task must not wait for somebody who may be long at work.
 *
 * The graph's own tasks are the policy's; those of bodies are not.  Data are where they are, so that a policy is told of no
 * memory but the host's. */
#ifndef TGI_SCHED_AGENDA_H
#define TGI_SCHED_AGENDA_H

#include "sched/guide.h"
#include "sched/runtime.h"

struct tgi_agenda;

/* For a run on CPUs alone, by its options or its guide; *agenda_p NULL: neither asks for any. */
int tgi_agenda_create(struct tg_run *run, struct tgi_agenda **agenda_p, struct tg_error *err);
void tgi_agenda_destroy(struct tgi_agenda *agenda);
/* By task: all 0, as none passes through a thread of its own. */
const uint8_t *tgi_agenda_via(const struct tgi_agenda *agenda);

/* What tasks of the plan had to choose from, nodes being 0, that of CPUs; none without a plan of its own. */
int tgi_agenda_explain(const struct tgi_agenda *agenda, struct tgi_offers *offers_p, struct tg_error *err);

/* Any worker, or whoever starts the run.  A task is ready; its ticket is published after this. */
void tgi_agenda_push(struct tgi_agenda *agenda, uint32_t task);
/* What a ticket is worth to this worker. */
uint32_t tgi_agenda_take(struct tgi_agenda *agenda, uint32_t worker);

#endif
