/* A service under mixed load: messages of all bodies, instances of two programs of which one fails, cancelled ones, ones with deadlines, calls that
 * give up, activation and deactivation, pauses in which the kernel leaves, all drawn from a seed.  Every message has to be answered once, and with
 * what the host computes, or as its failure, its cancelling or its deadline says. */
#ifndef BENCH_SERVICE_SOAK_H
#define BENCH_SERVICE_SOAK_H

#include <stdio.h>
#include <time.h>

#include "bench/resident_dag.h"
#include "sched/service.h"

/* What the simplest services and instances need. */
#define WORD_PROGRAM(p, n_in, n_out, out) \
    (struct tgi_service_program){.program = (p), .n_inputs = (n_in), .n_outputs = (n_out), .outputs = (out)}
#define ONE_PROGRAM(p, n_in, n_out, out) \
    (struct tgi_service_setup){.programs = &WORD_PROGRAM(p, n_in, n_out, out), .n_programs = 1}
#define INPUTS(words) (&(struct tg_service_instance){.inputs = (words)})

enum { SOAK_INPUTS = 8, SOAK_TASKS = 120, SOAK_OUTPUTS = 4, SOAK_BYTES = 64, SOAK_MAX_PLACES = 1024, SOAK_CODE = 77 };
static const uint64_t soak_limit_ns = 60000000000u; /* of one wait */

struct soak_message {
    bool is_under_way, is_instance;
    bool fails, is_cancelled, has_deadline; /* of an instance */
    enum tg_service_body body;
    uint32_t argument;
    uint64_t data[SOAK_BYTES / 8];
    size_t n_bytes;
};

struct soak {
    struct tg_service *service;
    uint64_t lot; /* of the next draw */
    struct resident_dag dag;
    uint32_t outputs[SOAK_OUTPUTS];
    uint64_t n_sent, n_received, n_given_up, n_instances;
    struct soak_message places[SOAK_MAX_PLACES];
    uint32_t capacity;
    char text[1024]; /* what went wrong; empty: nothing */
};

static inline uint32_t soak_draw(struct soak *s, uint32_t n) { return (uint32_t)(tgi_mix(s->lot++) % n); }

static inline bool soak_fails(struct soak *s, const char *what, uint64_t ticket, const char *why)
{
    if (!s->text[0])
        snprintf(s->text, sizeof s->text, "%s, message %llu: %s", what, (unsigned long long)ticket, why);
    return false;
}

/* Sums of inputs: the epoch, which a launch begins anew, shows in the upper half of results alone. */
static inline void soak_draw_dag(struct soak *s)
{
    struct resident_dag *d = &s->dag;
    resident_dag_init(d, SOAK_TASKS, TGI_RESIDENT_ADD);
    d->arg = calloc(SOAK_TASKS, sizeof *d->arg);
    for (uint32_t t = 0; t < SOAK_TASKS; t++) {
        if (t < SOAK_INPUTS) {
            d->op[t] = TGI_RESIDENT_INPUT;
            d->arg[t] = t;
        } else
            for (uint32_t k = soak_draw(s, 4) + 1; k; k--)
                resident_dag_edge(d, soak_draw(s, t), t);
    }
    resident_dag_close(d);
    for (uint32_t i = 0; i < SOAK_OUTPUTS; i++)
        s->outputs[i] = SOAK_TASKS - 1 - i;
}

static inline struct tgi_resident_program *soak_plan(struct soak *s, uint32_t n_blocks, uint32_t each, struct tg_error *why)
{
    const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;
    const struct tgi_resident_shape shape = {n_blocks, each, 64u << 10, TGI_RESIDENT_WARP};
    struct tgi_resident_program *p = NULL;
    struct resident_dag *d = &s->dag;
    if (tgi_resident_plan(&d->dag, &shape, &costs, &p, why) == 0 && tgi_resident_check(&d->dag, p, why) == 0)
        return p;
    tgi_resident_program_destroy(p);
    return NULL;
}

/* ---- Messages -----------------------------------------------------------------------------*/

