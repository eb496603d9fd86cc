/* Arrays in files: headers, data, contents of buffers. */
#include "io/npy.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/dtype.h"

/* A file of the given version, header text and data, in memory. */
static int make(int version, const char *header, const void *data, size_t bytes)
{
    unsigned char start[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0};
    size_t length = strlen(header), before = version == 1 ? 10 : 12;
    for (size_t i = 8; i < before; i++)
        start[i] = (unsigned char)(length >> 8 * (i - 8));
    int fd = memfd_create("npy", 0);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, start, before), before);
    assert_int_equal(write(fd, header, length), length);
    assert_int_equal(write(fd, data, bytes), bytes);
    return fd;
}

static int read_header(int fd, struct tgi_npy *npy, struct tg_error *err)
{
    int rc = tgi_npy_read_header(fd, "x.npy", 0, npy, err);
    close(fd);
    return rc;
}

static void headers_written_here_are_read_again(void **state)
{
    (void)state;
    static const int64_t shape[16] = {2, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5};
    static const char zeros[30 * 16];
    for (int t = 0; t < TG_N_DTYPES; t++)
        for (uint32_t n = 0; n <= 16; n++) {
            char header[TGI_NPY_MAX_HEADER];
            struct tgi_npy npy;
            struct tg_error err;
            size_t length = tgi_npy_format_header((enum tg_dtype)t, n, shape, header);
            assert_int_equal(length % 64, 0);
            int fd = memfd_create("npy", 0);
            assert_int_equal(write(fd, header, length), length);
            assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
            assert_int_equal(read_header(fd, &npy, &err), 0);
            assert_int_equal(npy.dtype, t == TG_BF16 ? TG_U16 : t);
            assert_int_equal(npy.n_dims, n);
            assert_memory_equal(npy.shape, shape, n * sizeof *shape);
            assert_int_equal(npy.data_offset, length);
        }
}

static void a_header_has_the_bytes_that_numpy_writes(void **state)
{
    (void)state;
    static const char expected[128] =
        "\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }"
        "                                                          ";
    static const int64_t shape[] = {3, 4};
    char header[TGI_NPY_MAX_HEADER];
    assert_int_equal(tgi_npy_format_header(TG_F64, 2, shape, header), 128);
    assert_memory_equal(header, expected, 127);
    assert_int_equal(header[127], '\n');
    static const int64_t one[] = {7};
    tgi_npy_format_header(TG_I8, 1, one, header);
    assert_memory_equal(header + 10, "{'descr': '|i1', 'fortran_order': False, 'shape': (7,), }", 57);
}

static void all_forms_of_headers_are_understood(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *header;
        enum tg_dtype dtype;
        uint32_t n_dims;
        uint64_t n_elems;
    } cases[] = {
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", TG_F32, 2, 6},
        {2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", TG_F32, 2, 6},
        {3, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", TG_F32, 2, 6},
        {1, "{ \"shape\":(6,),\"fortran_order\":False,\"descr\":\"<c8\" }  \n", TG_C64, 1, 6},
        {1, "{'descr': '<i2', 'fortran_order': True, 'shape': (4L,), }", TG_I16, 1, 4},
        {1, "{'descr': '|b1', 'fortran_order': False, 'shape': (), }", TG_U8, 0, 1},
        {1, "{'descr': '=u8', 'fortran_order': False, 'shape': (0, 9), }", TG_U64, 2, 0},
        {1, "{'descr': '|V2', 'fortran_order': False, 'shape': (3,), }", TG_BF16, 1, 3},
        {1, "{'descr': 'f2', 'fortran_order': False, 'shape': (3,), }", TG_F16, 1, 3},
    };
    static const char data[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tgi_npy npy;
        struct tg_error err;
        if (read_header(make(cases[i].version, cases[i].header, data, sizeof data), &npy, &err) != 0)
            fail_msg("%s: %s", cases[i].header, err.text);
        assert_int_equal(npy.dtype, cases[i].dtype);
        assert_int_equal(npy.n_dims, cases[i].n_dims);
        assert_int_equal(npy.n_elems, cases[i].n_elems);
    }
}

static void malformed_headers_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *header, *reason;
    } cases[] = {
        {"", "no dictionary"},
        {"[1]", "no dictionary"},
        {"{", "malformed header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), ", "malformed header"},
        {"{'descr': '<f4', 'fortran_order': False}", "no \"shape\""},
        {"{}", "no \"descr\""},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "second key"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "unknown key \"x\""},
        {"{'descr': '<f3', 'fortran_order': False, 'shape': (2,)}", "no data type matches \"<f3\""},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (2,)}", "no data type"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "no data type"},
        {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", "no data type"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "records"},
        {"{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}", "data type"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}", "fortran_order"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}", "Fortran order"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 2)}", "malformed \"shape\""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "malformed \"shape\""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "malformed \"shape\""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "malformed \"shape\""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,", "malformed \"shape\""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "overflows"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,)}", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': "
         "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
         "1,1,1,1)}",
         "more than 32"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} junk", "text after"},
    };
    static const char data[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tgi_npy npy = {.n_dims = 99};
        struct tg_error err = {0};
        assert_int_equal(read_header(make(1, cases[i].header, data, sizeof data), &npy, &err), TG_E_NPY);
        if (!strstr(err.text, cases[i].reason))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].header, err.text, cases[i].reason);
        assert_int_equal(npy.n_dims, 99);
    }
}

