/* What services show of themselves: files that are whole, that live as long as their process, and that say what metrics say; the last
 * on the stand-in driver. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "io/service_board.h"
#include "tests/random_graph.h"
#include "tests/service_folder.h"

static uint64_t seed;

static int begin(void **state)
{
    (void)state;
    return service_folder_begin(seed);
}

/* Every figure different, so that none can be taken for another. */
static struct tgi_service_sign some_sign(uint64_t key)
{
    struct tgi_service_sign s = {.name = "a name, of some\twords"};
    uint64_t *words[] = {&s.pid, &s.device, &s.state, &s.is_resident, &s.n_blocks, &s.queue_capacity, &s.began_ns, &s.shown_ns};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        *words[i] = mix64(key + i);
    for (uint64_t *w = &s.metrics.n_sent, i = 100; w <= &s.metrics.busy_ns; w++, i++)
        *w = mix64(key + i);
    s.metrics.n_teams = (uint32_t)mix64(key);
    s.metrics.n_clients = (uint32_t)(key % (TG_SERVICE_MAX_CLIENTS + 1));
    for (uint32_t c = 0; c < s.metrics.n_clients; c++)
        for (uint64_t *w = &s.metrics.clients[c].weight, i = 200; w <= &s.metrics.clients[c].used_ns; w++, i++)
            *w = mix64(key + 100 * c + i);
    return s;
}

static char *text_of(const struct tgi_service_sign *s, size_t *n_p)
{
    char *text;
    FILE *to = open_memstream(&text, n_p);
    assert_non_null(to);
    tgi_service_sign_write(to, s);
    fclose(to);
    return text;
}

static bool read_text(const char *text, size_t n, struct tgi_service_sign *s)
{
    FILE *from = n ? fmemopen((void *)text, n, "r") : fopen("/dev/null", "r");
    assert_non_null(from);
    bool is_sign = tgi_service_sign_read(from, s);
    fclose(from);
    return is_sign;
}

/* ---- A sign -------------------------------------------------------------------------------*/

static void a_sign_is_read_as_it_was_written_and_no_part_of_one_is(void **state)
{
    (void)state;
    for (uint64_t key = seed; key < seed + 34; key++) {
        struct tgi_service_sign s = some_sign(key), got;
        size_t n;
        char *text = text_of(&s, &n);
        memset(&got, 0xee, sizeof got);
        assert_true(read_text(text, n, &got));
        assert_memory_equal(&got, &s, sizeof s);
        for (size_t i = 0; i < n; i += 1 + i / 50)
            assert_false(read_text(text, i, &got));
        free(text);
    }
}

static void what_is_no_sign_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"tgraph-service 2\nend\n", "tgraph-service 1\npid\nend\n", "tgraph-service 1\npid -3\nend\n",
                                      "tgraph-service 1\nlatency 1 2 3\nend\n", "tgraph-service 1\nclient 1 2\nend\n",
                                      "tgraph-service 1\nn_teams 99999999999\nend\n", "end\n"};
    struct tgi_service_sign got;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(read_text(bad[i], strlen(bad[i]), &got));
    char many[4096] = "tgraph-service 1\n";
    for (int i = 0; i <= TG_SERVICE_MAX_CLIENTS; i++)
        strcat(many, "client 1 1 1 1 1 1 1 1\n");
    strcat(many, "end\n");
    assert_false(read_text(many, strlen(many), &got));
    char wide[4096] = "tgraph-service 1\nname ";
    memset(wide + strlen(wide), 'x', 3000);
    strcat(wide, "\nend\n");
    assert_false(read_text(wide, strlen(wide), &got));
    static const char later[] = "tgraph-service 1\nsomething new 7\na-figure-whose-name-is-longer-than-any-that-there-is 5\npid 12\nend\n";
    assert_true(read_text(later, strlen(later), &got));
    assert_int_equal(got.pid, 12);
}

/* ---- The board ----------------------------------------------------------------------------*/

