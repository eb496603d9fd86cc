/* The kernel of a service whose programs' tasks are bodies (gpu/service/bodies.cuh): the same, and bodies by the functions that are
 * registered for the kernels that they are variants of, or those of the module.  It stays, so nobody holds the driver's lock for
 * it: bodies take that while they ask where memory is. */
#include "kernels/resident.h"
#include "tests/standin/internal.h"
#include "tests/standin/object.h"

struct kernel;
struct tgi_worker;
struct tgi_resident_task;
static __thread const struct kernel *mine;
static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *t);
#define TGI_CALL_STAGE(w, word)  ((void)(w), (void)(word))
#define TGI_CALL_BODIES(w, task) call_body(w, task)
#ifdef TGI_KEEPS /* service_keeping.c */
#define SERVICE_KERNEL standin_service_keeping
#define SERVICE_NAME   "tgk_service_keeping"
#else
#define SERVICE_KERNEL standin_service_bodies
#define SERVICE_NAME   "tgk_service_bodies"
#endif
#define ENTER(kernel)            (mine = (kernel))
#include "tests/standin/service.c"

static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *t)
{
    uint64_t words[TGI_RESIDENT_MAX_WORDS];
    uint32_t body = TGI_CALL_BODY(t->in[0]), n = TGI_CALL_N_WORDS(t->in[0]);
    double us = 0;
    char own[32];
    int rc;
    memcpy(words, w->v->words + t->in[1], n * sizeof *words);
    if (body == TGI_BODY_spin) {
        memcpy(&us, words, sizeof us);
        words[0] = 0;
    }
    if (body < TGI_N_BODIES)
        rc = call_registered(tgi_body_symbol((enum tgi_body)body), &mine->launch, words, n, &state.lock);
    else {
        snprintf(own, sizeof own, STANDIN_BODY "%u", body);
        rc = call_of_module(mine->module, own, &mine->launch, words, n, &state.lock);
    }
    if (us > 0)
        tgi_body_burn(w, t, (uint64_t)(us * 1e3));
    return (uint32_t)rc; /* -1: it is not there */
}
