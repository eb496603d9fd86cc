/* See replay_costs.h. */
#include "sched/replay_costs.h"

#include <stdio.h>

static struct tgi_history_key key_of(const char *device, enum tgi_replay_cost cost, uint64_t n_tasks)
{
    static const char *const names[TGI_N_REPLAY_COSTS] = {"recording", "instantiating", "updating", "launching", "streams", "copies", "a run on streams", "a run as a graph"};
    struct tgi_history_key key = {"(run)", "", "", ""};
    uint64_t least = 1;
    while (n_tasks / least >= 10)
        least *= 10;
    snprintf(key.device, sizeof key.device, "%s", device);
    snprintf(key.variant, sizeof key.variant, "%s, each", names[cost]);
    snprintf(key.sizes, sizeof key.sizes, "%llu to %llu tasks", (unsigned long long)least, (unsigned long long)(10 * least - 1));
    return key;
}

void tgi_replay_costs_read(struct tgi_history *history, const char *device, uint64_t n_tasks, struct tgi_replay_costs *costs_p)
{
    *costs_p = (struct tgi_replay_costs){{0}};
    for (int i = 0; i < TGI_N_REPLAY_COSTS; i++) {
        struct tgi_history_key key = key_of(device, i, n_tasks);
        struct tgi_history_model model;
        if (tgi_history_model(history, tgi_history_entry(history, &key), &model))
            costs_p->ns[i] = model.median_ns;
    }
}

void tgi_replay_costs_note(struct tgi_history *history, const char *device, uint64_t n_tasks, enum tgi_replay_cost cost,
                           uint64_t n, double ns)
{
    struct tgi_history_key key = key_of(device, cost, n_tasks);
    if (n)
        tgi_history_note(history, tgi_history_entry(history, &key), ns / (double)n);
}
