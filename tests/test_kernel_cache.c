/* The folder that keeps compiled kernels, which others may have written to, cut or raced for. */
#include "graph/kernel_cache.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "tests/compiled_kernel.h"

static void every_flipped_or_cut_entry_is_rebuilt(void **state)
{
    (void)state;
    char path[PATH_MAX];
    compile_and_use();
    entry_path(path);
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    off_t at[] = {
        0, 100, s.st_size / 2, s.st_size - 41, s.st_size - 40, s.st_size - 33, s.st_size - 32, s.st_size - 1};
    int expected = 1;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        unsigned char byte;
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &byte, 1, at[i]), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at[i]), 1);
        close(fd);
        compile_and_use();
        assert_int_equal(n_compilations(), ++expected);
    }
    off_t sizes[] = {0, 1, 39, 40, 41, s.st_size / 2, s.st_size - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        compile_and_use();
        assert_int_equal(n_compilations(), ++expected);
    }
    compile_and_use();
    assert_int_equal(n_compilations(), expected);
}

static void an_entry_under_the_name_of_another_is_not_loaded(void **state)
{
    (void)state;
    char path[PATH_MAX], other[PATH_MAX];
    struct tgi_variant v = variant_of("int add(void **a, const void *c) { (void)a; (void)c; return 66; }\n");
    struct tgi_cpu_module *module;
    struct tg_error err;
    tg_cpu_fn fn;
    compile_and_use();
    entry_path(path);
    snprintf(other, sizeof other, "%s/kept", home);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(tgi_cpu_module_compile("add", &v, &module, &fn, NULL, &err), 0);
    tgi_cpu_module_close(module);
    entry_path(other);
    assert_int_equal(rename(other, path), 0); /* a valid entry, but not for this key */
    compile_and_use();
    assert_int_equal(n_compilations(), 3);
}

static void entries_that_others_could_have_written_are_not_loaded(void **state)
{
    (void)state;
    char path[PATH_MAX], aside[PATH_MAX];
    compile_and_use();
    entry_path(path);
    assert_int_equal(chmod(path, 0620), 0);
    compile_and_use();
    assert_int_equal(n_compilations(), 2);
    assert_int_equal(chmod(path, 0602), 0);
    compile_and_use();
    assert_int_equal(n_compilations(), 3);
    snprintf(aside, sizeof aside, "%s/aside", home);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0); /* even to a valid entry */
    compile_and_use();
    assert_int_equal(n_compilations(), 4);
    struct stat s;
    assert_int_equal(lstat(path, &s), 0);
    assert_true(S_ISREG(s.st_mode));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* would block a reader */
    compile_and_use();
    assert_int_equal(n_compilations(), 5);
    if (geteuid() == 0) { /* only root can give files away */
        assert_int_equal(chown(path, 65534, 65534), 0);
        compile_and_use();
        assert_int_equal(n_compilations(), 6);
    }
}

static void a_folder_that_others_may_enter_is_not_used(void **state)
{
    (void)state;
    char folder[128];
    compile_and_use();
    snprintf(folder, sizeof folder, "%s/cpu", cache);
    assert_int_equal(chmod(folder, 0755), 0);
    compile_and_use();
    compile_and_use();
    assert_int_equal(n_compilations(), 3);
    assert_int_equal(chmod(folder, 0700), 0);
    compile_and_use();
    assert_int_equal(n_compilations(), 3);
    if (geteuid() == 0) {
        assert_int_equal(chown(folder, 65534, 65534), 0);
        compile_and_use();
        assert_int_equal(n_compilations(), 4);
    }
}

static void a_symbolic_link_in_place_of_the_folder_is_not_followed(void **state)
{
    (void)state;
    char folder[128], elsewhere[128];
    assert_int_equal(mkdir(cache, 0700), 0);
    snprintf(folder, sizeof folder, "%s/cpu", cache);
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", home);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    assert_int_equal(symlink(elsewhere, folder), 0);
    compile_and_use();
    assert_int_equal(n_files(elsewhere, NULL), 0);
}

