/* Whose instance is next: what waits, by client and urgency, and the clients' shares of the workers' time.  One text for the
 * controller on the GPU, which alone changes it, and for tests on CPUs.
 *
 * Strides.  A client has a virtual time, `pass`: the time its instances took, divided by its weight.  Of the clients
 * that may begin another one the one with the least is next, so that all advance alike, each in proportion to its weight.  What an
 * instance will take is not known when it begins: the program's mean is charged then, and the difference when it has ended.
 * Who comes back after having had nothing to do starts at the time of who was chosen last: absence saves nothing up.
 *
 * Urgency goes before shares: of what waits the most urgent is looked at alone.  What it takes is charged all the same.
 *
 * Passes are compared modulo 2^64.  There is no division: a client has its stride, 2^16 / weight. */
#ifndef TGI_MEM_SERVICE_TURN_H
#define TGI_MEM_SERVICE_TURN_H

#include "mem/service_ring.h"

#define TGI_TURN_MAX_CLIENTS  16u
#define TGI_TURN_MAX_PROGRAMS 8u
#define TGI_TURN_N_URGENCIES  4u
#define TGI_TURN_MAX_WEIGHT   1000u
#define TGI_TURN_NONE         UINT32_MAX

/* An instance, in the place of its message. */
struct tgi_turn_entry {
    uint32_t next, before; /* in its list; TGI_TURN_NONE: it is the last, the first */
    uint32_t ticket;
    uint8_t program, client, urgency;
    uint8_t is_waiting;
};

struct tgi_turn_client {
    uint64_t pass;
    uint64_t used_ns; /* of workers' time */
    uint32_t stride;
    uint32_t most_running; /* at once */
    uint32_t n_running, n_waiting;
    uint32_t first[TGI_TURN_N_URGENCIES], last[TGI_TURN_N_URGENCIES];
    uint32_t n_begun, n_late, n_cancelled; /* late: not begun at all, or ended after its deadline */
    uint32_t pad;
};

struct tgi_turns {
    struct tgi_turn_client clients[TGI_TURN_MAX_CLIENTS];
    uint64_t cost_ns[TGI_TURN_MAX_PROGRAMS]; /* a moving mean; 0: none has ended yet */
    uint64_t pass; /* of the client that was chosen last */
    uint32_t n_clients;
    uint32_t n_waiting;
};

/* weight: 1 to TGI_TURN_MAX_WEIGHT; most_running: 1 at least. */
TGI_SYS_FN void tgi_turn_add_client(struct tgi_turns *s, uint32_t weight, uint32_t most_running)
{
    struct tgi_turn_client *c = &s->clients[s->n_clients++];
    c->stride = (65536u + weight / 2) / weight;
    c->most_running = most_running;
    for (uint32_t u = 0; u < TGI_TURN_N_URGENCIES; u++)
        c->first[u] = c->last[u] = TGI_TURN_NONE;
}

/* A new launch: nothing runs. */
TGI_SYS_FN void tgi_turn_restart(struct tgi_turns *s)
{
    for (uint32_t i = 0; i < s->n_clients; i++)
        s->clients[i].n_running = 0;
}

/* entries[i] has its ticket, program, client and urgency. */
TGI_SYS_FN void tgi_turn_put(struct tgi_turns *s, struct tgi_turn_entry *entries, uint32_t i)
{
    struct tgi_turn_entry *e = &entries[i];
    struct tgi_turn_client *c = &s->clients[e->client];
    uint32_t last = c->last[e->urgency];
    e->next = TGI_TURN_NONE;
    e->before = last;
    e->is_waiting = 1;
    if (last == TGI_TURN_NONE)
        c->first[e->urgency] = i;
    else
        entries[last].next = i;
    c->last[e->urgency] = i;
    if (c->n_waiting++ == 0 && c->n_running == 0 && (int64_t)(s->pass - c->pass) > 0)
        c->pass = s->pass;
    s->n_waiting++;
}

/* Takes one that waits out of its list. */
TGI_SYS_FN void tgi_turn_remove(struct tgi_turns *s, struct tgi_turn_entry *entries, uint32_t i)
{
    struct tgi_turn_entry *e = &entries[i];
    struct tgi_turn_client *c = &s->clients[e->client];
    uint32_t next = e->next, before = e->before;
    if (before == TGI_TURN_NONE)
        c->first[e->urgency] = next;
    else
        entries[before].next = next;
    if (next == TGI_TURN_NONE)
        c->last[e->urgency] = before;
    else
        entries[next].before = before;
    e->is_waiting = 0;
    c->n_waiting--;
    s->n_waiting--;
}

TGI_SYS_FN uint32_t tgi_turn_urgency(const struct tgi_turn_client *c)
{
    uint32_t u = TGI_TURN_N_URGENCIES;
    while (c->first[u - 1] == TGI_TURN_NONE)
        u--;
    return u - 1;
}

/* Which is to begin next; it stays where it is.  TGI_TURN_NONE: nothing waits that may. */
TGI_SYS_FN uint32_t tgi_turn_next(const struct tgi_turns *s)
{
    uint32_t best = TGI_TURN_NONE, most_urgent = 0;
    for (uint32_t i = 0; i < s->n_clients; i++) {
        const struct tgi_turn_client *c = &s->clients[i];
        if (c->n_waiting == 0 || c->n_running >= c->most_running)
            continue;
        uint32_t u = tgi_turn_urgency(c);
        if (best == TGI_TURN_NONE || u > most_urgent ||
            (u == most_urgent && (int64_t)(c->pass - s->clients[best].pass) < 0)) {
            best = i;
            most_urgent = u;
        }
    }
    return best == TGI_TURN_NONE ? TGI_TURN_NONE : s->clients[best].first[most_urgent];
}

TGI_SYS_FN void tgi_turn_charge(struct tgi_turn_client *c, uint64_t ns) { c->pass += ns * c->stride; }

/* What tgi_turn_next() said begins.  What was charged, which tgi_turn_end() wants to know. */
TGI_SYS_FN uint64_t tgi_turn_begin(struct tgi_turns *s, struct tgi_turn_entry *entries, uint32_t i)
{
    struct tgi_turn_client *c = &s->clients[entries[i].client];
    uint64_t charged = s->cost_ns[entries[i].program];
    tgi_turn_remove(s, entries, i);
    s->pass = c->pass;
    tgi_turn_charge(c, charged);
    c->n_running++;
    c->n_begun++;
    return charged;
}

/* It took so long; shares are corrected modulo 2^64. */
TGI_SYS_FN void tgi_turn_end(struct tgi_turns *s, uint32_t client, uint32_t program, uint64_t charged, uint64_t ns)
{
    struct tgi_turn_client *c = &s->clients[client];
    uint64_t *cost = &s->cost_ns[program];
    tgi_turn_charge(c, ns - charged);
    c->used_ns += ns;
    c->n_running--;
    *cost = *cost ? *cost - *cost / 8 + ns / 8 : ns;
}

#endif
