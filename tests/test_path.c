/* Paths in graph files cannot lead out of the graph's folder. */
#include "io/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* base/secret, base/folder/{file,sub/file}, and what one could plant there. */
static char base[64], folder[96];

static void make_file(const char *relative, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", base, relative);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void make_link(const char *target, const char *relative)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", base, relative);
    assert_int_equal(symlink(target, path), 0);
}

static int setup(void **state)
{
    (void)state;
    char path[PATH_MAX];
    strcpy(base, "/tmp/test-path-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    snprintf(folder, sizeof folder, "%s/folder", base);
    snprintf(path, sizeof path, "%s/folder/sub", base);
    if (mkdir(folder, 0700) || mkdir(path, 0700))
        return -1;
    make_file("secret", "secret");
    make_file("folder/file", "file");
    make_file("folder/sub/file", "deep");
    make_link("/etc/passwd", "folder/absolute");
    make_link("../secret", "folder/up");
    make_link("..", "folder/parent");
    make_link("/proc/self/root", "folder/root");
    make_link("/proc/self/fd/0", "folder/magic");
    make_link("sub/file", "folder/inside");
    make_link("loop", "folder/loop");
    make_link("nowhere", "folder/dangling");
    make_link("../../secret", "folder/sub/up");
    snprintf(path, sizeof path, "%s/pipe", folder);
    return mkfifo(path, 0600);
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

typedef int (*open_fn)(const char *, const char *, int, int *, struct tg_error *);
static const open_fn ways[] = {tgi_path_open_beneath, tgi_path_open_stepwise};
enum { N_WAYS = 2 };

static void assert_reads(open_fn open_it, const char *in, const char *path, const char *text)
{
    int fd = -1;
    char data[16] = "";
    struct tg_error err;
    if (open_it(in, path, O_RDONLY, &fd, &err) != 0)
        fail_msg("%s: %s", path, err.text);
    assert_int_equal(read(fd, data, sizeof data - 1), strlen(text));
    assert_string_equal(data, text);
    close(fd);
}

static int status_of(open_fn open_it, const char *in, const char *path)
{
    int fd = -77;
    struct tg_error err = {0};
    int rc = open_it(in, path, O_RDONLY, &fd, &err);
    assert_int_not_equal(rc, 0);
    assert_int_equal(rc, err.status);
    assert_int_equal(fd, -77);
    assert_true(err.text[0]);
    return rc;
}

static void files_beneath_are_opened(void **state)
{
    (void)state;
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s/file", folder);
    for (int w = 0; w < N_WAYS; w++) {
        assert_reads(ways[w], folder, "file", "file");
        assert_reads(ways[w], folder, "sub/file", "deep");
        assert_reads(ways[w], folder, "./sub//file", "deep");
        assert_reads(ways[w], NULL, whole, "file");
    }
    assert_reads(tgi_path_open_beneath, folder, "inside", "deep");
    assert_reads(tgi_path_open_beneath, folder, "sub/../file", "file");
}

static void nothing_outside_is_opened(void **state)
{
    (void)state;
    char absolute[PATH_MAX];
    snprintf(absolute, sizeof absolute, "%s/file", folder);
    const char *const leaving[] = {
        "../secret",   "/etc/passwd",           absolute,   "..", "../folder/file", "sub/../../secret",
        "./../secret", "sub/../../folder/file", "absolute", "up", "parent/secret",  "root/etc/passwd",
        "sub/up",      "//etc/passwd",          "magic"};
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++)
        for (int w = 0; w < N_WAYS; w++)
            if (status_of(ways[w], folder, leaving[i]) != TG_E_PATH_ESCAPE)
                fail_msg("way %d: \"%s\" is not refused as leaving", w, leaving[i]);
}

static void what_is_no_regular_file_is_refused_without_waiting(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    for (int w = 0; w < N_WAYS; w++) {
        assert_int_equal(status_of(ways[w], folder, "pipe"), TG_E_OPEN);
        assert_int_equal(status_of(ways[w], folder, "sub"), TG_E_OPEN);
        assert_int_equal(status_of(ways[w], folder, "."), TG_E_OPEN);
        assert_int_equal(status_of(ways[w], folder, "socket"), TG_E_OPEN);
        snprintf(path, sizeof path, "%s/pipe", folder);
        assert_int_equal(status_of(ways[w], NULL, path), TG_E_OPEN);
        assert_int_equal(status_of(ways[w], "/dev", "null"), TG_E_OPEN);
    }
    close(s);
}

static void missing_and_malformed_paths_are_errors(void **state)
{
    (void)state;
    static char longer[PATH_MAX + 10], name[NAME_MAX + 2];
    memset(longer, 'a', sizeof longer - 1);
    memset(name, 'b', sizeof name - 1);
    const char *const bad[] = {"nothing", "sub/nothing", "nothing/file", "file/file", "file/",
                               "",        "dangling",    longer,         name};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(status_of(tgi_path_open_beneath, folder, bad[i]), TG_E_OPEN);
    for (int w = 0; w < N_WAYS; w++) {
        assert_int_equal(status_of(ways[w], folder, name), TG_E_OPEN);
        assert_int_equal(status_of(ways[w], folder, "file/file"), TG_E_OPEN);
        assert_int_equal(status_of(ways[w], "/nonexistent", "file"), TG_E_OPEN);
        int rc = status_of(ways[w], folder, "loop");
        assert_true(rc == TG_E_PATH_ESCAPE || rc == TG_E_OPEN);
    }
}

static int n_entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void output_appears_by_rename_with_all_of_its_text(void **state)
{
    (void)state;
    struct tgi_path_output out;
    struct tg_error err;
    char path[PATH_MAX];
    struct stat s;
    snprintf(path, sizeof path, "%s/sub/new", folder);
    assert_int_equal(tgi_path_create_beneath(folder, "sub/new", &out, &err), 0);
    assert_int_equal(tgi_path_output_write(&out, "hello", 5, &err), 0);
    assert_int_not_equal(stat(path, &s), 0); /* not yet */
    assert_int_equal(tgi_path_output_finish(&out, &err), 0);
    assert_reads(tgi_path_open_beneath, folder, "sub/new", "hello");
    /* replaced as a whole */
    assert_int_equal(tgi_path_create_beneath(folder, "sub/new", &out, &err), 0);
    assert_int_equal(tgi_path_output_write(&out, "bye", 3, &err), 0);
    assert_reads(tgi_path_open_beneath, folder, "sub/new", "hello");
    assert_int_equal(tgi_path_output_finish(&out, &err), 0);
    assert_reads(tgi_path_open_beneath, folder, "sub/new", "bye");
    int before = n_entries(folder);
    assert_int_equal(tgi_path_create_beneath(folder, "given-up", &out, &err), 0);
    tgi_path_output_abandon(&out);
    assert_int_equal(n_entries(folder), before);
    assert_int_equal(tgi_path_create_beneath(NULL, path, &out, &err), 0);
    assert_int_equal(tgi_path_output_finish(&out, &err), 0);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_size, 0);
}

