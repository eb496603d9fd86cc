/* --help and the manual pages, made from the table. */
#include "io/cli/cli.h"

#include <ctype.h>
#include <string.h>

#define WIDTH 88
#define OPTION_COLUMN 30

/* What both the help of the program and tgraph(1) say about it, a row each. */
struct remark {
    const char *name, *text;
};
static const struct remark exit_codes[] = {
    {"0", "success"},
    {"1", "the command's own no: an invalid graph, a failed task, a file not in layout"},
    {"2", "wrong usage"},
    {"3", "input that cannot be read or is no JSON"},
    {"4", "environment: no such device, out of memory, missing library or compiler"},
    {"5", "results that fail a check or differ from sequential execution"},
    {"124", "time limit exceeded"},
    {"128+N", "ended by signal N; 130 after Ctrl-C"},
    {NULL, NULL}
};
static const struct remark environment[] = {
    {"TGRAPH_CACHE_DIR", "folder of compiled kernels and of their times; else $XDG_CACHE_HOME/tgraph, else ~/.cache/tgraph"},
    {"CC", "compiler for kernels given as C source; cc if not set"},
    {"TGRAPH_COLOR", "as --color, where that is not given; TGRAPH_DEVICE_MEM, TGRAPH_DEVICES, TGRAPH_ERROR_FORMAT, TGRAPH_MAX_FILE,"
     " TGRAPH_MEM and TGRAPH_PROGRESS likewise"},
    {"TGRAPH_BLAS", "BLAS for CPUs: off, or a library; off also keeps GPU kernels from cuBLAS and cuSOLVER"},
    {"TGRAPH_HISTORY", "off: times of kernels that earlier runs have measured are not used, and none are kept"},
    {"TGRAPH_RESIDENT_LIMIT_MS", "with run --executor resident: how long a task may wait for another inside a kernel"},
    {"TGRAPH_RESIDENT_KERNEL", "embedded: with run --executor resident no kernel is compiled for the graph, the built-in one serves;"
     " generated: as if it were not set"},
    {"TGRAPH_RESIDENT_PROGRAM", "with run --executor resident: dynamic or static, who executes which task inside a kernel is found as it runs, or"
     " planned; auto, as if it were not set: dynamic where tasks make tasks"},
    {"TGRAPH_RESIDENT_WIDTH", "with run --executor resident: warp or block, what tasks are inside a kernel that can be cut into parts; auto, as if"
     " it were not set: a block wide where that should be faster"},
    {"TGRAPH_RESIDENT_SPREAD", "off: with run --executor resident each device has kernels of its own, and none that wait for those of other devices, as they"
     " may if the devices are linked; on: as if it were not set, and in any program whose executor is left open"},
    {"TGRAPH_HOPS", "flags: with run --executor graph each device has a graph of its own, where that can be, and they wait for each other by"
     " flags; auto: where that should be faster; driver: one graph for all, as if it were not set"},
    {"TGRAPH_PDL", "off: with run --executor graph no built-in kernel is launched while the one before it in a chain still runs, to wait for it on"
     " the device"},
    {"TGRAPH_PULL", "off: in CUDA graphs copies from the host of at most 128 KiB are the driver's, and not made by kernels"},
    {"TGRAPH_INIT", "host: what begins with one value everywhere is copied to the devices that need it; devices: they fill it in, as if it were not set"},
    {"TGRAPH_PINNING", "off: a program's own memory is not pinned for copies, which is slower but takes no time before a run"},
    {"TGRAPH_CUDA_DRIVER", "the CUDA driver, instead of libcuda.so.1"},
    {"TGRAPH_CUDA_KERNELS", "file with the built-in kernels for GPUs, instead of those of the build"},
    {"TGRAPH_NVRTC", "the NVRTC library; TGRAPH_CUBLAS, TGRAPH_CUSOLVER and TGRAPH_NCCL likewise"},
    {"TGRAPH_NVTX", "1: name tasks on GPUs for profilers through libnvToolsExt.so.1; those that set NVTX_INJECTION64_PATH need nothing"},
    {"CUDA_DEVICE_MAX_CONNECTIONS", "the driver's: queues that it puts streams into, so that some wait for others; 32 if not set"},
    {"NO_COLOR", "if not empty, no colours unless --color always"},
    {NULL, NULL}
};

static const struct remark files[] = {
    {"config.json", "in $XDG_CONFIG_HOME/tgraph, else ~/.config/tgraph: what neither the command line nor the environment says, as in"
     " {\"devices\": \"cpu:4\", \"color\": \"never\"}; color, device-mem, devices, error-format, max-file, mem or progress"},
    {NULL, NULL}
};

