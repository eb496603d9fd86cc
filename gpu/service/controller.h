/* The controller of a service: one warp, the only one that touches the host's memory.
 *
 * It takes messages in the order of their positions.  What needs nothing but copying it answers itself, many at a time, since
 * a worker would be two hops away; other messages go to workers of their own, one each; instances of the program go
 * to all of the program's workers, one at a time.  A message that nobody is free for waits in the ring, and so do those after it.
 * Answers are written in the order in which they are ready.
 *
 * Everything in struct tgi_controller is the same in all lanes.  A lane looks at a slot of its own only while
 * messages come in numbers: `width` doubles when all that were looked at were there and falls back to one, which all
 * lanes load together.
 *
 * Order towards the host.  The word of an answer is stored with release if the controller has read or written bytes
 * of messages since its last release: the bytes of the answer, and that a message has been read before its slot is used again.
 * Otherwise nothing lies behind it and it is stored relaxed, which takes a fence across the bus out of an empty call. */
#ifndef TGI_GPU_SERVICE_CONTROLLER_H
#define TGI_GPU_SERVICE_CONTROLLER_H

#include "gpu/service/worker.h"

struct tgi_controller {
    const struct tgi_service_view *v;
    uint32_t taken, answered; /* positions */
    uint32_t width;
    uint32_t busy;     /* mails whose worker is at work */
    uint32_t instance; /* begun in this launch */
    uint32_t ticket;   /* of the instance under way */
    bool is_running;   /* an instance is under way */
    bool is_owing;     /* bytes were read or written since the last release */
    bool has_told;     /* of a panic in this launch */
    bool is_over;
    uint32_t n_looks, n_idle;
    uint64_t idle_since; /* 0: not idle, or not for long */
    uint64_t command;    /* the last one seen */
    struct tgi_service_counts counts;
};

#ifdef __CUDACC__
TGI_FN uint32_t tgi_warp_max(uint32_t x) { return __reduce_max_sync(~0u, x); }
#else
TGI_FN uint32_t tgi_warp_max(uint32_t x) { return x; }
#endif

TGI_FN void tgi_copy_words(uint64_t *to, const uint64_t *from, uint32_t n)
{
    for (uint32_t i = tgi_lane(); i < n; i += TGI_LANES)
        to[i] = from[i];
}

/* ---- Answers --------------------------------------------------------------------------------*/

/* By one lane for one position.  Pairs with the acquire of the host's tgi_service_drain_locked(). */
TGI_FN void tgi_controller_put(const struct tgi_controller *c, uint32_t position, uint32_t ticket, uint32_t outcome,
                               uint32_t n_bytes, bool is_ordered)
{
    const struct tgi_service_ring *r = &c->v->answers;
    uint64_t word = tgi_service_ring_make(r, position, ticket, outcome, n_bytes);
    if (is_ordered)
        tgi_sys_store_release(tgi_service_ring_word(r, position), word);
    else
        tgi_sys_store_relaxed(tgi_service_ring_word(r, position), word);
}

/* One answer, with bytes from the device's memory. */
TGI_FN void tgi_controller_answer(struct tgi_controller *c, uint32_t ticket, uint32_t outcome, const void *from, uint32_t n_bytes)
{
    bool is_ordered = c->is_owing || n_bytes;
    tgi_copy_words((uint64_t *)tgi_service_ring_bytes(&c->v->answers, c->answered), (const uint64_t *)from, (n_bytes + 7) / 8);
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_controller_put(c, c->answered, ticket, outcome, n_bytes, is_ordered);
    c->answered++;
    c->is_owing = false;
}

/* The host learns of the first panic when it is known here, not when its instance has ended. */
TGI_FN void tgi_controller_tell(struct tgi_controller *c, const struct tgi_resident_panic *p)
{
    if (c->has_told)
        return;
    c->has_told = true;
    if (tgi_lane() == 0) {
        c->v->shared->panic = *p;
        tgi_sys_store_release(&c->v->shared->is_panic, 1);
    }
    tgi_warp_sync();
}

