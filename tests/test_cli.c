/* The command line: parsing, and that help, manual pages and completion say what the table says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/cli/explain.h"
#include "io/cli/options.h"
#include "io/cli/preferences.h"

/* ---- Suffixes -----------------------------------------------------------------------------*/

static void counts_take_suffixes(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},         {"12", 12},
                {"64k", 64000},   {"1M", 1000000},
                {"1e6", 1000000}, {"1_000_000", 1000000},
                {"2.5k", 2500},   {"9223372036854775807", INT64_MAX}};
    static const char *const bad[] = {"",    "x", "-1", "1.5", "12x", "0x10", "1e400", "9223372036854775808",
                                      "nan", " 1"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        int64_t value = -1;
        assert_true(tgi_cli_parse_int(good[i].text, &value));
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        int64_t value = -1;
        assert_false(tgi_cli_parse_int(bad[i], &value));
        assert_int_equal(value, -1);
    }
}

static void sizes_take_binary_and_decimal_suffixes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"4096", 4096}, {"4GiB", (uint64_t)4 << 30}, {"4G", (uint64_t)4 << 30}, {"512MB", 512000000},
                {"1.5KiB", 1536}, {"2T", (uint64_t)2 << 40}};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        uint64_t bytes = 0;
        assert_true(tgi_cli_parse_bytes(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    uint64_t untouched = 7;
    assert_false(tgi_cli_parse_bytes("4GiBs", &untouched));
    assert_false(tgi_cli_parse_bytes("-4GiB", &untouched));
    assert_false(tgi_cli_parse_bytes("1e30", &untouched));
    assert_int_equal(untouched, 7);
}

static void times_default_to_seconds(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"30s", 30000000000u}, {"250ms", 250000000}, {"2min", 120000000000u}, {"1.5", 1500000000},
                {"10us", 10000}, {"7ns", 7}, {"1h", 3600000000000u}};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        uint64_t ns = 0;
        assert_true(tgi_cli_parse_time(good[i].text, &ns));
        assert_int_equal(ns, good[i].ns);
    }
    uint64_t untouched = 7;
    assert_false(tgi_cli_parse_time("30 parsecs", &untouched));
    assert_int_equal(untouched, 7);
}

/* ---- Parsing ------------------------------------------------------------------------------*/

/* Parses a command line with stderr silenced. */
static int parse(struct tgi_cli *cli, const char *const *words)
{
    char *argv[16] = {"tgraph"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    *cli = (struct tgi_cli){.error_format = TGI_DIAGNOSTIC_FULL};
    fflush(stderr);
    int saved = dup(2);
    assert_non_null(freopen("/dev/null", "w", stderr));
    int rc = tgi_cli_parse(cli, argc, argv);
    if (rc == 0 && cli->command)
        rc = tgi_cli_check_operands(cli);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    return rc;
}
#define PARSE(cli, ...) parse(cli, (const char *const[]){__VA_ARGS__, NULL})

static void global_options_stand_before_and_after_the_command(void **state)
{
    struct tgi_cli cli;
    (void)state;
    assert_int_equal(PARSE(&cli, "-q", "--format=json", "run", "g.json", "--color", "never", "-v"), 0);
    assert_string_equal(cli.command->name, "run");
    assert_int_equal(cli.n_operands, 1);
    assert_string_equal(cli.operands[0], "g.json");
    assert_true(tgi_cli_has(&cli, "quiet"));
    assert_true(tgi_cli_has(&cli, "verbose"));
    assert_string_equal(tgi_cli_text(&cli, "format", "text"), "json");
    assert_string_equal(tgi_cli_text(&cli, "color", "auto"), "never");
    tgi_cli_fini(&cli);
}

static void letters_join_and_take_values(void **state)
{
    struct tgi_cli cli;
    (void)state;
    assert_int_equal(PARSE(&cli, "run", "-qvpN=3", "-p", "M=4", "-", "-D", "cpu:2"), 0);
    assert_string_equal(tgi_cli_list(&cli, "param", 0), "N=3");
    assert_string_equal(tgi_cli_list(&cli, "param", 1), "M=4");
    assert_null(tgi_cli_list(&cli, "param", 2));
    assert_string_equal(cli.operands[0], "-");
    assert_string_equal(tgi_cli_text(&cli, "devices", ""), "cpu:2");
    tgi_cli_fini(&cli);
}

static void the_last_of_several_values_counts(void **state)
{
    struct tgi_cli cli;
    (void)state;
    assert_int_equal(PARSE(&cli, "run", "g", "--repeat", "3", "--repeat=5"), 0);
    assert_int_equal(tgi_cli_int(&cli, "repeat", 1), 5);
    assert_int_equal(tgi_cli_int(&cli, "warmup", 9), 9);
    tgi_cli_fini(&cli);
}

static void two_dashes_end_options(void **state)
{
    struct tgi_cli cli;
    (void)state;
    assert_int_equal(PARSE(&cli, "check", "--", "--werror", "-q"), 0);
    assert_int_equal(cli.n_operands, 2);
    assert_string_equal(cli.operands[0], "--werror");
    assert_false(tgi_cli_has(&cli, "werror"));
    tgi_cli_fini(&cli);
}

static void wrong_usage_is_2(void **state)
{
    static const char *const lines[][8] = {{"rnu", "g.json"},
                                           {"run", "g.json", "--repat", "3"},
                                           {"run", "g.json", "--repeat"},
                                           {"run", "g.json", "--repeat", "x"},
                                           {"run", "g.json", "--repeat", "0"},
                                           {"run", "g.json", "-Z"},
                                           {"run"},
                                           {"run", "a", "b"},
                                           {"run", "g.json", "-p", "N"},
                                           {"run", "g.json", "--verify=yes"},
                                           {"run", "g.json", "--compare", "luck"},
                                           {"run", "g.json", "--timeout", "soon"},
                                           {"devices", "x"},
                                           {"--format", "xml", "run", "g.json"},
                                           {"run", "g.json", "--mem", "lots"},
                                           {"run", "g.json", "--device-mem", "lots"},
                                           {"run", "g.json", "--format"}};
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        struct tgi_cli cli;
        assert_int_equal(parse(&cli, lines[i]), 2);
        tgi_cli_fini(&cli);
    }
}

