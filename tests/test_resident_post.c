/* POSTs: rows of triangular systems become ones all together or not at all, what is planned of them passes the check, a changed word
 * does not, and executed by threads they have the bits of the kernel that they are rows of, replay after replay.
 *
 * TGRAPH_TEST_SEED sets the seed. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/resident_delay.h"

#include "graph/builtin.h"
#include "kernels/resident.h"
#include "sched/resident_plan.h"
#include "sched/resident_post.h"
#define TGI_HAS_POSTS
#include "tests/resident_cpu.h"

extern const struct tgi_builtin tgi_builtin_trsv_rows;

enum { MOST_ROWS = 120, MOST_INS = 40, MOST_TASKS = MOST_ROWS * (MOST_INS / 16 + 1) + 2, N_INS = TGI_POST_N_IN };

/* Rows of which even ones take elements of even ones alone, so that there are two graphs; rows of more than sixteen entries are several
 * tasks. */
struct rows {
    uint32_t n, n_tasks;
    double x[MOST_ROWS], b[MOST_ROWS], vals[MOST_ROWS * (MOST_INS + 1)];
    int32_t cols[MOST_ROWS * (MOST_INS + 1)];
    int64_t start[2 * MOST_TASKS + 1];
    uint64_t words[MOST_TASKS * TGI_POST_N_WORDS];
    uint64_t original[MOST_TASKS * TGI_POST_N_WORDS];
    struct tgi_post can[MOST_TASKS];
    uint32_t row_of[MOST_TASKS], last_of[MOST_ROWS];
    uint8_t has_edge[MOST_TASKS][MOST_TASKS], op[MOST_TASKS];
    uint64_t arg[MOST_TASKS];
    struct tgi_posting posting;
    struct tgi_resident_dag dag;
};

static uint64_t address(const void *p) { return (uint64_t)(uintptr_t)p; }

static void add_task(struct rows *s, uint32_t row, const uint32_t *ins, uint32_t n_ins, bool is_first, bool is_last, int64_t *n_entries,
                     struct dice *d)
{
    uint32_t t = s->n_tasks++;
    uint64_t *w = s->words + (size_t)t * TGI_POST_N_WORDS;
    const uint64_t head[] = {1, t, (uint64_t)*n_entries, n_ins + is_last, address(s->vals), address(s->start), address(s->cols),
                             is_first ? address(s->b) : address(&s->x[row]), address(&s->x[row]), 1, is_first ? row : 0, is_last};
    memcpy(w, head, sizeof head);
    s->start[2 * t] = *n_entries;
    for (uint32_t k = 0; k < n_ins; k++) {
        w[TGI_POST_FIRST_IN + k] = address(&s->x[ins[k]]);
        s->cols[*n_entries] = (int32_t)((k + 1) << 16);
        s->vals[(*n_entries)++] = ((double)roll(d, 2001) - 1000) / 8000;
        s->has_edge[s->last_of[ins[k]]][t] = 1;
    }
    s->start[2 * t + 1] = *n_entries;
    if (is_last) {
        s->cols[*n_entries] = 0;
        s->vals[(*n_entries)++] = 1 + roll(d, 1000) / 999.;
    }
    s->start[2 * t + 2] = *n_entries;
    if (!is_first)
        s->has_edge[t - 1][t] = 1;
    s->can[t] = (struct tgi_post){TGI_BODY_trsv_row_f64, 8, is_first ? address(&s->b[row]) : address(&s->x[row])};
    s->op[t] = TGI_RESIDENT_CALL;
    s->arg[t] = TGI_CALL(TGI_BODY_trsv_rows_f64, TGI_POST_N_WORDS - 1, (uint64_t)t * TGI_POST_N_WORDS);
    s->row_of[t] = row;
    s->last_of[row] = t;
}

static void add_row(struct rows *s, uint32_t row, int64_t *n_entries, struct dice *d)
{
    uint32_t ins[MOST_INS], n = 0, reach = 1 + roll(d, 60), wanted = roll(d, 5) ? roll(d, 6) : roll(d, MOST_INS);
    for (uint32_t back = 2; back <= row && back <= 2 * reach && n < wanted; back += 2)
        if (roll(d, 2))
            ins[n++] = row - back;
    uint32_t done = 0;
    do {
        uint32_t now = n - done < N_INS ? n - done : N_INS;
        add_task(s, row, ins + done, now, done == 0, done + now == n, n_entries, d);
        done += now;
    } while (done < n);
}

