/* mem/service_turn.h: who is next, by weights, urgency and quotas. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "mem/service_turn.h"
#include "tests/random_graph.h"

enum { N_ENTRIES = 64 };
static struct tgi_turns turns;
static struct tgi_turn_entry entries[N_ENTRIES];

static int begin(void **state)
{
    (void)state;
    memset(&turns, 0, sizeof turns);
    memset(entries, 0, sizeof entries);
    return 0;
}

static void put(uint32_t i, uint8_t program, uint8_t client, uint8_t urgency)
{
    entries[i] = (struct tgi_turn_entry){.ticket = i, .program = program, .client = client, .urgency = urgency};
    tgi_turn_put(&turns, entries, i);
}

static void instances_of_a_client_go_in_order_and_the_urgent_first(void **state)
{
    (void)state;
    static const uint32_t want[] = {5, 1, 4, 2, 0, 3};
    tgi_turn_add_client(&turns, 1, 100);
    put(0, 0, 0, 0);
    put(1, 0, 0, 2);
    put(2, 0, 0, 1);
    put(3, 0, 0, 0);
    put(4, 0, 0, 2);
    put(5, 0, 0, 3);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t next = tgi_turn_next(&turns);
        assert_int_equal(next, want[i]);
        tgi_turn_begin(&turns, entries, next);
    }
    assert_int_equal(tgi_turn_next(&turns), TGI_TURN_NONE);
    assert_int_equal(turns.n_waiting, 0);
}

static void what_is_removed_leaves_the_rest_in_order(void **state)
{
    (void)state;
    struct dice dice = {test_seed(1)};
    tgi_turn_add_client(&turns, 1, 100);
    for (int round = 0; round < 200; round++) {
        bool is_in[N_ENTRIES];
        for (uint32_t i = 0; i < N_ENTRIES; i++) {
            put(i, 0, 0, 1);
            is_in[i] = true;
        }
        for (uint32_t n = roll(&dice, N_ENTRIES); n; n--) {
            uint32_t i = roll(&dice, N_ENTRIES);
            if (is_in[i])
                tgi_turn_remove(&turns, entries, i);
            is_in[i] = false;
        }
        for (uint32_t i = 0; i < N_ENTRIES; i++)
            if (is_in[i]) {
                assert_int_equal(tgi_turn_next(&turns), i);
                tgi_turn_remove(&turns, entries, i);
            }
        assert_int_equal(tgi_turn_next(&turns), TGI_TURN_NONE);
    }
}

static void a_client_has_no_more_running_than_it_may(void **state)
{
    (void)state;
    tgi_turn_add_client(&turns, 1000, 2);
    tgi_turn_add_client(&turns, 1, 100);
    for (uint32_t i = 0; i < 8; i++)
        put(i, 0, i % 2, 0);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t next = tgi_turn_next(&turns);
        assert_true(next != TGI_TURN_NONE);
        tgi_turn_begin(&turns, entries, next);
    }
    assert_int_equal(turns.clients[0].n_running, 2);
    assert_int_equal(turns.clients[1].n_running, 4);
    assert_int_equal(tgi_turn_next(&turns), TGI_TURN_NONE);
    tgi_turn_end(&turns, 0, 0, 0, 100);
    assert_int_equal(entries[tgi_turn_next(&turns)].client, 0);
}

/* Time on n_seats seats that always have something to do, with clients of these weights whose instances take so long, give or take
 * a half.  Each client's part of what all used is compared with what its weight promises. */
