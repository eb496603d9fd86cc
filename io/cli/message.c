/* Messages on stderr, in the form the user chose. */
#include "io/cli/cli.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/cli/document.h"
#include "io/utf8.h"

bool tgi_cli_reader_left(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return ferror(stdout) && poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int tgi_cli_error(const struct tgi_cli *cli, const struct tg_error *err)
{
    fflush(stdout);
    /* What cannot be written to a pipe that nobody reads is no news. */
    if (err->status == TG_E_WRITE && tgi_cli_reader_left())
        return 128 + SIGPIPE;
    tgi_cli_document_keep(err->status, err->text, err->file, err->line, err->column);
    tgi_error_print(stderr, err, cli->error_format, cli->color_err);
    return tg_status_exit_code(err->status);
}

int tgi_cli_fail(const struct tgi_cli *cli, int status, const char *format, ...)
{
    struct tg_error err = {.status = status};
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof(err.text), format, args);
    va_end(args);
    return tgi_cli_error(cli, &err);
}

int tgi_cli_usage(const struct tgi_cli *cli, const char *format, ...)
{
    struct tg_error err = {.status = TG_E_USAGE};
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof(err.text), format, args);
    va_end(args);
    tgi_cli_error(cli, &err);
    if (cli->error_format == TGI_DIAGNOSTIC_FULL) {
        if (cli->command)
            fprintf(stderr, "try: tgraph %s --help\n", cli->command->name);
        else
            fprintf(stderr, "try: tgraph --help\n");
    }
    return TGI_EXIT_USAGE;
}

/* Control characters of names that the message quotes must not reach the terminal. */
static void print_remark(const struct tgi_cli *cli, const char *severity, const char *word, const char *color,
                         const char *format, va_list args)
{
    char text[2048];
    vsnprintf(text, sizeof(text), format, args);
    fflush(stdout);
    if (cli->error_format == TGI_DIAGNOSTIC_JSON) {
        struct tgi_json json = tgi_json_begin(stderr, TGI_JSON_LINE);
        tgi_json_object(&json, NULL);
        tgi_json_string(&json, "severity", severity);
        tgi_json_string(&json, "message", text);
        tgi_json_end(&json);
        return;
    }
    fprintf(stderr, "%s%s%s: ", cli->color_err ? color : "", word, cli->color_err ? "\033[0m" : "");
    tgi_utf8_print(stderr, text);
    putc('\n', stderr);
}

void tgi_cli_warn(const struct tgi_cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_remark(cli, "warning", "warning", "\033[1;33m", format, args);
    va_end(args);
}

void tgi_cli_note(const struct tgi_cli *cli, const char *format, ...)
{
    if (cli->is_quiet)
        return;
    va_list args;
    va_start(args, format);
    print_remark(cli, "note", "note", "\033[1;36m", format, args);
    va_end(args);
}

void tgi_cli_detail(const struct tgi_cli *cli, const char *format, ...)
{
    if (!cli->is_verbose)
        return;
    va_list args;
    va_start(args, format);
    print_remark(cli, "detail", "tgraph", "\033[2m", format, args);
    va_end(args);
}

void tgi_cli_on_diagnostic(void *user, const struct tg_diagnostic *diagnostic)
{
    const struct tgi_cli *cli = user;
    if (diagnostic->is_warning && cli->is_quiet)
        return;
    if (!diagnostic->is_warning)
        tgi_cli_document_keep(diagnostic->status, diagnostic->message, diagnostic->file, diagnostic->line,
                              diagnostic->column);
    tgi_diagnostic_print(stderr, diagnostic, cli->error_format, cli->color_err);
}