static void without_a_cache_folder_kernels_are_compiled_every_time(void **state)
{
    (void)state;
    write_text(cache, "a file where the folder should be", 0600);
    compile_and_use();
    compile_and_use();
    assert_int_equal(n_compilations(), 2);
}

static void processes_that_race_for_an_entry_all_get_the_right_code(void **state)
{
    (void)state;
    enum { N = 4, ROUNDS = 4 };
    pid_t pids[N];
    char path[PATH_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            pids[i] = fork();
            assert_true(pids[i] >= 0);
            if (pids[i] == 0) {
                struct tgi_variant v = variant_of(add_source);
                struct tgi_cpu_module *module;
                struct tg_error err;
                tg_cpu_fn fn;
                int by = 3, value = 4, *target = &value;
                void *args[] = {&by, &target};
                if (tgi_cpu_module_compile("add", &v, &module, &fn, NULL, &err) != 0)
                    _exit(2);
                _exit(fn(args, NULL) == 0 && value == 7 ? 0 : 3);
            }
        }
        for (int i = 0; i < N; i++) {
            int status;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
        entry_path(path); /* exactly one file: no temporary one is left */
        assert_int_equal(unlink(path), 0);
    }
}

static void readers_never_see_half_an_entry(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    struct tgi_kernel_cache c;
    unsigned char key[TGI_SHA256_BYTES] = {1}, *data = malloc(BYTES);
    assert_non_null(data);
    memset(data, 'a', BYTES);
    tgi_kernel_cache_open(&c, "race");
    assert_true(c.folder >= 0);
    assert_true(tgi_kernel_cache_put(&c, key, data, BYTES));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 100; i++)
            if (!tgi_kernel_cache_put(&c, key, data, BYTES))
                _exit(1);
        _exit(0);
    }
    int status, n_reads = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        size_t bytes = 0;
        unsigned char *found = tgi_kernel_cache_get(&c, key, &bytes);
        assert_non_null(found);
        assert_int_equal(bytes, BYTES);
        free(found);
        n_reads++;
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(n_reads > 0);
    free(data);
    tgi_kernel_cache_close(&c);
}

static void the_cache_folder_follows_the_environment(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct tg_error err;
    const char *old = getenv("HOME");
    char *kept = old ? strdup(old) : NULL;
    setenv("TGRAPH_CACHE_DIR", "/a", 1);
    setenv("XDG_CACHE_HOME", "/b", 1);
    setenv("HOME", "/c", 1);
    assert_int_equal(tgi_cache_folder(path, sizeof path, &err), 0);
    assert_string_equal(path, "/a");
    unsetenv("TGRAPH_CACHE_DIR");
    assert_int_equal(tgi_cache_folder(path, sizeof path, &err), 0);
    assert_string_equal(path, "/b/tgraph");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_int_equal(tgi_cache_folder(path, sizeof path, &err), 0);
    assert_string_equal(path, "/c/.cache/tgraph");
    assert_int_equal(tgi_cache_folder(path, 5, &err), TG_E_SYSTEM);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_int_equal(tgi_cache_folder(path, sizeof path, &err), TG_E_SYSTEM);
    if (kept)
        setenv("HOME", kept, 1);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_flipped_or_cut_entry_is_rebuilt),
        TEST(an_entry_under_the_name_of_another_is_not_loaded),
        TEST(entries_that_others_could_have_written_are_not_loaded),
        TEST(a_folder_that_others_may_enter_is_not_used),
        TEST(a_symbolic_link_in_place_of_the_folder_is_not_followed),
        TEST(without_a_cache_folder_kernels_are_compiled_every_time),
        TEST(processes_that_race_for_an_entry_all_get_the_right_code),
        TEST(readers_never_see_half_an_entry),
        TEST(the_cache_folder_follows_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
