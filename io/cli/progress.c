#include "io/cli/progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "graph/model.h"
#include "io/units.h"
#include "mem/device.h"
#include "sched/record.h"

#define SILENT_NS 500000000u     /* what is over by then needs no bar */
#define BAR_PERIOD_NS 100000000u
#define LINE_PERIOD_NS 1000000000u
#define BAR_CELLS 16

enum form { NONE, BAR, PLAIN, JSON };

struct tgi_cli_progress {
    enum form form;
    const struct tg_runtime *runtime;
    bool has_busy;              /* times at work are counted */
    uint32_t n_devices;         /* beside CPUs; then their times before */
    uint64_t device_before_ns[TGI_MAX_DEVICES];
    uint64_t n_total;           /* tasks; 0: not known in advance */
    uint64_t n_before, busy_before_ns, begin_ns;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    bool is_ending;             /* under the lock */
};

/* What there is to say at one moment. */
struct view {
    uint64_t n_done, n_total, elapsed_ns;
    double tasks_per_s, eta_s;  /* eta below 0: unknown */
    double busy;                /* share of the workers' time; below 0: unknown */
    uint32_t n_devices;         /* then of each device's */
    double device_busy[TGI_MAX_DEVICES];
};

static atomic_bool is_bar_shown;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- How many tasks -----------------------------------------------------------------------*/

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t times(uint64_t a, uint64_t b)
{
    return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* n_of_op: tasks that a task of this op is, 0: not known. */
static uint64_t count_tasks(const struct tg_graph *g, const uint64_t *n_of_op)
{
    uint64_t n = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        uint64_t more = n_of_op[g->nodes[t].op & TGI_NODE_OP];
        if (more == 0)
            return 0;
        n = add(n, more);
    }
    return n;
}

/* Tasks that a run executes, those of a repeat as often as it does; 0: that depends on conditions. */
static uint64_t total_tasks(const struct tg_graph *g)
{
    uint32_t n_ops = g->space->n_ops;
    uint64_t *n_of_op = malloc(((size_t)n_ops + 1) * sizeof(*n_of_op)), n = 0;
    if (!n_of_op)
        return 0;
    /* A body is complete before the control task that it is given to, so its ops come first. */
    for (uint32_t i = 0; i < n_ops; i++) {
        const struct tgi_op *op = &g->space->ops[i];
        n_of_op[i] = op->kind < TGI_OP_REPEAT ? 1 : 0;
        if (op->kind == TGI_OP_REPEAT) {
            n = op->body->n_tasks ? count_tasks(op->body, n_of_op) : 0;
            if (n || op->body->n_tasks == 0 || op->count == 0)
                n_of_op[i] = add(1, times(op->count, n));
        }
    }
    n = count_tasks(g, n_of_op);
    free(n_of_op);
    return n == UINT64_MAX ? 0 : n;
}

/* ---- Showing ------------------------------------------------------------------------------*/

static double share(double part, double whole) { return part < whole ? part / whole : 1; }

static struct view look(const struct tgi_cli_progress *p)
{
    struct view v = {.n_total = p->n_total, .eta_s = -1, .busy = -1};
    uint64_t n_tasks, busy_ns;
    v.elapsed_ns = now_ns() - p->begin_ns;
    tgi_runtime_progress(p->runtime, &n_tasks, &busy_ns);
    v.n_done = n_tasks - p->n_before;
    if (v.n_total && v.n_done > v.n_total)
        v.n_done = v.n_total;
    double seconds = (double)v.elapsed_ns / 1e9;
    v.tasks_per_s = (double)v.n_done / seconds;
    if (v.n_total && v.n_done)
        v.eta_s = (double)(v.n_total - v.n_done) / v.tasks_per_s;
    if (p->has_busy && v.n_done) {
        v.busy = share((double)(busy_ns - p->busy_before_ns) / tg_runtime_n_workers(p->runtime), (double)v.elapsed_ns);
        v.n_devices = p->n_devices;
    }
    for (uint32_t i = 0; i < v.n_devices; i++)
        v.device_busy[i] = share((double)(tgi_runtime_device_busy_ns(p->runtime, i) - p->device_before_ns[i]), (double)v.elapsed_ns);
    return v;
}