TGI_FN void tgi_controller_answer_panic(struct tgi_controller *c, uint32_t ticket, uint32_t outcome,
                                        const struct tgi_resident_panic *p)
{
    tgi_controller_tell(c, p);
    if (tgi_lane() == 0)
        *(struct tgi_resident_panic *)tgi_service_ring_bytes(&c->v->answers, c->answered) = *p;
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_controller_put(c, c->answered, ticket, outcome, sizeof *p, true);
    c->answered++;
    c->is_owing = false;
}

/* ---- Echoes ---------------------------------------------------------------------------------*/

/* From slots of messages to slots of answers; lane k's message has n_words.  All words of all messages are spread over the
 * lanes, and four loads are on their way at once. */
TGI_FN void tgi_echo_words(const struct tgi_controller *c, uint32_t n, uint32_t n_words)
{
    enum { AT_ONCE = 4 };
    uint32_t most = tgi_warp_max(n_words), total = n * most;
    for (uint32_t base = 0; base < total; base += AT_ONCE * TGI_LANES) {
        uint64_t x[AT_ONCE];
        bool is_in[AT_ONCE];
        for (uint32_t k = 0; k < AT_ONCE; k++) {
            uint32_t i = base + k * TGI_LANES + tgi_lane(), j = i < total ? i / most : 0;
            is_in[k] = i % most < tgi_warp_get(n_words, j) && i < total;
            if (is_in[k])
                x[k] = ((const uint64_t *)tgi_service_ring_bytes(&c->v->messages, c->taken + j))[i % most];
        }
        for (uint32_t k = 0; k < AT_ONCE; k++) {
            uint32_t i = base + k * TGI_LANES + tgi_lane();
            if (is_in[k])
                ((uint64_t *)tgi_service_ring_bytes(&c->v->answers, c->answered + i / most))[i % most] = x[k];
        }
    }
}

/* The next n messages are echoes; lane k has the word of the k-th. */
TGI_FN void tgi_controller_echo(struct tgi_controller *c, uint64_t word, uint32_t n)
{
    uint32_t lane = tgi_lane(), n_words = lane < n ? (TGI_SERVICE_BYTES(word) + 7) / 8 : 0;
    bool has_bytes = tgi_warp_any(n_words != 0), is_ordered = has_bytes || c->is_owing;
    if (has_bytes)
        tgi_echo_words(c, n, n_words);
    tgi_warp_sync();
    if (lane < n)
        tgi_controller_put(c, c->answered + lane, c->taken + lane, TGI_SERVICE_DONE, TGI_SERVICE_BYTES(word), is_ordered);
    c->taken += n;
    c->answered += n;
    c->is_owing = c->is_owing && !is_ordered;
}

/* ---- Work for others ------------------------------------------------------------------------*/

TGI_FN void tgi_controller_give(struct tgi_controller *c, uint64_t word, uint32_t k)
{
    struct tgi_service_mail *m = tgi_mail(c->v, k);
    tgi_copy_words((uint64_t *)(m + 1), (const uint64_t *)tgi_service_ring_bytes(&c->v->messages, c->taken),
                   (TGI_SERVICE_BYTES(word) + 7) / 8);
    if (tgi_lane() == 0) {
        m->kind = TGI_SERVICE_CODE(word);
        m->argument = TGI_SERVICE_TAG(word);
        m->n_bytes = TGI_SERVICE_BYTES(word);
        m->ticket = c->taken;
    }
    tgi_warp_sync();
    /* release: the message; pairs with the acquire in tgi_mail_worker_run(). */
    if (tgi_lane() == 0)
        tgi_store_release(&m->go, tgi_load_relaxed(&m->go) + 1);
    c->busy |= 1u << k;
    c->is_owing = true;
}

TGI_FN void tgi_controller_begin(struct tgi_controller *c, uint64_t word)
{
    struct tgi_resident_control *control = c->v->program.control;
    uint32_t n_words = TGI_SERVICE_BYTES(word) / 8;
    tgi_copy_words(c->v->inputs, (const uint64_t *)tgi_service_ring_bytes(&c->v->messages, c->taken),
                   n_words < c->v->n_inputs ? n_words : c->v->n_inputs);
    c->instance++;
    c->ticket = c->taken;
    c->is_running = c->is_owing = true;
    c->counts.n_instances++;
    if (tgi_lane() == 0) { /* what the instance before may have left */
        tgi_store_relaxed(&control->is_failed, 0);
        tgi_store_relaxed(&control->is_claimed, 0);
        tgi_store_relaxed(&control->panic.code, TGI_PANIC_NONE);
    }
    tgi_warp_sync();
    /* release: inputs and control; pairs with the acquire in tgi_await_go(). */
    if (tgi_lane() == 0)
        tgi_store_release(&c->v->work->go, c->instance);
}

