/* Kernels compiled at run time, and the folder that keeps them. */
#include "sched/cpu_module.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/kernel_cache.h"
#include "sched/process.h"
#include "graph/sha256.h"

/* Every test has a folder with an empty cache, an empty place for temporary files and a compiler
 * that counts how often it is asked to compile. */
static char home[64], cache[96], temp[96], counter[96];

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    (void)state;
    char compiler[160], text[512];
    strcpy(home, "/tmp/test-cpu-module-XXXXXX");
    if (!mkdtemp(home))
        return -1;
    snprintf(cache, sizeof cache, "%s/cache", home);
    snprintf(temp, sizeof temp, "%s/temp", home);
    snprintf(counter, sizeof counter, "%s/count", home);
    snprintf(compiler, sizeof compiler, "%s/mycc", home);
    snprintf(text, sizeof text,
             "#!/bin/sh\ncase \"$*\" in *--version) ;; *) echo x >> %s ;; esac\nexec cc \"$@\"\n", counter);
    write_text(compiler, text, 0700);
    setenv("TGRAPH_CACHE_DIR", cache, 1);
    setenv("TMPDIR", temp, 1);
    setenv("CC", compiler, 1);
    return mkdir(temp, 0700);
}

static int teardown(void **state)
{
    (void)state;
    char command[160];
    chdir("/");
    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", home, home);
    return system(command);
}

static int n_compilations(void)
{
    struct stat s;
    return stat(counter, &s) == 0 ? (int)(s.st_size / 2) : 0;
}

/* Entries without "." and ".."; the name of one of them goes to name_p. */
static int n_files(const char *folder, char name_p[NAME_MAX + 1])
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            n++;
            if (name_p)
                strcpy(name_p, e->d_name);
        }
    closedir(d);
    return n;
}

static void entry_path(char path[PATH_MAX])
{
    char folder[128], name[NAME_MAX + 1];
    snprintf(folder, sizeof folder, "%s/cpu", cache);
    assert_int_equal(n_files(folder, name), 1);
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
}

static const char add_source[] = "#include \"tgraph.h\"\n"
                                 "int add(void **args, const struct tg_context *ctx)\n"
                                 "{\n"
                                 "    (void)ctx;\n"
                                 "    **(int **)args[1] += *(int *)args[0];\n"
                                 "    return 0;\n"
                                 "}\n";

static struct tgi_variant variant_of(const char *text)
{
    return (struct tgi_variant){
        .on = TGI_DEVICE_CPU, .form = TGI_VARIANT_SOURCE, .text = text, .site = TG_NONE};
}

static void assert_adds(tg_cpu_fn fn)
{
    int by = 3, value = 4, *target = &value;
    void *args[] = {&by, &target};
    assert_int_equal(fn(args, NULL), 0);
    assert_int_equal(value, 7);
}

static void compile_and_use(void)
{
    struct tgi_variant v = variant_of(add_source);
    struct tgi_cpu_module *module;
    struct tg_error err = {0};
    tg_cpu_fn fn;
    char *log;
    int rc = tgi_cpu_module_compile("add", &v, &module, &fn, &log, &err);
    if (rc)
        fail_msg("%s", err.text);
    assert_null(log);
    assert_adds(fn);
    tgi_cpu_module_close(module);
    assert_int_equal(n_files(temp, NULL), 0);
}

static int compile_fails(const char *text, struct tg_error *err)
{
    struct tgi_variant v = variant_of(text);
    struct tgi_cpu_module *module = NULL;
    tg_cpu_fn fn = NULL;
    int rc = tgi_cpu_module_compile("add", &v, &module, &fn, NULL, err);
    assert_null(module);
    assert_null(fn);
    assert_int_equal(n_files(temp, NULL), 0);
    assert_int_equal(err->status, rc);
    return rc;
}

/* ---- Compiling ----------------------------------------------------------------------------*/

static void a_kernel_is_compiled_once_and_then_comes_from_the_cache(void **state)
{
    (void)state;
    struct stat s;
    char path[PATH_MAX];
    compile_and_use();
    assert_int_equal(n_compilations(), 1);
    compile_and_use();
    assert_int_equal(n_compilations(), 1);
    snprintf(path, sizeof path, "%s/cpu", cache);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0700);
}

