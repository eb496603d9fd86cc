/* What environment variables can say, and what is said about one that says something else. */
#include "graph/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define VARIABLE "TGRAPH_TEST_WORD"

static const char *const colours[] = {"red", "green", "blue", NULL}, *const two[] = {"0", "1", NULL};

static void say(const char *text)
{
    if (text)
        assert_int_equal(setenv(VARIABLE, text, 1), 0);
    else
        assert_int_equal(unsetenv(VARIABLE), 0);
}

static void each_word_has_its_index(void **state)
{
    struct tg_error err;
    (void)state;
    for (int i = 0; colours[i]; i++) {
        say(colours[i]);
        assert_int_equal(tgi_environment_word(VARIABLE, colours, 1, &err), i);
    }
}

static void nothing_said_is_the_usual(void **state)
{
    static const char *const nothing[] = {NULL, ""};
    struct tg_error err;
    uint64_t number = 7;
    (void)state;
    for (int i = 0; i < 2; i++) {
        say(nothing[i]);
        assert_int_equal(tgi_environment_word(VARIABLE, colours, 2, &err), 2);
        assert_int_equal(tgi_environment_switch(VARIABLE, 0, &err), 0);
        assert_int_equal(tgi_environment_switch(VARIABLE, 1, &err), 1);
        assert_int_equal(tgi_environment_number(VARIABLE, 10, &number, &err), 0);
        assert_int_equal(number, 7);
    }
}

static void another_word_is_refused_with_those_that_there_are(void **state)
{
    static const char *const wrong[] = {"gree", "greens", "Green", " green", "green,blue", "0"};
    char expected[128];
    struct tg_error err;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        say(wrong[i]);
        assert_int_equal(tgi_environment_word(VARIABLE, colours, 1, &err), TG_E_INVALID);
        assert_int_equal(err.status, TG_E_INVALID);
        snprintf(expected, sizeof expected, VARIABLE " is \"%s\", and can be red, green or blue", wrong[i]);
        assert_string_equal(err.text, expected);
        assert_int_equal(tgi_environment_word(VARIABLE, colours, 1, NULL), TG_E_INVALID);
    }
    say("2");
    assert_int_equal(tgi_environment_word(VARIABLE, two, 0, &err), TG_E_INVALID);
    assert_string_equal(err.text, VARIABLE " is \"2\", and can be 0 or 1");
}

static void a_switch_is_on_or_off(void **state)
{
    struct tg_error err;
    (void)state;
    for (int usual = 0; usual < 2; usual++) {
        say("on");
        assert_int_equal(tgi_environment_switch(VARIABLE, usual, &err), 1);
        say("off");
        assert_int_equal(tgi_environment_switch(VARIABLE, usual, &err), 0);
        say("yes");
        assert_int_equal(tgi_environment_switch(VARIABLE, usual, &err), TG_E_INVALID);
        assert_string_equal(err.text, VARIABLE " is \"yes\", and can be on or off");
    }
}

static void numbers_are_whole_and_in_range(void **state)
{
    static const char *const wrong[] = {"0", "-1", "+1", " 1", "1 ", "1.5", "10s", "101", "0x10", "many", "99999999999999999999999"};
    struct tg_error err;
    uint64_t number = 7;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        say(wrong[i]);
        assert_int_equal(tgi_environment_number(VARIABLE, 100, &number, &err), TG_E_INVALID);
        assert_int_equal(number, 7);
    }
    say("ten");
    assert_int_equal(tgi_environment_number(VARIABLE, 100, &number, &err), TG_E_INVALID);
    assert_string_equal(err.text, VARIABLE " is \"ten\", and can be a whole number from 1 to 100");
    say("1");
    assert_int_equal(tgi_environment_number(VARIABLE, 100, &number, &err), 0);
    assert_int_equal(number, 1);
    say("18446744073709551615");
    assert_int_equal(tgi_environment_number(VARIABLE, UINT64_MAX, &number, &err), 0);
    assert_true(number == UINT64_MAX);
    say("18446744073709551616");
    assert_int_equal(tgi_environment_number(VARIABLE, UINT64_MAX, &number, &err), TG_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_has_its_index),
        cmocka_unit_test(nothing_said_is_the_usual),
        cmocka_unit_test(another_word_is_refused_with_those_that_there_are),
        cmocka_unit_test(a_switch_is_on_or_off),
        cmocka_unit_test(numbers_are_whole_and_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
