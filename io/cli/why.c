/* tgraph why: why a task started when and where it did. */
#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"
#include "io/cli/recording.h"
#include "io/recording_table.h"
#include "io/units.h"
#include "io/utf8.h"

#define MOST_LINKS 40
#define NAME_WIDTH 36

/* What a task's lane did between the moment the task was ready and its start. */
struct queue {
    uint64_t busy_ns;
    uint32_t n_tasks;
    uint32_t last; /* that it executed before; TG_NONE: none */
};

struct job {
    const struct tgi_cli *cli;
    struct tgi_recording r;
    struct tgi_recording_paths paths;
    struct tgi_recording_table table;
    uint32_t most_links;
};

static uint64_t queued_ns(const struct tgi_recording *r, uint32_t t)
{
    const struct tgi_recording_task *task = &r->tasks[t];
    return task->ready_ns < task->start_ns ? task->start_ns - task->ready_ns : 0;
}

static struct queue look_at_lane(const struct tgi_recording *r, uint32_t t)
{
    const struct tgi_recording_task *task = &r->tasks[t];
    struct queue q = {0, 0, TG_NONE};
    for (uint32_t other = 0; other < r->n_tasks && task->lane != TG_NONE; other++) {
        const struct tgi_recording_task *o = &r->tasks[other];
        if (other == t || o->lane != task->lane || !tgi_recording_has_work(r, other) || o->start_ns > task->start_ns)
            continue;
        if (q.last == TG_NONE || o->end_ns > r->tasks[q.last].end_ns)
            q.last = other;
        uint64_t from = o->start_ns > task->ready_ns ? o->start_ns : task->ready_ns,
                 to = o->end_ns < task->start_ns ? o->end_ns : task->start_ns;
        if (to > from) {
            q.busy_ns += to - from;
            q.n_tasks++;
        }
    }
    return q;
}

static const char *state_text(uint8_t state)
{
    switch (state) {
    case TG_TASK_DONE:
        return "done";
    case TG_TASK_FAILED:
        return "failed";
    case TG_TASK_SKIPPED:
        return "not run";
    default:
        return "not finished";
    }
}

/* ---- Text ---------------------------------------------------------------------------------*/

static void print_name(const struct job *job, uint32_t t)
{
    char name[TGI_RECORDING_NAME_SIZE];
    tgi_utf8_print(stdout, tgi_recording_task_name(&job->r, t, name, sizeof(name)));
}

static void print_lane(const struct job *job, uint32_t lane)
{
    char name[64];
    tgi_utf8_print(stdout, tgi_recording_lane_name(&job->r, lane, name, sizeof(name)));
}

static void print_ready(const struct job *job, uint32_t t)
{
    const struct tgi_recording_task *task = &job->r.tasks[t];
    char a[TGI_UNITS_SIZE];
    printf("  ready   %10s", tgi_format_time((double)task->ready_ns, a, sizeof(a)));
    if (task->waited_for == TG_NONE) {
        printf("   %s\n", task->n_preds ? "nothing that it waits for ran" : "waits for nothing");
        return;
    }
    printf("   when ");
    print_name(job, task->waited_for);
    printf(" ended");
    if (job->r.tasks[task->waited_for].lane != TG_NONE) {
        printf(" on ");
        print_lane(job, job->r.tasks[task->waited_for].lane);
    }
    if (task->n_preds > 1)
        printf(", the last of %u", task->n_preds);
    putchar('\n');
}

static bool is_resident(const struct job *job, uint32_t t)
{
    uint32_t lane = job->r.tasks[t].lane;
    return lane != TG_NONE && job->r.lanes[lane].kind == TGI_LANE_RESIDENT;
}

