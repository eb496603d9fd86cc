/* The kernel of programs on several devices (gpu/resident/run_spread.cuh), as resident.c has that of one.
 *
 * Of one program there is a launch on each device, whose workers are all at work together: a launch waits, and has a place on its
 * device, until those of the other devices have theirs, and the last one to come begins all of them.  If one does not come for as
 * long as a wait may last, those that are there begin without it, as on a GPU, and end by their limit. */
#define TGI_PEERS
#include "tests/standin/resident_launch.h"

/* One that has begun, from its first call until the call after it is over. */
struct member {
    struct member *next;
    const struct item *item;
    const void *program; /* the same for all of them, an address */
    struct standin_launch launch;
    struct resident r;
    bool is_over;
};
static struct member *members;
static int late_device = -1; /* standin_begin_late() */

static void member_drop(struct member *m)
{
    struct member **at = &members;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    free(m);
}

void resident_reset(void)
{
    while (members)
        member_drop(members);
    late_device = -1;
}

/* Those of one launch, whose workers are at work at the same time. */
static void run_together(const void *program, bool all, struct member *me)
{
    for (struct member *m = members; m; m = m->next) {
        if (m->program != program || m->is_over || (!all && m != me))
            continue;
        if (m->r.epoch != me->r.epoch)
            violation("tgk_resident_run_spread is in epoch %u on one device and in %u on another", m->r.epoch, me->r.epoch);
        m->is_over = true;
        begin_workers(&m->r);
    }
    for (struct member *m = members; m; m = m->next)
        if (m->program == program && m->r.threads) {
            end_workers(&m->r);
            m->r.threads = NULL;
        }
}

static struct member *member_of(void **args, const struct standin_launch *launch)
{
    struct tgi_resident_view given;
    struct member *m = members;
    while (m && m->item != launch->instance)
        m = m->next;
    if (m)
        return m;
    m = calloc(1, sizeof *m);
    if (!m)
        abort();
    m->item = launch->instance;
    m->launch = *launch;
    m->r.launch = &m->launch;
    memcpy(&given, args[0], sizeof given);
    memcpy(&m->r.peers, args[1], sizeof m->r.peers);
    m->program = m->r.peers.of[0].control;
    m->next = members;
    members = m;
    if (!prepare(&m->r, "tgk_resident_run_spread", &given)) {
        member_drop(m);
        return NULL;
    }
    return m;
}

void standin_begin_late(int device)
{
    pthread_mutex_lock(&state.lock);
    late_device = device;
    pthread_mutex_unlock(&state.lock);
}

static bool is_late(void **args, const struct standin_launch *launch)
{
    struct tgi_resident_view given;
    memcpy(&given, args[0], sizeof given);
    const struct tgi_resident_control *c =
        launch->device == late_device ? standin_at(launch, (CUdeviceptr)(uintptr_t)given.control, sizeof *c, STANDIN_IN) : NULL;
    return c && !c->abort;
}

static int run_spread(void **args, const void *launch)
{
    if (is_late(args, launch)) {
        standin_again(launch);
        return 0;
    }
    struct member *me = member_of(args, launch);
    uint32_t n_there = 0;
    if (!me)
        return 0;
    for (const struct member *m = members; m; m = m->next)
        n_there += m->program == me->program && !m->is_over;
    bool is_all = n_there == me->r.peers.n_devices, is_left = tgi_load_relaxed(&me->r.v.control->abort) != 0;
    if (!me->is_over && (is_all || is_left))
        run_together(me->program, is_all, me);
    if (!me->is_over && standin_again(launch) >= me->r.v.limit_ns) {
        ((struct item *)(uintptr_t)me->item)->is_again = false;
        run_together(me->program, false, me);
    }
    if (me->is_over)
        member_drop(me);
    return 0;
}

void resident_spread_register(void)
{
    static const struct standin_param params[] = {{sizeof(struct tgi_resident_view), STANDIN_VALUE},
                                                  {sizeof(struct tgi_resident_peers), STANDIN_VALUE}};
    static const struct standin_kernel kernel = {"tgk_resident_run_spread", run_spread, 2, params, NULL, NULL};
    if (standin_register_kernel(&kernel)) {
        fprintf(stderr, "stand-in driver: cannot register kernel %s\n", kernel.name);
        abort();
    }
}
