/* Loading and freezing with the Nth allocation failing, for every N: once, and from then on.  The
 * answer is a graph or an error, and nothing is leaked.  The allocator is replaced by one that counts,
 * which the sanitizers do not allow; they skip this. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/tgraph.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
int main(void)
{
    puts("needs an allocator of its own");
    return 77;
}
#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static bool is_armed, fails_for_ever;
static long fail_at, n_calls, n_live;

/* libc's own calls come here, too. */
#define REPLACES __attribute__((visibility("default")))

static bool must_fail(void)
{
    if (!is_armed)
        return false;
    n_calls++;
    if (n_calls != fail_at && !(fails_for_ever && n_calls > fail_at))
        return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    n_live += is_armed && p != NULL;
    return p;
}

REPLACES void *malloc(size_t size) { return must_fail() ? NULL : counted(__libc_malloc(size)); }

REPLACES void *calloc(size_t n, size_t size) { return must_fail() ? NULL : counted(__libc_calloc(n, size)); }

REPLACES void *realloc(void *p, size_t size)
{
    if (must_fail())
        return NULL;
    return p == NULL ? counted(__libc_realloc(p, size)) : __libc_realloc(p, size);
}

REPLACES void free(void *p)
{
    n_live -= is_armed && p != NULL;
    __libc_free(p);
}

static void ignore(void *user, const struct tg_diagnostic *d)
{
    (void)d;
    ++*(uint32_t *)user;
}

/* One attempt; true if the fault was reached. */
static bool attempt(const char *path, long n, bool for_ever)
{
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    struct tg_graph *graph = NULL;
    struct tg_error err = {0};
    uint32_t n_messages = 0;
    options.n_cuda = 4;
    options.on_diagnostic = ignore;
    options.user = &n_messages;
    fail_at = n;
    fails_for_ever = for_ever;
    n_calls = n_live = 0;
    is_armed = true;
    int load = tg_graph_load(path, &options, &graph, &err);
    int freeze = load == 0 ? tg_graph_freeze(graph, &err) : 0;
    tg_graph_destroy(graph);
    is_armed = false;
    if (n_live != 0)
        fail_msg("%s: allocation %ld failed: %ld blocks leaked", path, n, n_live);
    if (load != 0 &&
        (load != err.status || err.text[0] == '\0' || (n_messages == 0 && load != TG_E_NO_MEMORY)))
        fail_msg("%s: allocation %ld failed: status %d, %s", path, n, load, err.text);
    if (freeze != 0 && freeze != TG_E_NO_MEMORY)
        fail_msg("%s: allocation %ld failed: freeze says %s", path, n, err.text);
    return n_calls >= n;
}

static void check_path(const char *folder, const char *name)
{
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    assert_false(attempt(name, 1000000000, false)); /* warms up what libc keeps */
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        long n = 1;
        while (attempt(name, n, for_ever != 0))
            n++;
        assert_true(n > 20);
    }
    assert_int_equal(chdir(here), 0);
}

static void every_allocation_of_a_load_may_fail(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "format-jacobi",  "calls",      "control-tasks",    "kernel-forms",
        "checks",         "triangle",   "after-later-task", "everything-on-a-task",
        "init-from-file", "collectives"};
    char folder[128];
    for (size_t k = 0; k < sizeof documents / sizeof *documents; k++) {
        snprintf(folder, sizeof folder, "tests/valid/%s", documents[k]);
        check_path(folder, "input.json");
    }
    check_path("tests/valid/lines", "input.jsonl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_of_a_load_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
