/* What `tgraph top` prints of a service's clients: of figures made up, to the digit, and of a service that executes instances of two
 * clients on the stand-in driver.  The program is the one that was built beside this test. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <libgen.h>
#include <pthread.h>
#include <stdatomic.h>

#include "io/service_board.h"
#include "tests/random_graph.h"
#include "tests/service_folder.h"

static char program[4096];

static int begin(void **state)
{
    (void)state;
    return service_folder_begin(1);
}

static bool find_program(void)
{
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 32);
    if (n <= 0)
        return false;
    program[n] = '\0';
    strcat(dirname(program), "/../tgraph");
    if (access(program, X_OK) == 0)
        return true;
    fprintf(stderr, "there is no %s; make builds it\n", program);
    return false;
}

/* What it prints, in text. */
static void top(const char *options, char *text, size_t size)
{
    char command[4200];
    snprintf(command, sizeof command, "timeout 60 '%s' top %s", program, options);
    FILE *from = popen(command, "r");
    assert_non_null(from);
    size_t n = fread(text, 1, size - 1, from);
    text[n] = '\0';
    if (pclose(from) != 0)
        fail_msg("%s: %s", command, text);
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in\n%s", part, text);
}

/* ---- Figures that are made up -------------------------------------------------------------*/

static atomic_bool is_over;
static uint64_t began_ns;

/* The nth sign is shown n seconds after the first, says its owner, and all rates are the same between any two of them. */
static struct tgi_service_sign nth_sign(uint64_t n)
{
    struct tgi_service_sign s = {.name = "made up", .pid = 4711, .device = 3, .state = TG_SERVICE_ACTIVE, .is_resident = 1, .n_blocks = 8,
                                 .queue_capacity = 64, .began_ns = began_ns, .shown_ns = began_ns + n * SECOND};
    struct tg_service_metrics *m = &s.metrics;
    m->n_answered = 4000 * n;
    m->latency[10] = 3000 * n;
    m->latency[14] = 1000 * n;
    m->n_in_flight = 9;
    m->n_waiting = 5;
    m->n_running = 4;
    m->n_failed = 2;
    m->n_clients = 3;
    m->clients[0] = (struct tg_service_client_metrics){1, 100 * n, 2, 1, 6, 7, 3, 10000000 * n};
    m->clients[1] = (struct tg_service_client_metrics){3, 300 * n, 3, 3, 0, 0, 6, 30000000 * n};
    m->clients[2] = (struct tg_service_client_metrics){1000, 5, 0, 0, 0, 0, 0, 777};
    return s;
}

static void *keep_putting(void *user)
{
    struct tgi_service_place_on_board *place = user;
    for (uint64_t n = 1; !atomic_load(&is_over); n++) {
        struct tgi_service_sign sign = nth_sign(n);
        if (tgi_service_board_put(place, &sign, NULL))
            return user;
        sleep_ms(2);
    }
    return NULL;
}

static void top_prints_rates_and_shares_by_client(void **state)
{
    (void)state;
    struct tgi_service_place_on_board place;
    pthread_t thread;
    char text[8192], document[8192], want[64];
    void *wrong;
    must(tgi_service_board_open(&place, &err));
    began_ns = tgi_service_now_ns();
    struct tgi_service_sign first = nth_sign(0);
    must(tgi_service_board_put(&place, &first, &err));
    atomic_store(&is_over, false);
    assert_int_equal(pthread_create(&thread, NULL, keep_putting, &place), 0);
    top("--once --interval 700ms", text, sizeof text);
    top("--format json --interval 700ms", document, sizeof document);
    atomic_store(&is_over, true);
    pthread_join(thread, &wrong);
    tgi_service_board_close(&place);
    assert_null(wrong);

    has(text, "    4711 made up          cuda:3  active      resident ");
    has(text, " 9/64          5       4       2\n");
    has(text, "client 0   weight    1   25.0 % of the time");
    has(text, "100/s  2 waiting, 1 running, 3 in flight, 6 late, 7 cancelled\n");
    has(text, "client 1   weight    3   75.0 % of the time");
    has(text, "300/s  3 waiting, 3 running, 6 in flight, 0 late, 0 cancelled\n");
    has(text, "client 2   weight 1000    0.0 % of the time");
    has(text, " 0/s  0 waiting, 0 running, 0 in flight, 0 late, 0 cancelled\n");

    has(document, "\"device\": \"cuda:3\"");
    has(document, "\"messages_per_s\": 4000");
    snprintf(want, sizeof want, "\"p50_us\": %.5g", (double)tg_service_bucket_ns(10) / 1e3);
    has(document, want);
    snprintf(want, sizeof want, "\"p99_us\": %.5g", (double)tg_service_bucket_ns(14) / 1e3);
    has(document, want);
    has(document, "\"share\": 0.25,");
    has(document, "\"share\": 0.75,");
    has(document, "\"share\": 0,");
}

