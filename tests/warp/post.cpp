// A warp's POSTs (gpu/resident/post.h) against the kernel that they are rows of: all rows of a random system by one warp, several of four at
// once waiting for each other, have the same bits; damaged ones are refused, and all others are posted.
//
//     post ROUNDS SEED
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "tests/warp/dice.hpp"
#include "tests/warp/order.hpp"

static uint64_t staged[4 * TGI_RESIDENT_MAX_WORDS];
#define TGI_POST_WORDS(w) staged
#include "gpu/resident/post.h"

extern "C" {
#include "graph/builtin.h"
extern const struct tgi_builtin tgi_builtin_trsv_rows;
/* Nobody asks: contexts are NULL. */
void tg_context_explain(const struct tg_context *, const char *, ...) {}
}

template <class T> static T some() { return (T)roll(2001) / 4000 - (T).25; }
static uint64_t address(const void *p) { return (uint64_t)(uintptr_t)p; }

/* A row is up to three tasks of sixteen entries at most. */
template <class T> struct rows {
    std::vector<T> vals, b, x;
    std::vector<int32_t> cols;
    std::vector<int64_t> start = {0};
    std::vector<uint64_t> words;     /* of POSTs */
    std::vector<uint64_t> addresses; /* the same tasks, as the kernel takes them */
    std::vector<tgi_resident_task> tasks;
};

template <class T> static rows<T> draw(uint32_t n)
{
    struct piece {
        uint32_t row, n_in, ins[TGI_POST_N_IN];
        bool is_first, is_last;
    };
    std::vector<piece> pieces;
    std::vector<uint32_t> last(n);
    rows<T> s;
    for (uint32_t row = 0; row < n; row++) {
        std::vector<uint32_t> ins;
        uint32_t wanted = roll(4) ? roll(4) : roll(45);
        for (uint32_t back = 1; back <= row && ins.size() < wanted; back++)
            if (roll(3))
                ins.push_back(row - back);
        size_t done = 0;
        do {
            piece p = {row, 0, {0}, done == 0, false};
            for (; p.n_in < TGI_POST_N_IN && done < ins.size(); done++) {
                p.ins[p.n_in++] = ins[done];
                for (uint32_t n_times = roll(6) ? 1 : 1 + roll(6); n_times > 0; n_times--) { /* entries may name one twice */
                    s.cols.push_back((int32_t)(p.n_in << 16));
                    s.vals.push_back(some<T>() / 4);
                }
            }
            p.is_last = done == ins.size();
            s.start.push_back((int64_t)s.cols.size());
            if (p.is_last) {
                s.cols.push_back(0);
                s.vals.push_back(1 + (T)roll(1000) / 999);
            }
            s.start.push_back((int64_t)s.cols.size());
            pieces.push_back(p);
        } while (done < ins.size());
        s.b.push_back(some<T>());
    }
    s.x.assign(n, 7);
    for (uint32_t t = 0; t < pieces.size(); t++) {
        const piece &p = pieces[t];
        int64_t first = s.start[2 * t];
        uint64_t w[TGI_POST_N_WORDS] = {1, t, (uint64_t)first, (uint64_t)(s.start[2 * t + 2] - first), address(s.vals.data()),
                                        address(s.start.data()), address(s.cols.data()), address(p.is_first ? &s.b[0] : &s.x[p.row]),
                                        address(&s.x[p.row]), 1, p.is_first ? p.row : 0, p.is_last};
        for (uint32_t k = 0; k < p.n_in; k++)
            w[TGI_POST_FIRST_IN + k] = address(&s.x[p.ins[k]]);
        s.addresses.insert(s.addresses.end(), w, w + TGI_POST_N_WORDS);
        for (uint32_t k = 0; k < p.n_in; k++)
            w[TGI_POST_FIRST_IN + k] = 1 + last[p.ins[k]];
        w[TGI_POST_SIDE] = p.is_first ? 0 : t; /* 1 + the task before */
        w[TGI_POST_OUT] = p.is_last ? w[TGI_POST_OUT] : 0;
        last[p.row] = t;
        tgi_resident_task d = {TGI_RESIDENT_POST | TGI_WAY_POST << TGI_HEAD_WAY_AT, t, 0, 0, {0, 0}, {0, 0}};
        d.in[0] = TGI_POST_N_WORDS << 16 | (sizeof(T) == 8 ? TGI_BODY_trsv_row_f64 : TGI_BODY_trsv_row_f32);
        d.in[1] = (uint32_t)s.words.size();
        s.words.insert(s.words.end(), w, w + TGI_POST_N_WORDS);
        s.tasks.push_back(d);
    }
    return s;
}

