#include "io/cli/devices.h"

#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"
#include "io/cli/machine_choice.h"
#include "io/machine_json.h"
#include "io/output.h"
#include "io/units.h"
#include "io/utf8.h"
#include "sched/calibrate.h"

enum { MOST_COLUMNS = 16 }; /* of text; JSON has all */

/* ---- The machine --------------------------------------------------------------------------*/

static int find_machine(const struct tgi_cli *cli, struct tgi_machine *m, struct tg_error *err)
{
    struct tgi_device_choice all = {.is_given = false};
    struct tgi_calibration how;
    char text[TGI_CALIBRATION_TEXT];
    if (tgi_cli_has(cli, "machine") || !tgi_cli_has(cli, "matrix"))
        return tgi_cli_machine(cli, m, err);
    tgi_cli_calibration(cli, &all, &how, text);
    how.is_quick = true;
    return tgi_calibrate_machine(&how, m, err);
}

/* What a copy gets between two memories, through the host where there is no link; within one, what its devices get.  0: no limit. */
static double bytes_per_ns(const struct tgi_machine *m, uint32_t from, uint32_t to)
{
    double bytes = 1e9, latency = tgi_machine_copy_ns(m, from, to, 0), ns = tgi_machine_copy_ns(m, from, to, bytes) - latency;
    return from == to ? m->memories[from].bytes_per_ns : ns > 0 ? bytes / ns : 0;
}

/* ---- Text ---------------------------------------------------------------------------------*/

static void print_heads(const struct tgi_machine *m, const char *title, uint32_t n)
{
    printf("\n  ");
    tgi_utf8_print_column(stdout, title, 18, 18);
    for (uint32_t to = 0; to < n; to++) {
        putchar(' ');
        tgi_utf8_print_column(stdout, m->memories[to].name, 9, 9);
    }
    putchar('\n');
}

static void print_matrix(const struct tgi_machine *m)
{
    uint32_t n = m->n_memories < MOST_COLUMNS ? m->n_memories : MOST_COLUMNS;
    bool has_indirect = false;
    print_heads(m, "GB/s from \\ to", n);
    for (uint32_t from = 0; from < n; from++) {
        printf("  ");
        tgi_utf8_print_column(stdout, m->memories[from].name, 18, 18);
        for (uint32_t to = 0; to < n; to++) {
            double rate = bytes_per_ns(m, from, to);
            bool is_direct = from == to || tgi_machine_route(m, from, to);
            has_indirect |= !is_direct;
            if (rate > 0)
                printf(" %8.1f%s", rate, is_direct ? " " : "*");
            else
                printf(" %9s", from == to ? "no limit" : "-");
        }
        putchar('\n');
    }
    print_heads(m, "us from \\ to", n);
    for (uint32_t from = 0; from < n; from++) {
        printf("  ");
        tgi_utf8_print_column(stdout, m->memories[from].name, 18, 18);
        for (uint32_t to = 0; to < n; to++)
            if (from == to)
                printf(" %9s", "-");
            else
                printf(" %8.2f%s", tgi_machine_copy_ns(m, from, to, 0) / 1e3, tgi_machine_route(m, from, to) ? " " : "*");
        putchar('\n');
    }
    if (has_indirect)
        printf("\n  * not joined: through %s\n", m->memories[0].name);
    if (n < m->n_memories)
        printf("  and %u more memories; --format json has them all\n", m->n_memories - n);
    if (m->is_rough)
        printf("  rough figures, not measured\n");
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void print_json(const struct tgi_machine *m)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "devices");
    tgi_json_string(&json, "machine", m->name);
    tgi_json_bool(&json, "is_rough", m->is_rough);
    tgi_json_array(&json, "matrix");
    for (uint32_t from = 0; from < m->n_memories; from++)
        for (uint32_t to = 0; to < m->n_memories; to++) {
            double rate = bytes_per_ns(m, from, to);
            tgi_json_flat_object(&json, NULL);
            tgi_json_string(&json, "from", m->memories[from].name);
            tgi_json_string(&json, "to", m->memories[to].name);
            if (rate > 0)
                tgi_json_double(&json, "bytes_per_s", rate * 1e9);
            else
                tgi_json_null(&json, "bytes_per_s");
            tgi_json_double(&json, "latency_ns", tgi_machine_copy_ns(m, from, to, 0));
            tgi_json_bool(&json, "is_direct", from == to || tgi_machine_route(m, from, to));
            tgi_json_end(&json);
        }
    tgi_json_end(&json);
    tgi_json_end(&json);
}

/* ---- The whole ----------------------------------------------------------------------------*/

static int save(const struct tgi_cli *cli, const struct tgi_machine *m, struct tgi_output *out, struct tg_error *err)
{
    if (!tgi_cli_has(cli, "output"))
        return 0;
    tgi_machine_write(m, out->file);
    return tgi_output_finish(out, err);
}

int tgi_cli_devices_machine(const struct tgi_cli *cli)
{
    const char *path = tgi_cli_text(cli, "output", NULL);
    bool is_stdout = path && strcmp(path, "-") == 0, prints = tgi_cli_has(cli, "matrix");
    struct tgi_output out = {.slot = -1};
    struct tgi_machine m;
    struct tg_error err;
    if (is_stdout && prints)
        return tgi_cli_usage(cli, "-o - and --matrix both write to stdout");
    int rc = path ? tgi_output_open(&out, path, &err) : 0;
    if (rc == 0)
        rc = find_machine(cli, &m, &err);
    if (rc == 0) {
        rc = save(cli, &m, &out, &err);
        if (rc == 0 && prints && cli->format == TGI_FORMAT_JSON)
            print_json(&m);
        else if (rc == 0 && prints)
            print_matrix(&m);
        tgi_machine_fini(&m);
    }
    tgi_output_abandon(&out);
    return rc ? tgi_cli_error(cli, &err) : 0;
}
