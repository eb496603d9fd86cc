/* The table as data, for `tgraph help --format json`. */
#include "io/cli/document.h"

#include <string.h>

static void put_choices(struct tgi_json *json, const char *choices)
{
    char word[64];
    tgi_json_flat_array(json, "choices");
    for (const char *c = choices; *c; c += *c == '|') {
        size_t n = strcspn(c, "|");
        snprintf(word, sizeof(word), "%.*s", (int)n, c);
        tgi_json_string(json, NULL, word);
        c += n;
    }
    tgi_json_end(json);
}

static void put_options(struct tgi_json *json, const struct tgi_cli_option *options)
{
    tgi_json_array(json, "options");
    for (const struct tgi_cli_option *o = options; o->name; o++) {
        const char letter[2] = {o->letter, '\0'};
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "name", o->name);
        if (o->letter)
            tgi_json_string(json, "letter", letter);
        if (o->value)
            tgi_json_string(json, "value", o->value);
        tgi_json_string(json, "brief", o->brief);
        if (o->choices)
            put_choices(json, o->choices);
        tgi_json_bool(json, "may_be_repeated", o->is_list);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_command(struct tgi_json *json, const struct tgi_cli_command *c)
{
    tgi_json_object(json, NULL);
    tgi_json_string(json, "name", c->name);
    tgi_json_string(json, "operands", c->operands);
    tgi_json_string(json, "brief", c->brief);
    put_options(json, c->options);
    tgi_json_end(json);
}

void tgi_cli_print_help_json(const struct tgi_cli_command *command)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "help");
    tgi_json_string(&json, "version", TG_VERSION_STRING);
    put_options(&json, tgi_cli_globals);
    tgi_json_array(&json, "commands");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++)
        if (command ? c == command : !c->is_hidden)
            put_command(&json, c);
    tgi_json_end(&json);
    tgi_json_end(&json);
}
