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

static const char *whole_for(const struct tgi_command *c)
{
    return c->kind == TGI_COMMAND_DECIDE    ? "a device decides about its rounds"
           : c->kind == TGI_COMMAND_COLLECT ? "it has collectives"
           : c->kind == TGI_COMMAND_RESIDENT && c->cluster->n_devices > 1 ? "a resident program is on several devices"
                                            : NULL;
}

int tgi_program_whole(struct tgi_devices *ds, const struct tgi_program *p, const char **why_p, struct tg_error *err)
{
    uint32_t asked[TGI_MAX_DEVICES] = {0}; /* by device: about which others, a bit each */
    const char *why = NULL;
    bool does_cross = false;
    for (uint32_t i = 0; !why && i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        why = whole_for(c);
        for (uint32_t k = 0; !why && k < c->n_deps; k++) {
            uint32_t dep = p->deps[c->first_dep + k], from = device_of(p, dep), to = device_of(p, i);
            bool can_signal = ds->ops->can_signal != NULL;
            if (from == to)
                continue;
            does_cross = true;
            int rc = can_signal && !(asked[from] >> to & 1) ? ds->ops->can_signal(ds, from, to, &can_signal, err) : 0;
            if (rc)
                return rc;
            asked[from] |= 1u << to;
            why = !can_signal                      ? "its devices cannot set flags of each other"
                  : is_to_host(&p->commands[dep]) ? "a device comes after what another copies to the host"
                                                   : NULL;
        }
    }
    *why_p = why || does_cross ? why : "no edge is between devices";
    return 0;
}

uint32_t tgi_program_hops(const struct tgi_program *p, uint32_t *n_flags_p)
{
    uint32_t *hops = calloc((size_t)p->n + 1, sizeof *hops), most = 0;
    uint16_t *wanted = calloc((size_t)p->n + 1, sizeof *wanted);
    *n_flags_p = 0;
    for (uint32_t i = 0; hops && wanted && i < p->n; i++) {
        for (uint32_t k = 0; k < p->commands[i].n_deps; k++) {
            uint32_t dep = p->deps[p->commands[i].first_dep + k], device = device_of(p, i);
            bool does_cross = device_of(p, dep) != device;
            hops[i] = hops[dep] + does_cross > hops[i] ? hops[dep] + does_cross : hops[i];
            *n_flags_p += does_cross && !(wanted[dep] >> device & 1);
            wanted[dep] |= (uint16_t)(does_cross << device);
        }
        most = hops[i] > most ? hops[i] : most;
    }
    free(hops);
    free(wanted);
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

/* What a command needs of others elsewhere that nothing of its device has waited for before: one await. */
struct need {
    uint32_t command, n, first; /* in needed: n commands */
    uint32_t next;              /* of those whose last one is the same; TG_NONE: there is no other */
};

struct split {
    const struct tgi_program *from;
    struct tgi_program *to;
    struct part part[TGI_MAX_DEVICES];
    uint16_t *wanted;  /* by command: devices with commands that depend on it */
    uint32_t *moved;   /* by command: what it is in `to` */
    uint32_t *words;   /* by command that is wanted: where its places are, one for each device in turn */
    uint32_t *awaited; /* by place: the need it is part of, then the await there is for it; TG_NONE: not yet */
    uint32_t n_places;
    uint32_t *first_need; /* by command: of those that it is the last of; TG_NONE: there is none */
    struct need *needs;
    uint32_t n_needs, cap_needs;
    uint32_t *needed;
    uint32_t n_needed, cap_needed;
    uint32_t *deps; /* of the command at hand */
};

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "splitting a program"); }

/* Of a command's flag for a device. */
static uint32_t place_of(const struct split *s, uint32_t id, uint32_t device)
{
    return s->words[id] + (uint32_t)__builtin_popcount(s->wanted[id] & ((1u << device) - 1));
}

/* ---- Needs --------------------------------------------------------------------------------*/

static bool gather_need(struct split *s, uint32_t id)
{
    const struct tgi_command *c = &s->from->commands[id];
    uint32_t device = tgi_lane_device(c->lane), first = s->n_needed, last = 0;
    if (!tgi_vec_reserve(&s->needed, &s->cap_needed, (uint64_t)first + c->n_deps, sizeof *s->needed) ||
        !tgi_vec_reserve(&s->needs, &s->cap_needs, (uint64_t)s->n_needs + 1, sizeof *s->needs))
        return false;
    for (uint32_t i = 0; i < c->n_deps; i++) {
        uint32_t dep = s->from->deps[c->first_dep + i];
        if (device_of(s->from, dep) == device || s->awaited[place_of(s, dep, device)] != TG_NONE)
            continue;
        s->awaited[place_of(s, dep, device)] = s->n_needs;
        s->needed[s->n_needed++] = dep;
        last = dep > last ? dep : last;
    }
    if (s->n_needed == first)
        return true;
    s->needs[s->n_needs] = (struct need){id, s->n_needed - first, first, s->first_need[last]};
    s->first_need[last] = s->n_needs++;
    return true;
}