/* An edge that two others imply is left out now and then, as freezing a graph does. */
static void leave_out(struct rows *s, struct dice *d)
{
    for (uint32_t t = 0; t < s->n_tasks; t++)
        for (uint32_t u = 0; u < t; u++)
            for (uint32_t v = u + 1; v < t && s->has_edge[u][t]; v++)
                if (s->has_edge[u][v] == 1 && s->has_edge[v][t] == 1 && roll(d, 2))
                    s->has_edge[u][t] = 0;
}

static struct rows *draw(uint64_t from)
{
    struct rows *s = must_have(calloc(1, sizeof *s));
    struct dice d = {mix64(from)};
    int64_t n_entries = 0;
    s->n = 2 + roll(&d, MOST_ROWS - 2);
    for (uint32_t row = 0; row < s->n; row++) {
        s->b[row] = ((double)roll(&d, 2001) - 1000) / 500;
        add_row(s, row, &n_entries, &d);
    }
    leave_out(s, &d);
    return s;
}

/* Edges in CSR form; what becomes of them. */
static uint32_t convert(struct rows *s)
{
    uint32_t n_posts, n_edges = 0;
    struct tgi_posting *p = &s->posting;
    *p = (struct tgi_posting){s->n_tasks, s->can, must_have(calloc(s->n_tasks + 2u, 4)), NULL, s->op, s->arg, s->words};
    p->succ = must_have(malloc(((size_t)s->n_tasks * s->n_tasks + 1) * 4));
    for (uint32_t u = 0; u < s->n_tasks; u++) {
        for (uint32_t t = u + 1; t < s->n_tasks; t++)
            if (s->has_edge[u][t])
                p->succ[n_edges++] = t;
        p->succ_at[u + 1] = n_edges;
    }
    memcpy(s->original, s->words, sizeof s->words);
    assert_true(tgi_resident_post(p, &n_posts));
    s->dag = (struct tgi_resident_dag){.n_tasks = s->n_tasks, .succ_at = p->succ_at, .succ = p->succ, .op = s->op, .arg = s->arg,
                                       .words = s->words};
    return n_posts;
}

static void drop(struct rows *s)
{
    free(s->posting.succ_at);
    free(s->posting.succ);
    free(s);
}

static struct tgi_resident_program *plan(const struct rows *s, uint32_t n_blocks, uint32_t each)
{
    static const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;
    struct tgi_resident_shape shape = {n_blocks, each, tgi_resident_shared_bytes(each, 64, 64), TGI_RESIDENT_WARP};
    struct tgi_resident_program *p;
    struct tg_error err;
    if (tgi_resident_plan(&s->dag, &shape, &costs, &p, &err) || tgi_resident_check(&s->dag, p, &err))
        fail_msg("%s", err.text);
    return p;
}

/* By the kernel that is launched, one after the other. */
static void solve(struct rows *s)
{
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        void *args[TGI_POST_N_WORDS];
        for (uint32_t k = 0; k < TGI_POST_N_WORDS; k++)
            args[k] = &s->original[(size_t)t * TGI_POST_N_WORDS + k];
        assert_int_equal(tgi_builtin_trsv_rows.cpu[TG_F64](args, NULL), 0);
    }
}

/* ---- Tests --------------------------------------------------------------------------------*/

static void random_rows_have_the_bits_of_their_kernel(void **state)
{
    uint64_t first = test_seed(1), n = ROUNDS(60);
    (void)state;
    for (seed = first; seed < first + n; seed++) {
        struct rows *s = draw(seed);
        assert_int_equal(convert(s), s->n_tasks);
        struct tgi_resident_program *p = plan(s, 1 + seed % 3, 1 + seed % 4);
        double expected[MOST_ROWS];
        struct resident_cpu c;
        assert_int_equal(p->n_posts, s->n_tasks);
        assert_int_equal(p->n_posted_edges, s->dag.succ_at[s->n_tasks]);
        solve(s);
        memcpy(expected, s->x, sizeof expected);
        resident_cpu_init(&c, p, false);
        c.v.words = s->words;
        has_delays = true;
        for (uint32_t epoch = 1; epoch <= 3; epoch++) {
            memset(s->x, 0xff, sizeof s->x);
            resident_cpu_begin(&c, epoch);
            resident_cpu_end(&c);
            assert_int_equal(c.v.control->panic.code, TGI_PANIC_NONE);
            if (memcmp(s->x, expected, s->n * sizeof *expected))
                fail_msg("seed %llu, epoch %u: other bits", (unsigned long long)seed, epoch);
        }
        resident_cpu_fini(&c);
        tgi_resident_program_destroy(p);
        drop(s);
    }
}