static void source_options_and_compiler_make_different_entries(void **state)
{
    (void)state;
    struct tgi_variant v =
        variant_of("int add(void **a, const void *c) { (void)a; (void)c; return VALUE; }\n");
    struct tgi_cpu_module *modules[2];
    struct tg_error err;
    tg_cpu_fn fns[2];
    v.options = "-DVALUE=1";
    assert_int_equal(tgi_cpu_module_compile("add", &v, &modules[0], &fns[0], NULL, &err), 0);
    v.options = "-DVALUE=2";
    assert_int_equal(tgi_cpu_module_compile("add", &v, &modules[1], &fns[1], NULL, &err), 0);
    assert_int_equal(fns[0](NULL, NULL), 1);
    assert_int_equal(fns[1](NULL, NULL), 2);
    tgi_cpu_module_close(modules[0]);
    tgi_cpu_module_close(modules[1]);
    compile_and_use();
    assert_int_equal(n_compilations(), 3);
    setenv("CC", "cc", 1);
    char folder[128];
    snprintf(folder, sizeof folder, "%s/cpu", cache);
    int before = n_files(folder, NULL);
    compile_and_use();
    assert_int_equal(n_files(folder, NULL), before + 1);
}

static void code_for_this_processor_is_kept_as_well(void **state)
{
    (void)state;
    struct tgi_variant v = variant_of(add_source);
    for (int i = 0; i < 2; i++) {
        struct tgi_cpu_module *module;
        struct tg_error err;
        tg_cpu_fn fn;
        v.options = "-march=native";
        if (tgi_cpu_module_compile("add", &v, &module, &fn, NULL, &err) != 0)
            fail_msg("%s", err.text);
        assert_adds(fn);
        tgi_cpu_module_close(module);
        assert_int_equal(n_compilations(), 1);
    }
}

static void many_modules_are_loaded_at_once_without_being_mixed_up(void **state)
{
    (void)state;
    enum { N = 6 };
    struct tgi_cpu_module *modules[N];
    tg_cpu_fn fns[N];
    struct tg_error err;
    char text[N][96];
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "int add(void **a, const void *c) { return %d + (a == c) - 1; }",
                 i);
        struct tgi_variant v = variant_of(text[i]);
        assert_int_equal(tgi_cpu_module_compile("add", &v, &modules[i], &fns[i], NULL, &err), 0);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(fns[i](NULL, NULL), i);
    for (int i = 0; i < N; i++)
        tgi_cpu_module_close(modules[i]);
}

static void an_entry_of_another_name_is_found(void **state)
{
    (void)state;
    struct tgi_variant v = variant_of(add_source);
    struct tgi_cpu_module *module;
    struct tg_error err;
    tg_cpu_fn fn;
    v.entry = "add";
    assert_int_equal(tgi_cpu_module_compile("a kernel, \"quoted\"", &v, &module, &fn, NULL, &err), 0);
    assert_adds(fn);
    tgi_cpu_module_close(module);
}

static void a_compile_error_tells_text_line_and_log(void **state)
{
    (void)state;
    struct tgi_variant v =
        variant_of("#include \"tgraph.h\"\n\nint add(void **args, const struct tg_context *ctx)\n"
                   "{\n    return nonsense;\n}\n");
    struct tgi_cpu_module *module;
    struct tg_error err;
    tg_cpu_fn fn;
    char *log;
    assert_int_equal(tgi_cpu_module_compile("add", &v, &module, &fn, &log, &err), TG_E_COMPILE);
    assert_int_equal(err.line, 5);
    assert_int_equal(err.column, 12);
    assert_non_null(strstr(err.text, "kernel \"add\" does not compile"));
    assert_non_null(strstr(err.text, "nonsense"));
    assert_non_null(strstr(log, "kernel.c:5:12: error:"));
    assert_null(strstr(log, temp));
    free(log);
    assert_int_equal(n_files(temp, NULL), 0);
    char folder[128];
    snprintf(folder, sizeof folder, "%s/cpu", cache);
    assert_int_equal(n_files(folder, NULL), 0);
}

static void a_missing_include_is_a_compile_error(void **state)
{
    (void)state;
    struct tg_error err;
    assert_int_equal(compile_fails("#include \"nowhere.h\"\n", &err), TG_E_COMPILE);
    assert_int_equal(err.line, 1);
    assert_non_null(strstr(err.text, "nowhere.h"));
}

static void a_source_without_the_function_is_an_error(void **state)
{
    (void)state;
    struct tg_error err;
    assert_int_equal(compile_fails("int sub(void) { return 0; }\n", &err), TG_E_COMPILE);
    assert_non_null(strstr(err.text, "no function \"add\""));
    assert_int_equal(compile_fails("static int add(void) { return 0; }\nint (*p)(void) = add;", &err),
                     TG_E_COMPILE);
}

static void a_function_that_nobody_defines_is_an_error(void **state)
{
    (void)state;
    struct tg_error err;
    assert_int_equal(
        compile_fails("int missing_function(void);\nint add(void) { return missing_function(); }\n", &err),
        TG_E_COMPILE);
    assert_non_null(strstr(err.text, "missing_function"));
    assert_null(strstr(err.text, "/proc"));
}