static void a_sign_goes_with_its_process(void **state)
{
    (void)state;
    struct tgi_service_signs signs;
    int ready[2];
    must(tgi_service_board_read(&signs, &err)); /* there is no folder */
    assert_int_equal(signs.n, 0);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct tgi_service_place_on_board place;
        struct tgi_service_sign sign = some_sign(1);
        sign.pid = (uint64_t)getpid();
        if (tgi_service_board_open(&place, NULL) || tgi_service_board_put(&place, &sign, NULL))
            _exit(1);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    char x;
    close(ready[1]);
    assert_int_equal(read(ready[0], &x, 1), 1);
    for (int i = 0; i < 3; i++) {
        must(tgi_service_board_read(&signs, &err));
        assert_int_equal(signs.n, 1);
        assert_int_equal(signs.n_removed, 0);
        assert_int_equal(signs.signs[0].pid, child);
        free(signs.signs);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    must(tgi_service_board_read(&signs, &err));
    assert_int_equal(signs.n, 0);
    assert_int_equal(signs.n_removed, 1);
    free(signs.signs);
    must(tgi_service_board_read(&signs, &err));
    assert_int_equal(signs.n_removed, 0);
    free(signs.signs);
}

static atomic_bool is_over;

static void *look_all_the_time(void *arg)
{
    _Atomic uint64_t *n_p = arg;
    uint64_t last = 0;
    while (!atomic_load(&is_over)) {
        struct tgi_service_signs signs;
        if (tgi_service_board_read(&signs, NULL) || signs.n_removed || signs.n_unreadable || signs.n > 1)
            return "a sign that is replaced is taken for one that is left over, or is not whole";
        if (signs.n) {
            struct tgi_service_sign want = some_sign(signs.signs[0].shown_ns);
            want.shown_ns = signs.signs[0].shown_ns;
            if (memcmp(&want, &signs.signs[0], sizeof want) != 0 || want.shown_ns < last)
                return "a sign that was never put up";
            last = want.shown_ns;
            atomic_fetch_add(n_p, 1);
        }
        free(signs.signs);
    }
    return NULL;
}

static void who_looks_while_a_sign_is_replaced_sees_one_or_the_other(void **state)
{
    (void)state;
    struct tgi_service_place_on_board place;
    pthread_t threads[2];
    _Atomic uint64_t n_seen[2] = {0};
    must(tgi_service_board_open(&place, &err));
    atomic_store(&is_over, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_all_the_time, &n_seen[i]), 0);
    for (uint64_t n = 0; n < ROUNDS(4000) + 200 || n_seen[0] + n_seen[1] == 0; n++) {
        struct tgi_service_sign sign = some_sign(n);
        sign.shown_ns = n;
        must(tgi_service_board_put(&place, &sign, &err));
        if (n > 1000000)
            break;
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < 2; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        if (wrong)
            fail_msg("%s", (const char *)wrong);
    }
    assert_true(n_seen[0] + n_seen[1] > 0);
    tgi_service_board_close(&place);
    struct tgi_service_signs signs;
    must(tgi_service_board_read(&signs, &err));
    assert_int_equal(signs.n + signs.n_removed, 0);
    free(signs.signs);
}

static void what_is_being_written_is_left_alone_until_it_is_old(void **state)
{
    (void)state;
    struct tgi_service_signs signs;
    char path[128];
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(path, sizeof path, "%s/service-1-0.new", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0600); /* and not locked yet */
    for (int is_old = 0; is_old < 2; is_old++) {
        struct timespec times[2] = {{time(NULL) - 3600 * is_old, 0}, {time(NULL) - 3600 * is_old, 0}};
        assert_int_equal(futimens(fd, times), 0);
        must(tgi_service_board_read(&signs, &err));
        assert_int_equal(signs.n + signs.n_removed + signs.n_unreadable, 0);
        free(signs.signs);
        assert_int_equal(access(path, F_OK), is_old ? -1 : 0);
    }
    close(fd);
}

