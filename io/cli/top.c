/* tgraph top: what the services of this user do, between two looks at their figures (io/service_board.h). */
#include "io/cli/cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/cli/document.h"
#include "io/service_board.h"
#include "io/service_metrics.h"
#include "io/units.h"
#include "io/utf8.h"

static const uint64_t second = 1000000000;
static const uint64_t least_period_ns = 10000000;
static const uint64_t old_ns = 2000000000; /* a sign is replaced four times a second */

/* A service now, and what it did since it was looked at before. */
struct change {
    const struct tgi_service_sign *sign;
    double period_s;                /* 0: it was not there before, or has not been shown again since */
    struct tg_service_metrics done; /* differences of what only grows */
    uint64_t silent_ns;             /* since it was shown last */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * second + (uint64_t)t.tv_nsec;
}

static const struct tgi_service_sign *find(const struct tgi_service_signs *in, const struct tgi_service_sign *like)
{
    for (uint32_t i = 0; i < in->n; i++)
        if (in->signs[i].pid == like->pid && in->signs[i].began_ns == like->began_ns)
            return &in->signs[i];
    return NULL;
}

static struct change change_of(const struct tgi_service_signs *before, const struct tgi_service_sign *sign)
{
    const struct tgi_service_sign *old = find(before, sign);
    uint64_t now = now_ns();
    struct change c = {.sign = sign, .silent_ns = now > sign->shown_ns ? now - sign->shown_ns : 0};
    if (!old || sign->shown_ns <= old->shown_ns)
        return c;
    const struct tg_service_metrics *m = &sign->metrics, *was = &old->metrics;
    c.period_s = (double)(sign->shown_ns - old->shown_ns) / 1e9;
    c.done.n_answered = m->n_answered - was->n_answered;
    c.done.n_tasks = m->n_tasks - was->n_tasks;
    c.done.n_clients = m->n_clients == was->n_clients ? m->n_clients : 0;
    for (uint32_t i = 0; i < TG_SERVICE_N_BUCKETS; i++)
        c.done.latency[i] = m->latency[i] - was->latency[i];
    for (uint32_t i = 0; i < c.done.n_clients; i++) {
        c.done.clients[i].n_begun = m->clients[i].n_begun - was->clients[i].n_begun;
        c.done.clients[i].used_ns = m->clients[i].used_ns - was->clients[i].used_ns;
        c.done.busy_ns += c.done.clients[i].used_ns;
    }
    return c;
}

/* NAN: nothing was answered.  An upper bound, as histograms give it. */
static double latency_us(const struct change *c, double fraction)
{
    uint64_t ns = tgi_service_quantile_ns(&c->done, fraction);
    return c->period_s > 0 && c->done.n_answered && ns ? (double)ns / 1e3 : NAN;
}
static double per_second(const struct change *c, uint64_t n) { return c->period_s > 0 ? (double)n / c->period_s : NAN; }
/* Of the time that clients have used. */
static double share(const struct change *c, uint32_t client)
{
    return c->done.busy_ns ? (double)c->done.clients[client].used_ns / (double)c->done.busy_ns : NAN;
}
static const char *state_of(const struct tgi_service_sign *s) { return tg_service_state_name((enum tg_service_state)s->state); }

/* ---- Text ---------------------------------------------------------------------------------*/

/* Padded to the right, a dash for what is not known. */
static void print_number(double value, int width)
{
    char text[TGI_UNITS_SIZE] = "-";
    if (!isnan(value))
        tgi_format_short(value, text, sizeof text);
    printf(" %*s", width, text);
}

static void print_client(const struct change *c, uint32_t i)
{
    const struct tg_service_client_metrics *m = &c->sign->metrics.clients[i];
    char part[16] = "-";
    if (!isnan(share(c, i)))
        snprintf(part, sizeof part, "%.1f %%", 100 * share(c, i));
    printf("         client %-2" PRIu32 "  weight %4" PRIu64 "  %7s of the time", i, m->weight, part);
    print_number(c->done.n_clients ? per_second(c, c->done.clients[i].n_begun) : NAN, 7);
    printf("/s  %" PRIu64 " waiting, %" PRIu64 " running, %" PRIu64 " in flight, %" PRIu64 " late, %" PRIu64 " cancelled\n", m->n_waiting,
           m->n_running, m->n_in_flight, m->n_late, m->n_cancelled);
}

static void print_service(const struct change *c)
{
    const struct tgi_service_sign *s = c->sign;
    printf("%8" PRIu64 " ", s->pid);
    tgi_utf8_print_column(stdout, s->name, 16, 16);
    printf(" cuda:%-2" PRIu64 " %-11s %-8s", s->device, state_of(s), s->is_resident ? "resident" : "away");
    print_number(per_second(c, c->done.n_answered), 8);
    print_number(latency_us(c, 0.5), 7);
    print_number(latency_us(c, 0.9), 7);
    print_number(latency_us(c, 0.99), 7);
    printf(" %5" PRIu64 "/%-5" PRIu64 " %7" PRIu64 " %7" PRIu64 " %7" PRIu64, s->metrics.n_in_flight, s->queue_capacity, s->metrics.n_waiting,
           s->metrics.n_running, s->metrics.n_failed);
    if (c->silent_ns > old_ns)
        printf("  silent for %.1f s", (double)c->silent_ns / 1e9);
    putchar('\n');
    for (uint32_t i = 0; i < s->metrics.n_clients; i++)
        print_client(c, i);
}