/* The next message, whose word all lanes have.  False: nobody is free for it. */
TGI_FN bool tgi_controller_take(struct tgi_controller *c, uint64_t word)
{
    if (TGI_SERVICE_CODE(word) == TGI_SERVICE_ECHO) {
        tgi_controller_echo(c, word, 1);
        return true;
    }
    if (TGI_SERVICE_CODE(word) == TGI_SERVICE_PROGRAM) {
        if (c->is_running || c->instance == TGI_SERVICE_LEAVE - 1)
            return false;
        tgi_controller_begin(c, word);
    } else {
        uint32_t mails = c->v->n_mails == 32 ? ~0u : (1u << c->v->n_mails) - 1, free_ones = mails & ~c->busy;
        if (!free_ones)
            return false;
        tgi_controller_give(c, word, tgi_lowest(free_ones));
    }
    c->taken++;
    return true;
}

TGI_FN void tgi_controller_count(const struct tgi_controller *c)
{
    struct tgi_service_counts *to = &c->v->shared->counts;
    if (!c->v->has_counts || tgi_lane() != 0)
        return;
    tgi_sys_store_relaxed(&to->n_polls, c->counts.n_polls);
    tgi_sys_store_relaxed(&to->n_messages, c->counts.n_messages);
    tgi_sys_store_relaxed(&to->n_batches, c->counts.n_batches);
    tgi_sys_store_relaxed(&to->n_instances, c->counts.n_instances);
}

/* The next n messages, as many as somebody is free for; lane k has the word of the k-th.  How many were taken. */
TGI_FN uint32_t tgi_controller_serve(struct tgi_controller *c, uint64_t word, uint32_t n)
{
    enum { COUNT_EVERY = 256 }; /* batches; and whenever it becomes idle */
    uint32_t others = tgi_warp_ballot(tgi_lane() < n && TGI_SERVICE_CODE(word) != TGI_SERVICE_ECHO), i = 0;
    tgi_warp_sync(); /* each lane has acquired a message that others read */
    c->counts.n_batches++;
    if (!others) {
        tgi_controller_echo(c, word, n);
        i = n;
    }
    while (i < n && tgi_controller_take(c, tgi_warp_word(word, i)))
        i++;
    c->counts.n_messages += i;
    if (c->counts.n_batches % COUNT_EVERY == 0)
        tgi_controller_count(c);
    return i;
}

/* ---- Collecting -----------------------------------------------------------------------------*/

/* Mails whose worker has finished; acquire: pairs with the release in tgi_mail_worker_run(). */
TGI_FN uint32_t tgi_mails_done(const struct tgi_controller *c)
{
    uint32_t mine = 0;
    for (uint32_t k = tgi_lane(); k < c->v->n_mails; k += TGI_LANES) {
        struct tgi_service_mail *m = tgi_mail(c->v, k);
        uint32_t go = tgi_load_relaxed(&m->go); /* our own */
        if (c->busy >> k & 1 && tgi_load_acquire(&m->done) == go)
            mine |= 1u << k;
    }
    uint32_t done = TGI_LANES == 1 ? mine : tgi_warp_ballot(mine != 0);
    tgi_warp_sync(); /* each lane has acquired a mail that others read */
    return done;
}

TGI_FN void tgi_controller_answer_mail(struct tgi_controller *c, uint32_t k)
{
    const struct tgi_service_mail *m = tgi_mail(c->v, k);
    if (m->outcome == TGI_SERVICE_FAILED) {
        struct tgi_resident_panic panic = {TGI_PANIC_TASK, m->ticket, c->v->n_workers + k, 0, 0, 0, 0, m->detail};
        tgi_controller_answer_panic(c, m->ticket, TGI_SERVICE_FAILED, &panic);
    } else
        tgi_controller_answer(c, m->ticket, m->outcome, m + 1, m->n_bytes);
    c->busy &= ~(1u << k);
}

