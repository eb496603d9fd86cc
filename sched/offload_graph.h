/* A run as one graph: what it would enqueue is recorded, turned into something that the devices replay as a whole, and launched
 * with one command a start (mem/recorder.h, graph_* of mem/device.h).
 *
 * The submitter decides what it decides for streams, once: the recording goes through the same code.  A recording is good for
 * every start that begins with the same data in the same places, and the states of data it leads from and to are kept with it;
 * a run that is started again settles into one or two of them.  Where only addresses differ the graph is changed in place.
 *
 * With the executor `resident` what can be in clusters (resident_cluster.h) is; where nothing can, the graph is as it would be
 * without, and the run knows why.
 *
 * Whether a start is a graph at all, and whether some of its tasks are in clusters, may be left to replay_choice.h, by times that are taken
 * here and kept with those of kernels.
 *
 * A graph over several devices is one, or one for each that wait for each other by flags (mem/split.h): see below, enum tgi_hops.
 *
 * What cannot be recorded goes to streams, and the run knows why: a task on a CPU, a body whose rounds a device would have to
 * decide about but cannot (offload_rounds.c), a run whose tasks are executed one at a time, memory that is too short for
 * the whole run.
 *
 * The graph of a run that is to have a record tells when its tasks ran (replay_times.h), which costs the device two nodes for each.
 * Rounds that a device decides about are not timed, so such a run goes to streams, as does one that may choose.
 *
 * A collective that hangs is given up as in streams; its time begins with the graph's, as nobody sees it begin. */
#ifndef TGI_SCHED_OFFLOAD_GRAPH_H
#define TGI_SCHED_OFFLOAD_GRAPH_H

#include "mem/program.h"
#include "sched/offload.h"
#include "sched/replay_times.h"
#include "sched/resident_cluster.h"

/* How a graph goes from device to device, as TGRAPH_HOPS says. */
enum tgi_hops {
    TGI_HOPS_DRIVER, /* "driver", or not set: one graph, whose edges the driver looks after */
    TGI_HOPS_FLAGS,  /* "flags": a graph for each device, where that can be */
    TGI_HOPS_CHOSEN  /* "auto": the latter where it can be and should be faster: hops are in a row, and many enough for more launches */
};

/* Of a run; created with the first start that wants it. */
struct tgi_offload_graphs;

/* What happens while a run is recorded; the submitter's. */
struct tgi_capture {
    struct tgi_recorder *recorder;
    struct tg_error err;      /* status 0: all is well so far */
    struct tgi_offload_task *task; /* at which it came up */
    uint64_t n_tasks;         /* recorded so far, without bodies that a device decides about */
    struct tgi_replay_times *times; /* where the steps of a run that is recorded are kept; NULL: it is not */
    uint32_t round, step;     /* then: of the task at hand */
    bool has_kernels;         /* of ways, kernels are taken where calls of libraries are better by themselves (replay_libraries.h) */
    double calls_ns[TGI_MAX_DEVICES]; /* what calls take by themselves where that could be done */
};

/* What came of it. */
struct tgi_captured {
    struct tgi_program program;
    struct tgi_replica_snapshot *before, *after; /* the states of data that it leads from and to */
    uint64_t n_tasks, n_device_tasks[TGI_MAX_DEVICES]; /* without bodies that a device decides about */
    struct tgi_replay_times times;
    struct tgi_clustering clustering; /* with the resident executor, or where it may be chosen */
    char *not_resident;               /* why nothing is; NULL: something is, or was not to be */
    const char *whole;                /* why it is one graph for all devices, a constant; NULL: it is one for each (mem/split.h) */
    bool has_kernels;                 /* before recording: as of a capture */
    double calls_ns;                  /* what calls of libraries take by themselves where kernels could do it, on the device where they take most */
    uint32_t n_hops;                  /* edges between devices on its longest way */
};

/* offload_recording.c: the submitter */
/* Why a run can never be recorded, for the caller to free; NULL: nothing is known against it. */
char *tgi_offload_obstacle(const struct tg_run *run);
/* Records a whole start of the run; data is as it was afterwards.  TG_E_NO_MEMORY: or there is no room on the devices for all of it
 * at once.  *at_p: the task at which it failed; NULL: at none in particular. */
int tgi_offload_record(struct tg_run *run, struct tgi_captured *recorded, struct tgi_offload_task **at_p,
                       struct tg_error *err);
void tgi_captured_fini(struct tgi_captured *recorded);
/* The same, but that err says all: which task it failed at, and that the run cannot be a graph (TG_E_UNSUPPORTED) if memory is short. */
int tgi_offload_record_named(struct tg_run *run, struct tgi_captured *recorded, struct tg_error *err);