static void truncated_and_foreign_files_are_refused(void **state)
{
    (void)state;
    static const char header[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
    static const char data[24];
    struct tgi_npy npy;
    struct tg_error err;
    for (off_t size = 0; size < (off_t)(10 + sizeof header - 1 + sizeof data); size++) {
        int fd = make(1, header, data, sizeof data);
        assert_int_equal(ftruncate(fd, size), 0);
        int rc = read_header(fd, &npy, &err);
        assert_int_equal(rc, size < (off_t)(10 + sizeof header - 1) ? TG_E_NPY : TG_E_DATA_SIZE);
    }
    int fd = make(9, header, data, sizeof data);
    assert_int_equal(read_header(fd, &npy, &err), TG_E_NPY);
    assert_non_null(strstr(err.text, "version 9.0"));
    fd = make(1, header, data, sizeof data);
    assert_int_equal(pwrite(fd, "X", 1, 0), 1);
    assert_int_equal(read_header(fd, &npy, &err), TG_E_NPY);
    fd = make(2, header, data, sizeof data);
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, 8), 4); /* a header of 4 GiB */
    assert_int_equal(read_header(fd, &npy, &err), TG_E_NPY);
}

static void random_damage_never_crashes_the_reader(void **state)
{
    (void)state;
    const char *text = getenv("TGRAPH_TEST_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 0) : 1;
    print_message("seed %u\n", seed);
    static const char header[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
    static const char data[24];
    for (int round = 0; round < 3000; round++) {
        int fd = make(1 + round % 3, header, data, sizeof data);
        for (int k = 0; k < 1 + round % 4; k++) {
            char byte = (char)rand_r(&seed);
            assert_int_equal(pwrite(fd, &byte, 1, rand_r(&seed) % 70), 1);
        }
        struct tgi_npy npy;
        struct tg_error err = {0};
        int rc = read_header(fd, &npy, &err);
        assert_true(rc == 0 || ((rc == TG_E_NPY || rc == TG_E_DATA_SIZE) && err.text[0]));
        assert_true(rc != 0 || npy.data_bytes <= 24);
    }
}

static void big_endian_data_is_turned_round(void **state)
{
    (void)state;
    static const unsigned char data[16] = {0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0};
    struct tgi_npy npy;
    double real[2];
    float complex_parts[2];
    int fd = make(1, "{'descr': '>f8', 'fortran_order': False, 'shape': (2,), }", data, 16);
    assert_int_equal(tgi_npy_read_header(fd, "x", 0, &npy, NULL), 0);
    assert_int_equal(tgi_npy_read_elems(fd, "x", &npy, 0, 2, real, NULL), 0);
    assert_true(real[0] == 1 && real[1] == -2);
    close(fd);
    static const unsigned char parts[8] = {0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0};
    fd = make(1, "{'descr': '>c8', 'fortran_order': False, 'shape': (1,), }", parts, 8);
    assert_int_equal(tgi_npy_read_header(fd, "x", 0, &npy, NULL), 0);
    assert_int_equal(tgi_npy_read_elems(fd, "x", &npy, 0, 1, complex_parts, NULL), 0);
    assert_true(complex_parts[0] == 1 && complex_parts[1] == -2);
    close(fd);
}

/* ---- Contents of buffers ------------------------------------------------------------------*/

static char folder[64];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test-npy-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* before: bytes in front of everything. */
static void write_floats(const char *name, bool is_npy, uint32_t n_dims, const int64_t *shape, size_t before,
                         size_t n)
{
    char path[PATH_MAX], header[TGI_NPY_MAX_HEADER];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < before; i++)
        fputc('#', f);
    if (is_npy) {
        size_t length = tgi_npy_format_header(TG_F32, n_dims, shape, header);
        assert_int_equal(fwrite(header, 1, length, f), length);
    }
    for (size_t i = 0; i < n; i++) {
        float v = (float)i;
        assert_int_equal(fwrite(&v, sizeof v, 1, f), 1);
    }
    assert_int_equal(fclose(f), 0);
}

static struct tg_buffer_spec spec_of(void)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    spec.name = "A";
    spec.n_dims = 1;
    spec.shape[0] = 4;
    spec.n_tile_dims = 2;
    spec.tiles[0] = 2;
    spec.tiles[1] = 3;
    return spec;
}