static void output_cannot_leave_the_folder_either(void **state)
{
    (void)state;
    static const char *const leaving[] = {"../new",       "/tmp/new", "parent/new",
                                          "root/tmp/new", "..",       "sub/../../new"};
    static const char *const bad[] = {"nowhere/new", "", "sub/", "sub", ".", "file/new"};
    struct tgi_path_output out;
    struct tg_error err;
    int before = n_entries(base), inside = n_entries(folder);
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++)
        assert_int_equal(tgi_path_create_beneath(folder, leaving[i], &out, &err), TG_E_PATH_ESCAPE);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(tgi_path_create_beneath(folder, bad[i], &out, &err), TG_E_WRITE);
    assert_int_equal(n_entries(base), before);
    assert_int_equal(n_entries(folder), inside);
    /* A link as the last part is replaced, not written through. */
    assert_int_equal(tgi_path_create_beneath(folder, "up", &out, &err), 0);
    assert_int_equal(tgi_path_output_write(&out, "mine", 4, &err), 0);
    assert_int_equal(tgi_path_output_finish(&out, &err), 0);
    assert_reads(tgi_path_open_beneath, folder, "up", "mine");
    assert_reads(tgi_path_open_beneath, base, "secret", "secret");
}

static void a_full_device_is_a_write_error(void **state)
{
    (void)state;
    struct tgi_path_output out;
    struct tg_error err;
    assert_int_equal(tgi_path_create_beneath(folder, "full", &out, &err), 0);
    int full = open("/dev/full", O_WRONLY);
    assert_true(full >= 0 && dup2(full, out.fd) >= 0);
    close(full);
    assert_int_equal(tgi_path_output_write(&out, "x", 1, &err), TG_E_WRITE);
    assert_non_null(strstr(err.text, "full"));
    tgi_path_output_abandon(&out);
    assert_int_equal(status_of(tgi_path_open_beneath, folder, "full"), TG_E_OPEN);
}

static void a_path_through_what_is_not_there_is_shortened(void **state)
{
    static const struct {
        const char *path, *tidy;
    } cases[] = {{"nosuch/../x", "x"},       {"nosuch/..", "."},      {"a/./b/", "a/b"},
                 {"", "."},                  {".", "."},              {"..", ".."},
                 {"../nosuch/../x", "../x"}, {"/nosuch/../x", "/x"},  {"//nosuch//a/../..", "/"},
                 {"nosuch/../../x", "../x"}, {"folder/sub/../x", "folder/sub/../x"},
                 {"folder/parent/../x", "folder/parent/../x"}};
    (void)state;
    assert_int_equal(chdir(base), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *tidy = tgi_path_tidy(cases[i].path);
        assert_non_null(tidy);
        assert_string_equal(tidy, cases[i].tidy);
        free(tidy);
    }
    assert_int_equal(chdir("/"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_beneath_are_opened),
        TEST(nothing_outside_is_opened),
        TEST(what_is_no_regular_file_is_refused_without_waiting),
        TEST(missing_and_malformed_paths_are_errors),
        TEST(output_appears_by_rename_with_all_of_its_text),
        TEST(output_cannot_leave_the_folder_either),
        TEST(a_full_device_is_a_write_error),
        TEST(a_path_through_what_is_not_there_is_shortened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
