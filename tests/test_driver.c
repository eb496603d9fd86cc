/* gpu/driver.c against the stand-in: what is loaded, what is refused and how, what devices are told. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/driver.h"
#include "tests/standin/standin.h"

static struct standin standin;
static char path[4200];

static void devices(int n, bool has_peers)
{
    struct standin_options o = {n, 8u << 20, 1, has_peers};
    standin.standin_reset(&o);
    setenv("TGRAPH_CUDA_DRIVER", path, 1);
}

static void every_entry_point_is_loaded(void **state)
{
    (void)state;
    const struct tgi_cuda_api *api = NULL;
    struct tg_error err;
    devices(1, true);
    assert_int_equal(tgi_cuda_retain(&api, &err), 0);
#define LOADED(name, symbol, since, params) assert_true(api->name != NULL);
    TGI_CUDA_CALLS(LOADED)
#undef LOADED
    assert_int_equal(api->version, 13000);
    assert_string_equal(api->path, path);
    tgi_cuda_release();
}

static void a_missing_library_is_named(void **state)
{
    (void)state;
    const struct tgi_cuda_api *api = NULL;
    struct tg_error err;
    setenv("TGRAPH_CUDA_DRIVER", "/nonexistent/libcuda.so.1", 1);
    assert_int_equal(tgi_cuda_retain(&api, &err), TG_E_NO_LIBRARY);
    assert_int_equal(err.status, TG_E_NO_LIBRARY);
    assert_non_null(strstr(err.text, "/nonexistent/libcuda.so.1"));
    assert_null(api);
}

static void a_library_without_the_driver_api_is_told_by_its_first_gap(void **state)
{
    (void)state;
    const struct tgi_cuda_api *api = NULL;
    struct tg_error err;
    setenv("TGRAPH_CUDA_DRIVER", "libm.so.6", 1);
    assert_int_equal(tgi_cuda_retain(&api, &err), TG_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "libm.so.6 has no cuGetErrorName"));
    assert_null(api);
}

static void a_driver_without_devices_is_told_apart(void **state)
{
    (void)state;
    const struct tgi_cuda_api *api = NULL;
    struct tg_error err;
    devices(0, true);
    assert_int_equal(tgi_cuda_retain(&api, &err), TG_E_NO_DEVICE);
    assert_non_null(strstr(err.text, "cuInit"));
    assert_non_null(strstr(err.text, "CUDA_ERROR_NO_DEVICE"));
    assert_false(tgi_cuda_has_refused());
    /* The next attempt is a new one. */
    devices(1, true);
    assert_int_equal(tgi_cuda_retain(&api, &err), 0);
    tgi_cuda_release();
}

static void each_call_that_fails_while_starting_is_named(void **state)
{
    (void)state;
    static const char *const calls[] = {"cuInit", "cuDriverGetVersion", "cuDeviceGetCount"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct tgi_cuda_api *api = NULL;
        struct tg_error err;
        devices(1, true);
        standin.standin_fail(calls[i], 1, CUDA_ERROR_UNKNOWN, STANDIN_ONCE);
        assert_int_equal(tgi_cuda_retain(&api, &err), TG_E_NO_DEVICE);
        assert_int_equal(err.status, TG_E_NO_DEVICE);
        assert_non_null(strstr(err.text, calls[i]));
        assert_non_null(strstr(err.text, "CUDA_ERROR_UNKNOWN (999)"));
        assert_true(tgi_cuda_has_refused());
        assert_int_equal(standin.standin_fail_hits(), 1);
    }
}

