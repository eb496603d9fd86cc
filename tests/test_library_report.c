/* What bodies tell the host: entries of a log arrive whole, in order, or are counted as dropped, also while they are written; the first panic
 * is the one that is recorded; metrics add up. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/library_cpu.h"

#include "gpu/library/log.h"
#include "gpu/library/metrics.h"
#include "gpu/library/panic.h"

static struct tgd_logbook *book_create(uint32_t n_workers, uint32_t capacity)
{
    struct tgd_logbook *book = zeroed(tgd_logbook_bytes(n_workers, capacity));
    assert_int_equal(tgd_logbook_init(book, n_workers, capacity), TGD_OK);
    return book;
}

static void an_entry_says_what_and_where(void **state)
{
    (void)state;
    struct tgd_logbook *book = book_create(3, 4);
    struct tgd_log log;
    struct tgd_log_entry e;
    uint32_t n_read = 0;
    uint64_t n_dropped = 0, begin = tgi_now_ns();
    tgd_log_open(&log, book, 2, TGD_LOG_INFO);
    assert_int_equal(tgd_log_read(book, 2, &n_read, &n_dropped, &e), TGD_E_EMPTY);
    TGD_LOG(&log, TGD_LOG_DEBUG, "below the level", 0, 0);
    uint32_t line = __LINE__ + 1;
    TGD_LOG(&log, TGD_LOG_WARNING, "no room for the row", UINT64_C(0x123456789abcdef0), -1);
    TGD_LOG(&log, TGD_LOG_ERROR, "a text that is longer than what an entry has room for, so that it is cut off", 1, 2);
    assert_int_equal(tgd_log_read(book, 2, &n_read, &n_dropped, &e), TGD_OK);
    assert_string_equal(e.text, "no room for the row");
    assert_string_equal(e.file, "tests/test_library_report.c");
    assert_int_equal(e.line, line);
    assert_int_equal(e.severity, TGD_LOG_WARNING);
    assert_int_equal(e.worker, 2);
    assert_int_equal(e.number, 1);
    assert_true(e.a == UINT64_C(0x123456789abcdef0) && e.b == UINT64_MAX);
    assert_true(e.time_ns >= begin && e.time_ns <= tgi_now_ns());
    assert_int_equal(tgd_log_read(book, 2, &n_read, &n_dropped, &e), TGD_OK);
    assert_string_equal(e.text, "a text that is longer than what an entry has room for, so that i");
    assert_int_equal(tgd_log_read(book, 2, &n_read, &n_dropped, &e), TGD_E_EMPTY);
    assert_int_equal(tgd_log_read(book, 0, &(uint32_t){0}, &n_dropped, &e), TGD_E_EMPTY);
    assert_int_equal(n_dropped, 0);
    /* Six more into a ring of four, by a second opening: two are lost. */
    tgd_log_open(&log, book, 2, TGD_LOG_DEBUG);
    for (int i = 0; i < 6; i++)
        TGD_LOG(&log, TGD_LOG_DEBUG, "", i, 0);
    for (uint64_t i = 2; i < 6; i++) {
        assert_int_equal(tgd_log_read(book, 2, &n_read, &n_dropped, &e), TGD_OK);
        assert_int_equal(e.a, i);
    }
    assert_int_equal(n_dropped, 2);
    assert_int_equal(tgd_log_read(book, 2, &n_read, &n_dropped, &e), TGD_E_EMPTY);
    assert_int_equal(tgd_logbook_init(book, 3, 3), TGD_E_INVALID);
    assert_int_equal(tgd_logbook_init(book, 0, 4), TGD_E_INVALID);
    free(book);
}

/* ---- Reading while it is written ------------------------------------------------------------*/

struct log_run {
    struct tgd_logbook *book;
    uint32_t n_entries, n_ended;
    uint64_t n_read, n_dropped;
};

static void log_worker(struct worker *w)
{
    struct log_run *run = w->user;
    if (w->id) { /* worker id - 1 of the book */
        struct tgd_log log;
        tgd_log_open(&log, run->book, w->id - 1, TGD_LOG_INFO);
        for (uint64_t i = 1; i <= run->n_entries; i++) {
            TGD_LOG(&log, TGD_LOG_INFO, "an entry", i, mix64(i << 8 | w->id));
            if (roll(&w->dice, 50) == 0)
                sched_yield();
        }
        tgi_word_add_acq_rel(&run->n_ended, 1);
        return;
    }
    uint32_t n_read[MAX_WORKERS] = {0}, n_writers = w->n - 1;
    bool is_over;
    do {
        is_over = tgi_word_load_acquire(&run->n_ended) == n_writers;
        for (uint32_t k = 0; k < n_writers; k++) {
            struct tgd_log_entry e;
            while (tgd_log_read(run->book, k, &n_read[k], &run->n_dropped, &e) == TGD_OK) {
                MUST_BE(e.number == n_read[k] && e.a == e.number && e.worker == k);
                MUST_BE(e.b == mix64(e.a << 8 | (k + 1)));
                MUST_BE(strcmp(e.text, "an entry") == 0);
                run->n_read++;
            }
        }
    } while (!is_over);
    for (uint32_t k = 0; k < n_writers; k++)
        MUST_BE(n_read[k] == run->n_entries);
}

