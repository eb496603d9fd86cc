/* Kernels compiled at run time or loaded from shared objects.  test_kernel_cache.c has the folder that keeps them. */
#include "sched/cpu_module.h"

#include "sched/process.h"
#include "tests/compiled_kernel.h"

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

/* ---- Shared objects ------------------------------------------------------------------------*/

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
        TEST(a_shared_object_is_loaded_from_its_folder_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
