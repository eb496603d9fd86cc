/* How often.  A group holds the run up while tasks come to their end and tiles are written; so the next one comes when a hundred times
 * as long has passed, and not within a second: at most 1 % of the time is lost, and at most so much work. */
#include "io/cli/checkpoint.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "graph/error.h"
#include "io/units.h"
#include "io/utf8.h"

#define LEAST_PAUSE_NS ((uint64_t)1000000000)
enum { PAUSES = 100 };

struct tgi_cli_checkpoint {
    const struct tgi_cli *cli;
    const struct tg_graph *graph;
    const char *folder;
    struct tgi_checkpoint *checkpoint;
    struct tgi_cut *cut;
    uint64_t every_ns;         /* as asked for; 0: as often as the above allows */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    bool is_ending;            /* under the lock */
    _Atomic uint32_t gives_up; /* the same for whoever waits for a cut; relaxed: only how soon it is seen depends on it */
    int exit_code;             /* of the thread, then of all of it */
};

/* ---- Options ------------------------------------------------------------------------------*/

int tgi_cli_checkpoint_check(const struct tgi_cli *cli)
{
    bool creates = tgi_cli_has(cli, "checkpoint"), resumes = tgi_cli_has(cli, "resume");
    const char *which = creates ? "checkpoint" : "resume";
    if (!creates && !resumes)
        return tgi_cli_has(cli, "checkpoint-every") ? tgi_cli_usage(cli, "--checkpoint-every goes with --checkpoint or --resume") : 0;
    if (creates && resumes)
        return tgi_cli_usage(cli, "--resume goes on writing to the checkpoint it starts from; --checkpoint begins a new one");
    if (tgi_cli_int(cli, "repeat", 1) > 1 || tgi_cli_int(cli, "warmup", 0) > 0)
        return tgi_cli_usage(cli, "--%s is for a single run; it does not go with --repeat and --warmup", which);
    if (tgi_cli_has(cli, "simulate"))
        return tgi_cli_usage(cli, "--%s does not go with --simulate, which computes nothing", which);
    return 0;
}

static void tell_resumed(const struct tgi_cli_checkpoint *cp)
{
    struct tgi_checkpoint_stats s;
    char done[TGI_UNITS_SIZE], all[TGI_UNITS_SIZE];
    tgi_checkpoint_stats(cp->checkpoint, &s);
    if (s.n_left_out)
        tgi_cli_warn(cp->cli, "the last %u of %u groups in the checkpoint are damaged, or stand on one that is: what they held is done again",
                     s.n_left_out, s.n_groups + s.n_left_out);
    tgi_cli_note(cp->cli, "going on from the checkpoint: %s of %s tasks are done", tgi_format_count(s.n_resumed, done, sizeof done),
                 tgi_format_count(cp->graph->n_tasks, all, sizeof all));
}

int tgi_cli_checkpoint_open(const struct tgi_cli *cli, const struct tg_graph *g, struct tgi_cli_checkpoint **cp_p)
{
    const char *resume = tgi_cli_text(cli, "resume", NULL), *folder = tgi_cli_text(cli, "checkpoint", resume);
    struct tg_error err;
    *cp_p = NULL;
    if (!folder)
        return 0;
    struct tgi_cli_checkpoint *cp = calloc(1, sizeof *cp);
    if (!cp)
        return tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory for checkpoints");
    *cp = (struct tgi_cli_checkpoint){.cli = cli, .graph = g, .folder = folder, .every_ns = tgi_cli_time_ns(cli, "checkpoint-every", 0)};
    pthread_mutex_init(&cp->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&cp->ends, &clock);
    pthread_condattr_destroy(&clock);
    int rc = tgi_cut_check(g, &err); /* before a folder is made */
    if (rc == 0)
        rc = resume ? tgi_checkpoint_open(folder, g, &cp->checkpoint, &err) : tgi_checkpoint_create(folder, g, &cp->checkpoint, &err);
    if (rc) {
        tgi_cli_checkpoint_destroy(cp);
        return tgi_cli_error(cli, &err);
    }
    if (resume)
        tell_resumed(cp);
    *cp_p = cp;
    return 0;
}

int tgi_cli_checkpoint_cut(struct tgi_cli_checkpoint *cp, uint32_t n_workers, struct tgi_cut **cut_p, struct tg_error *err)
{
    *cut_p = NULL;
    if (!cp)
        return 0;
    tgi_cut_destroy(cp->cut);
    cp->cut = NULL;
    int rc = tgi_cut_create(cp->graph, n_workers, &cp->cut, err);
    if (rc)
        return rc;
    tgi_checkpoint_attach(cp->checkpoint, cp->cut);
    *cut_p = cp->cut;
    return 0;
}

void tgi_cli_checkpoint_destroy(struct tgi_cli_checkpoint *cp)
{
    if (!cp)
        return;
    tgi_cut_destroy(cp->cut);
    tgi_checkpoint_destroy(cp->checkpoint);
    pthread_mutex_destroy(&cp->lock);
    pthread_cond_destroy(&cp->ends);
    free(cp);
}

