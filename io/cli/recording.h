/* Records of runs, as commands take them. */
#ifndef TGI_IO_CLI_RECORDING_H
#define TGI_IO_CLI_RECORDING_H

#include "io/cli/cli.h"
#include "io/recording.h"

/* Whether the file is a record, or a saved plan, which reads like one. */
bool tgi_cli_is_recording(const char *path);
/* Reads either and says in a line if a record was cut off.  An exit code; both are written on 0 only. */
int tgi_cli_read_recording(const struct tgi_cli *cli, const char *path, struct tgi_recording *r_p,
                           struct tgi_recording_paths *paths_p);
/* "wavefront: ok, 1,023 tasks on 2 workers, policy steal, 2026-11-26 20:53:01 UTC on host" */
void tgi_cli_print_recording(const struct tgi_recording *r);
struct tgi_json;
/* Its makespan, bounds, and tables by lane and kernel, as `report` has them; json (an open array; NULL: text).  An exit code. */
int tgi_cli_summarise_recording(const struct tgi_cli *cli, const char *path, const struct tgi_recording *r, struct tgi_json *json);
/* `export` of a record: `type` is one of those that it offers, path NULL: stdout. */
int tgi_cli_export_recording(const struct tgi_cli *cli, const char *type, const char *path);
/* `run --trace`: whether the option's value can be written; its contents.  The former returns an exit code. */
int tgi_cli_trace_check(const struct tgi_cli *cli);
int tgi_cli_trace_write(const struct tgi_cli *cli, const struct tgi_recording *r, FILE *to, struct tg_error *err);
/* The form that a file's name ends in, as `export` calls it; NULL: none that is known. */
const char *tgi_cli_picture_type(const char *path);
/* `export --view cuda-graph` of a frozen graph, which executes nothing of it; as above. */
int tgi_cli_export_program(const struct tgi_cli *cli, const struct tg_graph *graph, const char *type, const char *path);

#endif
