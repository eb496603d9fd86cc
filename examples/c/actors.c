/* Actors whose behaviour is executed by a service: for each account one that keeps its balance, one that knows its peak, and one that
 * counts alarms, each of which sends to the next.
 *
 *     cc actors.c -o actors $(pkg-config --cflags --libs tgraph) && ./actors
 *
 * What an actor does is a program of the service: from its state and a message it makes its new state and the message for the next
 * actor.  Mailboxes and states are the host's, since instances of a service keep nothing: each takes the state along and brings the new
 * one back.  An actor is given a message only when it is done with the one before, so its state is never in two places; many actors
 * are at work at a time.  Where there is no GPU the program says so and exits with 4. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tgraph_service.h>

enum { N_ACCOUNTS = 24, N_MOVEMENTS = 50, LIMIT = 500, QUEUE = 256, NO_GPU = 4 };
enum kind { BALANCE, PEAK, ALARM, N_KINDS };
static const uint64_t second = 1000000000;

/* ---- Behaviours ---------------------------------------------------------------------------*/

struct builder {
    struct tg_service_program *p;
    struct tg_error *err;
    int rc; /* the first failure; nothing is added after it */
};

static uint32_t add(struct builder *b, enum tg_service_op op, int64_t argument, const uint32_t *after, uint32_t n)
{
    uint32_t task = 0;
    if (b->rc == 0)
        b->rc = tg_service_program_add_task(b->p, op, (uint64_t)argument, after, n, &task, b->err);
    return task;
}
static uint32_t input(struct builder *b, int64_t number) { return add(b, TG_SERVICE_OP_INPUT, number, NULL, 0); }
static uint32_t negative(struct builder *b, uint32_t x) { return add(b, TG_SERVICE_OP_SCALE, -1, &x, 1); }
static uint32_t sum(struct builder *b, uint32_t x, uint32_t y) { return add(b, TG_SERVICE_OP_SUM, 0, (uint32_t[]){x, y}, 2); }
static uint32_t above(struct builder *b, uint32_t x, int64_t least) { return add(b, TG_SERVICE_OP_RAMP, -least, &x, 1); }
static void outputs(struct builder *b, uint32_t state, uint32_t message)
{
    if (b->rc == 0)
        b->rc = tg_service_program_add_output(b->p, state, b->err);
    if (b->rc == 0)
        b->rc = tg_service_program_add_output(b->p, message, b->err);
}

/* Input 0 is the state, input 1 the message. */
static int add_behaviour(enum kind kind, struct builder *b)
{
    uint32_t state = input(b, 0), message = input(b, 1);
    if (kind == BALANCE) { /* the balance, and the same for the next */
        uint32_t balance = sum(b, state, message);
        outputs(b, balance, balance);
    } else if (kind == PEAK) { /* the greatest balance, and how far below it this one is */
        uint32_t rise = above(b, sum(b, message, negative(b, state)), 0), peak = sum(b, state, rise);
        outputs(b, peak, sum(b, peak, negative(b, message)));
    } else { /* how often that was more than LIMIT: a step is the difference of two ramps */
        uint32_t step = sum(b, above(b, message, LIMIT), negative(b, above(b, message, LIMIT + 1))), count = sum(b, state, step);
        outputs(b, count, count);
    }
    return b->rc;
}

static int make_service(struct tg_service **service_p, struct tg_error *err)
{
    struct tg_service_options options = TG_SERVICE_OPTIONS_INIT;
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service_program *programs[N_KINDS] = {NULL};
    int rc = 0;
    for (int k = 0; rc == 0 && k < N_KINDS; k++) {
        rc = tg_service_program_create(2, &programs[k], err);
        if (rc == 0)
            rc = add_behaviour((enum kind)k, &(struct builder){programs[k], err, 0});
    }
    setup.programs = programs;
    setup.n_programs = N_KINDS;
    setup.n_workers_each = 1; /* there is little to share in so small a program */
    options.queue_capacity = QUEUE;
    options.setup = &setup;
    if (rc == 0)
        rc = tg_service_create(&options, service_p, err);
    for (int k = 0; k < N_KINDS; k++)
        tg_service_program_destroy(programs[k]);
    return rc;
}

/* ---- Actors -------------------------------------------------------------------------------*/

struct actor {
    int64_t state;
    int64_t mail[N_MOVEMENTS]; /* all that it will ever get */
    uint32_t n_mail, n_taken;
    bool is_busy;
};
static struct actor actors[N_ACCOUNTS][N_KINDS];
static uint32_t account_of[QUEUE], kind_of[QUEUE]; /* by ticket modulo the queue */