/* ---- Wrapping -----------------------------------------------------------------------------*/

/* Prints words from column `at` on, later lines from column `indent` on.  An empty line in the
 * text starts a paragraph. */
static void print_wrapped(FILE *to, const char *text, int at, int indent)
{
    int column = at;
    bool is_first = true;
    while (*text) {
        if (text[0] == '\n') {
            fprintf(to, "\n%s%*s", text[1] == '\n' ? "\n" : "", indent, "");
            text += text[1] == '\n' ? 2 : 1;
            column = indent;
            is_first = true;
            continue;
        }
        if (*text == ' ') {
            text++;
            continue;
        }
        int length = (int)strcspn(text, " \n");
        if (!is_first && column + 1 + length > WIDTH) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
            is_first = true;
        }
        column += fprintf(to, "%s%.*s", is_first ? "" : " ", length, text);
        is_first = false;
        text += length;
    }
    fputc('\n', to);
}

static void print_row(FILE *to, const char *left, const char *right, int column)
{
    int at = fprintf(to, "  %s", left);
    if (at + 2 > column) {
        fputc('\n', to);
        at = 0;
    }
    fprintf(to, "%*s", column - at, "");
    print_wrapped(to, right, column, column);
}

static void print_remarks(FILE *to, const char *title, const struct remark *rows)
{
    fprintf(to, "\n%s:\n", title);
    for (; rows->name; rows++)
        print_row(to, rows->name, rows->text, 20);
}

/* ---- Help ---------------------------------------------------------------------------------*/

static void option_left(const struct tgi_cli_option *o, char *text, size_t size)
{
    if (o->letter)
        snprintf(text, size, "-%c, --%s%s%s", o->letter, o->name, o->value ? " " : "",
                 o->value ? o->value : "");
    else
        snprintf(text, size, "    --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
}

static void option_brief(const struct tgi_cli_option *o, char *text, size_t size)
{
    bool shows_choices = o->choices != NULL;
    snprintf(text, size, "%s%s%s%s%s", o->brief, shows_choices ? " (" : "", shows_choices ? o->choices : "",
             shows_choices ? ")" : "", o->is_list ? "; may be repeated" : "");
    /* Choices wrap better, and read better, as a list. */
    char *open = shows_choices ? strrchr(text, '(') : NULL;
    char spaced[512];
    if (!open)
        return;
    size_t n = 0;
    for (const char *p = text; *p && n + 3 < sizeof(spaced); p++) {
        spaced[n++] = p > open && *p == '|' ? ',' : *p;
        if (p > open && *p == '|')
            spaced[n++] = ' ';
    }
    spaced[n] = '\0';
    snprintf(text, size, "%s", spaced);
}

static void print_options(FILE *to, const char *title, const struct tgi_cli_option *options)
{
    if (!options->name)
        return;
    fprintf(to, "\n%s:\n", title);
    for (const struct tgi_cli_option *o = options; o->name; o++) {
        char left[128], brief[512];
        option_left(o, left, sizeof(left));
        option_brief(o, brief, sizeof(brief));
        print_row(to, left, brief, OPTION_COLUMN);
    }
}

/* Splits "command  # remark" lines; calls nothing for an empty list. */
static bool next_example(const char **text_p, int *command_p, const char **remark_p, int *remark_length_p)
{
    const char *text = *text_p;
    if (!text || !*text)
        return false;
    const char *line_end = text + strcspn(text, "\n");
    const char *mark = strstr(text, "  # ");
    if (!mark || mark > line_end)
        mark = line_end;
    *command_p = (int)(mark - text);
    *remark_p = mark < line_end ? mark + 4 : line_end;
    *remark_length_p = (int)(line_end - *remark_p);
    *text_p = *line_end ? line_end + 1 : line_end;
    return true;
}

static void print_examples(FILE *to, const char *examples)
{
    if (!examples)
        return;
    fprintf(to, "\nexamples:\n");
    const char *at = examples, *line = examples, *remark;
    int command_length, remark_length;
    while (next_example(&at, &command_length, &remark, &remark_length)) {
        fprintf(to, "  # %.*s\n  %.*s\n", remark_length, remark, command_length, line);
        line = at;
    }
}

static void print_command_help(FILE *to, const struct tgi_cli_command *c)
{
    fprintf(to, "tgraph %s: %s\n\nusage: tgraph %s%s%s%s\n", c->name, c->brief, c->name,
            c->options->name ? " [OPTIONS]" : "", c->operands[0] ? " " : "", c->operands);
    if (c->text) {
        fputc('\n', to);
        print_wrapped(to, c->text, 0, 0);
    }
    print_options(to, "options", c->options);
    print_options(to, "options of every command", tgi_cli_globals);
    print_examples(to, c->examples);
}

static void print_commands(FILE *to)
{
    fprintf(to, "\ncommands:\n");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        char left[64];
        if (c->is_hidden)
            continue;
        snprintf(left, sizeof(left), "%s %s", c->name, c->operands);
        print_row(to, left, c->brief, 24);
    }
}