/* Rows of the other half are POSTs, those of task t's are none. */
static void expect_half(struct rows *s, uint32_t t, const char *why)
{
    uint32_t n_posts = convert(s), n_expected = 0;
    for (uint32_t i = 0; i < s->n_tasks; i++)
        n_expected += s->row_of[i] % 2 != s->row_of[t] % 2 && s->can[i].body;
    if (n_posts != n_expected)
        fail_msg("%s: %u POSTs instead of %u", why, n_posts, n_expected);
    for (uint32_t i = 0; i < s->n_tasks; i++)
        if (s->op[i] == TGI_RESIDENT_POST && s->row_of[i] % 2 == s->row_of[t] % 2)
            fail_msg("%s: task %u is a POST", why, i);
    tgi_resident_program_destroy(plan(s, 2, 2));
    drop(s);
}

/* All of a half is one graph. */
static struct rows *draw_joined(uint64_t from, uint32_t *t_p)
{
    struct rows *s = draw(from);
    for (uint32_t i = 1; i < s->n_tasks; i++)
        for (uint32_t j = 0; j < i && s->last_of[s->row_of[i]] == i; j++)
            if (s->row_of[j] + 2 == s->row_of[i] && s->last_of[s->row_of[j]] == j && !s->has_edge[j][i]) {
                uint64_t *w = s->words + (size_t)i * TGI_POST_N_WORDS + TGI_POST_FIRST_IN;
                bool is_named = false;
                for (uint32_t k = 0; k < N_INS; k++)
                    is_named |= w[k] == address(&s->x[s->row_of[j]]);
                for (uint32_t k = 0; k < N_INS && !is_named; k++)
                    if (!w[k]) {
                        w[k] = address(&s->x[s->row_of[j]]);
                        is_named = true;
                    }
                s->has_edge[j][i] = is_named;
            }
    *t_p = s->n_tasks / 2;
    return s;
}

static void what_others_are_joined_with_stays_as_it_is(void **state)
{
    uint32_t t, outside;
    struct rows *s;
    (void)state;
    for (uint64_t from = test_seed(1); from < test_seed(1) + ROUNDS(20); from++) {
        s = draw_joined(from, &t);
        s->can[t].body = 0;
        expect_half(s, t, "a task that is no row");
        s = draw_joined(from, &t);
        s->words[(size_t)t * TGI_POST_N_WORDS + TGI_POST_FIRST_IN + N_INS - 1] = address(&outside);
        expect_half(s, t, "an input that nobody makes");
        s = draw_joined(from, &t);
        s->words[(size_t)t * TGI_POST_N_WORDS + 4] = address(&s->x[s->row_of[t] & 1]) - 8;
        s->words[(size_t)t * TGI_POST_N_WORDS + 3] = 20;
        s->words[(size_t)t * TGI_POST_N_WORDS + 2] = 0;
        expect_half(s, t, "values that a row makes");
    }
}

static void an_edge_that_is_no_element_keeps_rows_as_they_are(void **state)
{
    (void)state;
    struct rows *s = must_have(calloc(1, sizeof *s));
    struct dice d = {mix64(test_seed(1))};
    int64_t n_entries = 0;
    const uint32_t first = 0;
    s->n = 3;
    add_task(s, 0, NULL, 0, true, true, &n_entries, &d);
    add_task(s, 1, NULL, 0, true, true, &n_entries, &d);
    add_task(s, 2, &first, 1, true, true, &n_entries, &d);
    s->has_edge[1][2] = 1;
    assert_int_equal(convert(s), 0);
    assert_int_equal(s->op[0], TGI_RESIDENT_CALL);
    drop(s);
}

/* A point between rows keeps them as they are; one that only comes after rows does not. */
static void points_may_come_after_rows(void **state)
{
    (void)state;
    for (uint32_t is_between = 0; is_between < 2; is_between++) {
        struct rows *s = must_have(calloc(1, sizeof *s));
        struct dice d = {mix64(test_seed(1))};
        int64_t n_entries = 0;
        const uint32_t first = 0;
        s->n = 3;
        add_task(s, 0, NULL, 0, true, true, &n_entries, &d);
        add_task(s, 1, &first, 1, true, true, &n_entries, &d);
        s->op[s->n_tasks] = TGI_RESIDENT_EMPTY;
        s->has_edge[0][s->n_tasks] = s->has_edge[1][s->n_tasks] = 1;
        s->n_tasks++;
        add_task(s, 2, &first, 1, true, true, &n_entries, &d);
        s->has_edge[2][3] = is_between != 0;
        assert_int_equal(convert(s), is_between ? 0 : 3);
        struct tgi_resident_program *p = plan(s, 1, 2);
        assert_int_equal(p->n_posts, is_between ? 0 : 3);
        tgi_resident_program_destroy(p);
        drop(s);
    }
}

