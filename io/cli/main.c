/* The program: global options, dispatch, and what every command has in common at its end. */
#include "io/cli/options.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/cli/interrupt.h"

static bool wants_color(const char *mode, FILE *stream)
{
    if (strcmp(mode, "auto") != 0)
        return strcmp(mode, "always") == 0;
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return !(no_color && no_color[0]) && isatty(fileno(stream)) && !(term && strcmp(term, "dumb") == 0);
}

static enum tgi_diagnostic_format error_format(const char *text)
{
    if (strcmp(text, "short") == 0)
        return TGI_DIAGNOSTIC_SHORT;
    return strcmp(text, "json") == 0 ? TGI_DIAGNOSTIC_JSON : TGI_DIAGNOSTIC_FULL;
}

/* Errors of parsing itself are reported in the form asked for, so that is looked up before. */
static void apply_error_format(struct tgi_cli *cli, int argc, char **argv)
{
    static const char option[] = "--error-format";
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], option, sizeof(option) - 1) != 0)
            continue;
        const char *rest = argv[i] + sizeof(option) - 1;
        if (*rest == '=')
            cli->error_format = error_format(rest + 1);
        else if (*rest == '\0' && i + 1 < argc)
            cli->error_format = error_format(argv[i + 1]);
    }
}

static void apply_globals(struct tgi_cli *cli)
{
    const char *color = tgi_cli_text(cli, "color", "auto");
    cli->color_out = wants_color(color, stdout);
    cli->color_err = wants_color(color, stderr);
    cli->format =
        strcmp(tgi_cli_text(cli, "format", "text"), "json") == 0 ? TGI_FORMAT_JSON : TGI_FORMAT_TEXT;
    cli->is_quiet = tgi_cli_has(cli, "quiet");
    cli->is_verbose = tgi_cli_has(cli, "verbose");
}

static int dispatch(struct tgi_cli *cli)
{
    if (tgi_cli_has(cli, "version")) {
        printf("tgraph %s\n", TG_VERSION_STRING);
        return TGI_EXIT_OK;
    }
    if (tgi_cli_has(cli, "help")) {
        tgi_cli_print_help(stdout, cli->command);
        return TGI_EXIT_OK;
    }
    if (!cli->command) {
        tgi_cli_print_overview(stdout);
        return TGI_EXIT_OK;
    }
    int rc = tgi_cli_check_operands(cli);
    if (rc)
        return rc;
    const char *folder = tgi_cli_text(cli, "directory", NULL);
    if (folder && chdir(folder) != 0)
        return tgi_cli_fail(cli, TG_E_OPEN, "cannot change to folder \"%s\": %s", folder, strerror(errno));
    return cli->command->run(cli);
}

/* Whether everything written to stdout has arrived.  A reader that went away is no error worth a
 * message: the code says what SIGPIPE would have. */
static int close_stdout(const struct tgi_cli *cli, int rc)
{
    errno = 0;
    bool had_error = ferror(stdout) != 0;
    if (fflush(stdout) != 0 || had_error || close(STDOUT_FILENO) != 0) {
        if (tgi_cli_reader_left())
            return 128 + SIGPIPE;
        if (errno == EBADF && !had_error)
            return rc;
        int failed = tgi_cli_fail(cli, TG_E_WRITE, "cannot write to stdout%s%s", errno ? ": " : "",
                                  errno ? strerror(errno) : "");
        return rc ? rc : failed;
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct tgi_cli cli = {.error_format = TGI_DIAGNOSTIC_FULL};
    tgi_cli_install_signals();
    cli.color_err = wants_color("auto", stderr);
    apply_error_format(&cli, argc, argv);
    int rc = tgi_cli_parse(&cli, argc, argv);
    if (rc == 0) {
        apply_globals(&cli);
        rc = dispatch(&cli);
    }
    rc = close_stdout(&cli, rc);
    tgi_cli_fini(&cli);
    return rc;
}
