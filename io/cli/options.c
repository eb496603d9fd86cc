/* Parsing of the command line against the table, and what commands ask about it. */
#include "io/cli/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/cli/preferences.h"
#include "io/path.h"

#define MAX_SUGGESTIONS 96

/* ---- Suffixes -----------------------------------------------------------------------------*/

struct suffix {
    const char *text;
    double factor;
};

/* A number and the suffix after it, as a double; suffixes are compared without case if asked. */
static bool parse_suffixed(const char *text, const struct suffix *suffixes, double *value_p)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno == ERANGE || !isfinite(value) || text[1] == 'x' || text[1] == 'X')
        return false;
    while (*end == ' ')
        end++;
    for (; suffixes->text; suffixes++) {
        if (strcmp(end, suffixes->text) == 0) {
            *value_p = value * suffixes->factor;
            return true;
        }
    }
    return false;
}

bool tgi_cli_parse_int(const char *text, int64_t *value_p)
{
    static const struct suffix suffixes[] = {{"", 1},    {"k", 1e3}, {"K", 1e3},
                                             {"M", 1e6}, {"G", 1e9}, {NULL, 0}};
    char digits[32];
    size_t n = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '_' && n > 0 && isdigit((unsigned char)p[1]))
            continue;
        if (n + 1 == sizeof(digits))
            return false;
        digits[n++] = *p;
    }
    digits[n] = '\0';

    /* Plain integers exactly: a double holds 53 bits only. */
    if (n > 0 && strspn(digits, "0123456789") == n) {
        errno = 0;
        long long value = strtoll(digits, NULL, 10);
        if (errno == ERANGE)
            return false;
        *value_p = value;
        return true;
    }
    double value;
    if (!parse_suffixed(digits, suffixes, &value) || value != floor(value) || value > 9e15)
        return false;
    *value_p = (int64_t)value;
    return true;
}

bool tgi_cli_parse_float(const char *text, double *value_p)
{
    static const struct suffix suffixes[] = {{"", 1}, {"%", 0.01}, {NULL, 0}};
    return parse_suffixed(text, suffixes, value_p);
}

bool tgi_cli_parse_bytes(const char *text, uint64_t *bytes_p)
{
    static const struct suffix suffixes[] = {
        {"", 1}, {"B", 1},
        {"K", 0x1p10}, {"k", 0x1p10}, {"KiB", 0x1p10}, {"KB", 1e3}, {"kB", 1e3},
        {"M", 0x1p20}, {"MiB", 0x1p20}, {"MB", 1e6},
        {"G", 0x1p30}, {"GiB", 0x1p30}, {"GB", 1e9},
        {"T", 0x1p40}, {"TiB", 0x1p40}, {"TB", 1e12}, {NULL, 0}};
    double value;
    if (!parse_suffixed(text, suffixes, &value) || value >= 0x1p63)
        return false;
    *bytes_p = (uint64_t)value;
    return true;
}

bool tgi_cli_parse_time(const char *text, uint64_t *ns_p)
{
    static const struct suffix suffixes[] = {{"", 1e9}, {"s", 1e9}, {"ns", 1}, {"us", 1e3}, {"ms", 1e6},
                                             {"min", 60e9}, {"m", 60e9}, {"h", 3600e9}, {NULL, 0}};
    double value;
    if (!parse_suffixed(text, suffixes, &value) || value >= 0x1p63)
        return false;
    *ns_p = (uint64_t)value;
    return true;
}

/* ---- Finding options ----------------------------------------------------------------------*/

static const struct tgi_cli_option *find_in(const struct tgi_cli_option *options, const char *name,
                                            size_t length)
{
    for (; options && options->name; options++) {
        if (strncmp(options->name, name, length) == 0 && options->name[length] == '\0')
            return options;
    }
    return NULL;
}

static const struct tgi_cli_option *find_letter(const struct tgi_cli_option *options, char letter)
{
    for (; options && options->name; options++) {
        if (options->letter == letter)
            return options;
    }
    return NULL;
}