static void the_mathematical_library_is_at_hand(void **state)
{
    (void)state;
    struct tgi_variant v = variant_of("#include <math.h>\nint add(void **a, const void *c)\n"
                                      "{ (void)c; return (int)lround(exp(*(double *)a[0])); }\n");
    struct tgi_cpu_module *module;
    struct tg_error err;
    tg_cpu_fn fn;
    double one = 1;
    void *args[] = {&one};
    assert_int_equal(tgi_cpu_module_compile("add", &v, &module, &fn, NULL, &err), 0);
    assert_int_equal(fn(args, NULL), 3);
    tgi_cpu_module_close(module);
}

static void a_missing_compiler_is_reported(void **state)
{
    (void)state;
    struct tg_error err;
    setenv("CC", "no-such-compiler-anywhere", 1);
    assert_int_equal(compile_fails(add_source, &err), TG_E_NO_COMPILER);
    assert_non_null(strstr(err.text, "no-such-compiler-anywhere"));
    setenv("CC", "false", 1);
    assert_int_equal(compile_fails(add_source, &err), TG_E_NO_COMPILER);
}

static void a_relative_compiler_with_arguments_works(void **state)
{
    (void)state;
    assert_int_equal(chdir(home), 0);
    setenv("CC", "./mycc  -DUNUSED", 1);
    compile_and_use();
    assert_int_equal(n_compilations(), 1);
}

static void names_and_options_reach_no_shell(void **state)
{
    (void)state;
    struct tgi_variant v = variant_of(add_source);
    struct tgi_cpu_module *module;
    struct tg_error err;
    tg_cpu_fn fn;
    char options[320], planted[128];
    struct stat s;
    snprintf(planted, sizeof planted, "%s/planted", home);
    snprintf(options, sizeof options, "-DX=$(touch${IFS}%s) ;touch %s", planted, planted);
    v.options = options;
    v.entry = "add";
    assert_int_equal(tgi_cpu_module_compile("x; touch planted", &v, &module, &fn, NULL, &err), TG_E_COMPILE);
    assert_int_not_equal(stat(planted, &s), 0);
    assert_int_equal(n_files(temp, NULL), 0);
}

static void a_full_or_missing_place_for_temporary_files_is_reported(void **state)
{
    (void)state;
    struct tg_error err;
    assert_int_equal(rmdir(temp), 0);
    struct tgi_variant v = variant_of(add_source);
    struct tgi_cpu_module *module;
    tg_cpu_fn fn;
    assert_int_equal(tgi_cpu_module_compile("add", &v, &module, &fn, NULL, &err), TG_E_WRITE);
    assert_int_equal(mkdir(temp, 0700), 0);
}

/* ---- The cache under attack ---------------------------------------------------------------*/

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

/* ---- Folder, plugins, processes, hash -----------------------------------------------------*/

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

static void a_shared_object_is_loaded_from_its_folder_only(void **state)
{
    (void)state;
    char source[128], object[128];
    struct tgi_process p;
    struct tg_error err;
    struct tgi_cpu_module *module;
    tg_cpu_fn fn;
    snprintf(source, sizeof source, "%s/add.c", home);
    snprintf(object, sizeof object, "%s/add.so", home);
    write_text(source,
               "int add(void **args, const void *ctx) { (void)ctx; **(int **)args[1] += *(int *)args[0]; "
               "return 0; }\n",
               0600);
    char *argv[] = {"cc", "-shared", "-fPIC", "-o", object, source, NULL};
    assert_int_equal(tgi_process_run(argv, NULL, 60000, &p, &err), 0);
    assert_int_equal(p.wait_status, 0);
    free(p.output);
    struct tgi_variant v = {.form = TGI_VARIANT_BINARY, .path = "add.so"};
    assert_int_equal(tgi_cpu_module_load("add", &v, home, &module, &fn, &err), 0);
    assert_adds(fn);
    tgi_cpu_module_close(module);
    v.path = object;
    assert_int_equal(tgi_cpu_module_load("add", &v, NULL, &module, &fn, &err), 0);
    tgi_cpu_module_close(module);
    assert_int_equal(tgi_cpu_module_load("add", &v, home, &module, &fn, &err), TG_E_PATH_ESCAPE);
    static const char *const leaving[] = {"../add.so", "..", "a/../../add.so", "a/.."};
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++) {
        v.path = leaving[i];
        assert_int_equal(tgi_cpu_module_load("add", &v, temp, &module, &fn, &err), TG_E_PATH_ESCAPE);
    }
    v.path = "libm.so.6"; /* not from the system's folders */
    assert_int_equal(tgi_cpu_module_load("add", &v, home, &module, &fn, &err), TG_E_PLUGIN_LOAD);
    v.path = "add.c";
    assert_int_equal(tgi_cpu_module_load("add", &v, home, &module, &fn, &err), TG_E_PLUGIN_LOAD);
    v.path = "add.so";
    v.entry = "sub";
    assert_int_equal(tgi_cpu_module_load("add", &v, home, &module, &fn, &err), TG_E_PLUGIN_LOAD);
    assert_non_null(strstr(err.text, "\"sub\""));
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void a_program_that_runs_too_long_is_killed_with_its_children(void **state)
{
    (void)state;
    struct tgi_process p;
    char *argv[] = {"sh", "-c", "echo begun; sleep 100 & exec sleep 100", NULL};
    double start = seconds();
    assert_int_equal(tgi_process_run(argv, NULL, 300, &p, NULL), 0);
    assert_true(p.is_timed_out);
    assert_string_equal(p.output, "begun\n");
    assert_true(seconds() - start < 20);
    free(p.output);
    /* output closed, still running */
    char *closed[] = {"sh", "-c", "exec sleep 100 >&- 2>&-", NULL};
    assert_int_equal(tgi_process_run(closed, NULL, 300, &p, NULL), 0);
    assert_true(p.is_timed_out);
    free(p.output);
    /* over, but a child holds the output */
    char *held[] = {"sh", "-c", "sleep 3 & echo done", NULL};
    start = seconds();
    assert_int_equal(tgi_process_run(held, NULL, 60000, &p, NULL), 0);
    assert_false(p.is_timed_out);
    assert_string_equal(p.output, "done\n");
    assert_true(seconds() - start < 2.9);
    free(p.output);
}

