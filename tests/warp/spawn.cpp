// Tasks that bodies make, by a warp: every lane that wants a task gets a block of its own as long as there are any, and a whole dynamic
// program (gpu/resident/family.h), executed by one worker of 32 lanes, gives what executing it task by task gives.
//
//     spawn ROUNDS SEED
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "tests/warp/dice.hpp"
#include "tests/warp/order.hpp"

static inline uint64_t tgi_warp_sum(uint64_t x, uint32_t) { return x; } /* for tasks that are none here */
static inline uint64_t tgi_warp_total(uint64_t x, uint32_t) { return x; }

struct tgi_worker;
struct tgi_resident_task;
static uint64_t staged[32];
static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *t);
#define TGI_CALL_STAGE(w, word)  (staged[lanes::me] = (word))
#define TGI_CALL_BODIES(w, task) call_body(w, task)
#include "gpu/resident/family.h"

static bool is_good = true;
static void complain(const char *what, uint32_t a, uint32_t b)
{
    printf("%s: %u, %u\n", what, a, b);
    is_good = false;
}

/* ---- Blocks -------------------------------------------------------------------------------*/

static void spawn_and_give(uint32_t n_each)
{
    enum { WORDS = 2 };
    std::vector<uint64_t> blocks(2 * n_each * (WORDS + TGI_SPAWN_HEAD_WORDS));
    tgi_resident_home homes[2] = {};
    tgi_resident_nursery nursery = {blocks.data(), nullptr, homes, n_each, WORDS};
    tgd_spawner s, other;
    std::vector<bool> is_taken(n_each);
    uint32_t wants[40], refused[40], n_taken = 0;
    for (uint32_t &w : wants)
        w = roll(3) ? (uint32_t)(roll(1u << 16) << 16 | roll(1u << 16)) : roll(2) ? ~0u : 1u << roll(32);
    lanes::run([&](int lane) {
        tgi_spawner_init(&s, &nursery, 1);
        if (lane == 0)
            other.nursery = &nursery, other.worker = 0;
        for (uint32_t i = 0; i < 40; i++) {
            uint64_t words[WORDS] = {i, (uint64_t)lane};
            if (lane == 0)
                s.n_made = 0;
            tgi_warp_sync();
            int rc = tgd_spawn(&s, wants[i] >> lane & 1, 7, words, WORDS);
            uint32_t no = tgi_warp_ballot(rc != TGD_OK);
            if (lane)
                continue;
            refused[i] = no;
            uint32_t n_wanted = tgi_count_ones(wants[i]), left = n_each - n_taken, lane_of = 0;
            if (s.n_made != (n_wanted < left ? n_wanted : left) || s.n_made + tgi_count_ones(no) != n_wanted || (no & ~wants[i]))
                complain("another number of tasks than there is room for", s.n_made, n_wanted);
            for (uint32_t k = 0; k < s.n_made; k++) {
                const uint64_t *b = tgi_spawn_block(&nursery, n_each + s.made[k]);
                while (!((wants[i] & ~no) >> lane_of & 1))
                    lane_of++;
                if (is_taken[s.made[k]] || b[0] != TGI_CALL(7, WORDS, 0) || b[1] != i || b[2] != lane_of++)
                    complain("a block is another lane's", i, k);
                is_taken[s.made[k]] = true;
            }
            n_taken += s.n_made;
            for (uint32_t place = 0; place < n_each; place++) /* by its owner or by somebody else */
                if (is_taken[place] && roll(3) == 0) {
                    tgi_spawn_give(roll(2) ? &s : &other, n_each + place);
                    is_taken[place] = false;
                    n_taken--;
                }
        }
    });
}

/* ---- A whole program ----------------------------------------------------------------------*/

static std::vector<std::vector<uint32_t>> preds;
static std::vector<std::vector<uint64_t>> cells;
static std::vector<uint64_t> value;
static tgd_spawner spawner;

static uint64_t value_of(uint32_t t)
{
    uint64_t sum = t;
    for (uint32_t p : preds[t])
        for (uint64_t c : cells[p])
            sum += tgi_mix(c);
    return tgi_mix(sum);
}

/* As a user's function: ranges of cells are cut into as many as there are lanes, short ones are filled, a cell by each lane. */
static uint32_t call_body(struct tgi_worker *, const struct tgi_resident_task *task)
{
    uint32_t t = (uint32_t)staged[0], begin = (uint32_t)staged[1], end = (uint32_t)staged[2], n = end - begin;
    if (TGI_CALL_BODY(task->in[0]) == 0 && tgi_lane() == 0)
        value[t] = value_of(t);
    tgi_warp_sync();
    for (uint32_t i = begin + tgi_lane(); n <= 32 && i < end; i += 32)
        cells[t][i] = tgi_mix(value[t] + i);
    if (n <= 32)
        return 0;
    uint32_t from = begin + n * tgi_lane() / 32, to = begin + n * (tgi_lane() + 1) / 32;
    const uint64_t words[] = {t, from, to};
    if (tgd_spawn(&spawner, to > from, 1, words, 3) != TGD_OK)
        for (uint32_t i = from; i < to; i++)
            cells[t][i] = tgi_mix(value[t] + i);
    return 0;
}