static void print_start(const struct job *job, uint32_t t)
{
    const struct tgi_recording_task *task = &job->r.tasks[t];
    struct queue q = look_at_lane(&job->r, t);
    uint64_t queued = queued_ns(&job->r, t);
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    printf("  start   %10s   ", tgi_format_time((double)task->start_ns, a, sizeof(a)));
    if (task->lane != TG_NONE) {
        printf("on ");
        print_lane(job, task->lane);
        printf("%s, ", is_resident(job, t) ? ", inside a resident kernel" : "");
    }
    printf("%s later", tgi_format_time((double)queued, b, sizeof(b)));
    if (q.n_tasks > 0 && q.last != TG_NONE) {
        printf(": %s behind ", tgi_format_time((double)q.busy_ns, c, sizeof(c)));
        if (q.n_tasks > 1)
            printf("%u tasks, the last ", q.n_tasks);
        print_name(job, q.last);
        if (queued > q.busy_ns)
            printf(", %s idle", tgi_format_time((double)(queued - q.busy_ns), d, sizeof(d)));
    } else if (q.last != TG_NONE) {
        printf("; its lane was idle since the end of ");
        print_name(job, q.last);
        printf(" at %s", tgi_format_time((double)job->r.tasks[q.last].end_ns, c, sizeof(c)));
    } else if (task->lane != TG_NONE) {
        printf("; the first of its lane");
    }
    putchar('\n');
}

/* On CPUs nothing decides beforehand: the task lies in the queue of the worker that found it ready, until that or another
 * one takes it. */
static void print_stolen(const struct job *job, uint32_t t)
{
    const struct tgi_recording_task *task = &job->r.tasks[t];
    char a[TGI_UNITS_SIZE];
    uint32_t victim;
    if (!(task->flags & TGI_RECORDED_STOLEN))
        return;
    printf("  stolen            ");
    if (!tgi_recording_victim(&job->r, t, &victim)) {
        printf("from another worker\n");
        return;
    }
    print_lane(job, task->lane);
    printf(" took it out of the queue of ");
    if (victim == TG_NONE)
        printf("the thread that submits to devices");
    else
        print_lane(job, victim);
    printf(", %s after it was ready\n", tgi_format_time((double)queued_ns(&job->r, t), a, sizeof(a)));
}

static void print_estimate(const struct job *job, const char *title, const struct tgi_recording_place *p, const char *reason)
{
    char node[64], sum[TGI_UNITS_SIZE], busy[TGI_UNITS_SIZE], move[TGI_UNITS_SIZE];
    printf("  %-8s %9s   on ", title, tgi_format_time(p->busy_ns + p->move_ns, sum, sizeof(sum)));
    tgi_utf8_print(stdout, tgi_recording_node_name(&job->r, p->node, node, sizeof(node)));
    printf("%s%s: %s of work placed there + %s of copies\n", reason[0] ? ", " : "", reason,
           tgi_format_time(p->busy_ns, busy, sizeof(busy)), tgi_format_time(p->move_ns, move, sizeof(move)));
}

static void print_places(const struct job *job, uint32_t t)
{
    const struct tgi_recording *r = &job->r;
    uint32_t n, lane = r->tasks[t].lane;
    const struct tgi_recording_place *places = tgi_recording_places(r, t, &n);
    char node[64];
    if (n == 0)
        return;
    if (n > 1) {
        print_estimate(job, "placed", &places[0], tgi_recording_reason(places[0].reason));
    } else {
        printf("  placed            on ");
        tgi_utf8_print(stdout, tgi_recording_node_name(r, places[0].node, node, sizeof(node)));
        printf(", %s\n", tgi_recording_reason(places[0].reason));
    }
    for (uint32_t i = 1; i < n; i++)
        print_estimate(job, "rejected", &places[i], "");
    if (lane == TG_NONE || r->lanes[lane].device == TG_NONE || r->lanes[lane].device + 1 == places[0].node)
        return;
    printf("  moved             ");
    tgi_utf8_print(stdout, tgi_recording_node_name(r, r->lanes[lane].device + 1, node, sizeof(node)));
    printf(" took it over, having run dry\n");
}

/* The terms that are nothing are left out, but for the work. */
static void print_offer(const struct job *job, const char *title, const struct tgi_recording_offer *o, double least_ns)
{
    const struct {
        double ns;
        const char *what;
    } terms[] = {{o->move_ns, "until its data are there"}, {o->wait_ns, "waiting for a lane"}, {o->work_ns, "of work"},
                 {o->contention_ns, "of contention for memory"}};
    char node[64], text[TGI_UNITS_SIZE];
    double ns = o->move_ns + o->wait_ns + o->work_ns + o->contention_ns;
    printf("  %-8s %9s   on ", title, tgi_format_time(ns, text, sizeof(text)));
    tgi_utf8_print(stdout, o->node ? tgi_recording_node_name(&job->r, o->node, node, sizeof(node)) : "CPUs");
    putchar(':');
    for (size_t i = 0, n = 0; i < sizeof(terms) / sizeof(*terms); i++)
        if (terms[i].ns > 0 || i == 2)
            printf("%s %s %s", n++ ? " +" : "", tgi_format_time(terms[i].ns, text, sizeof(text)), terms[i].what);
    if (o->after_ns > 0)
        printf("; %s follow", tgi_format_time(o->after_ns, text, sizeof(text)));
    if (ns + o->after_ns > least_ns)
        printf("; later by %s", tgi_format_time(ns + o->after_ns - least_ns, text, sizeof(text)));
    putchar('\n');
}

