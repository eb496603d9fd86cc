#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/fmt.h"
#include "io/source.h"

/* The text laid out; NULL and *err on failure. */
static char *format(enum tgi_fmt_form form, const char *text, size_t size, struct tg_error *err)
{
    char *out = NULL;
    size_t n;
    FILE *to = open_memstream(&out, &n);
    assert_non_null(to);
    int status = tgi_fmt_write(to, form, text, size, "test.json", err);
    fclose(to);
    if (status != TG_OK) {
        assert_int_equal(status, err->status);
        free(out);
        return NULL;
    }
    return out;
}

static void assert_formats_to(enum tgi_fmt_form form, const char *text, const char *expected)
{
    struct tg_error err;
    char *out = format(form, text, strlen(text), &err);
    assert_non_null(out);
    assert_string_equal(out, expected);
    char *again = format(form, out, strlen(out), &err);
    assert_non_null(again);
    assert_string_equal(again, out);
    free(again);
    free(out);
}

static void known_keys_come_in_canonical_order(void **state)
{
    (void)state;
    assert_formats_to(
        TGI_FMT_DOCUMENT,
        "{\"tasks\":[{\"args\":{\"z\":1,\"a\":2},\"kernel\":\"k\",\"id\":\"t\",\"x-me\":0,\"for\":[\"i in "
        "0:2\"]}],"
        "\"x-a\":1,\"kernels\":{\"k\":{\"cost\":{\"us\":1,\"flops\":2},\"builtin\":\"fill\"}},"
        "\"params\":{\"B\":1,\"A\":2},\"buffers\":{},\"tgraph\":\"1.0\"}",
        "{\n"
        "  \"tgraph\": \"1.0\",\n"
        "  \"params\": { \"B\": 1, \"A\": 2 },\n"
        "  \"buffers\": {},\n"
        "  \"kernels\": {\n"
        "    \"k\": { \"builtin\": \"fill\", \"cost\": { \"flops\": 2, \"us\": 1 } }\n"
        "  },\n"
        "  \"tasks\": [\n"
        "    { \"for\": [\"i in 0:2\"], \"id\": \"t\", \"kernel\": \"k\", \"args\": { \"z\": 1, \"a\": 2 }, "
        "\"x-me\": 0 }\n"
        "  ],\n"
        "  \"x-a\": 1\n"
        "}\n");
}

static void spelling_of_values_is_kept(void **state)
{
    (void)state;
    assert_formats_to(
        TGI_FMT_DOCUMENT,
        "{\"meta\":[1.0,1e0,1E+00,-0,123456789012345678901234567890,\"\\u00e9\\/\",\"\xc3\xa9/\"]}",
        "{\n"
        "  \"meta\": [1.0, 1e0, 1E+00, -0, 123456789012345678901234567890, \"\\u00e9\\/\", \"\xc3\xa9/\"]\n"
        "}\n");
}

static void duplicate_keys_are_kept_for_the_validator(void **state)
{
    (void)state;
    assert_formats_to(TGI_FMT_DOCUMENT, "{\"name\":\"b\",\"tgraph\":\"1.0\",\"name\":\"a\"}",
                      "{\n  \"tgraph\": \"1.0\",\n  \"name\": \"b\",\n  \"name\": \"a\"\n}\n");
}

static void loops_hug_what_they_contain(void **state)
{
    (void)state;
    assert_formats_to(TGI_FMT_DOCUMENT,
                      "{\"tasks\":[{\"do\":[{\"id\":\"syrk[{m},{k}]\",\"kernel\":\"syrk\",\"args\":{\"n\":"
                      "\"B\",\"a\":\"A[m,k]\","
                      "\"c\":\"A[m,m]\"},\"priority\":\"NT-k\"}],\"for\":[\"m in k+1:NT\"]}]}",
                      "{\n"
                      "  \"tasks\": [\n"
                      "    { \"for\": [\"m in k+1:NT\"], \"do\": [\n"
                      "      { \"id\": \"syrk[{m},{k}]\", \"kernel\": \"syrk\", \"args\": { \"n\": \"B\", "
                      "\"a\": \"A[m,k]\", "
                      "\"c\": \"A[m,m]\" },\n"
                      "        \"priority\": \"NT-k\" }\n"
                      "    ] }\n"
                      "  ]\n"
                      "}\n");
}