static void entries_are_whole_or_counted_as_dropped(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++) {
        struct log_run run = {.book = book_create(3, 1u << i), .n_entries = (uint32_t)ROUNDS(3000)};
        has_delays = i % 2;
        on_workers(4, log_worker, &run);
        assert_int_equal(run.n_read + run.n_dropped, 3 * (uint64_t)run.n_entries);
        assert_true(run.n_read >= 3); /* the last of each at least */
        free(run.book);
    }
    has_delays = false;
}

/* ---- Panic ----------------------------------------------------------------------------------*/

static struct tgd_panic record;
enum { LINE_OF_PANIC = __LINE__ + 7 };

static void panic_worker(struct worker *w)
{
    struct tgd_panic_entry e = {0};
    if (w->id % 2) {
        delay(w->id);
        TGD_PANIC(&record, w->id, 100 + w->id, "a number that cannot be", w->id, 7);
        return;
    }
    while (tgd_panic_read(&record, &e) != TGD_OK)
        sched_yield();
    MUST_BE(e.code == 100 + e.worker && e.a == e.worker && e.b == 7 && e.worker % 2 == 1);
    MUST_BE(strcmp(e.text, "a number that cannot be") == 0);
}

static void the_first_panic_is_recorded(void **state)
{
    (void)state;
    struct tgd_panic_entry e = {0};
    has_delays = true;
    for (uint32_t i = 0; i < 100; i++) {
        memset(&record, 0, sizeof record);
        assert_false(tgd_is_panicked(&record));
        assert_int_equal(tgd_panic_read(&record, &e), TGD_E_EMPTY);
        on_workers(2 + (i % 2), panic_worker, NULL);
        assert_true(tgd_is_panicked(&record));
        assert_int_equal(tgd_panic_read(&record, &e), TGD_OK);
        assert_int_equal(e.line, LINE_OF_PANIC);
        assert_string_equal(e.file, "tests/test_library_report.c");
        TGD_PANIC(&record, 9, 9, "too late", 0, 0);
        assert_int_equal(tgd_panic_read(&record, &e), TGD_OK);
        assert_int_equal(e.code, 101);
    }
    has_delays = false;
}

static void of_many_panics_one_is_whole(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        struct tgd_panic_entry e = {0};
        memset(&record, 0, sizeof record);
        on_workers(8, panic_worker, NULL);
        assert_int_equal(tgd_panic_read(&record, &e), TGD_OK);
        assert_true(e.code == 100 + e.worker && e.a == e.worker);
    }
}

/* ---- Metrics --------------------------------------------------------------------------------*/

static void metric_worker(struct worker *w)
{
    struct tgd_metrics *m = w->user;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        tgd_metric_add(m, w->id, 0, 1);
        tgd_metric_add(m, w->id, 16, i);
        tgd_metric_raise(m, w->id, 5, i * (w->id + 1));
        tgd_metric_add(m, w->id, 17, 1); /* there is no such counter */
        uint64_t sum = i % 64 ? seen : tgd_metric_sum(m, 0);
        MUST_BE(sum >= seen);
        seen = sum;
    }
    tgd_metric_add(m, w->n, 0, 1); /* nor such a worker */
}

static void metrics_add_up(void **state)
{
    (void)state;
    struct tgd_metrics *m = zeroed(tgd_metrics_bytes(4, 17));
    assert_int_equal(tgd_metrics_init(m, 0, 17), TGD_E_INVALID);
    assert_int_equal(tgd_metrics_init(m, 4, 0), TGD_E_INVALID);
    assert_int_equal(tgd_metrics_init(m, 4, 17), TGD_OK);
    on_workers(4, metric_worker, m);
    assert_int_equal(tgd_metric_sum(m, 0), 40000);
    assert_int_equal(tgd_metric_sum(m, 16), 4 * (9999ull * 10000 / 2));
    assert_int_equal(tgd_metric_most(m, 5), 9999 * 4);
    for (uint32_t c = 1; c < 16; c++)
        assert_int_equal(tgd_metric_sum(m, c) != 0, c == 5);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_says_what_and_where),
        cmocka_unit_test(entries_are_whole_or_counted_as_dropped),
        cmocka_unit_test(the_first_panic_is_recorded),
        cmocka_unit_test(of_many_panics_one_is_whole),
        cmocka_unit_test(metrics_add_up),
    };
    seed = test_seed(14);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
