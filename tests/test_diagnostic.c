#include "io/diagnostic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char source_path[] = "/tmp/tgraph-diagnostic-XXXXXX";

/* Makes the source file that messages point into. */
static void write_source(const char *text, size_t size)
{
    FILE *f = fopen(source_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static char *printed(const struct tg_diagnostic *d, enum tgi_diagnostic_format format, bool color)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tgi_diagnostic_print(out, d, format, color);
    fclose(out);
    char *copy = strdup(text);
    free(text);
    return copy;
}

static void assert_printed(const struct tg_diagnostic *d, enum tgi_diagnostic_format format,
                           const char *expected)
{
    char with_path[4096], *text = printed(d, format, false);
    size_t used = 0;
    for (const char *s = expected; *s != '\0' && used + sizeof source_path < sizeof with_path; s++) {
        if (*s == '%')
            used += (size_t)sprintf(with_path + used, "%s", source_path);
        else
            with_path[used++] = *s;
    }
    with_path[used] = '\0';
    assert_string_equal(text, with_path);
    free(text);
}

static const struct tg_diagnostic unknown_kernel = {.status = TG_E_UNKNOWN_KERNEL,
                                                    .message = "unknown kernel \"gem\"",
                                                    .file = source_path,
                                                    .line = 2,
                                                    .column = 24,
                                                    .length = 5,
                                                    .label = "not in \"kernels\"",
                                                    .help = "did you mean \"gemm\"?",
                                                    .bindings = "k=0, m=16",
                                                    .pointer = "/tasks/0"};

static const char two_lines[] = "{ \"tgraph\": \"1.0\",\n  { \"id\": \"g\", \"kernel\": \"gem\" } }\n";

static void full_form_shows_line_caret_and_notes(void **state)
{
    (void)state;
    write_source(two_lines, sizeof two_lines - 1);
    assert_printed(&unknown_kernel, TGI_DIAGNOSTIC_FULL,
                   "error[TG0203]: unknown kernel \"gem\"\n"
                   " --> %:2:24\n"
                   "  |\n"
                   "2 |   { \"id\": \"g\", \"kernel\": \"gem\" } }\n"
                   "  |                        ^^^^^ not in \"kernels\"\n"
                   "  = help: did you mean \"gemm\"?\n"
                   "  = at: /tasks/0\n"
                   "  = with: k=0, m=16\n");
}

static void short_form_is_one_line(void **state)
{
    (void)state;
    assert_printed(&unknown_kernel, TGI_DIAGNOSTIC_SHORT, "%:2:24: error[TG0203]: unknown kernel \"gem\"\n");
}

static void json_form_is_one_object(void **state)
{
    (void)state;
    assert_printed(&unknown_kernel, TGI_DIAGNOSTIC_JSON,
                   "{\"severity\": \"error\", \"code\": \"TG0203\", \"message\": \"unknown kernel "
                   "\\\"gem\\\"\", \"file\": \"%\", "
                   "\"line\": 2, \"column\": 24, \"length\": 5, \"label\": \"not in \\\"kernels\\\"\", "
                   "\"help\": \"did you mean \\\"gemm\\\"?\", \"bindings\": \"k=0, m=16\", \"pointer\": "
                   "\"/tasks/0\"}\n");
}

static void warnings_say_so(void **state)
{
    (void)state;
    struct tg_diagnostic d = {.status = TG_E_UNINITIALISED, .is_warning = true, .message = "m"};
    assert_printed(&d, TGI_DIAGNOSTIC_SHORT, "warning[TG0405]: m\n");
}

static void unreadable_source_is_left_out(void **state)
{
    (void)state;
    struct tg_diagnostic d = unknown_kernel;
    d.file = "/nonexistent/graph.json";
    d.pointer = d.bindings = d.help = NULL;
    assert_printed(&d, TGI_DIAGNOSTIC_FULL,
                   "error[TG0203]: unknown kernel \"gem\"\n --> /nonexistent/graph.json:2:24\n");
    d.file = "/dev/zero"; /* no regular file: must not be read */
    assert_printed(&d, TGI_DIAGNOSTIC_FULL, "error[TG0203]: unknown kernel \"gem\"\n --> /dev/zero:2:24\n");
}

static void caret_is_under_its_character_in_utf8_and_after_tabs(void **state)
{
    (void)state;
    static const char text[] = "\t\"\xc3\xa4\xe2\x82\xac\" x\n";
    struct tg_diagnostic d = {
        .status = TG_E_JSON_SYNTAX, .message = "m", .file = source_path, .line = 1, .column = 7, .length = 1};
    write_source(text, sizeof text - 1);
    assert_printed(&d, TGI_DIAGNOSTIC_FULL,
                   "error[TG0101]: m\n --> %:1:7\n  |\n1 |  \"\xc3\xa4\xe2\x82\xac\" x\n  |       ^\n");
}

static void long_lines_are_shown_as_a_window(void **state)
{
    (void)state;
    char text[2001];
    memset(text, '.', sizeof text);
    text[1000] = 'X';
    text[2000] = '\n';
    struct tg_diagnostic d = {.status = TG_E_JSON_SYNTAX,
                              .message = "m",
                              .file = source_path,
                              .line = 1,
                              .column = 1001,
                              .length = 1};
    write_source(text, sizeof text);
    char *out = printed(&d, TGI_DIAGNOSTIC_FULL, false);
    assert_true(strlen(out) < 500);
    const char *line = strstr(out, "1 | ..."), *caret = strstr(out, "  | ");
    assert_non_null(line);
    assert_non_null(caret = strchr(line, '^'));
    const char *below = strchr(line, '\n') + 1;
    assert_int_equal(strchr(line, 'X') - line, caret - below);
    free(out);
}

static void nothing_from_the_input_reaches_the_terminal_raw(void **state)
{
    (void)state;
    static const char hostile[] = "\033[31mred\007 \xe2\x80\xae bidi \xff \x9b"
                                  "2J \xc2\x9b end";
    struct tg_diagnostic d = {.status = TG_E_UNKNOWN_NAME,
                              .message = hostile,
                              .file = source_path,
                              .line = 1,
                              .column = 3,
                              .length = 2,
                              .label = hostile,
                              .help = hostile,
                              .bindings = hostile,
                              .pointer = hostile};
    write_source(hostile, sizeof hostile - 1);
    for (int format = TGI_DIAGNOSTIC_FULL; format <= TGI_DIAGNOSTIC_JSON; format++) {
        char *out = printed(&d, (enum tgi_diagnostic_format)format, false);
        for (const unsigned char *s = (const unsigned char *)out; *s != '\0'; s++)
            assert_true(*s == '\n' || (*s >= 0x20 && *s != 0x7f));
        if (format != TGI_DIAGNOSTIC_JSON) { /* there bytes that are not control characters are data */
            assert_null(strstr(out, "\xe2\x80\xae"));
            assert_null(strchr(out, '\xff'));
        }
        free(out);
    }
}

static void color_is_only_ours(void **state)
{
    (void)state;
    char *out = printed(&unknown_kernel, TGI_DIAGNOSTIC_SHORT, true);
    assert_non_null(strstr(out, "\033[1;31merror[TG0203]\033[0m"));
    free(out);
}

static void an_api_error_names_its_task(void **state)
{
    (void)state;
    struct tg_error err = {.status = TG_E_TASK_FAILED,
                           .file = "g.json",
                           .line = 3,
                           .column = 9,
                           .task = "gemm[1]",
                           .text = "boom"};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tgi_error_print(out, &err, TGI_DIAGNOSTIC_SHORT, false);
    fclose(out);
    assert_string_equal(text, "g.json:3:9: error[TG0701]: boom (task gemm[1])\n");
    free(text);
}

static void suggestions_are_close_names(void **state)
{
    (void)state;
    static const char *const names[] = {"gemm", "potrf_lower", "trsm", "syrk", "x", "NT"};
    assert_string_equal(tgi_suggest("gem", names, 6), "gemm");
    assert_string_equal(tgi_suggest("GEMM", names, 6), "gemm");
    assert_string_equal(tgi_suggest("gmem", names, 6), "gemm");
    assert_string_equal(tgi_suggest("portf_lower", names, 6), "potrf_lower");
    assert_string_equal(tgi_suggest("potrflower", names, 6), "potrf_lower");
    assert_string_equal(tgi_suggest("NTT", names, 6), "NT");
    assert_null(tgi_suggest("completely", names, 6));
    assert_null(tgi_suggest("", names, 6));
    assert_null(tgi_suggest("q", names, 6));
    assert_null(tgi_suggest("gem", names, 0));
}

static int make_source(void **state)
{
    (void)state;
    int fd = mkstemp(source_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_source(void **state)
{
    (void)state;
    return unlink(source_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_form_shows_line_caret_and_notes),
        cmocka_unit_test(short_form_is_one_line),
        cmocka_unit_test(json_form_is_one_object),
        cmocka_unit_test(warnings_say_so),
        cmocka_unit_test(unreadable_source_is_left_out),
        cmocka_unit_test(caret_is_under_its_character_in_utf8_and_after_tabs),
        cmocka_unit_test(long_lines_are_shown_as_a_window),
        cmocka_unit_test(nothing_from_the_input_reaches_the_terminal_raw),
        cmocka_unit_test(color_is_only_ours),
        cmocka_unit_test(an_api_error_names_its_task),
        cmocka_unit_test(suggestions_are_close_names),
    };
    return cmocka_run_group_tests(tests, make_source, remove_source);
}
