/* The `tgraph` program.  One table (table.c) says which commands and options exist; parsing, help,
 * the man pages and shell completion are all made from it, so they cannot disagree.
 *
 * A command is a function `int tgi_cli_NAME(struct tgi_cli *cli)` in the file of its name.  It asks
 * for its options by their long name, writes data to stdout (or through io/output.h), messages to
 * stderr through the functions below, and returns the exit code of the program. */
#ifndef TGI_IO_CLI_H
#define TGI_IO_CLI_H

#include <stdio.h>

#include "graph/arena.h"
#include "graph/tgraph.h"
#include "io/diagnostic.h"

/* ---- Exit codes ---------------------------------------------------------------------------*/

enum tgi_cli_exit {
    TGI_EXIT_OK = 0,
    TGI_EXIT_NO = 1,          /* the command's own no: invalid graph, failed task */
    TGI_EXIT_USAGE = 2,
    TGI_EXIT_UNREADABLE = 3,
    TGI_EXIT_ENVIRONMENT = 4,
    TGI_EXIT_VERIFY = 5,
    TGI_EXIT_TIME = 124,
    TGI_EXIT_INTERRUPT = 130
};

/* ---- The table ----------------------------------------------------------------------------*/

enum tgi_cli_type {
    TGI_CLI_SWITCH, /* takes no value */
    TGI_CLI_TEXT,
    TGI_CLI_INT,    /* 12, 1_000_000, 64k, 1M, 1e6; within [min, max] */
    TGI_CLI_FLOAT,
    TGI_CLI_BYTES,  /* 4GiB, 512MB, 4096; K, M, G alone mean KiB, MiB, GiB */
    TGI_CLI_TIME,   /* 30s, 250ms, 2min; a bare number is seconds */
    TGI_CLI_CHOICE, /* one of `choices` */
    TGI_CLI_ASSIGN, /* NAME=EXPR; a number may have a suffix, as for INT */
    TGI_CLI_FILE,
    TGI_CLI_FOLDER
};

struct tgi_cli_option {
    const char *name;    /* long name, without dashes */
    char letter;         /* short form; 0: none */
    enum tgi_cli_type type;
    const char *value;   /* what help calls the value; NULL: a switch */
    const char *brief;   /* one line */
    const char *choices; /* "text|json"; for TEXT only offered by completion */
    int64_t min, max;    /* of INT; max 0: none */
    bool is_list;        /* may be given several times; all values count */
};

struct tgi_cli;
struct tgi_cli_command {
    const char *name;
    int (*run)(struct tgi_cli *cli);
    const char *operands; /* "FILE", "PATTERN", "FILE.."; "" : none */
    const char *choices;  /* what completion offers for an operand; NULL: files */
    uint32_t min_operands, max_operands;
    const char *brief;    /* one line */
    const char *text; /* paragraphs for --help and the man page, separated by an empty line; may be NULL */
    const char *examples; /* a command line each, followed by "  # what it does"; may be NULL */
    const struct tgi_cli_option *options; /* ends with an entry without name */
    bool is_hidden;       /* works, but is not listed */
};

/* Both end with an entry without name. */
extern const struct tgi_cli_option tgi_cli_globals[];
extern const struct tgi_cli_command tgi_cli_commands[];
/* NULL: none. */
const struct tgi_cli_command *tgi_cli_find(const char *name);

/* ---- What a command gets ------------------------------------------------------------------*/

enum tgi_cli_format { TGI_FORMAT_TEXT, TGI_FORMAT_JSON };

struct tgi_cli_value {
    const struct tgi_cli_option *option;
    const char *text;
    const char *source; /* where it was given, unless on the command line: "TGRAPH_MEM"; else NULL */
    union {
        int64_t i;
        uint64_t u;
        double f;
    } number; /* by option->type */
};

struct tgi_cli {
    const struct tgi_cli_command *command;
    const char *const *operands;
    uint32_t n_operands;
    enum tgi_cli_format format;
    enum tgi_diagnostic_format error_format;
    bool is_quiet, is_verbose;
    bool color_out, color_err; /* whether stdout, stderr may be coloured */
    /* parsing */
    struct tgi_cli_value *values;
    uint32_t n_values;
    const char **operand_space;
    struct tgi_arena texts; /* of values from elsewhere */
};

/* All take the long name; naming an option that the command's table entry lacks aborts in debug
 * builds.  Where an option that is no list was given several times, the last one counts. */
bool tgi_cli_has(const struct tgi_cli *cli, const char *name);
const char *tgi_cli_text(const struct tgi_cli *cli, const char *name, const char *fallback);
/* How messages call it: "--mem", "TGRAPH_MEM". */
const char *tgi_cli_source(const struct tgi_cli *cli, const char *name, const char *on_command_line);
int64_t tgi_cli_int(const struct tgi_cli *cli, const char *name, int64_t fallback);
double tgi_cli_float(const struct tgi_cli *cli, const char *name, double fallback);
uint64_t tgi_cli_bytes(const struct tgi_cli *cli, const char *name, uint64_t fallback);
uint64_t tgi_cli_time_ns(const struct tgi_cli *cli, const char *name, uint64_t fallback);
/* "3%", "0.5 %", "3": a fraction, 0.03 for the first.  Prints what is wrong and returns an exit code. */
int tgi_cli_percent(const struct tgi_cli *cli, const char *name, double fallback_percent, double *fraction_p);
/* Of two options of these that name the same file, of which the later would take the other's place: usage.  At most 8. */
int tgi_cli_check_outputs(const struct tgi_cli *cli, const char *const *options, uint32_t n);
/* Value number `index` of a list, in the order given; NULL after the last. */
const char *tgi_cli_list(const struct tgi_cli *cli, const char *name, uint32_t index);