/* A command's own options hide global ones of the same name. */
static const struct tgi_cli_option *find_long(const struct tgi_cli_command *command, const char *name,
                                              size_t length)
{
    const struct tgi_cli_option *option = command ? find_in(command->options, name, length) : NULL;
    return option ? option : find_in(tgi_cli_globals, name, length);
}

const struct tgi_cli_option *tgi_cli_find_option(const struct tgi_cli_command *command, const char *name)
{
    return find_long(command, name, strlen(name));
}

static int unknown_long(const struct tgi_cli *cli, const char *name, size_t length)
{
    const char *names[MAX_SUGGESTIONS];
    size_t n = 0;
    const struct tgi_cli_option *lists[] = {cli->command ? cli->command->options : NULL, tgi_cli_globals};
    for (size_t i = 0; i < 2; i++) {
        for (const struct tgi_cli_option *o = lists[i]; o && o->name && n < MAX_SUGGESTIONS; o++)
            names[n++] = o->name;
    }
    char given[64];
    snprintf(given, sizeof(given), "%.*s", (int)length, name);
    const char *close = tgi_suggest(given, names, n);
    if (close)
        return tgi_cli_usage(cli, "unknown option --%s; did you mean --%s?", given, close);
    return tgi_cli_usage(cli, "unknown option --%s", given);
}

/* ---- Values -------------------------------------------------------------------------------*/

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *c = choices; length > 0 && c; c = strchr(c, '|')) {
        if (*c == '|')
            c++;
        if (strncmp(c, text, length) == 0 && (c[length] == '\0' || c[length] == '|'))
            return true;
    }
    return false;
}

static int bad_value(const struct tgi_cli *cli, const struct tgi_cli_value *value, const char *expected)
{
    const char *source = value->source;
    return tgi_cli_usage(cli, "%s%s: \"%s\" is not %s", source ? "" : "--", source ? source : value->option->name,
                         value->text, expected);
}

static int convert(const struct tgi_cli *cli, struct tgi_cli_value *value)
{
    const struct tgi_cli_option *o = value->option;
    const char *text = value->text;
    char expected[256];
    switch (o->type) {
    case TGI_CLI_SWITCH:
    case TGI_CLI_TEXT:
        break;
    case TGI_CLI_INT: {
        int64_t max = o->max == 0 ? INT64_MAX : o->max;
        if (!tgi_cli_parse_int(text, &value->number.i))
            return bad_value(cli, value, "a whole number (such as 12, 64k or 1M)");
        if (value->number.i < o->min || value->number.i > max) {
            snprintf(expected, sizeof(expected), "between %lld and %lld", (long long)o->min, (long long)max);
            return bad_value(cli, value, expected);
        }
        break;
    }
    case TGI_CLI_FLOAT:
        if (!tgi_cli_parse_float(text, &value->number.f))
            return bad_value(cli, value, "a number from 0 on");
        break;
    case TGI_CLI_BYTES:
        if (!tgi_cli_parse_bytes(text, &value->number.u))
            return bad_value(cli, value, "a size (such as 4GiB, 512MB or 4096)");
        break;
    case TGI_CLI_TIME:
        if (!tgi_cli_parse_time(text, &value->number.u))
            return bad_value(cli, value, "a time (such as 30s, 250ms or 2min)");
        break;
    case TGI_CLI_CHOICE:
        if (!is_choice(o->choices, text)) {
            snprintf(expected, sizeof(expected), "one of %s", o->choices);
            return bad_value(cli, value, expected);
        }
        break;
    case TGI_CLI_ASSIGN: {
        const char *equals = strchr(text, '=');
        if (!equals || equals == text || equals[1] == '\0')
            return bad_value(cli, value, "of the form NAME=EXPR");
        break;
    }
    case TGI_CLI_FILE:
    case TGI_CLI_FOLDER:
        if (text[0] == '\0')
            return bad_value(cli, value, "a path");
        break;
    }
    return 0;
}

int tgi_cli_add_value(struct tgi_cli *cli, const struct tgi_cli_option *option, const char *text, const char *source)
{
    struct tgi_cli_value *value = &cli->values[cli->n_values];
    *value = (struct tgi_cli_value){option, text, source, {0}};
    int rc = text ? convert(cli, value) : 0;
    if (rc == 0)
        cli->n_values++;
    return rc;
}