/* Places first: what is wanted, and where. */
static bool gather_needs(struct split *s)
{
    const struct tgi_program *p = s->from;
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = 0; k < p->commands[i].n_deps; k++) {
            uint32_t dep = p->deps[p->commands[i].first_dep + k];
            if (device_of(p, dep) != device_of(p, i))
                s->wanted[dep] |= (uint16_t)(1u << device_of(p, i));
        }
    for (uint32_t i = 0; i < p->n; i++) {
        s->words[i] = s->n_places;
        s->n_places += (uint32_t)__builtin_popcount(s->wanted[i]);
        s->first_need[i] = TG_NONE;
    }
    s->awaited = malloc(((size_t)s->n_places + 1) * sizeof *s->awaited);
    if (!s->awaited)
        return false;
    memset(s->awaited, 0xff, ((size_t)s->n_places + 1) * sizeof *s->awaited);
    for (uint32_t i = 0; i < p->n; i++)
        if (!gather_need(s, i))
            return false;
    return true;
}

/* ---- Signals and awaits -------------------------------------------------------------------*/

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

/* After command `id`, for all devices that need it.  Flags get their numbers with their awaits. */
static int add_signal(struct split *s, uint32_t id, struct tg_error *err)
{
    const struct tgi_command *c = &s->from->commands[id];
    struct part *part = &s->part[tgi_lane_device(c->lane)];
    uint32_t n = (uint32_t)__builtin_popcount(s->wanted[id]), signal;
    int rc = gather_order(s, part, c->lane, err);
    if (rc == 0)
        rc = add(s, TGI_COMMAND_SIGNAL, c->lane, c->owner, s->from->n_words + s->words[id], n, &s->moved[id], 1, &signal, err);
    if (rc == 0)
        part->order[part->n_order++] = signal;
    return rc;
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

static int add_await(struct split *s, const struct need *need, struct tg_error *err)
{
    const struct tgi_command *c = &s->from->commands[need->command];
    uint32_t device = tgi_lane_device(c->lane), await;
    struct part *part = &s->part[device];
    int rc = gather_order(s, part, c->lane, err);
    if (rc)
        return rc;
    if (part->n_awaits >= TGI_MAX_AWAITS)
        part->order[part->n_order++] = part->awaits[part->n_awaits % TGI_MAX_AWAITS];
    rc = add(s, TGI_COMMAND_AWAIT, c->lane, c->owner, part->n_flags, need->n, part->order, part->n_order, &await, err);
    if (rc)
        return rc;
    shorten_order(s, part, await);
    for (uint32_t i = 0; i < need->n; i++) {
        uint32_t place = place_of(s, s->needed[need->first + i], device);
        s->to->words[s->from->n_words + place] = tgi_flag_of(device, part->n_flags++);
        s->awaited[place] = await;
    }
    part->awaits[part->n_awaits++ % TGI_MAX_AWAITS] = await;
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
    uint32_t device = tgi_lane_device(c->lane), n_deps = 0;
    for (uint32_t i = 0; i < c->n_deps; i++) {
        uint32_t dep = s->from->deps[c->first_dep + i];
        add_dep(s->deps, &n_deps, device_of(s->from, dep) == device ? s->moved[dep] : s->awaited[place_of(s, dep, device)]);
    }
    int rc = tgi_program_add(s->to, c, s->deps, n_deps, &s->moved[id], err);
    if (rc == 0 && s->wanted[id])
        rc = add_signal(s, id, err);
    for (uint32_t i = s->first_need[id]; rc == 0 && i != TG_NONE; i = s->needs[i].next)
        rc = add_await(s, &s->needs[i], err);
    return rc;
}

static bool split_init(struct split *s)
{
    const struct tgi_program *p = s->from;
    uint32_t most = 0;
    for (uint32_t i = 0; i < p->n; i++)
        most = p->commands[i].n_deps > most ? p->commands[i].n_deps : most;
    s->wanted = calloc((size_t)p->n + 1, sizeof *s->wanted);
    s->moved = calloc((size_t)p->n + 1, sizeof *s->moved);
    s->words = calloc((size_t)p->n + 1, sizeof *s->words);
    s->first_need = calloc((size_t)p->n + 1, sizeof *s->first_need);
    s->deps = calloc((size_t)most + 1, sizeof *s->deps);
    return s->wanted && s->moved && s->words && s->first_need && s->deps && gather_needs(s);
}

static void split_fini(struct split *s)
{
    free(s->wanted);
    free(s->moved);
    free(s->words);
    free(s->awaited);
    free(s->first_need);
    free(s->needs);
    free(s->needed);
    free(s->deps);
}

/* Words of signals come after the program's own. */
static int add_words(struct split *s, struct tg_error *err)
{
    uint32_t first;
    uint64_t *none = calloc((size_t)s->n_places + 1, sizeof *none);
    int rc = none ? tgi_program_add_words(s->to, s->from->words, s->from->n_words, &first, err) : no_memory(err);
    if (rc == 0)
        rc = tgi_program_add_words(s->to, none, s->n_places, &first, err);
    free(none);
    return rc;
}

int tgi_program_split(const struct tgi_program *from, struct tgi_program *to, struct tg_error *err)
{
    struct split s = {.from = from, .to = to};
    int rc = split_init(&s) ? add_words(&s, err) : no_memory(err);
    for (uint32_t i = 0; rc == 0 && i < from->n; i++)
        rc = split_one(&s, i, err);
    split_fini(&s);
    if (rc)
        tgi_program_fini(to);
    return rc;
}