static size_t append(char *text, size_t size, size_t n, const char *format, ...) TG_PRINTF(4, 5);
static size_t append(char *text, size_t size, size_t n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int more = vsnprintf(text + n, size - n, format, args);
    va_end(args);
    return more < 0 ? n : n + (size_t)more < size ? n + (size_t)more : size - 1;
}

/* Whole percents, 100 only when all is done. */
static int percent(const struct view *v)
{
    return (int)(100.0 * (double)v->n_done / (double)v->n_total);
}

static size_t append_eta(char *text, size_t size, size_t n, const char *before, const struct tgi_cli_progress *p, const struct view *v)
{
    char eta[TGI_UNITS_SIZE], name[64];
    if (v->eta_s >= 0)
        n = append(text, size, n, "%seta %s", before, tgi_format_time(v->eta_s * 1e9, eta, sizeof(eta)));
    if (v->busy >= 0)
        n = append(text, size, n, "%scpu %.0f %%", before, 100 * v->busy);
    for (uint32_t i = 0; i < v->n_devices; i++)
        n = append(text, size, n, "%s%s %.0f %%", before, tgi_runtime_device_name(p->runtime, i, name, sizeof(name)), 100 * v->device_busy[i]);
    return n;
}

/* "450 of 1,000 tasks (45 %), 1.20k tasks/s, eta 3.00 s, cpu 98 %" */
static size_t append_figures(char *text, size_t size, size_t n, const struct tgi_cli_progress *p, const struct view *v)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE];
    n = append(text, size, n, "%s", tgi_format_count(v->n_done, a, sizeof(a)));
    if (v->n_total)
        n = append(text, size, n, " of %s", tgi_format_count(v->n_total, b, sizeof(b)));
    n = append(text, size, n, " tasks");
    if (v->n_total)
        n = append(text, size, n, " (%d %%)", percent(v));
    n = append(text, size, n, ", %s tasks/s", tgi_format_short(v->tasks_per_s, a, sizeof(a)));
    return append_eta(text, size, n, ", ", p, v);
}

static void show_bar(const struct tgi_cli_progress *p, const struct view *v)
{
    char text[512];
    size_t n = 0, columns = 80;
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
        columns = window.ws_col;
    char done[TGI_UNITS_SIZE], rate[TGI_UNITS_SIZE];
    if (v->n_total) {
        int filled = (int)(BAR_CELLS * ((double)v->n_done / (double)v->n_total));
        n = append(text, sizeof(text), n, "[%.*s%*s] %d %%  ", filled, "################", BAR_CELLS - filled, "",
                   percent(v));
    }
    n = append(text, sizeof(text), n, "%s tasks  %s/s", tgi_format_count(v->n_done, done, sizeof(done)),
               tgi_format_short(v->tasks_per_s, rate, sizeof(rate)));
    n = append_eta(text, sizeof(text), n, "  ", p, v);
    if (n >= columns)
        n = columns - 1; /* a line that wraps could not be taken back */
    char line[sizeof(text) + 16];
    int length = snprintf(line, sizeof(line), "\r%.*s\033[K", (int)n, text);
    atomic_store(&is_bar_shown, true);
    (void)!write(STDERR_FILENO, line, (size_t)length);
}

static void show_plain(const struct tgi_cli_progress *p, const struct view *v)
{
    char line[512];
    size_t n = append(line, sizeof(line), 0, "progress: ");
    n = append_figures(line, sizeof(line), n, p, v);
    n = append(line, sizeof(line), n, "\n");
    (void)!write(STDERR_FILENO, line, n);
}

