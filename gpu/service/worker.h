/* Workers of a service: those of its teams, which execute instance after instance, and those that take one message each.
 *
 * Nobody here touches the host's memory.  The first worker of a block looks at the word that announces an instance and
 * tells the others in shared memory, so that a hundred warps poll one line and not a thousand. */
#ifndef TGI_GPU_SERVICE_WORKER_H
#define TGI_GPU_SERVICE_WORKER_H

#include "gpu/resident/worker.h"
#include "mem/service_view.h"

#define TGI_REST_AFTER 4096u /* polls */

#ifdef __CUDACC__
TGI_FN void tgi_rest(void) { __nanosleep(128); }
#else
TGI_FN void tgi_rest(void)
{
    struct timespec t = {0, 20000};
    nanosleep(&t, NULL);
}
#endif

/* Between two looks at a word that may stay as it is for long. */
TGI_FN void tgi_idle(uint32_t *n_polls)
{
    if (++*n_polls > TGI_REST_AFTER)
        tgi_rest();
    else
        tgi_pause();
}

/* ---- Instances ------------------------------------------------------------------------------*/

#ifdef __CUDACC__
TGI_FN uint64_t tgi_go_load(const uint64_t *p)
{
    uint64_t x;
    asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(x) : "l"(__cvta_generic_to_global(p)) : "memory");
    return x;
}
TGI_FN void tgi_go_store(uint64_t *p, uint64_t x)
{
    asm volatile("st.release.gpu.global.u64 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "l"(x) : "memory");
}
TGI_FN uint64_t tgi_relay_load(const uint64_t *p)
{
    uint64_t x;
    asm volatile("ld.acquire.cta.shared.u64 %0, [%1];" : "=l"(x) : "r"((uint32_t)__cvta_generic_to_shared(p)) : "memory");
    return x;
}
TGI_FN void tgi_relay_store(uint64_t *p, uint64_t x)
{
    asm volatile("st.release.cta.shared.u64 [%0], %1;" ::"r"((uint32_t)__cvta_generic_to_shared(p)), "l"(x) : "memory");
}
#else
TGI_FN uint64_t tgi_go_load(const uint64_t *p) { return __atomic_load_n(p, TGI_ACQUIRE); }
TGI_FN void tgi_go_store(uint64_t *p, uint64_t x) { __atomic_store_n(p, x, TGI_RELEASE); }
TGI_FN uint64_t tgi_relay_load(const uint64_t *p) { return tgi_go_load(p); }
TGI_FN void tgi_relay_store(uint64_t *p, uint64_t x) { tgi_go_store(p, x); }
#endif

TGI_FN struct tgi_service_seat *tgi_seat(const struct tgi_service_view *v, uint32_t k)
{
    return (struct tgi_service_seat *)(v->seats + k * v->seat_stride);
}

/* Whether a seat's word is of this instance, not of the one that had the seat before. */
TGI_FN bool tgi_go_is_at(uint64_t word, uint32_t number)
{
    return word == TGI_SERVICE_GO_LEAVE || (((uint32_t)word ^ number) & 0xffffffu) == 0;
}

/* The word that begins an instance.  acquire: the inputs, and what the controller has reset; pairs with the release in
 * tgi_controller_begin(), from the relay with that of the block's first worker, which passes it on.  The word before is not needed
 * any more when it is overwritten, as the seat's last instance ended after all had seen it. */
TGI_FN uint64_t tgi_await_go(const uint64_t *go, uint64_t *relay, bool is_first, uint32_t number)
{
    uint32_t n_polls = 0;
    uint64_t word;
    if (is_first) {
        while (!tgi_go_is_at(word = tgi_go_load(go), number))
            tgi_idle(&n_polls);
        tgi_warp_sync();
        if (tgi_lane() == 0)
            tgi_relay_store(relay, word);
    } else
        while (!tgi_go_is_at(word = tgi_relay_load(relay), number))
            tgi_idle(&n_polls);
    return word;
}

/* A program's tables as they are in another seat. */
TGI_FN void tgi_seat_view(const struct tgi_service_view *v, uint32_t program, uint32_t seat, struct tgi_resident_view *view)
{
    uint64_t by = seat * v->seat_stride;
    *view = v->programs[program].view;
    view->inputs = (const uint64_t *)((uintptr_t)view->inputs + by);
    view->counters = (uint32_t *)((uintptr_t)view->counters + by);
    view->cells = (struct tgi_cell *)((uintptr_t)view->cells + by);
    view->results = (uint64_t *)((uintptr_t)view->results + by);
    if (view->lines)
        view->lines = (uint64_t *)((uintptr_t)view->lines + by);
    view->progress = (uint32_t *)((uintptr_t)view->progress + by);
#ifdef TGI_CALL_BODIES
    view->words += seat * v->programs[program].n_words; /* they name the tiles of this seat */
#endif
    view->control = &tgi_seat(v, seat)->control;
}

/* A worker of a block: where it is and what its block has. */
struct tgi_service_worker {
    uint32_t team, rank; /* rank: among its team's workers */
    bool is_first;       /* of its block */
    struct tgi_resident_task *stage; /* as tgi_warp_worker_run() takes it */
    struct tgi_cell *cells;          /* of all seats */
    uint32_t *counters;
    uint64_t *relay;
};

TGI_FN void tgi_service_worker_run(const struct tgi_service_view *v, const struct tgi_service_worker *me)
{
    for (uint32_t number = 1, ahead = 0;; number++, ahead = ahead + 1 == v->n_ahead ? 0 : ahead + 1) {
        uint64_t word = tgi_await_go(&v->teams[me->team].go[ahead], &me->relay[ahead], me->is_first, number);
        if (word == TGI_SERVICE_GO_LEAVE)
            return;
        uint32_t program = TGI_SERVICE_GO_PROGRAM(word), seat = me->team * v->n_ahead + ahead;
        struct tgi_resident_view view;
        struct tgi_worker w = {};
        tgi_seat_view(v, program, seat, &view);
        w.v = &view;
        w.id = me->rank;
        w.epoch = w.shared_epoch = TGI_SERVICE_GO_EPOCH(word);
        w.shared_cells = me->cells + ahead * v->n_cells + v->programs[program].cells_at;
        w.shared_counters = me->counters + ahead * v->n_counters + v->programs[program].counters_at;
#ifdef TGI_KEEPS
        uint32_t *n_done = tgi_service_n_done(view.inputs) + me->rank, begin = view.first[me->rank], end = view.first[me->rank + 1];
        w.resumes = begin + *n_done;
        w.stops = UINT32_MAX;
#endif
        tgi_warp_worker_run(&w, me->stage);
        tgi_warp_sync();
#ifdef TGI_KEEPS
        if (tgi_lane() == 0)
            *n_done = (w.stops == UINT32_MAX ? end : w.stops > w.resumes ? w.stops : w.resumes) - begin;
#endif
        /* release: all results of this worker; pairs with the acquire in tgi_seats_done(). */
        if (tgi_lane() == 0)
            tgi_add_release(&tgi_seat(v, seat)->done, 1);
    }
}

/* ---- Messages -------------------------------------------------------------------------------*/

TGI_FN struct tgi_service_mail *tgi_mail(const struct tgi_service_view *v, uint32_t k)
{
    return (struct tgi_service_mail *)(v->mails + (uint64_t)k * v->mail_stride);
}

TGI_FN void tgi_mail_execute(const struct tgi_service_view *v, struct tgi_service_mail *m, uint32_t k)
{
    uint64_t *words = (uint64_t *)(m + 1);
    struct tgi_worker w = {};
    w.v = &v->programs[0].view;
    w.id = v->n_teams * v->n_workers + k;
    uint32_t outcome = m->kind == TGI_SERVICE_FAIL ? TGI_SERVICE_FAILED : TGI_SERVICE_DONE;
    if (m->kind == TGI_SERVICE_MIX)
        for (uint32_t i = tgi_lane(); i < m->n_bytes / 8; i += TGI_LANES)
            words[i] = tgi_mix(words[i] + m->argument);
    else if (m->kind == TGI_SERVICE_SPIN)
        tgi_body_spin(&w, m->argument * (uint64_t)1000);
    tgi_warp_sync();
    if (tgi_lane() == 0) {
        m->outcome = outcome;
        m->detail = m->argument;
    }
}

/* k: of its mail. */
TGI_FN void tgi_mail_worker_run(const struct tgi_service_view *v, uint32_t k)
{
    struct tgi_service_mail *m = tgi_mail(v, k);
    for (uint32_t turn = 1;; turn++) {
        uint32_t n_polls = 0, go;
        /* acquire: the message; pairs with the release in tgi_controller_give(). */
        while ((go = tgi_load_acquire(&m->go)) == turn - 1)
            tgi_idle(&n_polls);
        if (go == TGI_SERVICE_LEAVE)
            return;
        tgi_warp_sync();
        tgi_mail_execute(v, m, k);
        /* release: bytes and outcome; pairs with the acquire in tgi_mails_done(). */
        if (tgi_lane() == 0)
            tgi_store_release(&m->done, turn);
    }
}

#endif
