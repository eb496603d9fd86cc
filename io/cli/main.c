/* The program: global options, dispatch, and what every command has in common at its end. */
#include "io/cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/cli/crash.h"
#include "io/cli/document.h"
#include "io/cli/interrupt.h"
#include "io/cli/preferences.h"
#include "io/cli/progress.h"
#include "io/output.h"

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

/* What comes last for an option of this name, "--" included, before anything is parsed; NULL: nothing. */
static const char *look_ahead(const char *option, int argc, char **argv)
{
    const char *found = NULL;
    size_t length = strlen(option);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], option, length) != 0)
            continue;
        if (argv[i][length] == '=')
            found = argv[i] + length + 1;
        else if (argv[i][length] == '\0' && i + 1 < argc)
            found = argv[i + 1];
    }
    return found;
}

/* Errors of parsing itself are reported in the forms asked for, so these are looked up before. */
static void apply_formats(struct tgi_cli *cli, int argc, char **argv)
{
    const char *errors = look_ahead("--error-format", argc, argv), *data = look_ahead("--format", argc, argv);
    if (!errors)
        errors = getenv("TGRAPH_ERROR_FORMAT");
    if (errors)
        cli->error_format = error_format(errors);
    if (data && strcmp(data, "json") == 0)
        cli->format = TGI_FORMAT_JSON;
}

static void apply_globals(struct tgi_cli *cli)
{
    cli->error_format = error_format(tgi_cli_text(cli, "error-format", "full"));
    const char *color = tgi_cli_text(cli, "color", "auto");
    cli->color_out = wants_color(color, stdout);
    cli->color_err = wants_color(color, stderr);
    cli->format =
        strcmp(tgi_cli_text(cli, "format", "text"), "json") == 0 ? TGI_FORMAT_JSON : TGI_FORMAT_TEXT;
    cli->is_quiet = tgi_cli_has(cli, "quiet");
    cli->is_verbose = tgi_cli_has(cli, "verbose");
}

static void print_version(const struct tgi_cli *cli)
{
    if (cli->format == TGI_FORMAT_TEXT) {
        printf("tgraph %s\n", TG_VERSION_STRING);
        return;
    }
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "version");
    tgi_json_string(&json, "version", TG_VERSION_STRING);
    tgi_json_end(&json);
}

static int dispatch(struct tgi_cli *cli)
{
    bool is_json = cli->format == TGI_FORMAT_JSON;
    if (tgi_cli_has(cli, "version")) {
        print_version(cli);
        return TGI_EXIT_OK;
    }
    if (is_json && (tgi_cli_has(cli, "help") || !cli->command)) {
        tgi_cli_print_help_json(cli->command);
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
    bool had_error = ferror(stdout) != 0, is_lost = fflush(stdout) != 0 || had_error;
    if (had_error && errno == 0)
        errno = tgi_output_reason(stdout);
    if (is_lost || close(STDOUT_FILENO) != 0) {
        if (tgi_cli_reader_left())
            return 128 + SIGPIPE;
        if (is_lost && rc == tg_status_exit_code(TG_E_WRITE))
            return rc; /* the command has said so */
        int failed = tgi_cli_fail(cli, TG_E_WRITE, "cannot write to stdout%s%s", errno ? ": " : "",
                                  errno ? strerror(errno) : "");
        return rc ? rc : failed;
    }
    return rc;
}

/* A file must not take the place of a standard stream that is closed, or messages would end up in it.
 * Opened the wrong way round, the stream still refuses to be used. */
static void reserve_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

static bool is_finished;

/* A kernel or a library below it that calls exit() must not pass for success. */
static void on_exit_of_others(void)
{
    char task[600], text[700];
    if (is_finished)
        return;
    tgi_output_abandon_all();
    tgi_cli_progress_erase();
    bool has_task = tgi_cli_running_task(task, sizeof(task));
    int n = snprintf(text, sizeof(text), "error[TG0701]: %s ended the process with exit()\n",
                     has_task ? task : "a kernel");
    (void)!write(STDERR_FILENO, text, (size_t)n);
    _exit(TGI_EXIT_NO);
}

/* The driver puts streams into that many queues, 8 if nobody says, and what is behind a wait in a queue waits as well, whichever stream
 * it is of.  A device has more lanes than that.  Read when the driver is initialised; who has set it knows better. */
static void ask_for_queues(void) { setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0); }

int main(int argc, char **argv)
{
    reserve_streams();
    ask_for_queues();
    atexit(on_exit_of_others);
    struct tgi_cli cli = {.error_format = TGI_DIAGNOSTIC_FULL};
    tgi_cli_install_signals();
    cli.color_err = wants_color("auto", stderr);
    apply_formats(&cli, argc, argv);
    int rc = tgi_cli_parse(&cli, argc, argv);
    /* Whoever needs help may need it with these. */
    if (rc == 0 && !tgi_cli_has(&cli, "help") && !tgi_cli_has(&cli, "version"))
        rc = tgi_cli_add_preferences(&cli);
    if (rc == 0) {
        apply_globals(&cli);
        rc = dispatch(&cli);
    }
    tgi_cli_document_finish(&cli, rc);
    rc = close_stdout(&cli, rc);
    tgi_cli_fini(&cli);
    is_finished = true;
    return rc;
}
