/* See split.h, which has the argument for the order that is added here. */
#include "mem/split.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

/* Signals that an await would come after by an edge each; more go through a point, which later awaits come after as well. */
enum { MAX_ORDER = 4 };

/* ---- Whether ------------------------------------------------------------------------------*/

static uint32_t device_of(const struct tgi_program *p, uint32_t id) { return tgi_lane_device(p->commands[id].lane); }

static bool is_to_host(const struct tgi_command *c) { return c->kind == TGI_COMMAND_COPY && c->copy.to_node == TGI_HOST_NODE; }

const char *tgi_program_whole(const struct tgi_devices *ds, const struct tgi_program *p)
{
    struct tgi_devices *asked = (struct tgi_devices *)(uintptr_t)ds;
    uint64_t seen[TGI_MAX_DEVICES] = {0}; /* by device: those that it was asked about */
    bool does_cross = false;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        if (c->kind == TGI_COMMAND_DECIDE)
            return "a device decides about its rounds";
        if (c->kind == TGI_COMMAND_COLLECT)
            return "it has collectives";
        for (uint32_t k = 0; k < c->n_deps; k++) {
            uint32_t dep = p->deps[c->first_dep + k], from = device_of(p, dep), to = device_of(p, i);
            if (from == to)
                continue;
            does_cross = true;
            if (is_to_host(&p->commands[dep]))
                return "a device comes after what another copies to the host";
            if (!(seen[from] >> to & 1) && !(ds->ops->can_signal && ds->ops->can_signal(asked, from, to)))
                return "its devices cannot set flags of each other";
            seen[from] |= (uint64_t)1 << to;
        }
    }
    return does_cross ? NULL : "no edge is between devices";
}

uint32_t tgi_program_hops(const struct tgi_program *p)
{
    uint32_t *hops = calloc((size_t)p->n + 1, sizeof *hops), most = 0;
    for (uint32_t i = 0; hops && i < p->n; i++) {
        for (uint32_t k = 0; k < p->commands[i].n_deps; k++) {
            uint32_t dep = p->deps[p->commands[i].first_dep + k], n = hops[dep] + (device_of(p, dep) != device_of(p, i));
            hops[i] = n > hops[i] ? n : hops[i];
        }
        most = hops[i] > most ? hops[i] : most;
    }
    free(hops);
    return most;
}

uint32_t tgi_program_flags(const struct tgi_program *p, uint32_t device)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n += p->commands[i].kind == TGI_COMMAND_AWAIT && device_of(p, i) == device ? p->commands[i].flags.n : 0;
    return n;
}

/* ---- Splitting ----------------------------------------------------------------------------*/

/* A device's part so far. */
struct part {
    uint32_t order[MAX_ORDER + 1]; /* what an await comes after: all signals of the device come before one of these, or are one */
    uint32_t n_order, n_flags, n_awaits;
    uint32_t awaits[TGI_MAX_AWAITS]; /* the last ones, number n in place n % TGI_MAX_AWAITS */
};

struct split {
    const struct tgi_program *from;
    struct tgi_program *to;
    struct part part[TGI_MAX_DEVICES];
    uint16_t *wanted;  /* by command: devices with commands that depend on it */
    uint32_t *moved;   /* by command: what it is in `to` */
    uint32_t *words;   /* by command that is wanted: where the flags of its signal are, one for each device in turn */
    uint32_t *awaited; /* by that place: the await there is for it; TG_NONE: not yet */
    uint32_t cap_awaited;
    uint32_t *deps;    /* of the command at hand */
    uint32_t *news;    /* of its dependencies elsewhere: those that nothing of the device has waited for */
};

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "splitting a program"); }

/* Where a command's flag for a device is, among those that were made. */
static uint32_t place_of(const struct split *s, uint32_t id, uint32_t device)
{
    return s->words[id] + (uint32_t)__builtin_popcount(s->wanted[id] & ((1u << device) - 1));
}

static int add(struct split *s, enum tgi_command_kind kind, uint32_t lane, uint64_t owner, uint32_t first, uint32_t n, const uint32_t *deps,
               uint32_t n_deps, uint32_t *id_p, struct tg_error *err)
{
    struct tgi_command c = {.kind = (uint8_t)kind, .lane = lane, .owner = owner};
    c.flags.first = first;
    c.flags.n = n;
    return tgi_program_add(s->to, &c, deps, n_deps, id_p, err);
}

/* A point instead of many signals. */
static int gather_order(struct split *s, struct part *part, uint32_t lane, struct tg_error *err)
{
    struct tgi_command c = {.kind = TGI_COMMAND_NOTHING, .lane = lane, .owner = UINT64_MAX};
    if (part->n_order < MAX_ORDER)
        return 0;
    int rc = tgi_program_add(s->to, &c, part->order, part->n_order, &part->order[0], err);
    part->n_order = rc ? part->n_order : 1;
    return rc;
}