/* offload_preview.c */
/* What a run that was never started would replay from its second start on, found without executing anything. */
struct tgi_offload_preview {
    struct tgi_captured recorded;
    uint32_t *tile; /* by command, those of bodies included (tgi_program_body_base()), of copies and fills: whose memory it
                     is, a number in the space; else TG_NONE */
};
/* TG_E_UNSUPPORTED: the run cannot be a graph, and err says why.  The run is of no other use after that but to be destroyed. */
int tgi_offload_preview(struct tg_run *run, struct tgi_offload_preview *preview_p, struct tg_error *err);
void tgi_offload_preview_fini(struct tgi_offload_preview *preview);

/* offload_insert.c: starts as nodes of the program's graphs */
/* The submitter, as a run begins that is to be a node and no start. */
void tgi_offload_insert(struct tg_run *run);
void tgi_offload_insert_release(struct tg_run *run);

/* offload_rounds.c: the submitter */
/* The first task that cannot be in a graph, for the caller to free; NULL: there is none. */
char *tgi_offload_forbidden(const struct tg_run *run);
/* All tasks of a graph or body.  What goes wrong is also in the capture, with its task. */
int tgi_offload_record_tasks(struct tgi_offload *o, struct tgi_instance *instance, struct tg_error *err);
/* Whose a command of a recording is, as a number, and who that is; NULL: nobody. */
uint64_t tgi_offload_owner(const struct tgi_offload_task *task);
struct tgi_offload_task *tgi_offload_owned(const struct tg_run *run, uint64_t owner);

/* offload_graph.c */
/* The submitter, as a run begins.  True: all of it is enqueued, or it has failed, and its end is under way.  False: it is to go to
 * streams, because nothing else was asked for or for a reason that tg_run_executor() tells. */
bool tgi_offload_graph_begin(struct tg_run *run);
/* Of a run whose executor is left open and whose starts are recorded; NULL: it is not, or no start was. */
struct tgi_replay_choice *tgi_offload_graph_choice(const struct tg_run *run);
/* The submitter, while runs are under way: clusters of those that were stopped end early. */
void tgi_offload_graph_stop(struct tgi_offload *o);
/* As the run ends, all of it done: fails it if a resident task has, or a device has waited for another in vain. */
void tgi_offload_graph_look(struct tg_run *run);
/* The run is over: tasks of bodies that devices have decided about count as often as they were executed, and a record gets the
 * times of all. */
void tgi_offload_graph_end(struct tg_run *run);
/* All of a start is enqueued; it is over.  Of any run on devices: times are taken if it has graphs or may have. */
void tgi_offload_graph_submitted(struct tg_run *run);
void tgi_offload_graph_ended(struct tg_run *run);
void tgi_offload_graph_release(struct tg_run *run);
/* Data is where something else than a replay has brought it. */
void tgi_offload_graph_forget_last(struct tg_run *run);

/* Numbers of all starts of the run so far. */
struct tgi_offload_graph_stats {
    uint64_t n_recorded, n_instantiated, n_updated, n_replayed;
    uint64_t record_ns, instantiate_ns, update_ns; /* of the last of each */
    uint64_t made_ns;                              /* what making a graph took of the last start; 0: it had one */
    uint64_t launch_ns;                            /* of the last start, all that was done until it was enqueued */
    uint32_t n_commands, n_edges;                  /* of the last graph */
    uint32_t n_clusters;                           /* of the last start, with the commands that are in them, */
    uint64_t n_resident, n_nodes;                  /* and launches, fills and copies that are not */
    uint32_t n_spread;                             /* of the clusters: on several devices at once */
    const char *not_spread;                        /* why none is although that was asked for; NULL: some are, or it was not */
    uint32_t n_hops;                               /* of the last graph: edges between devices on its longest way */
    const char *whole;                             /* why that is one for all devices; NULL: it is one for each */
    bool has_kernels;                              /* of the last start: where calls of libraries are better by themselves it had kernels */
    double calls_ns, kernels_ns;                   /* of starts of either kind, where both were measured; else 0 */
    bool is_trying;                                /* which of these the next start has is not decided yet */
    uint32_t n_kept;                               /* graphs that are kept, what they take, and that had to go */
    uint64_t kept_bytes, n_dropped;
};
void tgi_offload_graph_stats(const struct tg_run *run, struct tgi_offload_graph_stats *stats_p);
/* Of a run whose executor is left open: no task of it becomes resident, and why; before the first start. */
int tgi_offload_graph_refuse_resident(struct tg_run *run, const char *why, struct tg_error *err);
/* Kernels of ours in the place of calls from the first start on, which is not tried then, recorded or not; before that. */
int tgi_offload_graph_use_kernels(struct tg_run *run, struct tg_error *err);
/* Replays are timed on the device from now on; before the first start.  Then, after wait: what the last one took there, from
 * where it began; TG_E_STATE: the last start was none. */
int tgi_offload_graph_time(struct tg_run *run, struct tg_error *err);
int tgi_offload_graph_elapsed(struct tg_run *run, double *ns_p, struct tg_error *err);
/* The program that was replayed last, as the devices have it; NULL: none was. */
const struct tgi_program *tgi_offload_graph_program(const struct tg_run *run);

#endif
