/* run --checkpoint and --resume: a thread that acknowledges what is done every so often. */
#ifndef TGI_IO_CLI_CHECKPOINT_H
#define TGI_IO_CLI_CHECKPOINT_H

#include "io/checkpoint.h"
#include "io/cli/cli.h"
#include "io/json_out.h"

struct tgi_cli_checkpoint;

/* Options that do not go with it.  An exit code. */
int tgi_cli_checkpoint_check(const struct tgi_cli *cli);
/* Opens what the options name, and says where a run goes on; *cp_p is NULL if they name nothing.  An exit code. */
int tgi_cli_checkpoint_open(const struct tgi_cli *cli, const struct tg_graph *g, struct tgi_cli_checkpoint **cp_p);
/* For the guide of a run, which is destroyed first and is the last that was asked for; NULL if cp is. */
int tgi_cli_checkpoint_cut(struct tgi_cli_checkpoint *cp, uint32_t n_workers, struct tgi_cut **cut_p, struct tg_error *err);
void tgi_cli_checkpoint_destroy(struct tgi_cli_checkpoint *cp);

/* Around a run; all take NULL.  end acknowledges the rest, unless something is still at work (is_settled false).  An exit code:
 * whatever could not be written was told when it happened. */
void tgi_cli_checkpoint_begin(struct tgi_cli_checkpoint *cp);
int tgi_cli_checkpoint_end(struct tgi_cli_checkpoint *cp, bool is_settled);

void tgi_cli_checkpoint_print(const struct tgi_cli_checkpoint *cp, FILE *to);
void tgi_cli_checkpoint_json(const struct tgi_cli_checkpoint *cp, struct tgi_json *json);

#endif