static void run_program(uint32_t n, uint32_t n_each)
{
    enum { LOCAL = 4, FAR = 4 };
    std::vector<std::vector<uint32_t>> succs(n);
    std::vector<tgi_resident_task> tasks(n);
    std::vector<uint32_t> outs, roots, counters(n), live(n), next(n + n_each), progress(1), far_slots(2 * FAR), near_slots(2 * LOCAL);
    std::vector<uint64_t> words, results(n), blocks(n_each * 4);
    tgi_resident_control control = {};
    tgi_resident_counts counts = {};
    tgi_resident_idle idle = {};
    tgi_resident_mailbox mail = {};
    tgi_resident_home home = {};
    tgi_ring far[2] = {}, near[2] = {};
    preds.assign(n, {});
    cells.assign(n, {});
    value.assign(n, 0);
    for (uint32_t t = 0; t < n; t++) {
        cells[t].resize(roll(2) ? roll(400) : roll(40));
        for (uint32_t p = 0; p < t; p++)
            if (roll(n) < 2) {
                preds[t].push_back(p);
                succs[p].push_back(t);
            }
        if (preds[t].empty())
            roots.push_back(t);
        words.insert(words.end(), {t, 0, cells[t].size()});
    }
    for (uint32_t t = 0; t < n; t++) {
        uint32_t k = (uint32_t)succs[t].size();
        tasks[t] = {};
        tasks[t].head = TGI_RESIDENT_CALL | (k > 2 ? TGI_HEAD_LIST : k) << 12;
        tasks[t].id = t;
        tasks[t].n_wait = (uint32_t)preds[t].size();
        tasks[t].in[0] = (uint32_t)TGI_CALL(0, 3, 0);
        tasks[t].in[1] = 3 * t;
        for (uint32_t &s : succs[t])
            s |= preds[s].size() == 1 ? TGI_NEXT_LONE : 0;
        for (uint32_t i = 0; k <= 2 && i < k; i++)
            tasks[t].out[i] = succs[t][i];
        if (k > 2) {
            tasks[t].out[0] = (uint32_t)outs.size();
            tasks[t].out[1] = k;
            outs.insert(outs.end(), succs[t].begin(), succs[t].end());
        }
    }
    tgi_resident_view v = {};
    v.tasks = tasks.data(), v.outs = outs.data(), v.words = words.data(), v.counters = counters.data(), v.results = results.data();
    v.progress = progress.data(), v.control = &control, v.limit_ns = 20000000000u, v.n_workers_each = 1;
    tgi_resident_pool p = {};
    p.roots = roots.data(), p.rings = far, p.slots = far_slots.data(), p.next = next.data(), p.idle = &idle, p.mail = &mail, p.counts = &counts;
    p.n_tasks = n, p.n_roots = (uint32_t)roots.size(), p.n_blocks = 1, p.ring_capacity = FAR, p.local_capacity = LOCAL, p.chunk = 2;
    tgi_resident_nursery nursery = {blocks.data(), live.data(), &home, n_each, 3};
    for (uint32_t epoch = 1; epoch <= 2; epoch++) {
        p.finished_before = n * (epoch - 1);
        lanes::run([&](int) {
            tgi_family_runner f = {};
            f.r.w.v = &v, f.r.w.epoch = epoch, f.r.w.shared_epoch = 1;
            f.r.p = &p, f.r.local = near, f.r.local_slots = near_slots.data(), f.spawner = &spawner;
            tgi_spawner_init(&spawner, &nursery, 0);
            tgi_family_run(&f);
        });
        for (uint32_t t = 0; t < n; t++) {
            if (value[t] != value_of(t) || live[t])
                complain("a task was too early, or its family is not over", t, live[t]);
            for (uint32_t i = 0; i < cells[t].size(); i++)
                if (cells[t][i] != tgi_mix(value[t] + i))
                    return complain("a cell is another", t, i);
            cells[t].assign(cells[t].size(), 0);
            for (uint32_t i = 0; i < cells[t].size(); i++)
                cells[t][i] = tgi_mix(value[t] + i);
        }
        if (control.panic.code || counts.finished - counts.made != n * epoch)
            complain("it did not end well", control.panic.code, counts.finished - counts.made);
        for (auto &c : cells)
            c.assign(c.size(), 0);
    }
}

int main(int argc, char **argv)
{
    uint32_t n_rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 10;
    dice = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1;
    for (uint32_t i = 0; i < n_rounds && is_good; i += 15) { /* one takes as long as several of other tests */
        spawn_and_give(1 + roll(TGI_SPAWN_MAX_EACH));
        run_program(1 + roll(5), roll(3) ? TGI_SPAWN_MAX_EACH : roll(50));
    }
    return is_good ? 0 : 1;
}