static void print_offers(const struct job *job, uint32_t t)
{
    uint32_t n;
    const struct tgi_recording_offer *offers = tgi_recording_offers(&job->r, t, &n);
    for (uint32_t i = 0; i < n; i++) {
        const struct tgi_recording_offer *o = &offers[0];
        double least_ns = o->move_ns + o->wait_ns + o->work_ns + o->contention_ns + o->after_ns;
        print_offer(job, i ? "rejected" : "planned", &offers[i], least_ns);
    }
}

static void print_copies(const struct job *job, uint32_t t)
{
    const struct tgi_recording *r = &job->r;
    char from[64], to[64], bytes[TGI_UNITS_SIZE];
    for (uint64_t i = 0; i < r->n_transfers; i++) {
        const struct tgi_recording_transfer *x = &r->transfers[i];
        if (x->task != t)
            continue;
        printf("  copy              ");
        tgi_utf8_print(stdout, x->buffer < r->n_buffers ? tgi_recording_string(r, r->buffers[x->buffer].name) : "?");
        printf(" tile %u, %s, ", x->tile, tgi_format_bytes((double)x->bytes, bytes, sizeof(bytes)));
        tgi_utf8_print(stdout, tgi_recording_node_name(r, x->from, from, sizeof(from)));
        printf(" -> ");
        tgi_utf8_print(stdout, tgi_recording_node_name(r, x->to, to, sizeof(to)));
        putchar('\n');
    }
}

static void print_end(const struct job *job, uint32_t t)
{
    const struct tgi_recording_task *task = &job->r.tasks[t];
    const struct tgi_kernel_figures *k = tgi_recording_table_kernel(&job->table, task->kernel);
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE];
    printf("  end     %10s   took %s", tgi_format_time((double)task->end_ns, a, sizeof(a)),
           tgi_format_time((double)(task->end_ns - task->start_ns), b, sizeof(b)));
    if (k && k->n_tasks > 1 && tgi_recording_has_work(&job->r, t)) {
        printf("; the median of ");
        tgi_utf8_print(stdout, tgi_recording_kernel_name(&job->r, task->kernel));
        printf(" is %s", tgi_format_time((double)k->median_ns, c, sizeof(c)));
    }
    if (task->attempts > 1)
        printf("; %u attempts", task->attempts);
    putchar('\n');
}

static void print_slack(const struct job *job, uint32_t t)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE];
    if (job->r.is_cut || job->r.head.n_lost_rounds)
        return;
    if (job->paths.is_critical[t])
        printf("  slack           none   on the critical path, which takes %s\n",
               tgi_format_time((double)job->paths.critical_ns, a, sizeof(a)));
    else
        printf("  slack   %10s   to the critical path, which takes %s\n",
               tgi_format_time((double)job->paths.slack_ns[t], a, sizeof(a)),
               tgi_format_time((double)job->paths.critical_ns, b, sizeof(b)));
}

static void print_chain(const struct job *job, uint32_t t)
{
    char name[TGI_RECORDING_NAME_SIZE], a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE];
    uint32_t n = 0;
    printf("\n  %-*s %11s %11s %11s  %s\n", NAME_WIDTH, "backwards", "start", "queued", "took", "lane");
    for (; t != TG_NONE && n < job->most_links; t = job->r.tasks[t].waited_for, n++) {
        const struct tgi_recording_task *task = &job->r.tasks[t];
        printf("  ");
        tgi_utf8_print_column(stdout, tgi_recording_task_name(&job->r, t, name, sizeof(name)), NAME_WIDTH, NAME_WIDTH);
        printf(" %11s %11s %11s  ", tgi_format_time((double)task->start_ns, a, sizeof(a)),
               tgi_format_time((double)queued_ns(&job->r, t), b, sizeof(b)),
               tgi_format_time((double)(task->end_ns - task->start_ns), c, sizeof(c)));
        if (task->lane == TG_NONE)
            printf("-");
        else
            print_lane(job, task->lane);
        printf("%s\n", job->paths.is_critical[t] ? "  critical" : "");
    }
    if (t != TG_NONE)
        printf("  and further back (--top)\n");
}