/* The instance has ended: its outputs, or why it failed. */
TGI_FN void tgi_controller_end(struct tgi_controller *c)
{
    const struct tgi_service_view *v = c->v;
    c->is_running = false;
    /* relaxed: whoever wrote it has been acquired with `done`. */
    if (tgi_load_relaxed(&v->program.control->panic.code) != TGI_PANIC_NONE) {
        tgi_controller_answer_panic(c, c->ticket, TGI_SERVICE_FAILED, &v->program.control->panic);
        return;
    }
    uint64_t *to = (uint64_t *)tgi_service_ring_bytes(&v->answers, c->answered);
    for (uint32_t i = tgi_lane(); i < v->n_outputs; i += TGI_LANES)
        to[i] = v->program.results[v->outputs[i]];
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_controller_put(c, c->answered, c->ticket, TGI_SERVICE_DONE, v->n_outputs * 8, true);
    c->answered++;
    c->is_owing = false;
}

/* A worker is stuck and has told all others to leave: whatever is under way ends here, and so does the launch. */
TGI_FN void tgi_controller_give_up(struct tgi_controller *c)
{
    c->is_over = true;
    if (c->is_running)
        tgi_controller_answer_panic(c, c->ticket, TGI_SERVICE_STUCK, &c->v->program.control->panic);
    for (; c->busy; c->busy &= c->busy - 1)
        tgi_controller_answer(c, tgi_mail(c->v, tgi_lowest(c->busy))->ticket, TGI_SERVICE_CANCELLED, NULL, 0);
    c->is_running = false;
}

/* The instance under way.  True: it has ended, or ends here.  All three words are on their way at once, as none of the first two
 * loads waits for what comes after it. */
TGI_FN bool tgi_controller_watch(struct tgi_controller *c)
{
    struct tgi_resident_control *control = c->v->program.control;
    bool is_stuck = tgi_load_relaxed(&control->abort) != 0;
    bool has_panic = tgi_load_relaxed(&control->panic.code) != TGI_PANIC_NONE;
    /* acquire: results and panics; pairs with the releases in tgi_service_worker_run(). */
    bool has_ended = tgi_load_acquire(&c->v->work->done) == c->instance * c->v->n_workers;
    /* acquire: the record; pairs with the release in tgi_panic(). */
    if (has_panic && (is_stuck || !c->has_told) && tgi_load_acquire(&control->panic.code)) {
        if (is_stuck)
            tgi_controller_give_up(c);
        else
            tgi_controller_tell(c, &control->panic);
    }
    if (has_ended && !is_stuck)
        tgi_controller_end(c);
    return !c->is_running;
}

/* True: something has ended. */
TGI_FN bool tgi_controller_collect(struct tgi_controller *c)
{
    bool did = c->is_running && tgi_controller_watch(c);
    for (uint32_t done = c->busy ? tgi_mails_done(c) : 0; done; done &= done - 1) {
        tgi_controller_answer_mail(c, tgi_lowest(done));
        did = true;
    }
    return did;
}

/* ---- Idling and leaving ---------------------------------------------------------------------*/

/* Says that it leaves, and whether it does: not if a message or a command has come meanwhile (mem/service_view.h). */
TGI_FN bool tgi_controller_leaves(struct tgi_controller *c)
{
    struct tgi_service_shared *s = c->v->shared;
    uint64_t command = c->command;
    tgi_controller_count(c);
    if (tgi_lane() == 0)
        tgi_sys_store_seq_cst(&s->gone, c->v->launch);
    tgi_warp_sync();
    uint64_t word = tgi_sys_load_seq_cst(tgi_service_ring_word(&c->v->messages, c->taken));
    bool has_message = TGI_SERVICE_COMMAND_OF(command) != TGI_SERVICE_HOLD && c->instance != TGI_SERVICE_LEAVE - 1 &&
                       tgi_service_ring_is_at(&c->v->messages, c->taken, word);
    bool stays = has_message || tgi_sys_load_seq_cst(&s->command) != command;
    stays = tgi_warp_first(stays);
    if (stays && tgi_lane() == 0)
        tgi_sys_store_release(&s->gone, 0);
    c->idle_since = 0;
    return !stays;
}

