#include "io/json_tape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "graph/tgraph.h"

/* Parses a copy, so that the sanitizers see every byte too far. */
static int parse(struct tgi_tape *tape, const char *text, size_t size, char **copy_p,
                 struct tgi_tape_error *err)
{
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    copy[size] = '\0';
    *copy_p = copy;
    return tgi_tape_parse(tape, copy, (uint32_t)size, 1u << 20, err);
}

static void assert_refused(const char *text, size_t size, int status, uint32_t offset)
{
    struct tgi_tape tape = {0};
    struct tgi_tape_error err = {0};
    char *copy;
    int rc = parse(&tape, text, size, &copy, &err);
    if (rc != status || err.status != status || err.offset != offset)
        fail_msg("%s: %d at %u (%s), expected %d at %u", text, rc, err.offset, err.text, status, offset);
    tgi_tape_fini(&tape);
    free(copy);
}
#define REFUSED(text, status, offset) assert_refused(text, sizeof text - 1, status, offset)

static void nodes_stand_in_document_order(void **state)
{
    (void)state;
    struct tgi_tape tape = {0};
    struct tgi_tape_error err;
    char *copy;
    static const char text[] = " {\"a\": [1, -2.5e1, true], \"b\\n\": {}, \"c\": null} ";
    assert_int_equal(parse(&tape, text, sizeof text - 1, &copy, &err), 0);
    assert_int_equal(tape.n_nodes, 10);
    assert_int_equal(tgi_tape_kind(&tape, 0), TGI_TAPE_OBJECT);
    assert_int_equal(tgi_tape_count(&tape, 0), 3);
    assert_string_equal(tgi_tape_string(&tape, 1), "a");
    assert_int_equal(tgi_tape_kind(&tape, 2), TGI_TAPE_ARRAY);
    assert_int_equal(tgi_tape_next(&tape, 2), 6);
    int64_t i;
    double f;
    assert_true(tgi_tape_int(&tape, 3, &i) && i == 1);
    assert_true(tgi_tape_double(&tape, 4, &f) && f == -25.0);
    assert_int_equal(tgi_tape_kind(&tape, 5), TGI_TAPE_TRUE);
    assert_string_equal(tgi_tape_string(&tape, 6), "b\n");
    assert_int_equal(tgi_tape_kind(&tape, 7), TGI_TAPE_OBJECT);
    assert_int_equal(tgi_tape_next(&tape, 7), 8);
    assert_int_equal(tgi_tape_kind(&tape, 9), TGI_TAPE_NULL);
    struct tgi_arena arena = {0};
    assert_string_equal(tgi_tape_copy_raw(&tape, 0, &arena),
                        "{\"a\": [1, -2.5e1, true], \"b\\n\": {}, \"c\": null}");
    tgi_arena_fini(&arena);
    tgi_tape_fini(&tape);
    free(copy);
}

static void integers_keep_64_bits(void **state)
{
    (void)state;
    struct tgi_tape tape = {0};
    struct tgi_tape_error err;
    char *copy;
    int64_t i;
    static const char text[] =
        "[9223372036854775807, -9223372036854775808, 9223372036854775808, -0, 123456789012345678901]";
    assert_int_equal(parse(&tape, text, sizeof text - 1, &copy, &err), 0);
    assert_true(tgi_tape_int(&tape, 1, &i) && i == INT64_MAX);
    assert_true(tgi_tape_int(&tape, 2, &i) && i == INT64_MIN);
    assert_false(tgi_tape_int(&tape, 3, &i));
    assert_true(tgi_tape_int(&tape, 4, &i) && i == 0);
    assert_false(tgi_tape_int(&tape, 5, &i));
    tgi_tape_fini(&tape);
    free(copy);
}