static void print_all(const struct tgi_service_signs *before, const struct tgi_service_signs *now)
{
    if (now->n == 0) {
        puts("no service of this user is shown");
        return;
    }
    printf("%8s %-16s %-7s %-11s %-8s %8s %7s %7s %7s %11s %7s %7s %7s\n", "PID", "NAME", "DEVICE", "STATE", "KERNEL", "MSG/S", "P50 us",
           "P90 us", "P99 us", "IN FLIGHT  ", "WAITING", "RUNNING", "FAILED");
    for (uint32_t i = 0; i < now->n; i++) {
        struct change c = change_of(before, &now->signs[i]);
        print_service(&c);
    }
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_clients(struct tgi_json *json, const struct change *c)
{
    tgi_json_array(json, "clients");
    for (uint32_t i = 0; i < c->sign->metrics.n_clients; i++) {
        const struct tg_service_client_metrics *m = &c->sign->metrics.clients[i];
        tgi_json_flat_object(json, NULL);
        tgi_json_uint(json, "client", i);
        tgi_json_uint(json, "weight", m->weight);
        tgi_json_double(json, "share", share(c, i));
        tgi_json_uint(json, "begun", m->n_begun);
        tgi_json_uint(json, "waiting", m->n_waiting);
        tgi_json_uint(json, "running", m->n_running);
        tgi_json_uint(json, "in_flight", m->n_in_flight);
        tgi_json_uint(json, "late", m->n_late);
        tgi_json_uint(json, "cancelled", m->n_cancelled);
        tgi_json_uint(json, "used_ns", m->used_ns);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_service(struct tgi_json *json, const struct change *c)
{
    const struct tgi_service_sign *s = c->sign;
    const struct tg_service_metrics *m = &s->metrics;
    char device[32];
    snprintf(device, sizeof device, "cuda:%" PRIu64, s->device);
    tgi_json_object(json, NULL);
    tgi_json_uint(json, "pid", s->pid);
    tgi_json_string(json, "name", s->name);
    tgi_json_string(json, "device", device);
    tgi_json_string(json, "state", state_of(s));
    tgi_json_bool(json, "is_resident", s->is_resident);
    tgi_json_uint(json, "blocks", s->n_blocks);
    tgi_json_uint(json, "queue_capacity", s->queue_capacity);
    tgi_json_double(json, "silent_s", (double)c->silent_ns / 1e9);
    tgi_json_double(json, "period_s", c->period_s > 0 ? c->period_s : NAN);
    tgi_json_double(json, "messages_per_s", per_second(c, c->done.n_answered));
    tgi_json_double(json, "tasks_per_s", per_second(c, c->done.n_tasks));
    tgi_json_double(json, "p50_us", latency_us(c, 0.5));
    tgi_json_double(json, "p90_us", latency_us(c, 0.9));
    tgi_json_double(json, "p99_us", latency_us(c, 0.99));
    tgi_json_uint(json, "sent", m->n_sent);
    tgi_json_uint(json, "answered", m->n_answered);
    tgi_json_uint(json, "failed", m->n_failed);
    tgi_json_uint(json, "refused", m->n_full);
    tgi_json_uint(json, "launches", m->n_launches);
    tgi_json_uint(json, "in_flight", m->n_in_flight);
    tgi_json_uint(json, "waiting", m->n_waiting);
    tgi_json_uint(json, "running", m->n_running);
    put_clients(json, c);
    tgi_json_end(json);
}

static void put_all(const struct tgi_service_signs *before, const struct tgi_service_signs *now)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "top");
    tgi_json_array(&json, "services");
    for (uint32_t i = 0; i < now->n; i++) {
        struct change c = change_of(before, &now->signs[i]);
        put_service(&json, &c);
    }
    tgi_json_end(&json);
    tgi_json_uint(&json, "removed", now->n_removed);
    tgi_json_uint(&json, "unreadable", now->n_unreadable);
    tgi_json_end(&json);
}

/* ---- The command --------------------------------------------------------------------------*/

static void say_what_is_wrong(const struct tgi_cli *cli, const struct tgi_service_signs *s)
{
    if (s->n_removed)
        tgi_cli_note(cli, "removed the files of %" PRIu32 " services whose processes have ended", s->n_removed);
    if (s->n_unreadable)
        tgi_cli_warn(cli, "%" PRIu32 " files of services could not be read", s->n_unreadable);
}

static void wait_for(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / second), (long)(ns % second)};
    nanosleep(&t, NULL); /* a signal ends the program or shortens one period */
}

int tgi_cli_top(struct tgi_cli *cli)
{
    const uint64_t period_ns = tgi_cli_time_ns(cli, "interval", second);
    const bool is_json = cli->format == TGI_FORMAT_JSON, is_once = is_json || tgi_cli_has(cli, "once"), is_screen = isatty(STDOUT_FILENO);
    struct tgi_service_signs before, now;
    struct tg_error err;
    if (period_ns < least_period_ns)
        return tgi_cli_usage(cli, "top: an interval of less than 10 ms");
    if (tgi_service_board_read(&before, &err))
        return tgi_cli_error(cli, &err);
    say_what_is_wrong(cli, &before);
    uint32_t n_removed = before.n_removed;
    do {
        wait_for(before.n || !is_once ? period_ns : 0); /* of nothing there are no rates */
        if (tgi_service_board_read(&now, &err)) {
            free(before.signs);
            return tgi_cli_error(cli, &err);
        }
        say_what_is_wrong(cli, &now);
        now.n_removed += n_removed;
        if (is_json)
            put_all(&before, &now);
        else {
            if (is_screen && !is_once)
                fputs("\033[H\033[2J", stdout);
            print_all(&before, &now);
        }
        fflush(stdout);
        free(before.signs);
        before = now;
    } while (!is_once && !ferror(stdout));
    free(before.signs);
    return TGI_EXIT_OK;
}