static void a_line_ends_at_100_columns(void **state)
{
    (void)state;
    /* {  "meta": { "k": ".." }  : 2 + 8 + 9 + quotes and brace; umlauts count once. */
    for (int n = 70; n < 90; n++) {
        char text[400], value[200] = "";
        for (int i = 0; i < n; i++)
            strcat(value, i % 10 == 0 ? "\xc3\xbc" : "x");
        snprintf(text, sizeof(text), "{\"meta\":{\"k\":\"%s\",\"l\":1}}", value);
        struct tg_error err;
        char *out = format(TGI_FMT_DOCUMENT, text, strlen(text), &err);
        assert_non_null(out);
        int columns = 2 + 8 + 2 + 5 + n + 2 + 2 + 6 + 2;
        char one_line[500];
        snprintf(one_line, sizeof(one_line), "{\n  \"meta\": { \"k\": \"%s\", \"l\": 1 }\n}\n", value);
        assert_int_equal(strcmp(out, one_line) == 0, columns <= 100);
        free(out);
    }
}

static void lines_are_compact_and_one_each(void **state)
{
    (void)state;
    assert_formats_to(TGI_FMT_LINES,
                      " { \"stream\" : true , \"tgraph\" : \"1.0\" }\r\n\n"
                      "{\"task\":{\"args\":{ },\"id\":\"a b\"}}\n{\"end\": {\"tasks\": 1}}",
                      "{\"tgraph\":\"1.0\",\"stream\":true}\n"
                      "{\"task\":{\"id\":\"a b\",\"args\":{}}}\n{\"end\":{\"tasks\":1}}\n");
}

static void malformed_text_is_an_error_at_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line, column;
    } cases[] = {
        {"", 1, 1},
        {"{", 1, 2},
        {"{\"a\" 1}", 1, 6},
        {"{\"a\":1,}", 1, 8},
        {"[1,]", 1, 4},
        {"[1 2]", 1, 4},
        {"{\n\"a\":tru}", 2, 5},
        {"[01]", 1, 2},
        {"[1.]", 1, 2},
        {"[-]", 1, 2},
        {"[1e]", 1, 2},
        {"[\"\\x\"]", 1, 3},
        {"[\"\\u12g4\"]", 1, 3},
        {"[\"a", 1, 2},
        {"[\"a\nb\"]", 1, 2},
        {"[\"\x01\"]", 1, 3},
        {"[\"\xff\"]", 1, 3},
        {"[\"\xc0\x80\"]", 1, 3},
        {"[\"\xed\xa0\x80\"]", 1, 3},
        {"[] []", 1, 4},
        {"{1:2}", 1, 2},
        {"[NaN]", 1, 2},
        {"nul", 1, 1},
        {"[1}", 1, 3},
        {"\"\\", 1, 1},
        {"[\"\xf4\x90\x80\x80\"]", 1, 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tg_error err;
        assert_null(format(TGI_FMT_DOCUMENT, cases[i].text, strlen(cases[i].text), &err));
        assert_int_equal(err.status, TG_E_JSON_SYNTAX);
        if (err.line != cases[i].line || err.column != cases[i].column)
            fail_msg("%s: expected %u:%u, got %u:%u (%s)", cases[i].text, cases[i].line, cases[i].column,
                     err.line, err.column, err.text);
        assert_string_equal(err.file, "test.json");
    }
    struct tg_error err;
    assert_null(format(TGI_FMT_DOCUMENT, "[\"a\0b\"]", 7, &err));
    assert_int_equal(err.column, 4);
    assert_null(format(TGI_FMT_LINES, "{}\n\n{\"a\":}\n", 11, &err));
    assert_int_equal(err.line, 3);
}