static void errors_point_at_their_byte(void **state)
{
    (void)state;
    REFUSED("", TG_E_JSON_SYNTAX, 0);
    REFUSED("[1\0]", TG_E_JSON_SYNTAX, 2);
    REFUSED("\0", TG_E_JSON_SYNTAX, 0);
    REFUSED("[1]\0", TG_E_JSON_SYNTAX, 3);
    REFUSED("[\"a\0b\"]", TG_E_JSON_SYNTAX, 3);
    REFUSED("[\"a\\u0000\"]", TG_E_JSON_SYNTAX, 3);
    REFUSED("[1,]", TG_E_JSON_SYNTAX, 3);
    REFUSED("[1 2]", TG_E_JSON_SYNTAX, 3);
    REFUSED("{\"a\" 1}", TG_E_JSON_SYNTAX, 5);
    REFUSED("{\"a\":1,}", TG_E_JSON_SYNTAX, 7);
    REFUSED("{a:1}", TG_E_JSON_SYNTAX, 1);
    REFUSED("[01]", TG_E_JSON_SYNTAX, 1);
    REFUSED("[+1]", TG_E_JSON_SYNTAX, 1);
    REFUSED("[1.]", TG_E_JSON_SYNTAX, 1);
    REFUSED("[1e]", TG_E_JSON_SYNTAX, 1);
    REFUSED("[-]", TG_E_JSON_SYNTAX, 1);
    REFUSED("[tru]", TG_E_JSON_SYNTAX, 1);
    REFUSED("[\"\\x\"]", TG_E_JSON_SYNTAX, 2);
    REFUSED("[\"\\u12g4\"]", TG_E_JSON_SYNTAX, 2);
    REFUSED("[\"\\udc00\"]", TG_E_JSON_SYNTAX, 2);
    REFUSED("[\"\\ud800\\u0041\"]", TG_E_JSON_SYNTAX, 2);
    REFUSED("[\"\xed\xa0\x80\"]", TG_E_JSON_SYNTAX, 2);
    REFUSED("[\"\xf4\x90\x80\x80\"]", TG_E_JSON_SYNTAX, 2);
    REFUSED("[\"\xe2\x82\"]", TG_E_JSON_SYNTAX, 2);
    REFUSED("[\"abc", TG_E_JSON_SYNTAX, 1);
    REFUSED("[\"abc\\", TG_E_JSON_SYNTAX, 1);
    REFUSED("[\"a\nb\"]", TG_E_JSON_SYNTAX, 1);
    REFUSED("[1] 2", TG_E_JSON_SYNTAX, 4);
    REFUSED("\xef\xbb\xbf[1]", TG_E_JSON_SYNTAX, 0);
    REFUSED("{\"a\":1,\"b\":2,\"a\":3}", TG_E_DUPLICATE_KEY, 13);
    REFUSED("{\"a\":{\"b\":1,\"\\u0062\":2}}", TG_E_DUPLICATE_KEY, 12);
}

static void duplicates_are_found_in_large_objects(void **state)
{
    (void)state;
    char *text = malloc(400000);
    assert_non_null(text);
    size_t n = (size_t)sprintf(text, "{");
    for (int k = 0; k < 20000; k++)
        n += (size_t)sprintf(text + n, "\"k%d\":%d,", k, k);
    size_t at = n;
    n += (size_t)sprintf(text + n, "\"k777\":0}");
    assert_refused(text, n, TG_E_DUPLICATE_KEY, (uint32_t)at);
    text[at + 4] = 'x';
    struct tgi_tape tape = {0};
    struct tgi_tape_error err;
    char *copy;
    assert_int_equal(parse(&tape, text, n, &copy, &err), 0);
    assert_int_equal(tgi_tape_count(&tape, 0), 20001);
    tgi_tape_fini(&tape);
    free(copy);
    free(text);
}

static void depth_strings_and_values_are_limited(void **state)
{
    (void)state;
    static char text[3 << 20];
    memset(text, '[', sizeof text);
    assert_refused(text, 1000000, TG_E_LIMIT, TGI_TAPE_MAX_DEPTH);
    memset(text, 'a', sizeof text);
    text[0] = '[';
    text[1] = '"';
    text[sizeof text - 2] = '"';
    text[sizeof text - 1] = ']';
    assert_refused(text, sizeof text, TG_E_LIMIT, 1);
    for (size_t k = 1; k < sizeof text; k++)
        text[k] = k % 2 != 0 ? '1' : ',';
    text[sizeof text - 1] = ']';
    assert_refused(text, sizeof text, TG_E_LIMIT,
                   1 + 2 * ((1u << 20) - 1)); /* 2^20 values, the array among them */
}

static void positions_count_lines_and_characters(void **state)
{
    (void)state;
    struct tgi_tape tape = {0};
    struct tgi_tape_error err;
    struct tgi_tape_cursor cursor = {0};
    char *copy;
    uint32_t line, column;
    static const char text[] = "[1,\n \"\xc3\xa4\xe2\x82\xac\", 2,\n\n3]";
    assert_int_equal(parse(&tape, text, sizeof text - 1, &copy, &err), 0);
    static const uint32_t want[5][2] = {{1, 1}, {1, 2}, {2, 2}, {2, 8}, {4, 1}};
    for (int turn = 0; turn < 2; turn++)
        for (uint32_t k = 0; k < 5; k++) { /* forwards, then backwards */
            uint32_t node = turn == 0 ? k : 4 - k;
            tgi_tape_locate(&tape, tape.nodes[node].at, &cursor, &line, &column);
            assert_int_equal(line, want[node][0]);
            assert_int_equal(column, want[node][1]);
        }
    tgi_tape_fini(&tape);
    free(copy);
}

/* ---- Against jansson ----------------------------------------------------------------------*/

static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