TGI_FN void tgi_controller_idle(struct tgi_controller *c)
{
    enum { LOOK_AT_CLOCK = 64 };
    if (TGI_SERVICE_COMMAND_OF(c->command) == TGI_SERVICE_STOP || c->instance == TGI_SERVICE_LEAVE - 1) {
        c->is_over = tgi_controller_leaves(c);
        return;
    }
    if (++c->n_idle % LOOK_AT_CLOCK == 0) {
        uint64_t now = tgi_warp_first(tgi_now_ns());
        if (!c->idle_since) {
            c->idle_since = now;
            tgi_controller_count(c);
        } else if (c->v->idle_ns && now - c->idle_since > c->v->idle_ns)
            c->is_over = tgi_controller_leaves(c);
    }
    if (c->n_idle > TGI_REST_AFTER)
        tgi_rest();
    else
        tgi_pause();
}

/* A command is obeyed from the next look on: a message that the host sends once it knows that is not taken by mistake. */
TGI_FN void tgi_controller_obey(struct tgi_controller *c, uint64_t command)
{
    if (command == c->command)
        return;
    c->command = command;
    if (tgi_lane() == 0)
        tgi_sys_store_release(&c->v->shared->obeyed, command);
}

/* How many messages are there for now, and what the host wants: both loads are on their way at once. */
TGI_FN uint32_t tgi_controller_look(struct tgi_controller *c, uint64_t *word_p)
{
    uint32_t lane = tgi_lane(), position = c->taken + (lane < c->width ? lane : 0);
    c->counts.n_polls++;
    uint64_t command = tgi_sys_load_relaxed(&c->v->shared->command);
    /* acquire: the bytes; pairs with the store of the host's tg_service_send(). */
    *word_p = tgi_sys_load_acquire(tgi_service_ring_word(&c->v->messages, position));
    bool is_there = lane < c->width && tgi_service_ring_is_at(&c->v->messages, position, *word_p);
    uint32_t missing = ~tgi_warp_ballot(is_there), n = missing ? tgi_lowest(missing) : 32;
    tgi_controller_obey(c, tgi_warp_word(command, 0));
    if (n < c->width)
        c->width = 1;
    else if (c->width < TGI_LANES)
        c->width *= 2;
    return TGI_SERVICE_COMMAND_OF(c->command) == TGI_SERVICE_HOLD ? 0 : n;
}

/* ---- The controller -------------------------------------------------------------------------*/

TGI_FN void tgi_controller_turn(struct tgi_controller *c)
{
    enum { RING_EVERY = 8 }; /* while others are at work: the ring is further away than they are */
    uint64_t word;
    bool is_at_work = c->is_running || c->busy, did = is_at_work && tgi_controller_collect(c);
    if (c->is_over || (is_at_work && ++c->n_looks % RING_EVERY)) {
        if (!did)
            tgi_pause();
        return;
    }
    uint32_t n = tgi_controller_look(c, &word);
    if (TGI_SERVICE_COMMAND_OF(c->command) == TGI_SERVICE_ABORT) {
        if (tgi_lane() == 0)
            tgi_store_relaxed(&c->v->program.control->abort, 1);
        c->is_over = true;
    } else if ((n && tgi_controller_serve(c, word, n)) || did || is_at_work) {
        c->n_idle = 0;
        c->idle_since = 0;
    } else
        tgi_controller_idle(c);
}

TGI_FN void tgi_controller_run(const struct tgi_service_view *v)
{
    struct tgi_controller controller = {}, *c = &controller;
    c->v = v;
    c->width = 1;
    c->taken = v->state->taken;
    c->answered = v->state->answered;
    c->counts = v->state->counts;
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_sys_store_release(&v->shared->alive, v->launch);
    while (!c->is_over)
        tgi_controller_turn(c);
    tgi_controller_count(c);
    if (tgi_lane() == 0) {
        v->state->taken = c->taken;
        v->state->answered = c->answered;
        v->state->counts = c->counts;
        tgi_sys_store_release(&v->shared->gone, v->launch);
        tgi_store_release(&v->work->go, TGI_SERVICE_LEAVE);
        for (uint32_t k = 0; k < v->n_mails; k++)
            tgi_store_release(&tgi_mail(v, k)->go, TGI_SERVICE_LEAVE);
    }
}

#endif
