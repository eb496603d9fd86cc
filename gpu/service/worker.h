/* Workers of a service: those of its program, which execute instance after instance, and those that take one message each.
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

/* What `go` becomes after `was`.  acquire: the inputs, and what the controller has reset; pairs with the release in
 * tgi_controller_begin(), from the relay with that of the block's first worker, which passes it on. */
TGI_FN uint32_t tgi_await_go(const struct tgi_service_view *v, uint32_t *relay, bool is_first, uint32_t was)
{
    uint32_t n_polls = 0, go;
    if (is_first) {
        while ((go = tgi_load_acquire(&v->work->go)) == was)
            tgi_idle(&n_polls);
        tgi_warp_sync();
        if (tgi_lane() == 0)
            tgi_shared_add_release(relay, go - was);
    } else
        while ((go = tgi_shared_load_acquire(relay)) == was)
            tgi_idle(&n_polls);
    return go;
}

/* w has its view, its id and what is its block's; stage as tgi_warp_worker_run() takes it. */
TGI_FN void tgi_service_worker_run(const struct tgi_service_view *v, struct tgi_worker *w, struct tgi_resident_task *stage,
                                   uint32_t *relay, bool is_first)
{
    for (uint32_t instance = 1; tgi_await_go(v, relay, is_first, instance - 1) != TGI_SERVICE_LEAVE; instance++) {
        w->epoch = w->shared_epoch = instance;
        w->previous = 0;
        w->is_failed = w->is_over = false;
        tgi_warp_worker_run(w, stage);
        tgi_warp_sync();
        /* release: all results of this worker; pairs with the acquire in tgi_controller_watch(). */
        if (tgi_lane() == 0)
            tgi_add_release(&v->work->done, 1);
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
    w.v = &v->program;
    w.id = v->n_workers + k;
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
