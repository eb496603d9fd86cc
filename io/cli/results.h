/* What `tgraph run` does with results: checks, comparison with a sequential run, files. */
#ifndef TGI_IO_CLI_RESULTS_H
#define TGI_IO_CLI_RESULTS_H

#include "graph/model.h"
#include "io/cli/cli.h"
#include "io/json_out.h"

struct tgi_cli_check {
    char *text; /* "A: residual 3.1e-16, at most 1e-12" */
    bool holds;
};

/* Zero-initialised: nothing was asked for. */
struct tgi_cli_results {
    bool is_verified, is_compared;
    struct tgi_cli_check *checks;
    uint32_t n_checks, n_failed;
    bool is_same;
    bool is_exact;    /* compared bit for bit, not up to rounding */
    uint32_t n_saved; /* files */
};
void tgi_cli_results_fini(struct tgi_cli_results *results);

/* Each prints errors and returns an exit code. */
int tgi_cli_results_verify(const struct tgi_cli *cli, const struct tg_graph *g, struct tg_run *run,
                           struct tgi_cli_results *results);
int tgi_cli_results_compare(const struct tgi_cli *cli, const struct tg_graph *g, struct tg_runtime *runtime,
                            struct tg_run *run, struct tgi_cli_results *results);
/* Whether that can begin, before the run. */
int tgi_cli_results_check(const struct tgi_cli *cli, const struct tg_graph *g, const char *folder);
int tgi_cli_results_save(const struct tgi_cli *cli, const struct tg_graph *g, struct tg_run *run,
                         const char *folder, struct tgi_cli_results *results);

void tgi_cli_results_print(const struct tgi_cli_results *results, FILE *to);
void tgi_cli_results_json(const struct tgi_cli_results *results, struct tgi_json *json);

#endif