/* By one warp, in one epoch after another; how far it came. */
template <class T> static uint32_t execute(rows<T> &s, tgi_cell *posted, tgi_resident_control *control, uint32_t epoch)
{
    tgi_resident_view v = {};
    v.words = s.words.data();
    v.posted = posted;
    v.control = control;
    v.limit_ns = 20000000000u;
    uint32_t ends[lanes::N];
    lanes::run([&](int lane) {
        tgi_worker w = {};
        w.v = &v;
        w.epoch = epoch;
        uint32_t n = (uint32_t)s.tasks.size(), done = 0;
        while (done < n) {
            uint32_t batch = n - done < TGI_RESIDENT_BATCH ? n - done : TGI_RESIDENT_BATCH;
            uint32_t end = tgi_warp_posts(&w, &s.tasks[done], 0, batch, done);
            if (end > batch)
                break;
            done += end;
        }
        ends[lane] = done;
    });
    return ends[0];
}

template <class T> static const char *compare(enum tg_dtype type)
{
    rows<T> s = draw<T>(1 + roll(40));
    uint32_t n = (uint32_t)s.tasks.size(), bad = roll(n);
    tgi_cell *posted = new tgi_cell[n]();
    tgi_resident_control control = {};
    for (uint32_t t = 0; t < n; t++) {
        void *args[TGI_POST_N_WORDS];
        for (uint32_t k = 0; k < TGI_POST_N_WORDS; k++)
            args[k] = &s.addresses[t * TGI_POST_N_WORDS + k];
        if (tgi_builtin_trsv_rows.cpu[type](args, nullptr))
            return "the CPU refuses it";
    }
    std::vector<T> expected = s.x;
    const char *what = nullptr;
    for (uint32_t epoch = 1; !what && epoch < 3; epoch++) {
        s.x.assign(s.x.size(), 9);
        if (execute(s, posted, &control, epoch) != n || control.panic.code)
            what = "it did not come to its end";
        else if (memcmp(&s.x[0], &expected[0], expected.size() * sizeof(T)) != 0)
            what = "other bits";
    }
    int64_t e = s.start[2 * bad], rest = s.start[2 * bad + 2];
    if (!what && e < rest) { /* no task, a diagonal of zero, or no entries */
        bool has_diagonal = s.words[bad * TGI_POST_N_WORDS + 11];
        if (e < s.start[2 * bad + 1] && roll(2))
            s.cols[s.start[2 * bad + 1] - 1] = roll(2) ? 17 << 16 : 1;
        else if (has_diagonal)
            s.vals[rest - 1] = 0;
        else
            s.start[2 * bad + 1] = -1;
        if (execute(s, posted, &control, 3) != n)
            what = "it did not come to its end after a failure";
        else if (control.panic.code != TGI_PANIC_TASK || control.panic.task != bad)
            what = "another task is named";
        for (uint32_t t = 0; !what && t < n; t++)
            if (posted[t].tail >> 32 != 3)
                what = "after a failure not all is posted";
    }
    delete[] posted;
    return what;
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], nullptr, 0) : 60, seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1, n_bad = 0;
    for (uint64_t i = seed; i < seed + n; i++) {
        dice = i * 0x9e3779b97f4a7c15u;
        roll(2);
        const char *what = i % 2 ? compare<double>(TG_F64) : compare<float>(TG_F32);
        if (what)
            printf("seed %llu, %s: %s\n", (unsigned long long)i, i % 2 ? "f64" : "f32", what);
        n_bad += what != nullptr;
    }
    printf("%llu of %llu the same\n", (unsigned long long)(n - n_bad), (unsigned long long)n);
    return n_bad != 0;
}