static void a_check_names_call_attempt_and_answer(void **state)
{
    (void)state;
    static const struct {
        CUresult rc;
        int status;
        bool is_fatal;
    } map[] = {{CUDA_ERROR_OUT_OF_MEMORY, TG_E_NO_MEMORY, false},
               {CUDA_ERROR_DEVICE_UNAVAILABLE, TG_E_NO_DEVICE, false},
               {CUDA_ERROR_NOT_SUPPORTED, TG_E_UNSUPPORTED, false},
               {CUDA_ERROR_INVALID_PTX, TG_E_COMPILE, false},
               {CUDA_ERROR_ILLEGAL_ADDRESS, TG_E_TASK_FAILED, true},
               {CUDA_ERROR_LAUNCH_FAILED, TG_E_TASK_FAILED, true},
               {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, TG_E_DRIVER, false},
               {CUDA_ERROR_INVALID_VALUE, TG_E_DRIVER, false}};
    const struct tgi_cuda_api *api;
    struct tg_error err = {0};
    devices(1, true);
    assert_int_equal(tgi_cuda_retain(&api, &err), 0);
    assert_int_equal(tgi_cuda_check(api, CUDA_SUCCESS, "cuX", &err, "nothing"), 0);
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        assert_int_equal(tgi_cuda_check(api, map[i].rc, "cuX", NULL, "without a place for it"),
                         map[i].status);
        assert_int_equal(tgi_cuda_check(api, map[i].rc, "cuX", &err, "doing %d things", 7), map[i].status);
        assert_int_equal(err.status, map[i].status);
        assert_non_null(strstr(err.text, "doing 7 things: cuX returned CUDA_ERROR_"));
        assert_int_equal(tgi_cuda_is_fatal(map[i].rc), map[i].is_fatal);
    }
    /* A result that the driver itself does not know. */
    assert_int_equal(tgi_cuda_check(api, (CUresult)12345, "cuX", &err, "doing"), TG_E_DRIVER);
    assert_int_equal(tg_status_exit_code(TG_E_DRIVER), 4);
    assert_non_null(strstr(err.text, "an unknown result (12345)"));
    CUdeviceptr p;
    assert_int_equal(TGI_CUDA_CHECK(api, &err, cuMemAlloc, (&p, 64), "allocating %d bytes", 64), TG_E_DRIVER);
    assert_non_null(
        strstr(err.text, "allocating 64 bytes: cuMemAlloc returned CUDA_ERROR_INVALID_CONTEXT (201)"));
    tgi_cuda_release();
}

static void the_machine_is_described(void **state)
{
    (void)state;
    const struct tgi_cuda_api *api;
    struct tgi_cuda_machine m;
    struct tg_error err;
    devices(4, true);
    assert_int_equal(tgi_cuda_retain(&api, &err), 0);
    assert_int_equal(tgi_cuda_machine_init(api, &m, &err), 0);
    assert_int_equal(m.n_devices, 4);
    for (int i = 0; i < 4; i++) {
        struct tgi_cuda_device_info *d = &m.device[i];
        char name[32], pci[32];
        snprintf(name, sizeof name, "stand-in %d", i);
        snprintf(pci, sizeof pci, "ffff:%02x:00.0", i + 0x1b);
        assert_string_equal(d->name, name);
        assert_string_equal(d->pci_id, pci);
        assert_int_equal(d->ordinal, i);
        assert_int_equal(d->numa_node, -1);
        assert_int_equal(d->memory_bytes, 8 << 20);
        assert_int_equal(d->cc_major * 10 + d->cc_minor, 90);
        assert_int_equal(d->n_sms, 16);
        assert_int_equal(d->max_threads_per_block, 1024);
        assert_int_equal(d->shared_per_block_optin, 227 << 10);
        assert_true(d->has_cooperative_launch && d->has_memory_pools && !d->is_integrated);
        assert_int_equal(d->uuid.bytes[15], i);
        for (int k = 0; k < 4; k++) {
            enum tgi_cuda_link expected = i == k           ? TGI_CUDA_LINK_NONE
                                          : i / 2 == k / 2 ? TGI_CUDA_LINK_NVLINK
                                                           : TGI_CUDA_LINK_PCIE;
            assert_int_equal(m.link[i * 4 + k], expected);
            assert_int_equal(m.link_rank[i * 4 + k], i == k ? -1 : i / 2 == k / 2 ? 0 : 1);
        }
    }
    tgi_cuda_machine_fini(&m);

    devices(2, false);
    assert_int_equal(api->cuInit(0), CUDA_SUCCESS);
    assert_int_equal(tgi_cuda_machine_init(api, &m, &err), 0);
    assert_int_equal(m.link[1], TGI_CUDA_LINK_NONE);
    assert_int_equal(m.link_rank[1], -1);
    assert_string_equal(tgi_cuda_link_name(m.link[1]), "none");
    tgi_cuda_machine_fini(&m);
    tgi_cuda_release();
}

