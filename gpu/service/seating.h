/* Instances of a service's programs, from where they wait to their answer.
 *
 * An instance is put down by client, and begins when its turn comes (mem/service_turn.h) and a team has a seat; its inputs
 * are fetched from the ring then, whose slot is the instance's until its answer has been received.  The team with the fewest under
 * way takes it.  In a team instances end in the order in which they began, so the time that an instance is charged runs
 * from the end of the one before: parts of a team's time that add up to all of it.
 *
 * Cancelling.  What waits is taken out and answered at once.  What is under way is told as if a task of it had failed: bodies
 * are left out from where a worker sees that, and its edges run down. */
#ifndef TGI_GPU_SERVICE_SEATING_H
#define TGI_GPU_SERVICE_SEATING_H

#include "gpu/service/answer.h"

/* A mask of what lanes found, each at its own number; on the CPU one lane has looked at all. */
TGI_FN uint32_t tgi_lane_mask(uint32_t mine)
{
    return TGI_LANES == 1 ? mine : tgi_warp_ballot(mine != 0);
}

TGI_FN uint32_t tgi_n_seats(const struct tgi_service_view *v) { return v->n_teams * v->n_ahead; }

/* ---- The host's clock -----------------------------------------------------------------------*/

/* A beat came at some time before it was seen, so each says at least how far the GPU's clock is ahead, at most; the least of them is
 * believed, and slowly forgotten, since clocks drift. */
TGI_FN uint64_t tgi_controller_hear(struct tgi_controller *c)
{
    uint64_t beat = tgi_warp_first(tgi_sys_load_relaxed(&c->v->shared->beat_ns)), now = tgi_warp_first(tgi_now_ns());
    if (beat == c->beat_ns)
        return now;
    int64_t more = (int64_t)(now - beat - c->ahead_ns);
    c->ahead_ns += (uint64_t)(c->beat_ns == 0 || more < 0 ? more : more / 64);
    c->beat_ns = beat;
    c->beat_at = now;
    c->is_stale |= c->is_quiet;
    c->is_quiet = false;
    return now;
}

/* ---- Waiting --------------------------------------------------------------------------------*/

/* An instance is put down where it waits.  What no client or program is becomes the first one's, as the host never sends it. */
TGI_FN void tgi_controller_enlist(struct tgi_controller *c, uint64_t word)
{
    uint32_t tag = TGI_SERVICE_TAG(word), i = c->taken & (c->v->messages.capacity - 1);
    if (tgi_lane() == 0) {
        struct tgi_turn_entry *e = &c->v->entries[i];
        e->ticket = c->taken;
        e->program = (uint8_t)((tag & 0xffu) < c->v->n_programs ? tag & 0xffu : 0);
        e->client = (uint8_t)((tag >> 8 & 0xffu) < c->desk->turns.n_clients ? tag >> 8 & 0xffu : 0);
        e->urgency = (uint8_t)(tag >> 16 & (TGI_TURN_N_URGENCIES - 1));
        tgi_turn_put(&c->desk->turns, c->v->entries, i);
    }
    c->n_waiting++;
    c->is_stale = true;
}

/* The team with the fewest instances, which has a seat; TGI_TURN_NONE. */
TGI_FN uint32_t tgi_controller_team(const struct tgi_controller *c)
{
    uint32_t best = TGI_TURN_NONE, least = c->v->n_ahead;
    for (uint32_t t = 0; t < c->v->n_teams && least; t++) {
        uint32_t n = c->desk->teams[t].n_begun - c->desk->teams[t].n_ended;
        if (n < least) {
            least = n;
            best = t;
        }
    }
    return best;
}

/* An instance that waits is answered without having begun. */
TGI_FN void tgi_controller_drop(struct tgi_controller *c, uint32_t i, uint32_t outcome)
{
    struct tgi_turn_entry *e = &c->v->entries[i];
    uint32_t ticket = e->ticket;
    tgi_warp_sync();
    if (tgi_lane() == 0) {
        struct tgi_turn_client *client = &c->desk->turns.clients[e->client];
        client->n_cancelled += outcome == TGI_SERVICE_CANCELLED;
        client->n_late += outcome == TGI_SERVICE_MISSED;
        tgi_turn_remove(&c->desk->turns, c->v->entries, i);
    }
    c->n_waiting--;
    tgi_controller_answer(c, ticket, outcome, NULL, 0);
}

