/* Programs that are run for the library: compilers, Graphviz. */
#include "sched/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void a_program_that_runs_too_long_is_killed_with_its_children(void **state)
{
    (void)state;
    struct tgi_process p;
    char *argv[] = {"sh", "-c", "echo begun; sleep 100 & exec sleep 100", NULL};
    double start = seconds();
    assert_int_equal(tgi_process_run(argv, NULL, 300, &p, NULL), 0);
    assert_true(p.is_timed_out);
    assert_string_equal(p.output, "begun\n");
    assert_true(seconds() - start < 20);
    free(p.output);
    /* output closed, still running */
    char *closed[] = {"sh", "-c", "exec sleep 100 >&- 2>&-", NULL};
    assert_int_equal(tgi_process_run(closed, NULL, 300, &p, NULL), 0);
    assert_true(p.is_timed_out);
    free(p.output);
    /* over, but a child holds the output */
    char *held[] = {"sh", "-c", "sleep 3 & echo done", NULL};
    start = seconds();
    assert_int_equal(tgi_process_run(held, NULL, 60000, &p, NULL), 0);
    assert_false(p.is_timed_out);
    assert_string_equal(p.output, "done\n");
    assert_true(seconds() - start < 2.9);
    free(p.output);
}

static void endless_output_is_cut(void **state)
{
    (void)state;
    struct tgi_process p;
    char *argv[] = {"head", "-c", "3000000", "/dev/zero", NULL};
    assert_int_equal(tgi_process_run(argv, NULL, 60000, &p, NULL), 0);
    assert_false(p.is_timed_out);
    assert_int_equal(p.wait_status, 0);
    assert_int_equal(p.n_output, 1 << 20);
    free(p.output);
}

static void an_unknown_program_is_an_error(void **state)
{
    (void)state;
    struct tgi_process p;
    struct tg_error err;
    char *argv[] = {"no-such-program-anywhere", NULL};
    assert_int_equal(tgi_process_run(argv, NULL, 1000, &p, &err), TG_E_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_runs_too_long_is_killed_with_its_children),
        cmocka_unit_test(endless_output_is_cut),
        cmocka_unit_test(an_unknown_program_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
