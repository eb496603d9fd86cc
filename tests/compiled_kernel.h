/* For tests of kernels that are compiled: a cache and a compiler of their own, and a kernel that adds. */
#ifndef TEST_COMPILED_KERNEL_H
#define TEST_COMPILED_KERNEL_H

#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sched/cpu_module.h"

/* Every test has a folder with an empty cache, an empty place for temporary files and a compiler
 * that counts how often it is asked to compile. */
static char home[64], cache[96], temp[96], counter[96];

static inline void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
    (void)state;
    char command[160];
    chdir("/");
    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", home, home);
    return system(command);
}

static inline int n_compilations(void)
{
    struct stat s;
    return stat(counter, &s) == 0 ? (int)(s.st_size / 2) : 0;
}

/* Entries without "." and ".."; the name of one of them goes to name_p. */
static inline int n_files(const char *folder, char name_p[NAME_MAX + 1])
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

static inline void entry_path(char path[PATH_MAX])
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

static inline struct tgi_variant variant_of(const char *text)
{
    return (struct tgi_variant){
        .on = TGI_DEVICE_CPU, .form = TGI_VARIANT_SOURCE, .text = text, .site = TG_NONE};
}

static inline void assert_adds(tg_cpu_fn fn)
{
    int by = 3, value = 4, *target = &value;
    void *args[] = {&by, &target};
    assert_int_equal(fn(args, NULL), 0);
    assert_int_equal(value, 7);
}

static inline void compile_and_use(void)
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

static inline int compile_fails(const char *text, struct tg_error *err)
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