static void show_json(const struct tgi_cli_progress *p, const struct view *v)
{
    char line[2048], name[64];
    size_t n = append(line, sizeof(line), 0, "{\"progress\": {\"elapsed_ns\": %llu, \"done_tasks\": %llu",
                      (unsigned long long)v->elapsed_ns, (unsigned long long)v->n_done);
    if (v->n_total)
        n = append(line, sizeof(line), n, ", \"tasks\": %llu", (unsigned long long)v->n_total);
    n = append(line, sizeof(line), n, ", \"tasks_per_s\": %.6g", v->tasks_per_s);
    if (v->eta_s >= 0)
        n = append(line, sizeof(line), n, ", \"eta_ns\": %.0f", v->eta_s * 1e9);
    if (v->busy >= 0)
        n = append(line, sizeof(line), n, ", \"devices\": [{\"device\": \"cpu\", \"busy\": %.4f}", v->busy);
    for (uint32_t i = 0; i < v->n_devices; i++)
        n = append(line, sizeof(line), n, ", {\"device\": \"%s\", \"busy\": %.4f}",
                   tgi_runtime_device_name(p->runtime, i, name, sizeof(name)), v->device_busy[i]);
    if (v->busy >= 0)
        n = append(line, sizeof(line), n, "]");
    n = append(line, sizeof(line), n, "}}\n");
    (void)!write(STDERR_FILENO, line, n);
}

static void *watch(void *arg)
{
    struct tgi_cli_progress *p = arg;
    uint64_t at = p->begin_ns + SILENT_NS;
    pthread_mutex_lock(&p->lock);
    while (!p->is_ending) {
        struct timespec until = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
        pthread_cond_timedwait(&p->ends, &p->lock, &until);
        if (p->is_ending || now_ns() < at)
            continue;
        struct view v = look(p);
        (p->form == BAR ? show_bar : p->form == PLAIN ? show_plain : show_json)(p, &v);
        at = now_ns() + (p->form == BAR ? BAR_PERIOD_NS : LINE_PERIOD_NS);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- Beginning and end --------------------------------------------------------------------*/

static enum form form_of(const struct tgi_cli *cli)
{
    const char *text = tgi_cli_text(cli, "progress", "auto"), *term = getenv("TERM");
    bool may_move = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    if (strcmp(text, "auto") == 0)
        return may_move && !cli->is_quiet && cli->error_format != TGI_DIAGNOSTIC_JSON ? BAR : NONE;
    return strcmp(text, "bar") == 0 ? BAR : strcmp(text, "plain") == 0 ? PLAIN : strcmp(text, "json") == 0 ? JSON : NONE;
}

static bool start_thread(struct tgi_cli_progress *p)
{
    pthread_condattr_t attr;
    sigset_t all, before;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->ends, &attr);
    pthread_condattr_destroy(&attr);
    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&p->thread, NULL, watch, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

struct tgi_cli_progress *tgi_cli_progress_begin(const struct tgi_cli *cli, const struct tg_runtime *runtime,
                                                const struct tg_graph *graph, bool is_recorded)
{
    enum form form = form_of(cli);
    struct tgi_cli_progress *p = form == NONE ? NULL : calloc(1, sizeof(*p));
    if (form == NONE)
        return NULL;
    if (p) {
        p->form = form;
        p->runtime = runtime;
        p->has_busy = is_recorded;
        p->n_total = total_tasks(graph);
        p->n_devices = tgi_runtime_n_devices(runtime);
        for (uint32_t i = 0; i < p->n_devices; i++)
            p->device_before_ns[i] = tgi_runtime_device_busy_ns(runtime, i);
        tgi_runtime_progress(runtime, &p->n_before, &p->busy_before_ns);
        p->begin_ns = now_ns();
    }
    if (p && start_thread(p))
        return p;
    free(p);
    tgi_cli_warn(cli, "no progress is shown: there is no thread for it");
    return NULL;
}

void tgi_cli_progress_erase(void)
{
    if (atomic_exchange(&is_bar_shown, false))
        (void)!write(STDERR_FILENO, "\r\033[K", 4);
}

void tgi_cli_progress_end(struct tgi_cli_progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->is_ending = true;
    pthread_cond_signal(&p->ends);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    tgi_cli_progress_erase();
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->ends);
    free(p);
}