static void nesting_is_limited_to_64_levels(void **state)
{
    (void)state;
    for (int depth = 62; depth < 67; depth++) {
        char text[200];
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        struct tg_error err;
        char *out = format(TGI_FMT_DOCUMENT, text, 2 * (size_t)depth, &err);
        assert_int_equal(out != NULL, depth <= 64);
        free(out);
    }
    char *text = malloc(1000000);
    assert_non_null(text);
    memset(text, '[', 1000000);
    struct tg_error err;
    assert_null(format(TGI_FMT_DOCUMENT, text, 1000000, &err));
    free(text);
}

/* ---- Random texts -------------------------------------------------------------------------*/

static uint64_t seed;
static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static void put_space(char **to)
{
    for (uint32_t n = below(4); n > 0 && n < 3; n--)
        *(*to)++ = " \n\t\r"[below(4)];
}

static void put_value(char **to, int depth)
{
    static const char *const scalars[] = {
        "1",    "-2.50", "1e-3",    "\"\"",    "\"a\\\"b\"",  "true",
        "null", "false", "1000000", "\"{i}\"", "\"\\u00fc\"", "\"a longer text, with commas\""};
    put_space(to);
    uint32_t what = below(depth > 4 ? 3 : 6);
    if (what < 3) {
        *to = stpcpy(*to, scalars[below(sizeof(scalars) / sizeof(scalars[0]))]);
    } else {
        bool is_object = what == 3;
        *(*to)++ = is_object ? '{' : '[';
        uint32_t n = below(what == 5 ? 3 : 9);
        for (uint32_t i = 0; i < n; i++) {
            put_space(to);
            if (i > 0)
                *(*to)++ = ',';
            put_space(to);
            if (is_object) {
                *to += sprintf(*to, "\"k%u\"", below(1000));
                put_space(to);
                *(*to)++ = ':';
            }
            if (what == 5)
                *to += sprintf(*to, "%u", below(100000));
            else
                put_value(to, depth + 1);
        }
        put_space(to);
        *(*to)++ = is_object ? '}' : ']';
    }
    put_space(to);
}

/* Without the space between tokens. */
static void squeeze(const char *text, char *to)
{
    bool is_string = false;
    for (const char *p = text; *p; p++) {
        if (!is_string && isspace((unsigned char)*p))
            continue;
        if (is_string && *p == '\\')
            *to++ = *p++;
        else if (*p == '"')
            is_string = !is_string;
        *to++ = *p;
    }
    *to = '\0';
}

static void nothing_is_lost_and_twice_is_once_in_random_texts(void **state)
{
    (void)state;
    const char *given = getenv("TGRAPH_TEST_SEED");
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    print_message("TGRAPH_TEST_SEED=%llu\n", (unsigned long long)seed);
    char *text = malloc(4 << 20), *before = malloc(4 << 20), *after = malloc(4 << 20);
    assert_true(text && before && after);
    for (int i = 0; i < 2000; i++) {
        char *to = stpcpy(text, i % 2 ? "{\"meta\":" : "{\"tasks\":[{\"args\":");
        put_value(&to, 0);
        strcpy(to, i % 2 ? "}" : "}]}");
        struct tg_error err;
        char *out = format(TGI_FMT_DOCUMENT, text, strlen(text), &err);
        assert_non_null(out);
        squeeze(text, before);
        squeeze(out, after);
        assert_string_equal(after, before);
        for (char *line = out, *end; *line; line = end + 1) {
            end = strchr(line, '\n');
            if (end - line > 100)
                fail_msg("too long: %.*s", (int)(end - line), line);
            assert_true(end == line || end[-1] != ' ');
        }
        bool is_canonical = false;
        assert_int_equal(tgi_fmt_is_canonical(TGI_FMT_DOCUMENT, out, strlen(out), "t", &is_canonical, &err),
                         TG_OK);
        assert_true(is_canonical);
        free(out);
    }
    free(text);
    free(before);
    free(after);
}