static int add_value(struct tgi_cli *cli, const struct tgi_cli_option *option, const char *text)
{
    return tgi_cli_add_value(cli, option, text, NULL);
}

/* ---- The command line ---------------------------------------------------------------------*/

/* "--name", "--name=value", "--name value".  *i_p moves on to a value taken from the next word. */
static int parse_long(struct tgi_cli *cli, int argc, char **argv, int *i_p)
{
    const char *name = argv[*i_p] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct tgi_cli_option *option = find_long(cli->command, name, length);
    if (!option)
        return unknown_long(cli, name, length);
    if (option->type == TGI_CLI_SWITCH) {
        if (equals)
            return tgi_cli_usage(cli, "--%s takes no value", option->name);
        return add_value(cli, option, NULL);
    }
    if (equals)
        return add_value(cli, option, equals + 1);
    if (*i_p + 1 >= argc)
        return tgi_cli_usage(cli, "--%s needs a value (%s)", option->name, option->value);
    return add_value(cli, option, argv[++*i_p]);
}

/* "-v", "-p value", "-pvalue", "-qv". */
static int parse_short(struct tgi_cli *cli, int argc, char **argv, int *i_p)
{
    for (const char *letter = argv[*i_p] + 1; *letter; letter++) {
        const struct tgi_cli_option *option =
            cli->command ? find_letter(cli->command->options, *letter) : NULL;
        if (!option)
            option = find_letter(tgi_cli_globals, *letter);
        if (!option)
            return tgi_cli_usage(cli, "unknown option -%c", isprint((unsigned char)*letter) ? *letter : '?');
        if (option->type == TGI_CLI_SWITCH) {
            int rc = add_value(cli, option, NULL);
            if (rc)
                return rc;
            continue;
        }
        if (letter[1])
            return add_value(cli, option, letter + 1);
        if (*i_p + 1 >= argc)
            return tgi_cli_usage(cli, "-%c needs a value (%s)", option->letter, option->value);
        return add_value(cli, option, argv[++*i_p]);
    }
    return 0;
}

int tgi_cli_unknown_command(const struct tgi_cli *cli, const char *name)
{
    const char *names[MAX_SUGGESTIONS];
    size_t n = 0;
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name && n < MAX_SUGGESTIONS; c++) {
        if (!c->is_hidden)
            names[n++] = c->name;
    }
    const char *close = tgi_suggest(name, names, n);
    if (close)
        return tgi_cli_usage(cli, "unknown command \"%s\"; did you mean \"%s\"?", name, close);
    return tgi_cli_usage(cli, "unknown command \"%s\"", name);
}

int tgi_cli_parse(struct tgi_cli *cli, int argc, char **argv)
{
    /* Every letter of a cluster such as -qvq is a value. */
    size_t n_values = 1 + TGI_MAX_PREFERENCES;
    for (int i = 1; i < argc; i++)
        n_values += argv[i][0] == '-' ? strlen(argv[i]) : 1;
    cli->values = calloc(n_values, sizeof(*cli->values));
    cli->operand_space = calloc((size_t)argc + 1, sizeof(*cli->operand_space));
    if (!cli->values || !cli->operand_space)
        return tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory for the command line");
    cli->operands = cli->operand_space;

    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        int rc = 0;
        if (only_operands || word[0] != '-' || word[1] == '\0') {
            if (!cli->command) {
                cli->command = tgi_cli_find(word);
                if (!cli->command)
                    return tgi_cli_unknown_command(cli, word);
            } else {
                cli->operand_space[cli->n_operands++] = word;
            }
        } else if (strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (word[1] == '-') {
            rc = parse_long(cli, argc, argv, &i);
        } else {
            rc = parse_short(cli, argc, argv, &i);
        }
        if (rc)
            return rc;
    }
    return 0;
}

int tgi_cli_check_operands(const struct tgi_cli *cli)
{
    const struct tgi_cli_command *c = cli->command;
    if (cli->n_operands < c->min_operands)
        return tgi_cli_usage(cli, "%s: missing %s", c->name, c->operands);
    if (cli->n_operands > c->max_operands) {
        return tgi_cli_usage(cli, "%s: unexpected argument \"%s\"", c->name, cli->operands[c->max_operands]);
    }
    return 0;
}