/* ---- Beginning ------------------------------------------------------------------------------*/

TGI_FN void tgi_controller_seat(struct tgi_controller *c, uint32_t team, uint32_t i, uint64_t deadline, uint64_t now)
{
    const struct tgi_service_view *v = c->v;
    uint32_t ahead = c->desk->teams[team].n_begun & (v->n_ahead - 1), k = team * v->n_ahead + ahead;
    tgi_warp_sync();
    if (tgi_lane() == 0) {
        struct tgi_turn_entry e = v->entries[i];
        struct tgi_service_desk_seat *seat = &c->desk->seats[k];
        struct tgi_resident_control *control = &tgi_seat(v, k)->control;
        seat->began_ns = now;
        seat->deadline_ns = deadline;
        seat->ticket = e.ticket;
        seat->program = e.program;
        seat->client = e.client;
        seat->is_cancelled = 0;
        seat->n_uses++;
        tgi_store_relaxed(&control->is_failed, 0); /* what the instance before may have left */
        tgi_store_relaxed(&control->is_claimed, 0);
        tgi_store_relaxed(&control->panic.code, TGI_PANIC_NONE);
        uint32_t epoch = ++seat->epochs[e.program], number = ++c->desk->teams[team].n_begun;
        /* release: inputs, which the warp has written, and control; pairs with the acquire in tgi_await_go(). */
        tgi_go_store(&v->teams[team].go[ahead], TGI_SERVICE_GO(number, e.program, epoch));
        seat->charged = tgi_turn_begin(&c->desk->turns, v->entries, i);
    }
    tgi_warp_sync();
    c->seated |= 1u << k;
    c->n_waiting--;
    c->counts.n_instances++;
}

/* The one whose turn it is, unless it has been cancelled or its deadline has passed. */
TGI_FN void tgi_controller_begin(struct tgi_controller *c, uint32_t team, uint32_t i)
{
    const struct tgi_service_view *v = c->v;
    struct tgi_turn_entry e = v->entries[i];
    const struct tgi_service_program_view *p = &v->programs[e.program];
    uint32_t ahead = c->desk->teams[team].n_begun & (v->n_ahead - 1);
    uint64_t *inputs = (uint64_t *)((uintptr_t)p->inputs + (team * v->n_ahead + ahead) * v->seat_stride);
    uint64_t word = tgi_sys_load_relaxed(tgi_service_ring_word(&v->messages, e.ticket) + 1);
#ifdef TGI_KEEPS /* it may be one that goes on */
    uint32_t n_words = TGI_SERVICE_BYTES(tgi_sys_load_relaxed(tgi_service_ring_word(&v->messages, e.ticket))) / 8;
#else
    uint32_t n_words = p->n_inputs;
#endif
    tgi_copy_words(inputs, (const uint64_t *)tgi_service_ring_bytes(&v->messages, e.ticket), n_words);
    c->is_owing = true; /* the slot has been read, even if the instance is dropped */
    word = tgi_warp_first(word);
    uint64_t now = word > TGI_SERVICE_CANCELLED_ALREADY ? tgi_controller_hear(c) : tgi_warp_first(tgi_now_ns());
    uint64_t deadline = word ? word + c->ahead_ns : 0;
    if (word == TGI_SERVICE_CANCELLED_ALREADY)
        tgi_controller_drop(c, i, TGI_SERVICE_CANCELLED);
    else if (word && (int64_t)(now - deadline) > 0)
        tgi_controller_drop(c, i, TGI_SERVICE_MISSED);
    else
        tgi_controller_seat(c, team, i, deadline, now);
}

/* What can begin now. */
TGI_FN void tgi_controller_start(struct tgi_controller *c)
{
    while (c->n_waiting && !c->is_quiet && TGI_SERVICE_COMMAND_OF(c->command) != TGI_SERVICE_HOLD) {
        uint32_t team = tgi_controller_team(c), i = TGI_TURN_NONE;
        if (team == TGI_TURN_NONE)
            break;
        if (tgi_lane() == 0)
            i = tgi_turn_next(&c->desk->turns);
        i = tgi_warp_get(i, 0);
        if (i == TGI_TURN_NONE)
            break;
        tgi_controller_begin(c, team, i);
    }
    c->is_stale = false;
}

/* ---- Ending ---------------------------------------------------------------------------------*/

