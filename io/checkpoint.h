/* A folder from which a run goes on that was killed.
 *
 * Every so often what has been done since the last time is acknowledged as a *group*: at a cut of the run (sched/cut.h) the tiles
 * that its tasks have written go to a data file, which is synced; then a record with the tasks, and where the tiles are, is appended to the
 * journal, which is synced as well.  From then on these tasks are done for good, whatever happens to the process.  A run that goes on
 * starts with the tiles of the last group, and executes what is in none.
 *
 *     journal        a header with the graph's fingerprint, then the records
 *     group-N.data   tiles as they were at the cut of record N
 *
 * Everything has a checksum.  What was not synced, the end of the journal or a data file that no record tells of, is not looked at.
 * Should a group be damaged that was synced, the state is that of the last one whose data are all there, and the caller is told how
 * many were left out.  Files that neither the last group needs nor the one before are removed.
 *
 * One thread at a time, and one process: the folder is locked. */
#ifndef TGI_IO_CHECKPOINT_H
#define TGI_IO_CHECKPOINT_H

#include "sched/cut.h"

struct tgi_checkpoint;

struct tgi_checkpoint_stats {
    uint32_t n_groups;      /* in the folder */
    uint32_t n_taken;       /* of these, by this process */
    uint32_t n_left_out;    /* by opening: damaged, or standing on such */
    uint32_t n_kept;        /* tasks in all groups */
    uint32_t n_resumed;     /* of these, when it was opened */
    uint64_t written_bytes; /* to data files, by this process */
    uint64_t closed_ns, most_closed_ns, last_closed_ns; /* the run was held up: all in all, at most, for the last group */
};

/* A new one; the folder is made if it is not there.  TG_E_CHECKPOINT: there is one already; TG_E_WRITE. */
int tgi_checkpoint_create(const char *folder, const struct tg_graph *g, struct tgi_checkpoint **c_p, struct tg_error *err);
/* One that is there.  TG_E_CHECKPOINT: there is none, it is of another graph, another process has it. */
int tgi_checkpoint_open(const char *folder, const struct tg_graph *g, struct tgi_checkpoint **c_p, struct tg_error *err);
void tgi_checkpoint_destroy(struct tgi_checkpoint *c);

/* Tells the cut what need not be executed and how tiles get what they held.  Before the run is created; c outlives it. */
void tgi_checkpoint_attach(struct tgi_checkpoint *c, struct tgi_cut *cut);
/* Acknowledges what has been done since the last time; nothing, if that is nothing or if there is no cut (tgi_cut_close()).
 * After TG_E_WRITE nothing more is acknowledged: what a system says once about a file that it could not write holds for good. */
int tgi_checkpoint_take(struct tgi_checkpoint *c, const _Atomic uint32_t *gives_up, struct tg_error *err);
void tgi_checkpoint_stats(const struct tgi_checkpoint *c, struct tgi_checkpoint_stats *stats_p);

#endif