static void a_folder_that_others_could_write_to_is_refused(void **state)
{
    (void)state;
    struct tgi_service_place_on_board place;
    struct tgi_service_signs signs;
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chmod(folder, 0770), 0);
    assert_int_equal(tgi_service_board_open(&place, &err), TG_E_SYSTEM);
    assert_non_null(strstr(err.text, "not this user's alone"));
    assert_int_equal(tgi_service_board_read(&signs, &err), TG_E_SYSTEM);
    rmdir(folder);
    assert_int_equal(symlink("/tmp", folder), 0);
    assert_int_equal(tgi_service_board_open(&place, &err), TG_E_SYSTEM);
    unlink(folder);
}

/* ---- A service ----------------------------------------------------------------------------*/

static struct tgi_service_sign only_sign(void)
{
    struct tgi_service_signs signs;
    must(tgi_service_board_read(&signs, &err));
    assert_int_equal(signs.n, 1);
    struct tgi_service_sign s = signs.signs[0];
    free(signs.signs);
    return s;
}

static void a_service_shows_its_clients_figures_until_it_is_hidden(void **state)
{
    (void)state;
    const struct tg_service_client clients[] = {{1, 0, 0}, {3, 0, 0}};
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service_options o = small_options(2);
    struct tg_service_program *program;
    struct tg_service_show *show;
    must(tg_service_program_create(0, &program, &err));
    must(tg_service_program_add_task(program, TG_SERVICE_OP_SUM, 5, NULL, 0, NULL, &err));
    must(tg_service_program_add_output(program, 0, &err));
    setup.programs = &program;
    setup.n_programs = 1;
    setup.clients = clients;
    setup.n_clients = 2;
    setup.n_teams = 2;
    setup.n_workers_each = 1;
    o.setup = &setup;
    struct tg_service *s = active_service(&o);
    must(tg_service_show(s, "two clients", &show, &err));
    struct tgi_service_sign sign = only_sign();
    assert_string_equal(sign.name, "two clients");
    assert_int_equal(sign.pid, getpid());
    assert_int_equal(sign.state, TG_SERVICE_ACTIVE);
    assert_int_equal(sign.queue_capacity, o.queue_capacity);
    assert_int_equal(sign.metrics.n_answered, 0);
    uint64_t got, since = tgi_service_now_ns();
    for (uint32_t i = 0; i < 30; i++) {
        must(tg_service_run(s, &(struct tg_service_instance){.client = i % 3 > 0}, LONG_NS, &got, &err));
        assert_int_equal(got, 5);
    }
    do {
        sleep_ms(5);
        sign = only_sign();
    } while ((sign.metrics.n_answered < 30 || sign.metrics.clients[0].n_begun + sign.metrics.clients[1].n_begun < 30) &&
             tgi_service_now_ns() - since < LONG_NS);
    assert_int_equal(sign.metrics.n_answered, 30);
    assert_int_equal(sign.metrics.n_clients, 2);
    assert_int_equal(sign.metrics.clients[1].weight, 3);
    assert_int_equal(sign.metrics.clients[0].n_begun + sign.metrics.clients[1].n_begun, 30);
    tg_service_hide(show);
    tg_service_hide(NULL);
    end_service(s);
    tg_service_program_destroy(program);
}

int main(void)
{
    if (!service_standin_load())
        return 1;
    seed = test_seed(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sign_is_read_as_it_was_written_and_no_part_of_one_is, begin, service_folder_end),
        cmocka_unit_test_setup_teardown(what_is_no_sign_is_refused, begin, service_folder_end),
        cmocka_unit_test_setup_teardown(a_sign_goes_with_its_process, begin, service_folder_end),
        cmocka_unit_test_setup_teardown(who_looks_while_a_sign_is_replaced_sees_one_or_the_other, begin, service_folder_end),
        cmocka_unit_test_setup_teardown(what_is_being_written_is_left_alone_until_it_is_old, begin, service_folder_end),
        cmocka_unit_test_setup_teardown(a_folder_that_others_could_write_to_is_refused, begin, service_folder_end),
        cmocka_unit_test_setup_teardown(a_service_shows_its_clients_figures_until_it_is_hidden, begin, service_folder_end),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    service_standin_end_if_left();
    return n_failed;
}