TGI_FN void tgi_controller_answer_seat(struct tgi_controller *c, uint32_t k, uint64_t now)
{
    const struct tgi_service_view *v = c->v;
    const struct tgi_service_desk_seat *seat = &c->desk->seats[k];
    const struct tgi_service_program_view *p = &v->programs[seat->program];
    const struct tgi_resident_panic *panic = &tgi_seat(v, k)->control.panic;
#ifdef TGI_KEEPS /* one that failed before it could be kept says so */
    if (seat->is_cancelled == TGI_SEAT_IS_KEPT && tgi_load_relaxed(&panic->code) == TGI_PANIC_NONE) {
        const uint64_t *kept = (const uint64_t *)((uintptr_t)p->inputs + k * v->seat_stride);
        tgi_controller_answer(c, seat->ticket, TGI_SERVICE_KEPT, kept, p->n_kept * 8);
        return;
    }
    if (seat->is_cancelled && seat->is_cancelled != TGI_SEAT_IS_KEPT) {
#else
    if (seat->is_cancelled) {
#endif
        tgi_controller_answer(c, seat->ticket, TGI_SERVICE_CANCELLED, NULL, 0);
        return;
    }
    /* relaxed: whoever wrote it has been acquired with `done`. */
    if (tgi_load_relaxed(&panic->code) != TGI_PANIC_NONE) {
        tgi_controller_answer_panic(c, seat->ticket, TGI_SERVICE_FAILED, panic);
        return;
    }
    const uint64_t *results = (const uint64_t *)((uintptr_t)p->view.results + k * v->seat_stride);
    uint64_t *to = (uint64_t *)tgi_service_ring_bytes(&v->answers, c->answered);
    bool is_late = seat->deadline_ns && (int64_t)(now - seat->deadline_ns) > 0;
    for (uint32_t i = tgi_lane(); i < p->n_outputs; i += TGI_LANES)
        to[i] = results[p->outputs[i]];
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_controller_put(c, c->answered, seat->ticket, is_late ? TGI_SERVICE_DONE_LATE : TGI_SERVICE_DONE, p->n_outputs * 8, true);
    c->answered++;
    c->is_owing = false;
}

TGI_FN void tgi_controller_end(struct tgi_controller *c, uint32_t team, uint32_t k)
{
    enum { COUNT_EVERY = 16 };
    struct tgi_service_desk_seat *seat = &c->desk->seats[k];
    struct tgi_service_desk_team *t = &c->desk->teams[team];
    uint64_t now = tgi_warp_first(tgi_now_ns());
    tgi_controller_answer_seat(c, k, now);
    c->counts.n_tasks += c->v->programs[seat->program].n_tasks;
    tgi_warp_sync();
    if (tgi_lane() == 0) {
        uint64_t since = (int64_t)(t->ended_ns - seat->began_ns) > 0 && t->n_ended ? t->ended_ns : seat->began_ns;
        struct tgi_turn_client *client = &c->desk->turns.clients[seat->client];
        tgi_turn_end(&c->desk->turns, seat->client, seat->program, seat->charged, now - since);
        client->n_cancelled += seat->is_cancelled != 0;
        client->n_late += seat->deadline_ns && (int64_t)(now - seat->deadline_ns) > 0;
        t->ended_ns = now;
        t->n_ended++;
    }
    tgi_warp_sync();
    c->seated &= ~(1u << k);
    c->is_stale = true;
    if (++c->n_ended % COUNT_EVERY == 0)
        tgi_controller_count(c);
}

TGI_FN void tgi_controller_abort(const struct tgi_controller *c)
{
    uint32_t n = tgi_n_seats(c->v);
    for (uint32_t k = tgi_lane(); k < (n ? n : 1); k += TGI_LANES)
        tgi_store_relaxed(&tgi_seat(c->v, k)->control.abort, 1);
    tgi_warp_sync();
}

/* Whatever is under way ends here, and so does the launch: a worker of these seats is stuck, or there are none and the host is
 * silent. */
TGI_FN void tgi_controller_give_up(struct tgi_controller *c, uint32_t stuck)
{
    c->is_over = true;
    tgi_controller_abort(c);
    for (; c->seated; c->seated &= c->seated - 1) {
        uint32_t k = tgi_lowest(c->seated), ticket = c->desk->seats[k].ticket;
        if (stuck >> k & 1)
            tgi_controller_answer_panic(c, ticket, TGI_SERVICE_STUCK, &tgi_seat(c->v, k)->control.panic);
        else
            tgi_controller_answer(c, ticket, TGI_SERVICE_GIVEN_UP, NULL, 0);
    }
    for (; c->busy; c->busy &= c->busy - 1)
        tgi_controller_answer(c, tgi_mail(c->v, tgi_lowest(c->busy))->ticket, TGI_SERVICE_GIVEN_UP, NULL, 0);
}

/* Of an instance that all workers have left: whether they left because one was stuck.  relaxed: acquired with `done`. */
TGI_FN bool tgi_seat_is_stuck(const struct tgi_service_view *v, uint32_t k)
{
    const struct tgi_resident_control *control = &tgi_seat(v, k)->control;
    return tgi_load_relaxed(&control->panic.code) != TGI_PANIC_NONE && tgi_load_relaxed(&control->abort) != 0;
}

/* The instances under way.  True: one has ended, or all end here.  All words of a seat are on their way at once, as none of the
 * first loads waits for what comes after it. */
TGI_FN bool tgi_controller_watch(struct tgi_controller *c)
{
    const struct tgi_service_view *v = c->v;
    uint32_t done = 0, panics = 0, stuck = 0;
    for (uint32_t k = tgi_lane(); k < tgi_n_seats(v); k += TGI_LANES) {
        struct tgi_service_seat *seat = tgi_seat(v, k);
        uint32_t bit = 1u << k & c->seated, wanted = c->desk->seats[k].n_uses * v->n_workers;
        bool is_stuck = tgi_load_relaxed(&seat->control.abort) != 0;
        bool has_panic = tgi_load_relaxed(&seat->control.panic.code) != TGI_PANIC_NONE;
        /* acquire: results and panics; pairs with the release in tgi_service_worker_run(). */
        done |= tgi_load_acquire(&seat->done) == wanted ? bit : 0;
        /* acquire: the record; pairs with the release in tgi_panic(). */
        if (bit && has_panic && (is_stuck || !c->has_told) && tgi_load_acquire(&seat->control.panic.code))
            panics |= bit;
        stuck |= is_stuck ? panics & bit : 0;
    }
    done = tgi_lane_mask(done);
    panics = tgi_lane_mask(panics);
    stuck = tgi_lane_mask(stuck);
    tgi_warp_sync(); /* each lane has acquired a seat that others read */
    if (panics && !c->has_told)
        tgi_controller_tell(c, &tgi_seat(v, tgi_lowest(panics))->control.panic);
    for (uint32_t t = 0; done && t < v->n_teams; t++)
        for (;;) {
            uint32_t n = c->desk->teams[t].n_ended, k = t * v->n_ahead + (n & (v->n_ahead - 1));
            if (n == c->desk->teams[t].n_begun || !(done >> k & 1))
                break;
            done &= ~(1u << k);
            if (tgi_seat_is_stuck(v, k)) {
                stuck |= 1u << k;
                break;
            }
            tgi_controller_end(c, t, k);
        }
    if (stuck)
        tgi_controller_give_up(c, stuck);
    return c->is_stale || c->is_over;
}

/* ---- Cancelling -----------------------------------------------------------------------------*/

/* An instance that has been answered, or is still in the ring, is none of these; the latter is found cancelled when it would begin. */
TGI_FN void tgi_controller_cancel(struct tgi_controller *c, uint64_t cancel)
{
    uint32_t ticket = (uint32_t)cancel;
    uint32_t i = ticket & (c->v->messages.capacity - 1), found = 0;
    struct tgi_turn_entry e = c->v->entries[i];
    if (e.ticket == ticket && e.is_waiting) {
        tgi_controller_drop(c, i, TGI_SERVICE_CANCELLED);
        return;
    }
    for (uint32_t k = tgi_lane(); k < tgi_n_seats(c->v); k += TGI_LANES)
        if (c->seated >> k & 1 && c->desk->seats[k].ticket == ticket)
            found |= 1u << k;
    found = tgi_lane_mask(found);
    if (found && tgi_lane() == 0) {
        c->desk->seats[tgi_lowest(found)].is_cancelled = TGI_SERVICE_CANCEL_KEEPS(cancel) ? TGI_SEAT_IS_KEPT : 1;
        tgi_store_relaxed(&tgi_seat(c->v, tgi_lowest(found))->control.is_failed, 1);
    }
    tgi_warp_sync();
}

#endif