void tgi_cli_print_overview(FILE *to)
{
    fprintf(to,
            "tgraph %s: runs dataflow task graphs on every core and GPU of a machine\n\n"
            "  tgraph init demo                     # a small project to start from\n"
            "  tgraph run graph.json --verify       # run a graph, check its results\n"
            "  tgraph export graph.json -o g.svg    # draw it\n",
            TG_VERSION_STRING);
    print_commands(to);
    fprintf(to, "\nMore: tgraph --help, tgraph COMMAND --help\n");
}

void tgi_cli_print_help(FILE *to, const struct tgi_cli_command *command)
{
    if (command) {
        print_command_help(to, command);
        return;
    }
    fprintf(to, "tgraph %s: runs dataflow task graphs on every core and GPU of a machine\n\n"
            "usage: tgraph [GLOBAL OPTIONS] COMMAND [OPTIONS] [OPERANDS]\n\n", TG_VERSION_STRING);
    print_wrapped(
        to,
        "Results and data go to stdout, messages to stderr.  The file name - stands for standard input or"
        " output.  Sizes may be written as 4GiB or 512MB, times as 30s or 250ms, counts as 64k or 1M.",
        0, 0);
    print_commands(to);
    print_options(to, "options of every command", tgi_cli_globals);
    print_remarks(to, "exit codes", exit_codes);
    print_remarks(to, "environment", environment);
    print_remarks(to, "files", files);
    fprintf(to, "\ntgraph COMMAND --help tells about a command.\n");
}

/* ---- Manual pages -------------------------------------------------------------------------*/

/* Text for troff: hyphens as they are typed, no line that looks like a request. */
static void man_text(FILE *to, const char *text, int length)
{
    bool at_line_start = true;
    for (int i = 0; i < length && text[i]; i++) {
        if (at_line_start && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", to);
        at_line_start = text[i] == '\n';
        if (text[i] == '\\')
            fputs("\\e", to);
        else if (text[i] == '-')
            fputs("\\-", to);
        else if (text[i] == '\n' && text[i + 1] == '\n')
            fputs("\n.PP", to);
        else
            fputc(text[i], to);
    }
}

static void man_string(FILE *to, const char *text)
{
    man_text(to, text, (int)strlen(text));
}

static void man_options(FILE *to, const char *title, const struct tgi_cli_option *options)
{
    if (!options->name)
        return;
    fprintf(to, ".SH \"%s\"\n", title);
    for (const struct tgi_cli_option *o = options; o->name; o++) {
        char brief[512];
        option_brief(o, brief, sizeof(brief));
        fprintf(to, ".TP\n");
        if (o->letter)
            fprintf(to, "\\fB\\-%c\\fR, ", o->letter);
        fprintf(to, "\\fB\\-\\-");
        man_string(to, o->name);
        fprintf(to, "\\fR");
        if (o->value) {
            fprintf(to, " \\fI");
            man_string(to, o->value);
            fprintf(to, "\\fR");
        }
        fputc('\n', to);
        man_string(to, brief);
        fputc('\n', to);
    }
}

static void man_remarks(FILE *to, const char *title, const struct remark *rows)
{
    fprintf(to, ".SH \"%s\"\n", title);
    for (; rows->name; rows++) {
        fprintf(to, ".TP\n\\fB");
        man_string(to, rows->name);
        fprintf(to, "\\fR\n");
        man_string(to, rows->text);
        fputc('\n', to);
    }
}

static void man_title(FILE *to, const char *command)
{
    fprintf(to, ".TH TGRAPH");
    if (command) {
        fprintf(to, "\\-");
        for (const char *p = command; *p; p++)
            fputc(toupper((unsigned char)*p), to);
    }
    fprintf(to, " 1 \"\" \"tgraph %s\" \"User Commands\"\n", TG_VERSION_STRING);
}

static void man_program(FILE *to)
{
    man_title(to, NULL);
    fprintf(to, ".SH NAME\ntgraph \\- runs dataflow task graphs on every core and GPU of a machine\n"
                ".SH SYNOPSIS\n\\fBtgraph\\fR [\\fIGLOBAL OPTIONS\\fR] \\fICOMMAND\\fR [\\fIOPTIONS\\fR] "
                "[\\fIOPERANDS\\fR]\n"
                ".SH DESCRIPTION\n");
    man_string(to, "A graph is a JSON file of buffers and of tasks that read and write them.  tgraph infers "
                   "the edges from"
                   " program order and runs the tasks on every core and GPU.\n\nResults and data go to stdout, "
                   "messages to stderr."
                   "  The file name - stands for standard input or output.  Sizes may be written as 4GiB or "
                   "512MB, times as"
                   " 30s or 250ms, counts as 64k or 1M.\n");
    fprintf(to, ".SH COMMANDS\n");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (c->is_hidden)
            continue;
        fprintf(to, ".TP\n\\fBtgraph\\-%s\\fR(1)\n", c->name);
        man_string(to, c->brief);
        fputc('\n', to);
    }
    man_options(to, "OPTIONS OF EVERY COMMAND", tgi_cli_globals);
    man_remarks(to, "EXIT STATUS", exit_codes);
    man_remarks(to, "ENVIRONMENT", environment);
    man_remarks(to, "FILES", files);
}