/* ---- Around a run -------------------------------------------------------------------------*/

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int take(struct tgi_cli_checkpoint *cp, const _Atomic uint32_t *gives_up)
{
    struct tg_error err;
    int rc = tgi_checkpoint_take(cp->checkpoint, gives_up, &err);
    if (rc)
        tgi_cli_warn(cp->cli, "the run goes on without checkpoints from here on");
    return rc ? tgi_cli_error(cp->cli, &err) : 0;
}

static uint64_t pause_ns(const struct tgi_cli_checkpoint *cp)
{
    struct tgi_checkpoint_stats s;
    if (cp->every_ns)
        return cp->every_ns;
    tgi_checkpoint_stats(cp->checkpoint, &s);
    return s.last_closed_ns * PAUSES > LEAST_PAUSE_NS ? s.last_closed_ns * PAUSES : LEAST_PAUSE_NS;
}

static void *take_again(void *user)
{
    struct tgi_cli_checkpoint *cp = user;
    uint64_t at = now_ns() + pause_ns(cp);
    pthread_mutex_lock(&cp->lock);
    while (!cp->is_ending && cp->exit_code == 0) {
        struct timespec until = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
        pthread_cond_timedwait(&cp->ends, &cp->lock, &until);
        if (cp->is_ending || now_ns() < at)
            continue;
        pthread_mutex_unlock(&cp->lock);
        int exit_code = take(cp, &cp->gives_up);
        at = now_ns() + pause_ns(cp);
        pthread_mutex_lock(&cp->lock);
        cp->exit_code = exit_code;
    }
    pthread_mutex_unlock(&cp->lock);
    return NULL;
}

/* Without a thread there is the group at the end. */
void tgi_cli_checkpoint_begin(struct tgi_cli_checkpoint *cp)
{
    if (!cp)
        return;
    cp->has_thread = pthread_create(&cp->thread, NULL, take_again, cp) == 0;
    if (!cp->has_thread)
        tgi_cli_warn(cp->cli, "the system gives no thread: there is a checkpoint at the end only");
}

int tgi_cli_checkpoint_end(struct tgi_cli_checkpoint *cp, bool is_settled)
{
    if (!cp)
        return 0;
    pthread_mutex_lock(&cp->lock);
    cp->is_ending = true;
    atomic_store_explicit(&cp->gives_up, 1, memory_order_relaxed);
    pthread_cond_signal(&cp->ends);
    pthread_mutex_unlock(&cp->lock);
    if (cp->has_thread)
        pthread_join(cp->thread, NULL);
    cp->has_thread = false;
    if (cp->exit_code == 0 && is_settled)
        cp->exit_code = take(cp, NULL);
    return cp->exit_code;
}

/* ---- Summary ------------------------------------------------------------------------------*/

void tgi_cli_checkpoint_print(const struct tgi_cli_checkpoint *cp, FILE *to)
{
    struct tgi_checkpoint_stats s;
    char done[TGI_UNITS_SIZE], all[TGI_UNITS_SIZE], bytes[TGI_UNITS_SIZE], closed[TGI_UNITS_SIZE], most[TGI_UNITS_SIZE];
    if (!cp)
        return;
    tgi_checkpoint_stats(cp->checkpoint, &s);
    fprintf(to, "  checkpoint: %s of %s tasks acknowledged, %s written in %u group%s", tgi_format_count(s.n_kept, done, sizeof done),
            tgi_format_count(cp->graph->n_tasks, all, sizeof all), tgi_format_bytes((double)s.written_bytes, bytes, sizeof bytes), s.n_taken,
            s.n_taken == 1 ? "" : "s");
    if (s.closed_ns)
        fprintf(to, ", held up for %s, at most %s at a time", tgi_format_time((double)s.closed_ns, closed, sizeof closed),
                tgi_format_time((double)s.most_closed_ns, most, sizeof most));
    if (s.n_kept < cp->graph->n_tasks) {
        fputs("; run with --resume ", to);
        tgi_utf8_print(to, cp->folder);
        fputs(" to go on", to);
    }
    fputc('\n', to);
}

void tgi_cli_checkpoint_json(const struct tgi_cli_checkpoint *cp, struct tgi_json *json)
{
    struct tgi_checkpoint_stats s;
    if (!cp)
        return;
    tgi_checkpoint_stats(cp->checkpoint, &s);
    tgi_json_flat_object(json, "checkpoint");
    tgi_json_string(json, "folder", cp->folder);
    tgi_json_uint(json, "acknowledged_tasks", s.n_kept);
    tgi_json_uint(json, "resumed_tasks", s.n_resumed);
    tgi_json_uint(json, "groups", s.n_taken);
    tgi_json_uint(json, "groups_left_out", s.n_left_out);
    tgi_json_uint(json, "written_bytes", s.written_bytes);
    tgi_json_uint(json, "closed_ns", s.closed_ns);
    tgi_json_uint(json, "most_closed_ns", s.most_closed_ns);
    tgi_json_end(json);
}