/* ---- A service ----------------------------------------------------------------------------*/

static struct tg_service *service_of_two_clients(struct tg_service_program *program_of_one_task)
{
    const struct tg_service_client clients[] = {{1, 0, 3}, {3, 0, 3}};
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service_options o = small_options(2);
    must(tg_service_program_add_task(program_of_one_task, TG_SERVICE_OP_SPIN, 200000, NULL, 0, NULL, &err));
    must(tg_service_program_add_output(program_of_one_task, 0, &err));
    setup.programs = &program_of_one_task;
    setup.n_programs = 1;
    setup.clients = clients;
    setup.n_clients = 2;
    setup.n_teams = 2;
    setup.n_workers_each = 1;
    o.setup = &setup;
    return active_service(&o);
}

/* Both clients have something waiting all the time, as far as there is room. */
static void *keep_submitting(void *user)
{
    struct tg_service *s = user;
    struct tg_service_answer answer;
    struct tg_error why;
    uint64_t word;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && !atomic_load(&is_over); i++) {
        rc = tg_service_submit(s, &(struct tg_service_instance){.client = i % 2}, NULL, &why);
        if (rc == TG_E_FULL)
            rc = tg_service_receive(s, LONG_NS, &answer, &word, sizeof word, &why);
    }
    return rc ? user : NULL;
}

struct client_line {
    double percent, begun_per_s; /* the latter without its unit of thousands */
    uint64_t weight, n_in_flight;
};
static struct client_line line_of(const char *text, int client)
{
    struct client_line c;
    char begin_of[32], rate[32];
    unsigned long weight, n_waiting, n_running, n_in_flight, n_late, n_cancelled;
    snprintf(begin_of, sizeof begin_of, "client %-2d", client);
    const char *at = strstr(text, begin_of);
    if (!at || sscanf(at + strlen(begin_of),
                      " weight %lu %lf %% of the time %31[^/]/s %lu waiting, %lu running, %lu in flight, %lu late, %lu cancelled", &weight,
                      &c.percent, rate, &n_waiting, &n_running, &n_in_flight, &n_late, &n_cancelled) != 8)
        fail_msg("no whole line of client %d in\n%s", client, text);
    c.begun_per_s = strtod(rate, NULL);
    c.weight = weight;
    c.n_in_flight = n_in_flight;
    assert_int_equal(n_late + n_cancelled, 0);
    return c;
}

static void top_shows_a_service_with_two_clients_while_it_works(void **state)
{
    (void)state;
    struct tg_service_program *spin;
    struct tg_service_show *show;
    pthread_t thread;
    char text[8192];
    void *wrong;
    must(tg_service_program_create(0, &spin, &err));
    struct tg_service *s = service_of_two_clients(spin);
    tg_service_program_destroy(spin);
    must(tg_service_show(s, "two clients", &show, &err));
    atomic_store(&is_over, false);
    assert_int_equal(pthread_create(&thread, NULL, keep_submitting, s), 0);
    top("--once --interval 1500ms", text, sizeof text);
    atomic_store(&is_over, true);
    pthread_join(thread, &wrong);
    assert_null(wrong);
    tg_service_hide(show);
    end_service(s);

    has(text, " two clients      cuda:0  active      resident ");
    struct client_line a = line_of(text, 0), b = line_of(text, 1);
    assert_int_equal(a.weight, 1);
    assert_int_equal(b.weight, 3);
    assert_true(a.percent > 0 && b.percent > 0 && a.percent + b.percent > 99.8 && a.percent + b.percent < 100.2);
    assert_true(a.begun_per_s > 0 && b.begun_per_s > 0);
    assert_true(a.n_in_flight <= 3 && b.n_in_flight <= 3);
}

int main(void)
{
    if (!service_standin_load() || !find_program())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(top_prints_rates_and_shares_by_client, begin, service_folder_end),
        cmocka_unit_test_setup_teardown(top_shows_a_service_with_two_clients_while_it_works, begin, service_folder_end),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    service_standin_end_if_left();
    return n_failed;
}