static void print_text(const struct job *job, uint32_t t)
{
    const struct tgi_recording_task *task = &job->r.tasks[t];
    print_name(job, t);
    printf(": %s ", job->r.kernels[task->kernel].is_kernel ? "kernel" : "runtime:");
    tgi_utf8_print(stdout, tgi_recording_kernel_name(&job->r, task->kernel));
    printf(", %s\n", state_text(task->state));
    print_ready(job, t);
    if (tgi_recording_ran(&job->r, t)) {
        print_start(job, t);
        print_stolen(job, t);
        print_places(job, t);
        print_offers(job, t);
        print_copies(job, t);
        print_end(job, t);
        print_slack(job, t);
    }
    if (tgi_cli_has(job->cli, "chain"))
        print_chain(job, t);
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_name(const struct job *job, struct tgi_json *json, const char *key, uint32_t t)
{
    char name[TGI_RECORDING_NAME_SIZE];
    tgi_json_string(json, key, t == TG_NONE ? NULL : tgi_recording_task_name(&job->r, t, name, sizeof(name)));
}

static void put_task(const struct job *job, struct tgi_json *json, uint32_t t)
{
    const struct tgi_recording_task *task = &job->r.tasks[t];
    char lane[64];
    put_name(job, json, "task", t);
    tgi_json_string(json, "kernel", tgi_recording_kernel_name(&job->r, task->kernel));
    tgi_json_string(json, "state", state_text(task->state));
    tgi_json_string(json, "lane", task->lane == TG_NONE ? NULL : tgi_recording_lane_name(&job->r, task->lane, lane, sizeof(lane)));
    tgi_json_uint(json, "ready_ns", task->ready_ns);
    tgi_json_uint(json, "start_ns", task->start_ns);
    tgi_json_uint(json, "end_ns", task->end_ns);
    tgi_json_uint(json, "queued_ns", queued_ns(&job->r, t));
    put_name(job, json, "waited_for", task->waited_for);
    tgi_json_uint(json, "slack_ns", job->paths.slack_ns[t]);
    tgi_json_bool(json, "is_critical", job->paths.is_critical[t]);
}

static void put_copies(const struct job *job, struct tgi_json *json, uint32_t t)
{
    const struct tgi_recording *r = &job->r;
    char node[64];
    tgi_json_array(json, "copies");
    for (uint64_t i = 0; i < r->n_transfers; i++) {
        const struct tgi_recording_transfer *x = &r->transfers[i];
        if (x->task != t)
            continue;
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "buffer", x->buffer < r->n_buffers ? tgi_recording_string(r, r->buffers[x->buffer].name) : NULL);
        tgi_json_uint(json, "tile", x->tile);
        tgi_json_uint(json, "moved_bytes", x->bytes);
        tgi_json_string(json, "from", tgi_recording_node_name(r, x->from, node, sizeof(node)));
        tgi_json_string(json, "to", tgi_recording_node_name(r, x->to, node, sizeof(node)));
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_places(const struct job *job, struct tgi_json *json, uint32_t t)
{
    uint32_t n;
    const struct tgi_recording_place *places = tgi_recording_places(&job->r, t, &n);
    char node[64];
    tgi_json_array(json, "places"); /* the first is the one it got */
    for (uint32_t i = 0; i < n; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "device", tgi_recording_node_name(&job->r, places[i].node, node, sizeof(node)));
        tgi_json_string(json, "reason", i == 0 ? tgi_recording_reason(places[i].reason) : NULL);
        if (n > 1) {
            tgi_json_double(json, "estimate_ns", places[i].busy_ns + places[i].move_ns);
            tgi_json_double(json, "busy_ns", places[i].busy_ns);
            tgi_json_double(json, "move_ns", places[i].move_ns);
        }
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_offers(const struct job *job, struct tgi_json *json, uint32_t t)
{
    uint32_t n;
    const struct tgi_recording_offer *offers = tgi_recording_offers(&job->r, t, &n);
    char node[64];
    tgi_json_array(json, "candidates"); /* of a plan; the first is the one it took */
    for (uint32_t i = 0; i < n; i++) {
        const struct tgi_recording_offer *o = &offers[i];
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "device", tgi_recording_node_name(&job->r, o->node, node, sizeof(node)));
        tgi_json_bool(json, "is_taken", i == 0);
        tgi_json_double(json, "ready_ns", o->ready_ns);
        tgi_json_double(json, "transfer_ns", o->move_ns);
        tgi_json_double(json, "wait_ns", o->wait_ns);
        tgi_json_double(json, "execution_ns", o->work_ns);
        tgi_json_double(json, "contention_ns", o->contention_ns);
        tgi_json_double(json, "after_ns", o->after_ns);
        tgi_json_double(json, "end_ns", o->ready_ns + o->move_ns + o->wait_ns + o->work_ns + o->contention_ns);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_victim(const struct job *job, struct tgi_json *json, uint32_t t)
{
    uint32_t victim;
    char lane[64];
    if (tgi_recording_victim(&job->r, t, &victim))
        tgi_json_string(json, "stolen_from",
                        victim == TG_NONE ? "submitter" : tgi_recording_lane_name(&job->r, victim, lane, sizeof(lane)));
}

static void print_json(const struct job *job, uint32_t t)
{
    struct tgi_json json = tgi_cli_document(stdout, "tgraph.why/1", NULL);
    struct queue q = look_at_lane(&job->r, t);
    put_task(job, &json, t);
    tgi_json_uint(&json, "n_preds", job->r.tasks[t].n_preds);
    tgi_json_uint(&json, "attempts", job->r.tasks[t].attempts);
    tgi_json_bool(&json, "is_resident", is_resident(job, t));
    tgi_json_bool(&json, "is_stolen", job->r.tasks[t].flags & TGI_RECORDED_STOLEN);
    put_victim(job, &json, t);
    tgi_json_uint(&json, "lane_busy_ns", q.busy_ns); /* of queued_ns */
    put_name(job, &json, "before_on_lane", q.last);
    tgi_json_uint(&json, "critical_path_ns", job->paths.critical_ns);
    put_copies(job, &json, t);
    put_places(job, &json, t);
    put_offers(job, &json, t);
    if (tgi_cli_has(job->cli, "chain")) {
        uint32_t n = 0;
        tgi_json_array(&json, "chain");
        for (t = job->r.tasks[t].waited_for; t != TG_NONE && n < job->most_links; t = job->r.tasks[t].waited_for, n++) {
            tgi_json_flat_object(&json, NULL);
            put_task(job, &json, t);
            tgi_json_end(&json);
        }
        tgi_json_end(&json);
    }
    tgi_json_end(&json);
}

/* ---- The whole ----------------------------------------------------------------------------*/

static int explain(struct job *job, const char *name)
{
    char close_name[TGI_RECORDING_NAME_SIZE];
    uint32_t close, t = tgi_recording_find(&job->r, name, &close);
    struct tg_error err;
    if (t == TG_NONE && close != TG_NONE)
        return tgi_cli_fail(job->cli, TG_E_UNKNOWN_TASK, "there is no task \"%.200s\" in the record; did you mean \"%.200s\"?", name,
                            tgi_recording_task_name(&job->r, close, close_name, sizeof(close_name)));
    if (t == TG_NONE)
        return tgi_cli_fail(job->cli, TG_E_UNKNOWN_TASK, "there is no task \"%.200s\" in the record", name);
    if (tgi_recording_table_create(&job->r, &job->paths, &job->table, &err))
        return tgi_cli_error(job->cli, &err);
    if (job->cli->format == TGI_FORMAT_JSON)
        print_json(job, t);
    else
        print_text(job, t);
    tgi_recording_table_fini(&job->table);
    return 0;
}

int tgi_cli_why(struct tgi_cli *cli)
{
    struct job job = {.cli = cli, .most_links = (uint32_t)tgi_cli_int(cli, "top", MOST_LINKS)};
    int rc = tgi_cli_read_recording(cli, cli->operands[0], &job.r, &job.paths);
    if (rc)
        return rc;
    rc = explain(&job, cli->operands[1]);
    tgi_recording_paths_fini(&job.paths);
    tgi_recording_fini(&job.r);
    return rc;
}