static void share_time(struct dice *dice, uint32_t n_clients, const uint32_t *weights, const uint32_t *lengths, uint32_t n_seats)
{
    struct {
        uint64_t until, charged, ns;
        uint32_t client;
        bool is_taken;
    } seats[8] = {{0}};
    double weight = 0, used = 0;
    begin(NULL);
    for (uint32_t c = 0; c < n_clients; c++) {
        tgi_turn_add_client(&turns, weights[c], 100);
        weight += weights[c];
        for (uint32_t k = 0; k < 2; k++) {
            put(2 * c + k, (uint8_t)(c % TGI_TURN_MAX_PROGRAMS), (uint8_t)c, 0);
        }
    }
    for (uint32_t n = 0; n < 60000; n++) {
        uint32_t s = 0;
        for (uint32_t k = 1; k < n_seats; k++)
            s = seats[k].until < seats[s].until ? k : s;
        uint64_t now = seats[s].until;
        if (seats[s].is_taken)
            tgi_turn_end(&turns, seats[s].client, seats[s].client % TGI_TURN_MAX_PROGRAMS, seats[s].charged, seats[s].ns);
        uint32_t i = tgi_turn_next(&turns);
        assert_true(i != TGI_TURN_NONE);
        uint32_t c = entries[i].client;
        seats[s].client = c;
        seats[s].charged = tgi_turn_begin(&turns, entries, i);
        seats[s].ns = lengths[c] / 2 + roll(dice, lengths[c]) + 1;
        seats[s].until = now + seats[s].ns;
        seats[s].is_taken = true;
        put(i, (uint8_t)(c % TGI_TURN_MAX_PROGRAMS), (uint8_t)c, 0);
    }
    for (uint32_t c = 0; c < n_clients; c++)
        used += (double)turns.clients[c].used_ns;
    for (uint32_t c = 0; c < n_clients; c++) {
        double part = (double)turns.clients[c].used_ns / used * weight / weights[c];
        if (part < 0.98 || part > 1.02)
            fail_msg("client %u of %u, weight %u, has %.3f of its part", c, n_clients, weights[c], part);
    }
}

static void weights_are_met_whatever_instances_take(void **state)
{
    (void)state;
    struct dice dice = {test_seed(1)};
    share_time(&dice, 2, (uint32_t[]){1, 1}, (uint32_t[]){1000, 50000}, 1);
    share_time(&dice, 3, (uint32_t[]){5, 3, 1}, (uint32_t[]){20000, 3000, 500}, 4);
    for (int round = 0; round < 10; round++) {
        uint32_t weights[8], lengths[8], n = 2 + roll(&dice, 6);
        for (uint32_t c = 0; c < n; c++) {
            weights[c] = 1 + roll(&dice, 20);
            lengths[c] = 100 + roll(&dice, 30000);
        }
        /* Fewer seats than clients: with more, a client of great weight cannot fill its part with two instances. */
        share_time(&dice, n, weights, lengths, 1);
    }
}

static void who_was_away_does_not_get_what_it_did_not_use(void **state)
{
    (void)state;
    uint32_t n_first = 0;
    tgi_turn_add_client(&turns, 1, 100);
    tgi_turn_add_client(&turns, 1, 100);
    for (int i = 0; i < 1000; i++) { /* the second one is away */
        put(0, 0, 0, 0);
        uint64_t charged = tgi_turn_begin(&turns, entries, tgi_turn_next(&turns));
        tgi_turn_end(&turns, 0, 0, charged, 100);
    }
    put(0, 0, 0, 0);
    put(1, 0, 1, 0);
    for (int i = 0; i < 100; i++) {
        uint32_t next = tgi_turn_next(&turns), client = entries[next].client;
        uint64_t charged = tgi_turn_begin(&turns, entries, next);
        n_first += client == 0;
        tgi_turn_end(&turns, client, 0, charged, 100);
        put(next, 0, (uint8_t)client, 0);
    }
    assert_in_range(n_first, 48, 52);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(instances_of_a_client_go_in_order_and_the_urgent_first, begin),
        cmocka_unit_test_setup(what_is_removed_leaves_the_rest_in_order, begin),
        cmocka_unit_test_setup(a_client_has_no_more_running_than_it_may, begin),
        cmocka_unit_test_setup(weights_are_met_whatever_instances_take, begin),
        cmocka_unit_test_setup(who_was_away_does_not_get_what_it_did_not_use, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