static size_t grow(char *text, size_t at, int depth)
{
    static const char *const scalars[] = {"0",
                                          "-1",
                                          "17",
                                          "2.5",
                                          "1e3",
                                          "-0.0E-2",
                                          "true",
                                          "false",
                                          "null",
                                          "\"\"",
                                          "\"x\"",
                                          "\"\\u00e9\\n\"",
                                          "\"\xe2\x82\xac\"",
                                          "\"\\ud83d\\ude00\"",
                                          "9007199254740993",
                                          "\"a\\\\\""};
    uint32_t kind = depth == 0 ? 0 : random_below(3), n = random_below(4);
    if (kind == 0)
        return at + (size_t)sprintf(text + at, "%s", scalars[random_below(16)]);
    text[at++] = kind == 1 ? '[' : '{';
    for (uint32_t k = 0; k < n; k++) {
        at += (size_t)sprintf(text + at, "%s%s", k > 0 ? "," : "", random_below(4) == 0 ? " \n" : "");
        if (kind == 2)
            at += (size_t)sprintf(text + at, "\"k%u\":", random_below(20) == 0 ? 0 : k);
        at = grow(text, at, depth - 1);
    }
    text[at++] = kind == 1 ? ']' : '}';
    return at;
}

static void assert_same_value(const struct tgi_tape *t, uint32_t node, const json_t *want)
{
    int64_t i;
    double f;
    switch (tgi_tape_kind(t, node)) {
    case TGI_TAPE_NULL:
        assert_true(json_is_null(want));
        break;
    case TGI_TAPE_FALSE:
        assert_true(json_is_false(want));
        break;
    case TGI_TAPE_TRUE:
        assert_true(json_is_true(want));
        break;
    case TGI_TAPE_INT:
        assert_true(json_is_integer(want) && tgi_tape_int(t, node, &i) && i == json_integer_value(want));
        break;
    case TGI_TAPE_REAL:
        assert_true(json_is_real(want) && tgi_tape_double(t, node, &f) && f == json_real_value(want));
        break;
    case TGI_TAPE_STRING:
        assert_true(json_is_string(want));
        assert_int_equal(tgi_tape_count(t, node), json_string_length(want));
        assert_memory_equal(tgi_tape_string(t, node), json_string_value(want), json_string_length(want) + 1);
        break;
    case TGI_TAPE_ARRAY: {
        assert_int_equal(tgi_tape_count(t, node), json_array_size(want));
        uint32_t item = node + 1;
        for (size_t k = 0; k < json_array_size(want); k++, item = tgi_tape_next(t, item))
            assert_same_value(t, item, json_array_get(want, k));
        assert_int_equal(item, tgi_tape_next(t, node));
        break;
    }
    default: {
        assert_int_equal(tgi_tape_count(t, node), json_object_size(want));
        uint32_t key = node + 1;
        for (size_t k = 0; k < json_object_size(want); k++, key = tgi_tape_next(t, key + 1))
            assert_same_value(t, key + 1, json_object_get(want, tgi_tape_string(t, key)));
        assert_int_equal(key, tgi_tape_next(t, node));
    }
    }
}

static void random_texts_mean_what_jansson_says(void **state)
{
    (void)state;
    const char *given = getenv("TGRAPH_TEST_SEED");
    seed = given != NULL ? strtoull(given, NULL, 0) : 77003;
    print_message("TGRAPH_TEST_SEED=%llu\n", (unsigned long long)seed);
    seed |= 1;
    static char text[1 << 16];
    static const char noise[] = "{}[]\",:\\0123456789.eE+-truefalsn \n\t\x01\xc3\xff";
    struct tgi_tape tape = {0};
    uint32_t n_accepted = 0, n_refused = 0;
    for (uint32_t round = 0; round < 60000; round++) {
        size_t n = grow(text, 0, (int)random_below(5));
        for (uint32_t changes = random_below(3); changes > 0; changes--)
            text[random_below((uint32_t)n)] = noise[random_below(sizeof noise - 1)];
        json_error_t why;
        struct tgi_tape_error err;
        char *copy;
        json_t *want = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
        int rc = parse(&tape, text, n, &copy, &err);
        bool is_out_of_range = want == NULL && json_error_code(&why) == json_error_numeric_overflow;
        if ((rc == 0) != (want != NULL) && !is_out_of_range)
            fail_msg("%.*s: %s; jansson: %s", (int)n, text, rc == 0 ? "accepted" : err.text,
                     want != NULL ? "accepted" : why.text);
        if (rc == 0 && want != NULL) {
            assert_same_value(&tape, 0, want);
            n_accepted++;
        } else {
            n_refused++;
        }
        json_decref(want);
        free(copy);
    }
    tgi_tape_fini(&tape);
    assert_true(n_accepted > 10000 && n_refused > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_stand_in_document_order),
        cmocka_unit_test(integers_keep_64_bits),
        cmocka_unit_test(errors_point_at_their_byte),
        cmocka_unit_test(duplicates_are_found_in_large_objects),
        cmocka_unit_test(depth_strings_and_values_are_limited),
        cmocka_unit_test(positions_count_lines_and_characters),
        cmocka_unit_test(random_texts_mean_what_jansson_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