void tgi_cli_print_man(FILE *to, const struct tgi_cli_command *c)
{
    if (!c) {
        man_program(to);
        return;
    }
    man_title(to, c->name);
    fprintf(to, ".SH NAME\ntgraph\\-%s \\- ", c->name);
    man_string(to, c->brief);
    fprintf(to, "\n.SH SYNOPSIS\n\\fBtgraph %s\\fR%s", c->name, c->options->name ? " [\\fIOPTIONS\\fR]" : "");
    if (c->operands[0]) {
        fprintf(to, " \\fI");
        man_string(to, c->operands);
        fprintf(to, "\\fR");
    }
    fprintf(to, "\n");
    if (c->text) {
        fprintf(to, ".SH DESCRIPTION\n");
        man_string(to, c->text);
        fputc('\n', to);
    }
    man_options(to, "OPTIONS", c->options);
    man_options(to, "OPTIONS OF EVERY COMMAND", tgi_cli_globals);
    if (c->examples) {
        fprintf(to, ".SH EXAMPLES\n");
        const char *at = c->examples, *line = c->examples, *remark;
        int command_length, remark_length;
        while (next_example(&at, &command_length, &remark, &remark_length)) {
            fprintf(to, ".TP\n");
            man_text(to, remark, remark_length);
            fprintf(to, "\n\\fB");
            man_text(to, line, command_length);
            fprintf(to, "\\fR\n");
            line = at;
        }
    }
    fprintf(to, ".SH \"SEE ALSO\"\n\\fBtgraph\\fR(1)\n");
}

/* ---- The command --------------------------------------------------------------------------*/

/* For the tests, which compare parser, help, manual and completion with it:
 * command, option, letter, type, value, choices. */
static void print_table(FILE *to)
{
    static const char *const types[] = {"switch", "text",   "int",    "float", "bytes",
                                        "time",   "choice", "assign", "file",  "folder"};
    for (const struct tgi_cli_option *o = tgi_cli_globals; o->name; o++)
        fprintf(to, "-\t%s\t%c\t%s\t%s\n", o->name, o->letter ? o->letter : '-', types[o->type],
                o->choices ? o->choices : "-");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        for (const struct tgi_cli_option *o = c->options; o->name; o++)
            fprintf(to, "%s\t%s\t%c\t%s\t%s\n", c->name, o->name, o->letter ? o->letter : '-', types[o->type],
                    o->choices ? o->choices : "-");
    }
}

int tgi_cli_help(struct tgi_cli *cli)
{
    const struct tgi_cli_command *command = NULL;
    if (tgi_cli_has(cli, "table")) {
        print_table(stdout);
        return TGI_EXIT_OK;
    }
    if (cli->n_operands > 0) {
        command = tgi_cli_find(cli->operands[0]);
        if (!command)
            return tgi_cli_unknown_command(cli, cli->operands[0]);
    }
    if (tgi_cli_has(cli, "man"))
        tgi_cli_print_man(stdout, command);
    else if (cli->format == TGI_FORMAT_JSON)
        tgi_cli_print_help_json(command);
    else
        tgi_cli_print_help(stdout, command);
    return TGI_EXIT_OK;
}