void tgi_cli_fini(struct tgi_cli *cli)
{
    free(cli->values);
    free(cli->operand_space);
    tgi_arena_fini(&cli->texts);
}

/* ---- Questions ----------------------------------------------------------------------------*/

static const struct tgi_cli_value *last_value(const struct tgi_cli *cli, const char *name)
{
    assert(!cli->command || find_long(cli->command, name, strlen(name)));
    for (uint32_t i = cli->n_values; i > 0; i--) {
        if (strcmp(cli->values[i - 1].option->name, name) == 0)
            return &cli->values[i - 1];
    }
    return NULL;
}

bool tgi_cli_has(const struct tgi_cli *cli, const char *name)
{
    return last_value(cli, name) != NULL;
}

const char *tgi_cli_text(const struct tgi_cli *cli, const char *name, const char *fallback)
{
    const struct tgi_cli_value *value = last_value(cli, name);
    return value ? value->text : fallback;
}

const char *tgi_cli_source(const struct tgi_cli *cli, const char *name, const char *on_command_line)
{
    const struct tgi_cli_value *value = last_value(cli, name);
    return value && value->source ? value->source : on_command_line;
}

int64_t tgi_cli_int(const struct tgi_cli *cli, const char *name, int64_t fallback)
{
    const struct tgi_cli_value *value = last_value(cli, name);
    assert(!value || value->option->type == TGI_CLI_INT);
    return value ? value->number.i : fallback;
}

double tgi_cli_float(const struct tgi_cli *cli, const char *name, double fallback)
{
    const struct tgi_cli_value *value = last_value(cli, name);
    assert(!value || value->option->type == TGI_CLI_FLOAT);
    return value ? value->number.f : fallback;
}

uint64_t tgi_cli_bytes(const struct tgi_cli *cli, const char *name, uint64_t fallback)
{
    const struct tgi_cli_value *value = last_value(cli, name);
    assert(!value || value->option->type == TGI_CLI_BYTES);
    return value ? value->number.u : fallback;
}

uint64_t tgi_cli_time_ns(const struct tgi_cli *cli, const char *name, uint64_t fallback)
{
    const struct tgi_cli_value *value = last_value(cli, name);
    assert(!value || value->option->type == TGI_CLI_TIME);
    return value ? value->number.u : fallback;
}

int tgi_cli_percent(const struct tgi_cli *cli, const char *name, double fallback_percent, double *fraction_p)
{
    const char *text = tgi_cli_text(cli, name, NULL);
    char *end;
    double percent = text ? strtod(text, &end) : fallback_percent;
    if (text)
        end += strspn(end, " ");
    if ((text && (end == text || (*end && strcmp(end, "%") != 0))) || !(percent >= 0 && percent <= 1e6))
        return tgi_cli_usage(cli, "--%s: \"%s\" is not a percentage, such as 3%%", name, text);
    *fraction_p = percent / 100;
    return 0;
}

const char *tgi_cli_list(const struct tgi_cli *cli, const char *name, uint32_t index)
{
    for (uint32_t i = 0; i < cli->n_values; i++) {
        if (strcmp(cli->values[i].option->name, name) == 0 && index-- == 0)
            return cli->values[i].text;
    }
    return NULL;
}

int tgi_cli_check_outputs(const struct tgi_cli *cli, const char *const *options, uint32_t n)
{
    char *paths[8] = {NULL};
    int rc = 0;
    assert(n <= 8);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        const char *path = tgi_cli_text(cli, options[i], NULL);
        if (!path || strncmp(path, "/dev/", 5) == 0)
            continue;
        paths[i] = tgi_path_tidy(path);
        if (!paths[i])
            rc = tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory for the names of outputs");
        for (uint32_t k = 0; k < i && rc == 0; k++)
            if (paths[k] && strcmp(paths[k], paths[i]) == 0)
                rc = tgi_cli_usage(cli, "--%s and --%s both write to \"%s\"", options[k], options[i], path);
    }
    for (uint32_t i = 0; i < n; i++)
        free(paths[i]);
    return rc;
}