static inline bool soak_is_right(struct soak *s, const struct soak_message *m, const struct tg_service_answer *a,
                                 const uint64_t *got)
{
    if (m->is_instance) {
        if ((m->is_cancelled && a->status == TG_E_CANCELLED) || (m->has_deadline && a->status == TG_E_DEADLINE))
            return true;
        if (m->fails)
            return a->status == TG_E_TASK_FAILED && a->code == SOAK_CODE;
        uint64_t want[SOAK_TASKS];
        resident_dag_execute_on(&s->dag.dag, m->data, 0, want);
        for (uint32_t i = 0; i < SOAK_OUTPUTS; i++)
            if ((uint32_t)got[i] != (uint32_t)want[s->outputs[i]])
                return false;
        return a->status == 0 && a->n_bytes == 8 * SOAK_OUTPUTS;
    }
    if (m->body == TG_SERVICE_FAIL)
        return a->status == TG_E_TASK_FAILED && a->code == m->argument;
    if (a->status || a->n_bytes != m->n_bytes)
        return false;
    if (m->body == TG_SERVICE_MIX)
        return got[0] == tgi_mix(m->data[0] + m->argument);
    return memcmp(got, m->data, m->n_bytes) == 0;
}

static inline void soak_make(struct soak *s, struct soak_message *m)
{
    static const enum tg_service_body bodies[] = {TG_SERVICE_ECHO, TG_SERVICE_ECHO, TG_SERVICE_ECHO, TG_SERVICE_MIX,
                                                  TG_SERVICE_SPIN, TG_SERVICE_FAIL};
    *m = (struct soak_message){.is_under_way = true, .is_instance = soak_draw(s, 8) == 0, .body = bodies[soak_draw(s, 6)]};
    for (uint32_t i = 0; i < SOAK_BYTES / 8; i++)
        m->data[i] = tgi_mix(s->lot + i);
    m->argument = m->body == TG_SERVICE_SPIN ? soak_draw(s, 50) : soak_draw(s, 1000);
    m->fails = soak_draw(s, 4) == 0;
    m->has_deadline = soak_draw(s, 8) == 0;
    m->n_bytes = m->body == TG_SERVICE_MIX ? 8 : m->body == TG_SERVICE_ECHO ? soak_draw(s, SOAK_BYTES + 1) : 0;
}

static inline bool soak_send(struct soak *s, struct tg_error *why)
{
    struct soak_message m;
    uint64_t ticket;
    soak_make(s, &m);
    struct tg_service_message message = {m.body, m.argument, m.data, m.n_bytes};
    struct tg_service_instance instance = {.program = m.fails, .urgency = soak_draw(s, 4), .inputs = m.data};
    instance.deadline_ns = m.has_deadline ? 1 + soak_draw(s, 200000) : 0;
    int rc = m.is_instance ? tg_service_submit(s->service, &instance, &ticket, why)
                           : tg_service_send(s->service, &message, &ticket, why);
    if (rc == TG_E_FULL)
        return true;
    if (rc)
        return soak_fails(s, "send", s->n_sent, why->text);
    struct soak_message *place = &s->places[ticket % s->capacity];
    if (place->is_under_way)
        return soak_fails(s, "send", ticket, "its place was not free");
    *place = m;
    s->n_sent++;
    s->n_instances += m.is_instance;
    if (!m.is_instance || soak_draw(s, 6))
        return true;
    rc = tg_service_cancel(s->service, ticket, why);
    place->is_cancelled = rc == 0;
    return rc == 0 || rc == TG_E_STATE /* answered by now */ ? true : soak_fails(s, "cancel", ticket, why->text);
}

static inline bool soak_receive(struct soak *s, uint64_t timeout_ns, struct tg_error *why)
{
    struct tg_service_answer a;
    uint64_t got[SOAK_BYTES / 8];
    int rc = tg_service_receive(s->service, timeout_ns, &a, got, sizeof got, why);
    if (rc == TG_E_NO_ANSWER && timeout_ns == 0)
        return true;
    if (rc)
        return soak_fails(s, "receive", s->n_received, why->text);
    struct soak_message *m = &s->places[a.ticket % s->capacity];
    if (!m->is_under_way)
        return soak_fails(s, "receive", a.ticket, "it was answered before");
    if (!soak_is_right(s, m, &a, got))
        return soak_fails(s, "receive", a.ticket, "its answer is not what it should be");
    m->is_under_way = false;
    s->n_received++;
    return true;
}

/* One that nobody waits for long enough. */
static inline bool soak_give_up(struct soak *s, struct tg_error *why)
{
    struct tg_service_message m = {TG_SERVICE_SPIN, 200, NULL, 0};
    int rc = tg_service_call(s->service, &m, 20000, NULL, 0, NULL, why);
    s->n_given_up += rc == TG_E_NO_ANSWER;
    return rc == 0 || rc == TG_E_NO_ANSWER || rc == TG_E_FULL ? true : soak_fails(s, "call", s->n_sent, why->text);
}

