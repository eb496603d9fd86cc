#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/sample.h"

static void nothing_gives_zeros(void **state)
{
    (void)state;
    struct tgi_sample s;
    tgi_sample_of(NULL, 0, &s);
    assert_int_equal(s.n, 0);
    assert_true(s.median == 0 && s.least == 0 && s.most == 0);
}

static void quartiles_lie_between_values(void **state)
{
    (void)state;
    struct tgi_sample s;
    double values[] = {4, 1, 3, 2};
    tgi_sample_of(values, 4, &s);
    assert_true(s.median == 2.5 && s.lower == 1.75 && s.upper == 3.25);
    assert_true(s.least == 1 && s.most == 4);
    assert_int_equal(s.n_outliers, 0);
}

static void outliers_do_not_move_the_median(void **state)
{
    (void)state;
    struct tgi_sample s;
    double values[] = {10, 11, 9, 10, 500, 10, 11, 9, 0.5};
    tgi_sample_of(values, 9, &s);
    assert_int_equal(s.n, 9);
    assert_int_equal(s.n_outliers, 2);
    assert_true(s.median == 10 && s.most == 500 && s.least == 0.5);
    assert_true(tgi_sample_spread(&s) <= 1);
}

static void values_that_are_all_but_equal_are_no_outliers(void **state)
{
    (void)state;
    struct tgi_sample s;
    double values[] = {100, 100, 100, 100, 100, 100.4};
    tgi_sample_of(values, 6, &s);
    assert_int_equal(s.n_outliers, 0);
    values[5] = 102;
    tgi_sample_of(values, 6, &s);
    assert_int_equal(s.n_outliers, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_gives_zeros),
        cmocka_unit_test(quartiles_lie_between_values),
        cmocka_unit_test(outliers_do_not_move_the_median),
        cmocka_unit_test(values_that_are_all_but_equal_are_no_outliers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