static void every_option_of_the_table_is_accepted(void **state)
{
    (void)state;
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        for (const struct tgi_cli_option *o = c->options; o->name; o++) {
            struct tgi_cli cli;
            char dashed[64], letter[3] = {'-', o->letter, '\0'}, choice[64];
            const char *value = "1";
            snprintf(dashed, sizeof(dashed), "--%s", o->name);
            if (o->type == TGI_CLI_CHOICE) {
                snprintf(choice, sizeof(choice), "%.*s", (int)strcspn(o->choices, "|"), o->choices);
                value = choice;
            } else if (o->type == TGI_CLI_ASSIGN) {
                value = "a=1";
            } else if (o->type == TGI_CLI_INT) {
                snprintf(choice, sizeof(choice), "%lld", (long long)o->min);
                value = choice;
            }
            const char *words[] = {c->name, "x", dashed, o->value ? value : NULL, NULL, NULL};
            if (c->min_operands == 2)
                words[o->value ? 4 : 3] = "y";
            if (c->max_operands == 0) {
                words[1] = dashed;
                words[2] = words[3];
                words[3] = NULL;
            }
            assert_int_equal(parse(&cli, words), 0);
            assert_true(tgi_cli_has(&cli, o->name));
            tgi_cli_fini(&cli);
            if (!o->letter)
                continue;
            words[c->max_operands == 0 ? 1 : 2] = letter;
            assert_int_equal(parse(&cli, words), 0);
            assert_true(tgi_cli_has(&cli, o->name));
            tgi_cli_fini(&cli);
        }
    }
}

/* ---- The table and what is made of it -----------------------------------------------------*/

static char *text_of(void (*print)(FILE *, const struct tgi_cli_command *),
                     const struct tgi_cli_command *command)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    print(to, command);
    assert_int_equal(fclose(to), 0);
    return text;
}

static char *completion_of(const char *shell)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    assert_int_equal(tgi_cli_print_completion(to, shell), 0);
    assert_int_equal(fclose(to), 0);
    return text;
}

static bool has_word(const char *text, const char *before, const char *word, const char *after_any)
{
    char wanted[128];
    snprintf(wanted, sizeof(wanted), "%s%s", before, word);
    for (const char *p = text; (p = strstr(p, wanted)); p++) {
        char next = p[strlen(wanted)];
        if (next == '\0' || strchr(after_any, next))
            return true;
    }
    return false;
}

static void options_must_be_unique(const struct tgi_cli_option *options, const struct tgi_cli_option *others)
{
    for (const struct tgi_cli_option *o = options; o->name; o++) {
        for (const struct tgi_cli_option *p = others; p->name; p++) {
            if (o == p)
                continue;
            assert_string_not_equal(o->name, p->name);
            assert_true(!o->letter || o->letter != p->letter);
        }
        assert_int_equal(o->type == TGI_CLI_SWITCH, o->value == NULL);
        assert_true(o->type != TGI_CLI_CHOICE || o->choices);
        assert_non_null(o->brief);
    }
}

static void names_and_letters_are_unique(void **state)
{
    (void)state;
    options_must_be_unique(tgi_cli_globals, tgi_cli_globals);
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        assert_ptr_equal(tgi_cli_find(c->name), c);
        options_must_be_unique(c->options, c->options);
        options_must_be_unique(c->options, tgi_cli_globals);
    }
}

static void help_shows_every_command_and_option(void **state)
{
    char *all = text_of(tgi_cli_print_help, NULL);
    (void)state;
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        char *help = text_of(tgi_cli_print_help, c);
        assert_true(has_word(all, "\n  ", c->name, " \n"));
        for (const struct tgi_cli_option *o = c->options; o->name; o++)
            assert_true(has_word(help, "--", o->name, " \n"));
        for (const struct tgi_cli_option *o = tgi_cli_globals; o->name; o++)
            assert_true(has_word(help, "--", o->name, " \n"));
        free(help);
    }
    free(all);
}