static void endless_output_is_cut(void **state)
{
    (void)state;
    struct tgi_process p;
    char *argv[] = {"head", "-c", "3000000", "/dev/zero", NULL};
    assert_int_equal(tgi_process_run(argv, NULL, 60000, &p, NULL), 0);
    assert_false(p.is_timed_out);
    assert_int_equal(p.wait_status, 0);
    assert_int_equal(p.n_output, 1 << 20);
    free(p.output);
}

static void an_unknown_program_is_an_error(void **state)
{
    (void)state;
    struct tgi_process p;
    struct tg_error err;
    char *argv[] = {"no-such-program-anywhere", NULL};
    assert_int_equal(tgi_process_run(argv, NULL, 1000, &p, &err), TG_E_OPEN);
}

static void sha256_gives_the_published_digests(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned repeat;
        const char *digest;
    } cases[] = {
        {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tgi_sha256 sha;
        unsigned char digest[TGI_SHA256_BYTES];
        char text[2 * TGI_SHA256_BYTES + 1];
        tgi_sha256_init(&sha);
        for (unsigned k = 0; k < cases[i].repeat; k++)
            tgi_sha256_add(&sha, cases[i].text, strlen(cases[i].text));
        tgi_sha256_finish(&sha, digest);
        for (int k = 0; k < TGI_SHA256_BYTES; k++)
            snprintf(text + 2 * k, 3, "%02x", digest[k]);
        assert_string_equal(text, cases[i].digest);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kernel_is_compiled_once_and_then_comes_from_the_cache),
        TEST(source_options_and_compiler_make_different_entries),
        TEST(code_for_this_processor_is_kept_as_well),
        TEST(many_modules_are_loaded_at_once_without_being_mixed_up),
        TEST(an_entry_of_another_name_is_found),
        TEST(a_compile_error_tells_text_line_and_log),
        TEST(a_missing_include_is_a_compile_error),
        TEST(a_source_without_the_function_is_an_error),
        TEST(a_function_that_nobody_defines_is_an_error),
        TEST(the_mathematical_library_is_at_hand),
        TEST(a_missing_compiler_is_reported),
        TEST(a_relative_compiler_with_arguments_works),
        TEST(names_and_options_reach_no_shell),
        TEST(a_full_or_missing_place_for_temporary_files_is_reported),
        TEST(every_flipped_or_cut_entry_is_rebuilt),
        TEST(an_entry_under_the_name_of_another_is_not_loaded),
        TEST(entries_that_others_could_have_written_are_not_loaded),
        TEST(a_folder_that_others_may_enter_is_not_used),
        TEST(a_symbolic_link_in_place_of_the_folder_is_not_followed),
        TEST(without_a_cache_folder_kernels_are_compiled_every_time),
        TEST(processes_that_race_for_an_entry_all_get_the_right_code),
        TEST(readers_never_see_half_an_entry),
        TEST(the_cache_folder_follows_the_environment),
        TEST(a_shared_object_is_loaded_from_its_folder_only),
        TEST(a_program_that_runs_too_long_is_killed_with_its_children),
        TEST(endless_output_is_cut),
        TEST(an_unknown_program_is_an_error),
        TEST(sha256_gives_the_published_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