/* Every call of the description fails once: an error that names it, and nothing is left. */
static void a_description_that_fails_names_the_call(void **state)
{
    (void)state;
    const struct tgi_cuda_api *api;
    struct tgi_cuda_machine m;
    struct tg_error err;
    devices(2, true);
    assert_int_equal(tgi_cuda_retain(&api, &err), 0);
    uint64_t nth = 1;
    for (;; nth++) {
        standin.standin_fail_clear();
        uint64_t before = standin.standin_fail_hits();
        standin.standin_fail(NULL, nth, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
        memset(&m, 0x5a, sizeof m);
        int rc = tgi_cuda_machine_init(api, &m, &err);
        if (standin.standin_fail_hits() == before) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, TG_E_NO_MEMORY);
        assert_non_null(strstr(err.text, "returned CUDA_ERROR_OUT_OF_MEMORY (2)"));
        assert_non_null(strstr(err.text, "cuDevice"));
        unsigned char *bytes = (unsigned char *)&m;
        assert_int_equal(bytes[0], 0x5a); /* outputs only on success */
    }
    assert_true(nth > 50);
    tgi_cuda_machine_fini(&m);
    tgi_cuda_release();
}

static void the_numa_node_is_read_from_sysfs(void **state)
{
    (void)state;
    char folder[] = "/tmp/tgraph-sysfs-XXXXXX", name[256];
    assert_non_null(mkdtemp(folder));
    static const char *const parts[] = {"bus", "bus/pci", "bus/pci/devices", "bus/pci/devices/0000:1b:00.0"};
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, parts[i]);
        assert_int_equal(mkdir(name, 0700), 0);
    }
    static const struct {
        const char *text;
        int node;
    } cases[] = {{"1\n", 1}, {"0\n", 0}, {"-1\n", -1}, {"-7\n", -1}, {"", -1}, {"x", -1}};
    snprintf(name, sizeof name, "%s/%s/numa_node", folder, parts[3]);
    assert_int_equal(tgi_cuda_numa_node(folder, "0000:1b:00.0"), -1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *f = fopen(name, "w");
        assert_non_null(f);
        fputs(cases[i].text, f);
        fclose(f);
        assert_int_equal(tgi_cuda_numa_node(folder, "0000:1b:00.0"), cases[i].node);
        assert_int_equal(tgi_cuda_numa_node(folder, "0000:1c:00.0"), -1);
    }
    unlink(name);
    for (int i = 3; i >= 0; i--) {
        snprintf(name, sizeof name, "%s/%s", folder, parts[i]);
        rmdir(name);
    }
    rmdir(folder);
}

static void *retain_and_release(void *failed)
{
    for (int i = 0; i < 50; i++) {
        const struct tgi_cuda_api *api = NULL;
        int n = 0;
        if (tgi_cuda_retain(&api, NULL) || api->cuDeviceGetCount(&n) != CUDA_SUCCESS || n != 3) {
            *(int *)failed = 1;
            return NULL;
        }
        tgi_cuda_release();
    }
    return NULL;
}

static void threads_share_one_table(void **state)
{
    (void)state;
    pthread_t thread[4];
    int failed[4] = {0};
    devices(3, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, retain_and_release, &failed[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(failed[i], 0);
    }
}

int main(void)
{
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path)) {
        fprintf(stderr, "cannot load %s: %s\n", path, dlerror());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_point_is_loaded),
        cmocka_unit_test(a_missing_library_is_named),
        cmocka_unit_test(a_library_without_the_driver_api_is_told_by_its_first_gap),
        cmocka_unit_test(a_driver_without_devices_is_told_apart),
        cmocka_unit_test(each_call_that_fails_while_starting_is_named),
        cmocka_unit_test(a_check_names_call_attempt_and_answer),
        cmocka_unit_test(the_machine_is_described),
        cmocka_unit_test(a_description_that_fails_names_the_call),
        cmocka_unit_test(the_numa_node_is_read_from_sysfs),
        cmocka_unit_test(threads_share_one_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