/* ---- Suffixes -----------------------------------------------------------------------------*/

/* false: not a number of that kind, negative or out of range. */
bool tgi_cli_parse_int(const char *text, int64_t *value_p);
bool tgi_cli_parse_float(const char *text, double *value_p);
bool tgi_cli_parse_bytes(const char *text, uint64_t *bytes_p);
bool tgi_cli_parse_time(const char *text, uint64_t *ns_p);

/* ---- Messages (stderr) --------------------------------------------------------------------*/

/* Whether stdout is a pipe whose reader has gone away, so that writing to it failed. */
bool tgi_cli_reader_left(void);
/* Prints the error in the chosen form and returns its exit code, for `return tgi_cli_error(..)`. */
int tgi_cli_error(const struct tgi_cli *cli, const struct tg_error *err);
/* The same for an error of the command's own. */
int tgi_cli_fail(const struct tgi_cli *cli, int status, const char *format, ...) TG_PRINTF(3, 4);
/* A usage error: prints the message and where to find help; returns 2. */
int tgi_cli_usage(const struct tgi_cli *cli, const char *format, ...) TG_PRINTF(2, 3);
/* The same for a name that is no command, with the closest one that is. */
int tgi_cli_unknown_command(const struct tgi_cli *cli, const char *name);
/* Remarks.  note is silent under -q; detail speaks only under -v. */
void tgi_cli_warn(const struct tgi_cli *cli, const char *format, ...) TG_PRINTF(2, 3);
void tgi_cli_note(const struct tgi_cli *cli, const char *format, ...) TG_PRINTF(2, 3);
void tgi_cli_detail(const struct tgi_cli *cli, const char *format, ...) TG_PRINTF(2, 3);
/* A tg_diagnostic_fn whose user is the cli; prints in the chosen form. */
void tgi_cli_on_diagnostic(void *user, const struct tg_diagnostic *diagnostic);

/* ---- Graph files --------------------------------------------------------------------------*/

enum tgi_cli_load { TGI_LOAD_ONLY, TGI_LOAD_AND_FREEZE };
/* Reads a graph with the command's --param values (and --allow-plugins, where the command has
 * it), prints every diagnostic, and freezes it if asked.  Returns an exit code; *graph_p is
 * written on 0 only. */
int tgi_cli_load(const struct tgi_cli *cli, const char *path, enum tgi_cli_load what,
                 struct tg_graph **graph_p);

/* ---- Interruption -------------------------------------------------------------------------*/

/* While a run is watched, the first SIGINT or SIGTERM cancels it and the second ends the program
 * at once.  NULL ends watching. */
void tgi_cli_watch(struct tg_run *run);
/* The signal that came while watching; 0: none. */
int tgi_cli_signal(void);
/* A runtime whose threads leave signals to this one, so that they interrupt no kernel. */
int tgi_cli_runtime_create(const struct tg_runtime_options *options, struct tg_runtime **runtime_p, struct tg_error *err);

/* ---- Generated texts ----------------------------------------------------------------------*/

void tgi_cli_print_overview(FILE *to);                  /* `tgraph` alone */
void tgi_cli_print_help(FILE *to, const struct tgi_cli_command *command); /* NULL: all commands */
void tgi_cli_print_help_json(const struct tgi_cli_command *command);      /* the same as a document, on stdout */
void tgi_cli_print_man(FILE *to, const struct tgi_cli_command *command);  /* NULL: tgraph(1) */
int tgi_cli_print_completion(FILE *to, const char *shell); /* TG_E_BAD_VALUE for an unknown shell */

/* ---- The commands -------------------------------------------------------------------------*/

int tgi_cli_run(struct tgi_cli *cli);
int tgi_cli_plan(struct tgi_cli *cli);
int tgi_cli_bench(struct tgi_cli *cli);
int tgi_cli_serve(struct tgi_cli *cli);
int tgi_cli_top(struct tgi_cli *cli);
int tgi_cli_calibrate(struct tgi_cli *cli);
int tgi_cli_check(struct tgi_cli *cli);
int tgi_cli_expand(struct tgi_cli *cli);
int tgi_cli_export(struct tgi_cli *cli);
int tgi_cli_gen(struct tgi_cli *cli);
int tgi_cli_import(struct tgi_cli *cli);
int tgi_cli_fmt(struct tgi_cli *cli);
int tgi_cli_init(struct tgi_cli *cli);
int tgi_cli_devices(struct tgi_cli *cli);
int tgi_cli_doctor(struct tgi_cli *cli);
int tgi_cli_explain(struct tgi_cli *cli);
int tgi_cli_report(struct tgi_cli *cli);
int tgi_cli_why(struct tgi_cli *cli);
int tgi_cli_diff(struct tgi_cli *cli);
int tgi_cli_schema(struct tgi_cli *cli);
int tgi_cli_cache(struct tgi_cli *cli);
int tgi_cli_completion(struct tgi_cli *cli);
int tgi_cli_help(struct tgi_cli *cli);

#endif