/* ---- Files --------------------------------------------------------------------------------*/

static char folder[] = "/tmp/tgraph-test-fmt-XXXXXX";

static void write_text(const char *path, const char *text)
{
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    fputs(text, to);
    assert_int_equal(fclose(to), 0);
}

static void a_file_is_rewritten_only_if_it_changes(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    char path[100];
    snprintf(path, sizeof(path), "%s/a.json", folder);
    write_text(path, "{\"tgraph\":\"1.0\"}");
    assert_int_equal(chmod(path, 0640), 0);
    bool is_canonical = true, is_changed = false;
    struct tg_error err;
    assert_int_equal(tgi_fmt_check_file(path, &is_canonical, &err), TG_OK);
    assert_false(is_canonical);
    assert_int_equal(tgi_fmt_file(path, NULL, &is_changed, &err), TG_OK);
    assert_true(is_changed);
    struct stat first, second;
    assert_int_equal(stat(path, &first), 0);
    assert_int_equal(first.st_mode & 0777, 0640);
    assert_int_equal(tgi_fmt_file(path, NULL, &is_changed, &err), TG_OK);
    assert_false(is_changed);
    assert_int_equal(stat(path, &second), 0);
    assert_true(first.st_ino == second.st_ino);
    assert_int_equal(tgi_fmt_check_file(path, &is_canonical, &err), TG_OK);
    assert_true(is_canonical);

    write_text(path, "{\"tgraph\":");
    assert_int_equal(tgi_fmt_file(path, NULL, &is_changed, &err), TG_E_JSON_SYNTAX);
    struct tgi_source source;
    assert_int_equal(tgi_source_read(&source, path, 1000, &err), TG_OK);
    assert_string_equal(source.text, "{\"tgraph\":");
    tgi_source_fini(&source);
    assert_int_equal(tgi_source_read(&source, path, 5, &err), TG_E_LIMIT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* no temporary file is left */
    assert_int_equal(tgi_fmt_file(path, NULL, NULL, &err), TG_E_OPEN);
}

/* The files that users look at first should look as the formatter has it. */
static void shipped_graphs_are_canonical(void **state)
{
    (void)state;
    static const char *const patterns[] = {"examples/graphs/*.json", "io/templates/*/*.json"};
    glob_t files = {0};
    for (int i = 0; i < 2; i++)
        assert_int_equal(glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 12);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct tg_error err;
        bool is_canonical = false;
        if (strstr(files.gl_pathv[i], "/first.json")) /* laid out for the README that shows it */
            continue;
        if (tgi_fmt_check_file(files.gl_pathv[i], &is_canonical, &err) != TG_OK)
            fail_msg("%s: %s", files.gl_pathv[i], err.text);
        if (!is_canonical)
            fail_msg("%s is not laid out canonically", files.gl_pathv[i]);
    }
    globfree(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_keys_come_in_canonical_order),
        cmocka_unit_test(spelling_of_values_is_kept),
        cmocka_unit_test(duplicate_keys_are_kept_for_the_validator),
        cmocka_unit_test(loops_hug_what_they_contain),
        cmocka_unit_test(a_line_ends_at_100_columns),
        cmocka_unit_test(lines_are_compact_and_one_each),
        cmocka_unit_test(malformed_text_is_an_error_at_its_place),
        cmocka_unit_test(nesting_is_limited_to_64_levels),
        cmocka_unit_test(nothing_is_lost_and_twice_is_once_in_random_texts),
        cmocka_unit_test(a_file_is_rewritten_only_if_it_changes),
        cmocka_unit_test(shipped_graphs_are_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