/* TG_E_FULL: it keeps its message until later. */
static int begin(struct tg_service *service, uint32_t account, uint32_t kind, struct tg_error *err)
{
    struct actor *a = &actors[account][kind];
    if (a->is_busy || a->n_taken == a->n_mail)
        return 0;
    const uint64_t inputs[] = {(uint64_t)a->state, (uint64_t)a->mail[a->n_taken]};
    /* What is further on goes first, so that little lies in mailboxes. */
    const struct tg_service_instance instance = {.program = kind, .urgency = kind, .inputs = inputs};
    uint64_t ticket;
    int rc = tg_service_submit(service, &instance, &ticket, err);
    if (rc)
        return rc;
    a->is_busy = true;
    a->n_taken++;
    account_of[ticket % QUEUE] = account;
    kind_of[ticket % QUEUE] = kind;
    return 0;
}

static int end(struct tg_service *service, struct tg_error *err)
{
    struct tg_service_answer answer;
    int64_t got[2];
    int rc = tg_service_receive(service, 10 * second, &answer, got, sizeof got, err);
    if (rc || answer.status)
        return rc ? rc : answer.status;
    uint32_t account = account_of[answer.ticket % QUEUE], kind = kind_of[answer.ticket % QUEUE];
    struct actor *a = &actors[account][kind], *next = a + 1;
    a->state = got[0];
    a->is_busy = false;
    if (kind + 1 < N_KINDS)
        next->mail[next->n_mail++] = got[1];
    return 0;
}

/* How many messages are in mailboxes or at work. */
static uint64_t n_left(void)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < N_ACCOUNTS; i++)
        for (uint32_t k = 0; k < N_KINDS; k++)
            n += actors[i][k].n_mail - actors[i][k].n_taken + actors[i][k].is_busy;
    return n;
}

static int work(struct tg_service *service, struct tg_error *err)
{
    int rc = 0;
    while (rc == 0 && n_left()) {
        for (uint32_t i = 0; rc == 0 && i < N_ACCOUNTS * N_KINDS; i++)
            rc = begin(service, i / N_KINDS, i % N_KINDS, err);
        if (rc == 0 || rc == TG_E_FULL)
            rc = end(service, err);
    }
    return rc;
}

/* ---- What comes in, and what must come out ------------------------------------------------*/

static uint64_t dice = 1;
static int64_t movement(void)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(dice >> 55) - 256;
}

static int64_t n_alarms(const struct actor *first)
{
    int64_t balance = 0, peak = 0, n = 0;
    for (uint32_t i = 0; i < N_MOVEMENTS; i++) {
        balance += first->mail[i];
        peak = balance > peak ? balance : peak;
        n += peak - balance > LIMIT;
    }
    return n;
}

int main(void)
{
    struct tg_service *service;
    struct tg_error err;
    int64_t n_all = 0, n_wrong = 0;
    for (uint32_t i = 0; i < N_ACCOUNTS; i++)
        while (actors[i][BALANCE].n_mail < N_MOVEMENTS)
            actors[i][BALANCE].mail[actors[i][BALANCE].n_mail++] = movement();
    int rc = make_service(&service, &err);
    if (rc == TG_E_NO_DEVICE || rc == TG_E_NO_LIBRARY) {
        printf("no GPU to stay on: %s\n", err.text);
        return NO_GPU;
    }
    if (rc) {
        fprintf(stderr, "actors: %s\n", err.text);
        return 1;
    }
    rc = tg_service_launch(service, &err);
    if (rc == 0)
        rc = tg_service_activate(service, &err);
    if (rc == 0)
        rc = work(service, &err);
    if (rc == 0)
        rc = tg_service_terminate(service, 10 * second, &err);
    for (uint32_t i = 0; i < N_ACCOUNTS; i++) {
        n_all += actors[i][ALARM].state;
        n_wrong += actors[i][ALARM].state != n_alarms(&actors[i][BALANCE]);
    }
    if (rc == 0)
        printf("%d movements of %d accounts: %" PRId64 " alarms, %" PRId64 " accounts wrong\n", N_ACCOUNTS * N_MOVEMENTS, N_ACCOUNTS, n_all,
               n_wrong);
    else
        fprintf(stderr, "actors: %s\n", err.text);
    tg_service_destroy(service);
    return rc || n_wrong;
}