/* What tile 5 begins with, or the status. */
static float first_of_tile_5(const char *name, uint64_t offset)
{
    struct tg_buffer_spec spec = spec_of();
    struct tgi_file_init *init;
    struct tg_error err;
    float tile[4] = {-1, -1, -1, -1};
    int rc = tgi_file_init_create(folder, name, offset, &spec, &init, &err);
    if (rc)
        return (float)rc;
    assert_int_equal(tgi_file_init_tile(init, 5, tile, sizeof tile, &err), 0);
    assert_true(tile[3] == tile[0] + 3);
    assert_int_equal(tgi_file_init_tile(init, 6, tile, sizeof tile, &err), TG_E_INVALID);
    assert_int_equal(tgi_file_init_tile(init, 0, tile, 8, &err), TG_E_INVALID);
    tgi_file_init_destroy(init);
    return tile[0];
}

static void files_hold_the_whole_buffer_or_one_tile(void **state)
{
    (void)state;
    static const int64_t whole[] = {2, 3, 4}, wrong[] = {3, 2, 4};
    write_floats("whole.npy", true, 3, whole, 0, 24);
    write_floats("tile.npy", true, 1, whole + 2, 0, 4);
    write_floats("wrong.npy", true, 3, wrong, 0, 24);
    write_floats("late.npy", true, 3, whole, 100, 24);
    write_floats("whole.bin", false, 0, NULL, 0, 24);
    write_floats("tile.bin", false, 0, NULL, 0, 4);
    write_floats("late.bin", false, 0, NULL, 100, 24);
    write_floats("odd.bin", false, 0, NULL, 1, 24);
    assert_true(first_of_tile_5("whole.npy", 0) == 20);
    assert_true(first_of_tile_5("tile.npy", 0) == 0);
    assert_true(first_of_tile_5("late.npy", 100) == 20);
    assert_true(first_of_tile_5("whole.bin", 0) == 20);
    assert_true(first_of_tile_5("tile.bin", 0) == 0);
    assert_true(first_of_tile_5("late.bin", 100) == 20);
    assert_true(first_of_tile_5("whole.bin", 80) == 20); /* what is left is one tile */
    assert_true(first_of_tile_5("wrong.npy", 0) == TG_E_SHAPE_MISMATCH);
    assert_true(first_of_tile_5("late.npy", 0) == TG_E_NPY);
    assert_true(first_of_tile_5("odd.bin", 0) == TG_E_DATA_SIZE);
    assert_true(first_of_tile_5("late.bin", 96) == TG_E_DATA_SIZE);
    assert_true(first_of_tile_5("late.bin", 1000) == TG_E_DATA_SIZE);
    assert_true(first_of_tile_5("missing.npy", 0) == TG_E_OPEN);
    assert_true(first_of_tile_5("../x.npy", 0) == TG_E_PATH_ESCAPE);
    assert_true(first_of_tile_5("/etc/passwd", 0) == TG_E_PATH_ESCAPE);
}

static void types_must_be_equal(void **state)
{
    (void)state;
    static const int64_t shape[] = {4};
    struct tg_buffer_spec spec = spec_of();
    struct tgi_file_init *init = NULL;
    struct tg_error err;
    write_floats("tile.npy", true, 1, shape, 0, 4);
    spec.dtype = TG_I32;
    assert_int_equal(tgi_file_init_create(folder, "tile.npy", 0, &spec, &init, &err), TG_E_TYPE_MISMATCH);
    assert_non_null(strstr(err.text, "holds f32, the buffer i32"));
    assert_null(init);
}

static void a_file_that_changes_after_the_check_is_noticed(void **state)
{
    (void)state;
    static const int64_t shape[] = {4};
    struct tg_buffer_spec spec = spec_of();
    struct tgi_file_init *init;
    struct tg_error err;
    float tile[4];
    char path[PATH_MAX];
    write_floats("tile.npy", true, 1, shape, 0, 4);
    assert_int_equal(tgi_file_init_create(folder, "tile.npy", 0, &spec, &init, &err), 0);
    snprintf(path, sizeof path, "%s/tile.npy", folder);
    assert_int_equal(truncate(path, 130), 0);
    assert_int_equal(tgi_file_init_tile(init, 0, tile, sizeof tile, &err), TG_E_DATA_SIZE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(tgi_file_init_tile(init, 0, tile, sizeof tile, &err), TG_E_OPEN);
    tgi_file_init_destroy(init);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_written_here_are_read_again),
        cmocka_unit_test(a_header_has_the_bytes_that_numpy_writes),
        cmocka_unit_test(all_forms_of_headers_are_understood),
        cmocka_unit_test(malformed_headers_are_refused_with_a_reason),
        cmocka_unit_test(truncated_and_foreign_files_are_refused),
        cmocka_unit_test(random_damage_never_crashes_the_reader),
        cmocka_unit_test(big_endian_data_is_turned_round),
        TEST(files_hold_the_whole_buffer_or_one_tile),
        TEST(types_must_be_equal),
        TEST(a_file_that_changes_after_the_check_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