/* After command `id`, for all devices that need it. */
static int add_signal(struct split *s, uint32_t id, struct tg_error *err)
{
    const struct tgi_command *c = &s->from->commands[id];
    struct part *part = &s->part[tgi_lane_device(c->lane)];
    const uint64_t none[TGI_MAX_DEVICES] = {0};
    uint32_t n = (uint32_t)__builtin_popcount(s->wanted[id]), signal;
    int rc = tgi_program_add_words(s->to, none, n, &s->words[id], err);
    if (rc == 0 && !tgi_vec_reserve(&s->awaited, &s->cap_awaited, s->to->n_words, sizeof *s->awaited))
        rc = no_memory(err);
    if (rc == 0)
        rc = gather_order(s, part, c->lane, err);
    if (rc == 0)
        rc = add(s, TGI_COMMAND_SIGNAL, c->lane, c->owner, s->words[id], n, &s->moved[id], 1, &signal, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        s->awaited[s->words[id] + i] = TG_NONE;
    part->order[part->n_order++] = signal;
    return 0;
}

/* What is implied of the order goes, as adding the await has found out. */
static void shorten_order(struct split *s, struct part *part, uint32_t await)
{
    const struct tgi_command *c = &s->to->commands[await];
    uint32_t n = 0;
    for (uint32_t i = 0; i < part->n_order; i++) {
        bool is_left = false;
        for (uint32_t k = 0; k < c->n_deps; k++)
            is_left |= s->to->deps[c->first_dep + k] == part->order[i];
        if (is_left)
            part->order[n++] = part->order[i];
    }
    part->n_order = n;
}

/* For command `id`, of those elsewhere in s->news. */
static int add_await(struct split *s, uint32_t id, uint32_t n_news, uint32_t *await_p, struct tg_error *err)
{
    const struct tgi_command *c = &s->from->commands[id];
    uint32_t device = tgi_lane_device(c->lane);
    struct part *part = &s->part[device];
    int rc = gather_order(s, part, c->lane, err);
    if (rc)
        return rc;
    if (part->n_awaits >= TGI_MAX_AWAITS)
        part->order[part->n_order++] = part->awaits[part->n_awaits % TGI_MAX_AWAITS];
    rc = add(s, TGI_COMMAND_AWAIT, c->lane, c->owner, part->n_flags, n_news, part->order, part->n_order, await_p, err);
    if (rc)
        return rc;
    shorten_order(s, part, *await_p);
    for (uint32_t i = 0; i < n_news; i++) {
        uint32_t place = place_of(s, s->news[i], device);
        s->to->words[place] = tgi_flag_of(device, part->n_flags++);
        s->awaited[place] = *await_p;
    }
    part->awaits[part->n_awaits++ % TGI_MAX_AWAITS] = *await_p;
    return 0;
}

static void add_dep(uint32_t *deps, uint32_t *n_p, uint32_t dep)
{
    for (uint32_t i = 0; i < *n_p; i++)
        if (deps[i] == dep)
            return;
    deps[(*n_p)++] = dep;
}

static int split_one(struct split *s, uint32_t id, struct tg_error *err)
{
    const struct tgi_command *c = &s->from->commands[id];
    uint32_t device = tgi_lane_device(c->lane), n_deps = 0, n_news = 0, await;
    int rc = 0;
    for (uint32_t i = 0; i < c->n_deps; i++) {
        uint32_t dep = s->from->deps[c->first_dep + i];
        bool is_here = device_of(s->from, dep) == device;
        uint32_t known = is_here ? s->moved[dep] : s->awaited[place_of(s, dep, device)];
        if (known == TG_NONE)
            s->news[n_news++] = dep;
        else
            add_dep(s->deps, &n_deps, known);
    }
    if (n_news)
        rc = add_await(s, id, n_news, &await, err);
    if (rc == 0 && n_news)
        s->deps[n_deps++] = await;
    if (rc == 0)
        rc = tgi_program_add(s->to, c, s->deps, n_deps, &s->moved[id], err);
    return rc || !s->wanted[id] ? rc : add_signal(s, id, err);
}

static bool split_init(struct split *s)
{
    const struct tgi_program *p = s->from;
    uint32_t most = 0;
    s->wanted = calloc((size_t)p->n + 1, sizeof *s->wanted);
    s->moved = calloc((size_t)p->n + 1, sizeof *s->moved);
    s->words = calloc((size_t)p->n + 1, sizeof *s->words);
    for (uint32_t i = 0; s->wanted && i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        most = c->n_deps > most ? c->n_deps : most;
        for (uint32_t k = 0; k < c->n_deps; k++)
            if (device_of(p, p->deps[c->first_dep + k]) != device_of(p, i))
                s->wanted[p->deps[c->first_dep + k]] |= (uint16_t)(1u << device_of(p, i));
    }
    s->deps = calloc((size_t)most + 1, sizeof *s->deps);
    s->news = calloc((size_t)most + 1, sizeof *s->news);
    return s->wanted && s->moved && s->words && s->deps && s->news;
}

int tgi_program_split(const struct tgi_program *from, struct tgi_program *to, struct tg_error *err)
{
    struct split s = {.from = from, .to = to};
    uint32_t first;
    int rc = split_init(&s) ? tgi_program_add_words(to, from->words, from->n_words, &first, err) : no_memory(err);
    for (uint32_t i = 0; rc == 0 && i < from->n; i++)
        rc = split_one(&s, i, err);
    free(s.wanted);
    free(s.moved);
    free(s.words);
    free(s.awaited);
    free(s.deps);
    free(s.news);
    if (rc)
        tgi_program_fini(to);
    return rc;
}