/* troff writes "-" as "\-" */
static void man_name(const char *name, char *text, size_t size)
{
    size_t n = 0;
    for (; *name && n + 3 < size; name++) {
        if (*name == '-')
            text[n++] = '\\';
        text[n++] = *name;
    }
    text[n] = '\0';
}

static void manual_pages_show_every_command_and_option(void **state)
{
    char *all = text_of(tgi_cli_print_man, NULL);
    char name[64];
    (void)state;
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        char *page = text_of(tgi_cli_print_man, c);
        man_name(c->name, name, sizeof(name));
        assert_true(has_word(all, "tgraph\\-", name, "\\"));
        assert_int_equal(strncmp(page, ".TH TGRAPH\\-", 12), 0);
        for (const struct tgi_cli_option *o = c->options; o->name; o++) {
            man_name(o->name, name, sizeof(name));
            assert_true(has_word(page, "\\fB\\-\\-", name, "\\"));
        }
        free(page);
    }
    free(all);
}

static void completions_offer_every_command_and_option(void **state)
{
    char *bash = completion_of("bash"), *zsh = completion_of("zsh"), *fish = completion_of("fish");
    (void)state;
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        char seen[128];
        assert_true(has_word(bash, " ", c->name, " '"));
        assert_true(has_word(zsh, "'", c->name, ":"));
        assert_true(has_word(fish, "-a ", c->name, " "));
        for (const struct tgi_cli_option *o = c->options; o->name; o++) {
            assert_true(has_word(bash, "--", o->name, " '"));
            assert_true(has_word(zsh, "--", o->name, "[="));
            snprintf(seen, sizeof(seen), "__fish_seen_subcommand_from %s' -l ", c->name);
            assert_true(has_word(fish, seen, o->name, " "));
        }
    }
    for (const struct tgi_cli_option *o = tgi_cli_globals; o->name; o++) {
        assert_true(has_word(bash, "--", o->name, " '"));
        assert_true(has_word(zsh, "--", o->name, "[="));
        assert_true(has_word(fish, "-l ", o->name, " "));
    }
    free(bash);
    free(zsh);
    free(fish);
    assert_int_equal(tgi_cli_print_completion(stdout, "tcsh"), TG_E_BAD_VALUE);
}

/* ---- Preferences --------------------------------------------------------------------------*/

static bool some_command_has(const char *name)
{
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++)
        if (tgi_cli_find_option(c, name))
            return true;
    return false;
}

static void help_names_every_preference(void **state)
{
    char *help = text_of(tgi_cli_print_help, NULL);
    const char *files = strstr(help, "config.json");
    uint32_t n = 0;
    (void)state;
    assert_non_null(files);
    for (; tgi_preferences[n]; n++) {
        char variable[TGI_VARIABLE_SIZE];
        tgi_preference_variable(tgi_preferences[n], variable, sizeof(variable));
        assert_true(some_command_has(tgi_preferences[n]));
        assert_non_null(strstr(help, variable));
        assert_non_null(strstr(files, tgi_preferences[n]));
    }
    assert_true(n <= TGI_MAX_PREFERENCES);
    free(help);
}

/* ---- Explanations -------------------------------------------------------------------------*/

static void every_status_is_explained(void **state)
{
    static const struct {
        int status;
        const char *name;
    } map[] = {
#define X(name, number, exit_code, text) {-(number), #name},
        TG_STATUS_MAP(X)
#undef X
    };
    size_t n = sizeof(map) / sizeof(*map);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(tgi_explanations[i].status, map[i].status);
        assert_string_equal(tgi_explanations[i].name, map[i].name);
        assert_true(strlen(tgi_explanations[i].meaning) > 20);
        assert_true(strlen(tgi_explanations[i].fix) > 10);
    }
    assert_int_equal(tgi_explanations[n].status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_take_suffixes),
        cmocka_unit_test(sizes_take_binary_and_decimal_suffixes),
        cmocka_unit_test(times_default_to_seconds),
        cmocka_unit_test(global_options_stand_before_and_after_the_command),
        cmocka_unit_test(letters_join_and_take_values),
        cmocka_unit_test(the_last_of_several_values_counts),
        cmocka_unit_test(two_dashes_end_options),
        cmocka_unit_test(wrong_usage_is_2),
        cmocka_unit_test(every_option_of_the_table_is_accepted),
        cmocka_unit_test(names_and_letters_are_unique),
        cmocka_unit_test(help_shows_every_command_and_option),
        cmocka_unit_test(manual_pages_show_every_command_and_option),
        cmocka_unit_test(completions_offer_every_command_and_option),
        cmocka_unit_test(help_names_every_preference),
        cmocka_unit_test(every_status_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