static void any_changed_name_is_refused(void **state)
{
    struct tg_error err;
    (void)state;
    struct rows *s = draw(test_seed(1) + 7);
    assert_int_equal(convert(s), s->n_tasks);
    struct tgi_resident_program *p = plan(s, 2, 2);
    for (uint32_t t = 0; t < s->n_tasks; t++)
        for (uint32_t k = TGI_POST_FIRST_IN; k < TGI_POST_N_WORDS; k++) {
            uint64_t *word = &s->words[(size_t)t * TGI_POST_N_WORDS + k], was = *word;
            *word = was ? 0 : 1 + t;
            assert_int_equal(tgi_resident_check(&s->dag, p, &err), TG_E_INVALID);
            *word = s->n_tasks + 1;
            assert_int_equal(tgi_resident_check(&s->dag, p, &err), TG_E_INVALID);
            *word = was;
        }
    for (uint32_t slot = 0; slot < p->n_tasks; slot++) {
        uint32_t was = p->tasks[slot].head;
        p->tasks[slot].head ^= 1u << 12; /* a successor */
        assert_int_equal(tgi_resident_check(&s->dag, p, &err), TG_E_INVALID);
        p->tasks[slot].head = was ^ 1u << TGI_HEAD_WAY_AT;
        assert_int_equal(tgi_resident_check(&s->dag, p, &err), TG_E_INVALID);
        p->tasks[slot].head = was;
    }
    assert_int_equal(tgi_resident_check(&s->dag, p, &err), 0);
    tgi_resident_program_destroy(p);
    drop(s);
}

/* A diagonal of zero, and entries that name nothing; all others come to their end. */
static void a_row_that_is_no_good_is_named_and_the_rest_drains(void **state)
{
    (void)state;
    for (uint64_t from = test_seed(1); from < test_seed(1) + ROUNDS(20); from++) {
        struct rows *s = draw(from);
        assert_int_equal(convert(s), s->n_tasks);
        struct tgi_resident_program *p = plan(s, 2, 2);
        struct resident_cpu c;
        uint32_t bad = s->last_of[s->n / 2];
        if (from % 2)
            s->vals[s->start[2 * bad + 1]] = 0;
        else
            s->start[2 * bad + 1] = from % 4 ? -5 : 1 << 30;
        resident_cpu_init(&c, p, false);
        c.v.words = s->words;
        resident_cpu_begin(&c, 1);
        resident_cpu_end(&c);
        assert_int_equal(c.v.control->panic.code, TGI_PANIC_TASK);
        assert_int_equal(c.v.control->panic.detail, 1);
        assert_int_equal(c.v.control->panic.task, bad);
        for (uint32_t t = 0; t < s->n_tasks; t++)
            assert_int_equal(c.v.posted[t].tail >> 32, 1);
        resident_cpu_fini(&c);
        tgi_resident_program_destroy(p);
        drop(s);
    }
}

/* What is waited for never comes: the wait ends and says so. */
static void a_cell_that_is_never_posted_is_named(void **state)
{
    (void)state;
    struct rows *s = must_have(calloc(1, sizeof *s));
    struct dice d = {mix64(test_seed(1))};
    int64_t n_entries = 0;
    const uint32_t first = 0;
    struct resident_cpu c;
    s->n = 2;
    add_task(s, 0, NULL, 0, true, true, &n_entries, &d);
    add_task(s, 1, &first, 1, true, true, &n_entries, &d);
    assert_int_equal(convert(s), 2);
    struct tgi_resident_program *p = plan(s, 1, 1);
    s->words[TGI_POST_N_WORDS + TGI_POST_FIRST_IN] = 2; /* itself */
    resident_cpu_init(&c, p, false);
    c.v.words = s->words;
    c.v.limit_ns = 20000000;
    resident_cpu_begin(&c, 1);
    resident_cpu_end(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_STUCK);
    assert_int_equal(c.v.control->panic.task, 1);
    assert_int_equal(c.v.control->panic.wait, 1);
    resident_cpu_fini(&c);
    tgi_resident_program_destroy(p);
    drop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_rows_have_the_bits_of_their_kernel),
        cmocka_unit_test(what_others_are_joined_with_stays_as_it_is),
        cmocka_unit_test(an_edge_that_is_no_element_keeps_rows_as_they_are),
        cmocka_unit_test(points_may_come_after_rows),
        cmocka_unit_test(any_changed_name_is_refused),
        cmocka_unit_test(a_row_that_is_no_good_is_named_and_the_rest_drains),
        cmocka_unit_test(a_cell_that_is_never_posted_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
