#include "io/cli/document.h"

#include <signal.h>
#include <string.h>

/* The main thread's alone, as everything that is printed. */
static bool is_begun;
static struct {
    int status; /* 0: no error so far */
    char text[1024], file[512];
    uint32_t line, column;
} first;

struct tgi_json tgi_cli_document(FILE *to, const char *schema, const char *command)
{
    struct tgi_json json = tgi_json_begin(to, TGI_JSON_PRETTY);
    is_begun |= to == stdout;
    tgi_json_object(&json, NULL);
    tgi_json_string(&json, "schema", schema);
    if (command)
        tgi_json_string(&json, "command", command);
    return json;
}

void tgi_cli_document_keep(int status, const char *text, const char *file, uint32_t line, uint32_t column)
{
    if (first.status)
        return;
    first.status = status;
    snprintf(first.text, sizeof(first.text), "%s", text);
    snprintf(first.file, sizeof(first.file), "%s", file ? file : "");
    first.line = line;
    first.column = column;
}

static void put_error(struct tgi_json *json)
{
    char code[16];
    snprintf(code, sizeof(code), "TG%04d", -first.status);
    tgi_json_flat_object(json, "error");
    tgi_json_string(json, "code", code);
    tgi_json_string(json, "text", first.text);
    if (first.file[0])
        tgi_json_string(json, "file", first.file);
    if (first.line) {
        tgi_json_uint(json, "line", first.line);
        tgi_json_uint(json, "column", first.column);
    }
    tgi_json_end(json);
}

static const char *written_file(const struct tgi_cli *cli)
{
    for (uint32_t i = cli->n_values; i > 0; i--)
        if (strcmp(cli->values[i - 1].option->name, "output") == 0)
            return strcmp(cli->values[i - 1].text, "-") == 0 ? NULL : cli->values[i - 1].text;
    return NULL;
}

void tgi_cli_document_finish(const struct tgi_cli *cli, int exit_code)
{
    const char *output = written_file(cli);
    if (cli->format != TGI_FORMAT_JSON || is_begun || exit_code == 128 + SIGPIPE || (exit_code == 0 && !output))
        return;
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, cli->command ? cli->command->name : NULL);
    tgi_json_bool(&json, "ok", exit_code == 0);
    tgi_json_int(&json, "exit_code", exit_code);
    if (exit_code == 0)
        tgi_json_string(&json, "output", output);
    if (first.status)
        put_error(&json);
    tgi_json_end(&json);
}
