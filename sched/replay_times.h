/* When the tasks of a replay began and ended, for runs that are recorded (record.h).
 *
 * The graph of such a run tells the time before and after each command that is a task's own work (step of mem/program.h), and workers of
 * its resident kernels when each of their tasks began and ended (mem/cluster.h), all by the clocks of the devices.  As the run is turned
 * into commands its steps are kept, tasks and rounds, each after those it comes after.  Once a replay is over they are
 * gone through: rounds get a place in the record, tasks the times of their commands.  What has no command, a barrier or a control
 * task, takes no time but that of its rounds, from when it was ready.  What had one and was left out has none.
 *
 * Lanes in these spans are none of the device's: tasks of a graph are in no stream.  A task gets the first lane that was free when it
 * began, so that what ran side by side is seen side by side; the workers of resident kernels are the lanes after those. */
#ifndef TGI_SCHED_REPLAY_TIMES_H
#define TGI_SCHED_REPLAY_TIMES_H

#include "mem/program.h"
#include "mem/replica.h"

struct tgi_instance;
struct tgi_device_graph;

/* By device: what its clock said when the run began. */
struct tgi_replay_clocks {
    int64_t zero_ns[TGI_MAX_DEVICES];
};

struct tgi_replay_step {
    struct tgi_instance *instance;
    uint32_t task;   /* TG_NONE: a round of the instance begins */
    uint32_t round;  /* in which it is, the outermost graph being 0; of one that begins its own number, */
    uint32_t outer;  /* and in which that one is */
    uint64_t number; /* of a round that begins: among its control task's, from 0 */
};

/* All zero: of a run that is not recorded. */
struct tgi_replay_times {
    struct tgi_replay_step *steps;
    uint32_t n, cap;
    uint32_t n_rounds;
    struct tgi_copy *copies; /* between memories, for the record: each replay makes them again */
    uint32_t n_copies;
};

/* Both without memory: 0; else what commands refer to the step by; the round's number. */
uint32_t tgi_replay_times_add(struct tgi_replay_times *times, struct tgi_instance *instance, uint32_t task, uint32_t round);
uint32_t tgi_replay_times_begin_round(struct tgi_replay_times *times, struct tgi_instance *body, uint32_t outer,
                                      uint64_t number);
void tgi_replay_times_fini(struct tgi_replay_times *times);

/* The submitter.  Before a launch of the graph made of the program: looks at the clocks of devices that have steps.  Once it is over: the
 * run's record has the times. */
int tgi_replay_times_begin(struct tg_run *run, const struct tgi_program *program, struct tgi_device_graph *graph,
                           struct tgi_replay_clocks *clocks_p, struct tg_error *err);
int tgi_replay_times_take(struct tg_run *run, const struct tgi_replay_times *times, const struct tgi_replay_clocks *clocks,
                          const struct tgi_program *program, struct tgi_device_graph *graph, struct tg_error *err);

#endif