static inline bool soak_rest(struct soak *s, struct tg_error *why)
{
    uint32_t how = soak_draw(s, 8);
    if (how == 0) { /* around the time after which the kernel leaves */
        nanosleep(&(struct timespec){0, 500000 + soak_draw(s, 3000000)}, NULL);
        return true;
    }
    if (how > 1)
        return true;
    int rc = tg_service_deactivate(s->service, why);
    if (rc == 0 && !soak_send(s, why))
        return false;
    if (rc == 0)
        rc = tg_service_activate(s->service, why);
    return rc ? soak_fails(s, "activation", s->n_sent, why->text) : true;
}

static inline bool soak_step(struct soak *s, struct tg_error *why)
{
    for (uint32_t n = soak_draw(s, 20); n; n--)
        if (!soak_send(s, why))
            return false;
    for (uint32_t n = soak_draw(s, 30); n; n--)
        if (!soak_receive(s, 0, why))
            return false;
    return (soak_draw(s, 50) || soak_give_up(s, why)) && soak_rest(s, why);
}

/* Creates a service with these options (idle_exit_ns, queue_capacity and message_bytes are drawn) and a program of so many blocks;
 * false: s->text says what went wrong. */
static inline bool service_soak(struct soak *s, struct tg_service_options o, uint32_t n_blocks, uint64_t seed, uint64_t ns,
                                struct tg_service_metrics *metrics_p)
{
    struct tg_error why;
    *s = (struct soak){.lot = seed << 32};
    struct tgi_resident_program *p[2] = {NULL, NULL};
    soak_draw_dag(s);
    bool is_good = (p[0] = soak_plan(s, n_blocks, 2, &why)) != NULL;
    /* The other: the same graph, in whose middle a task fails. */
    s->dag.op[SOAK_TASKS / 2] = TGI_RESIDENT_FAIL;
    s->dag.arg[SOAK_TASKS / 2] = SOAK_CODE;
    is_good = is_good && (p[1] = soak_plan(s, n_blocks, 2, &why)) != NULL;
    s->dag.op[SOAK_TASKS / 2] = TGI_RESIDENT_ADD;
    if (!is_good)
        soak_fails(s, "planning", 0, why.text);
    o.idle_exit_ns = 1000000;
    o.message_bytes = SOAK_BYTES;
    s->capacity = o.queue_capacity = 2u << soak_draw(s, 9);
    const struct tgi_service_program programs[2] = {{.program = p[0], .n_inputs = SOAK_INPUTS, .n_outputs = SOAK_OUTPUTS, .outputs = s->outputs},
                                                    {.program = p[1], .n_inputs = SOAK_INPUTS, .n_outputs = SOAK_OUTPUTS, .outputs = s->outputs}};
    const struct tgi_service_setup setup = {.programs = programs, .n_programs = 2, .n_ahead = 1u << soak_draw(s, 4)};
    int rc = is_good ? tgi_service_create(&o, &setup, &s->service, &why) : 0;
    tgi_resident_program_destroy(p[0]);
    tgi_resident_program_destroy(p[1]);
    if (is_good && rc == 0)
        rc = tg_service_launch(s->service, &why);
    if (is_good && rc == 0)
        rc = tg_service_activate(s->service, &why);
    is_good = is_good && (rc == 0 || soak_fails(s, "starting", 0, why.text));
    for (uint64_t begin = tgi_service_now_ns(); is_good && tgi_service_now_ns() - begin < ns;)
        is_good = soak_step(s, &why);
    while (is_good && s->n_received < s->n_sent)
        is_good = soak_receive(s, soak_limit_ns, &why);
    if (is_good && (rc = tg_service_terminate(s->service, soak_limit_ns, &why)))
        is_good = soak_fails(s, "terminate", s->n_sent, why.text);
    if (is_good)
        tg_service_metrics(s->service, metrics_p, NULL);
    if (is_good && metrics_p->n_answered != metrics_p->n_sent)
        is_good = soak_fails(s, "in the end", s->n_sent, "not as many answers as messages");
    tg_service_destroy(s->service);
    resident_dag_fini(&s->dag);
    return is_good;
}

#endif
