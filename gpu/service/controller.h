/* The controller of a service: one warp, the only one that touches the host's memory.
 *
 * It takes messages in the order of their positions.  What needs nothing but copying it answers itself, many at a time, since
 * a worker would be two hops away; other messages go to workers of their own, one each, and one that nobody is free for waits in
 * the ring, and so do those after it.  Instances of programs never wait there (gpu/service/seating.h).  Answers are written in the order in which they are ready.
 *
 * A lane looks at a slot of its own only while messages come in numbers: `width` doubles when all that were looked at were there
 * and falls back to one, which all lanes load together.
 *
 * Silence.  A host that does not beat any more has been killed or stopped.  After half of the time that it is given nothing is begun and
 * the kernel leaves when it has nothing at work, after all of it what is at work is given up.  What waits stays for the next launch,
 * if there is one, so a host that was only stopped notices nothing but the time. */
#ifndef TGI_GPU_SERVICE_CONTROLLER_H
#define TGI_GPU_SERVICE_CONTROLLER_H

#include "gpu/service/seating.h"

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

/* The next message, whose word all lanes have.  False: nobody is free for it. */
TGI_FN bool tgi_controller_take(struct tgi_controller *c, uint64_t word)
{
    if (TGI_SERVICE_CODE(word) == TGI_SERVICE_ECHO) {
        tgi_controller_echo(c, word, 1);
        return true;
    }
    if (TGI_SERVICE_CODE(word) == TGI_SERVICE_PROGRAM)
        tgi_controller_enlist(c, word);
    else {
        uint32_t mails = c->v->n_mails == 32 ? ~0u : (1u << c->v->n_mails) - 1, free_ones = mails & ~c->busy;
        if (!free_ones)
            return false;
        tgi_controller_give(c, word, tgi_lowest(free_ones));
    }
    c->taken++;
    return true;
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
        struct tgi_resident_panic panic = {TGI_PANIC_TASK, m->ticket, c->v->n_teams * c->v->n_workers + k, 0, 0, 0, 0, m->detail};
        tgi_controller_answer_panic(c, m->ticket, TGI_SERVICE_FAILED, &panic);
    } else
        tgi_controller_answer(c, m->ticket, m->outcome, m + 1, m->n_bytes);
    c->busy &= ~(1u << k);
}

/* True: something has ended. */
TGI_FN bool tgi_controller_collect(struct tgi_controller *c)
{
    bool did = c->seated && tgi_controller_watch(c);
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
    bool has_message = TGI_SERVICE_COMMAND_OF(command) != TGI_SERVICE_HOLD &&
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
    if (TGI_SERVICE_COMMAND_OF(c->command) == TGI_SERVICE_STOP) {
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
    /* acquire: `cancel`; pairs with the host's store of a command. */
    c->command = command = tgi_warp_first(tgi_sys_load_acquire(&c->v->shared->command));
    uint64_t cancel = tgi_warp_first(tgi_sys_load_relaxed(&c->v->shared->cancel));
    if (cancel != c->cancel) {
        c->cancel = cancel;
        tgi_controller_cancel(c, cancel);
    }
    c->is_stale = true;
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

/* Whether the host is still there; and figures for it, which change without it where instances are at work. */
TGI_FN void tgi_controller_listen(struct tgi_controller *c)
{
    uint64_t now = tgi_controller_hear(c), silent = now - c->beat_at;
    if (c->seated | c->n_waiting)
        tgi_controller_count(c);
    if (!c->v->silence_ns)
        return;
    c->is_quiet = silent > c->v->silence_ns / 2;
    if (silent > c->v->silence_ns)
        tgi_controller_give_up(c, 0);
}

TGI_FN void tgi_controller_turn(struct tgi_controller *c)
{
    enum { RING_EVERY = 8, LISTEN_EVERY = 64 }; /* while others are at work: the ring is further away than they are */
    uint64_t word;
    bool is_at_work = c->seated || c->busy, did = is_at_work && tgi_controller_collect(c);
    if (c->n_waiting && c->is_stale && !c->is_over)
        tgi_controller_start(c);
    if (c->is_over || (is_at_work && ++c->n_looks % RING_EVERY)) {
        if (!did)
            tgi_pause();
        return;
    }
    if (c->counts.n_polls % LISTEN_EVERY == 0)
        tgi_controller_listen(c);
    if (c->is_over)
        return;
    uint32_t n = tgi_controller_look(c, &word);
    bool waits = c->n_waiting && TGI_SERVICE_COMMAND_OF(c->command) != TGI_SERVICE_HOLD;
    if (TGI_SERVICE_COMMAND_OF(c->command) == TGI_SERVICE_ABORT) {
        tgi_controller_abort(c);
        c->is_over = true;
    } else if (c->is_quiet)
        c->is_over = !is_at_work;
    else if ((n && tgi_controller_serve(c, word, n)) || did || is_at_work || waits) {
        c->n_idle = 0;
        c->idle_since = 0;
        if (c->n_waiting && c->is_stale)
            tgi_controller_start(c);
        if (n && c->n_waiting) /* those that watch see what piles up */
            tgi_controller_count(c);
    } else
        tgi_controller_idle(c);
}

TGI_FN void tgi_controller_init(struct tgi_controller *c, const struct tgi_service_view *v, struct tgi_service_desk *desk)
{
    c->v = v;
    c->desk = desk;
    c->width = 1;
    for (uint32_t i = tgi_lane(); i < sizeof *desk / 8; i += TGI_LANES)
        ((uint64_t *)desk)[i] = 0;
    tgi_warp_sync();
    if (tgi_lane() == 0) {
        desk->turns = v->state->turns;
        tgi_turn_restart(&desk->turns);
    }
    tgi_warp_sync();
    c->taken = v->state->taken;
    c->answered = v->state->answered;
    c->counts = v->state->counts;
    c->n_waiting = desk->turns.n_waiting;
    c->is_stale = true;
    c->up_ns = c->counts.up_ns;
    c->began_ns = c->beat_at = tgi_warp_first(tgi_now_ns());
    /* What the launch before has not seen is found cancelled when it would begin. */
    c->cancel = tgi_warp_first(tgi_sys_load_relaxed(&v->shared->cancel));
    tgi_warp_sync();
}

TGI_FN void tgi_controller_run(const struct tgi_service_view *v, struct tgi_service_desk *desk)
{
    struct tgi_controller controller = {}, *c = &controller;
    tgi_controller_init(c, v, desk);
    if (tgi_lane() == 0)
        tgi_sys_store_release(&v->shared->alive, v->launch);
    while (!c->is_over)
        tgi_controller_turn(c);
    tgi_controller_count(c);
    c->counts.up_ns += tgi_now_ns() - c->began_ns;
    tgi_warp_sync();
    if (tgi_lane() == 0) {
        v->state->taken = c->taken;
        v->state->answered = c->answered;
        v->state->counts = c->counts;
        v->state->turns = desk->turns;
        tgi_sys_store_release(&v->shared->gone, v->launch);
        for (uint32_t t = 0; t < v->n_teams; t++)
            tgi_go_store(&v->teams[t].go[desk->teams[t].n_begun & (v->n_ahead - 1)], TGI_SERVICE_GO_LEAVE);
        for (uint32_t k = 0; k < v->n_mails; k++)
            tgi_store_release(&tgi_mail(v, k)->go, TGI_SERVICE_LEAVE);
    }
}

#endif
