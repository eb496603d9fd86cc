/* libFuzzer target: everything that is read from files but graphs (fuzz_load.c): workflows of other tools, matrices, machine
 * files, records.  The first byte of the input chooses which.  Whatever the bytes are, the answer is a value that can be
 * used or an error; what was read of a record goes through all that is made from one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/gantt.h"
#include "io/import.h"
#include "io/machine_json.h"
#include "io/recording_export.h"
#include "io/recording_table.h"
#include "io/sparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *nowhere;

static void expect_error(const struct tg_error *err)
{
    if (err->status >= 0 || err->text[0] == '\0')
        abort();
}

/* ---- Workflows ----------------------------------------------------------------------------*/

typedef int (*importer)(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err);

static void import(importer fn, const uint8_t *data, size_t size)
{
    struct tgi_workflow w;
    struct tg_error err;
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    tgi_workflow_init(&w, "input");
    int rc = fn(&w, text, size, &err);
    for (int i = 0; rc == 0 && i < 4; i++) {
        struct tgi_workflow_options options = {.is_spin = i & 1, .scale = 0.5, .is_lines = i & 2};
        rc = tgi_workflow_write(&w, &options, nowhere, &err);
    }
    if (rc)
        expect_error(&err);
    tgi_workflow_fini(&w);
    free(text);
}

/* ---- Matrices -----------------------------------------------------------------------------*/

static void read_matrix(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    for (int is_part = 0; is_part < 2; is_part++) {
        struct tgi_sparse l;
        struct tg_error err;
        if (tgi_mtx_read("input", text, size, is_part, &l, &err)) {
            expect_error(&err);
            continue;
        }
        double *x = calloc(2 * (size_t)l.n, sizeof *x);
        if (!x)
            abort();
        tgi_sparse_solve(&l, x, x + l.n);
        tgi_sparse_multiply(&l, x + l.n, x);
        free(x);
        tgi_sparse_fini(&l);
    }
    free(text);
}

/* ---- Files --------------------------------------------------------------------------------*/

static const char *write_input(const uint8_t *data, size_t size)
{
    static char path[64];
    if (path[0] == '\0') {
        snprintf(path, sizeof path, "/tmp/tgraph-fuzz-XXXXXX");
        int fd = mkstemp(path);
        if (fd < 0 || close(fd) != 0)
            abort();
    }
    FILE *f = fopen(path, "w");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
    return path;
}

static void read_machine(const uint8_t *data, size_t size)
{
    static struct tgi_machine m;
    struct tg_error err;
    if (tgi_machine_read(&m, write_input(data, size), &err)) {
        expect_error(&err);
        return;
    }
    tgi_machine_write(&m, nowhere);
    tgi_machine_fini(&m);
}

/* ---- Records ------------------------------------------------------------------------------*/

enum { PREAMBLE = 32, SECTION = 32, FIELD = 24 };

/* As docs/RECORD.md says. */
static uint64_t checksum(uint64_t sum, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, data + i, bytes - i < 8 ? bytes - i : 8);
        sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 32;
    }
    return sum ^ bytes % 8;
}

/* Makes all checksums right, so that what lies behind them is reached. */
static void mend(uint8_t *data, size_t size)
{
    uint32_t n_sections, n_fields, record_bytes;
    uint64_t directory_bytes, n_records;
    if (size < PREAMBLE)
        return;
    memcpy(&n_sections, data + 12, 4);
    memcpy(&directory_bytes, data + 16, 8);
    if (directory_bytes > size - PREAMBLE)
        return;
    uint64_t sum = checksum(checksum(0, data, 24), data + PREAMBLE, directory_bytes);
    memcpy(data + 24, &sum, 8);
    size_t at = PREAMBLE, records = PREAMBLE + directory_bytes;
    for (uint32_t i = 0; i < n_sections && at + SECTION <= PREAMBLE + directory_bytes; i++) {
        memcpy(&record_bytes, data + at + 16, 4);
        memcpy(&n_fields, data + at + 20, 4);
        memcpy(&n_records, data + at + 24, 8);
        at += SECTION + (size_t)n_fields * FIELD;
        uint64_t bytes;
        if (__builtin_mul_overflow(n_records, record_bytes, &bytes) || bytes > size || records + (bytes + 7) / 8 * 8 + 8 > size)
            return;
        sum = checksum(0, data + records, bytes);
        records += (bytes + 7) / 8 * 8;
        memcpy(data + records, &sum, 8);
        records += 8;
    }
}

static void use(const struct tgi_recording *r)
{
    struct tgi_recording_paths paths;
    struct tgi_recording_table table;
    struct tg_error err;
    char name[TGI_RECORDING_NAME_SIZE];
    if (tgi_recording_paths_create(r, &paths, &err)) {
        expect_error(&err);
        return;
    }
    if (tgi_recording_table_create(r, &paths, &table, &err) == 0)
        tgi_recording_table_fini(&table);
    else
        expect_error(&err);
    for (uint64_t i = 0; i < r->n_tasks; i++)
        tgi_recording_task_name(r, (uint32_t)i, name, sizeof name);
    if (tgi_gantt_write(r, nowhere, &err) || tgi_recording_write_chrome(r, &paths, nowhere, &err) ||
        tgi_recording_write_perfetto(r, &paths, nowhere, &err) || tgi_recording_write_dot(r, &paths, 50, nowhere, NULL, &err) ||
        tgi_recording_write_csv(r, &paths, nowhere, &err) || tgi_recording_write_json(r, &paths, nowhere, &err) ||
        tgi_recording_write(r, nowhere, &err))
        expect_error(&err);
    tgi_recording_paths_fini(&paths);
}

static void read_record(const uint8_t *data, size_t size)
{
    struct tgi_recording r;
    struct tg_error err;
    uint8_t *mended = malloc(size + 1);
    if (!mended)
        abort();
    memcpy(mended, data, size);
    mend(mended, size);
    if (tgi_recording_read(write_input(mended, size), &r, &err) == 0) {
        use(&r);
        tgi_recording_fini(&r);
    } else {
        expect_error(&err);
    }
    free(mended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (nowhere == NULL && (nowhere = fopen("/dev/null", "w")) == NULL)
        abort();
    switch (data[0]) {
    case 'w':
        import(tgi_import_wfformat, data + 1, size - 1);
        break;
    case 'd':
        import(tgi_import_dot, data + 1, size - 1);
        break;
    case 's':
        import(tgi_import_stg, data + 1, size - 1);
        break;
    case 'x':
        import(tgi_import_dax, data + 1, size - 1);
        break;
    case 'l':
        read_matrix(data + 1, size - 1);
        break;
    case 'm':
        read_machine(data + 1, size - 1);
        break;
    case 'r':
        read_record(data + 1, size - 1);
        break;
    }
    return 0;
}
