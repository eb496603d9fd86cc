/* The processors of this machine, of described ones, and within restrictions. */
#include "sched/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tgi_topology *open_topology(const char *description)
{
    struct tgi_topology *t = NULL;
    struct tg_error err;
    if (tgi_topology_open(description, &t, &err) != 0)
        fail_msg("%s", err.text);
    return t;
}

/* What holds for every topology. */
static void check(const struct tgi_topology *t)
{
    assert_true(t->n_cpus >= 1);
    uint32_t n_first = 0;
    for (uint32_t i = 0; i < t->n_cpus; i++) {
        const struct tgi_cpu *c = &t->cpus[i];
        assert_true(c->core < t->n_cores && c->l3 < t->n_l3 && c->numa < t->n_numa &&
                    c->package < t->n_packages);
        n_first += c->smt == 0;
        assert_true(i == 0 || c->smt >= t->cpus[i - 1].smt);
        for (uint32_t k = 0; k < i; k++) {
            assert_true(t->cpus[k].os_index != c->os_index);
            assert_true(t->cpus[k].core != c->core || t->cpus[k].smt != c->smt);
        }
    }
    assert_int_equal(n_first, t->n_cores);
}

static void check_victims(const struct tgi_topology *t, uint32_t n_workers)
{
    uint32_t *order = calloc(n_workers + 1, sizeof *order);
    uint8_t *class = calloc(n_workers + 1, 1), *seen = calloc(n_workers, 1);
    assert_true(order && class && seen);
    for (uint32_t self = 0; self < n_workers; self++) {
        memset(seen, 0, n_workers);
        order[n_workers - 1] = 12345; /* only n_workers - 1 are written */
        tgi_topology_victims(t, self, n_workers, order, class);
        assert_int_equal(order[n_workers - 1], 12345);
        for (uint32_t i = 0; i + 1 < n_workers; i++) {
            assert_true(order[i] < n_workers && order[i] != self && !seen[order[i]]);
            seen[order[i]] = 1;
            assert_true(i == 0 || class[i] >= class[i - 1]);
            const struct tgi_cpu *a = &t->cpus[self % t->n_cpus], *b = &t->cpus[order[i] % t->n_cpus];
            int near = a->core == b->core         ? 0
                       : a->l3 == b->l3           ? 1
                       : a->numa == b->numa       ? 2
                       : a->package == b->package ? 3
                                                  : 4;
            assert_int_equal(class[i], near);
            /* within a class they follow self around the ring */
            if (i && class[i] == class[i - 1])
                assert_true((order[i] + n_workers - self) % n_workers >
                            (order[i - 1] + n_workers - self) % n_workers);
        }
        tgi_topology_victims(t, self, n_workers, order, NULL);
    }
    free(order);
    free(class);
    free(seen);
}

static void synthetic_machines_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t cpus, cores, l3, numa, packages;
    } cases[] = {
        {"pack:2 numa:2 core:4 pu:2", 32, 16, 4, 4, 2},
        {"pack:1 numa:1 core:1 pu:1", 1, 1, 1, 1, 1},
        {"pack:2 core:3 pu:1", 6, 6, 2, 1, 2},
        {"pack:2 numa:1 l3:4 l2:1 core:2 pu:2", 32, 16, 8, 2, 2},
        {"numa:2 pack:2 l3:1 core:2 pu:1", 8, 8, 4, 2, 4},
        {"pack:1 l2:4 core:1 pu:2", 8, 4, 4, 1, 1},
        {"pu:5", 5, 5, 1, 1, 1},
        {"pack:2 numa:4 core:16 pu:2", 256, 128, 8, 8, 2},
        {"group:2 pack:1 numa:2 core:2 pu:1", 8, 8, 4, 4, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tgi_topology *t = open_topology(cases[i].text);
        check(t);
        assert_int_equal(t->n_cpus, cases[i].cpus);
        assert_int_equal(t->n_cores, cases[i].cores);
        assert_int_equal(t->n_l3, cases[i].l3);
        assert_int_equal(t->n_numa, cases[i].numa);
        assert_int_equal(t->n_packages, cases[i].packages);
        assert_false(t->is_this_machine);
        check_victims(t, 1);
        check_victims(t, 2);
        check_victims(t, t->n_cpus < 40 ? t->n_cpus : 40);
        check_victims(t, t->n_cpus < 16 ? 2 * t->n_cpus + 1 : 7);
        tgi_topology_close(t);
    }
}

static void first_threads_of_all_cores_come_before_second_ones(void **state)
{
    (void)state;
    struct tgi_topology *t = open_topology("pack:2 core:2 pu:3");
    for (uint32_t i = 0; i < t->n_cpus; i++) {
        assert_int_equal(t->cpus[i].smt, i / 4);
        assert_int_equal(t->cpus[i].core, i % 4);
        assert_int_equal(t->cpus[i].os_index, i % 4 * 3 + i / 4);
    }
    tgi_topology_close(t);
}

static void victims_are_the_nearest_first(void **state)
{
    (void)state;
    struct tgi_topology *t = open_topology("pack:2 numa:2 l3:2 core:2 pu:2");
    uint32_t order[31];
    uint8_t class[31];
    tgi_topology_victims(t, 1, 32, order, class);
    static const uint32_t expected[] = {17, 16, 0, 2, 3, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23};
    static const uint8_t classes[] = {0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(order[i], expected[i]);
        assert_int_equal(class[i], classes[i]);
    }
    assert_int_equal(class[15], 4);
    tgi_topology_close(t);
}

static void binding_never_claims_success_on_another_machine(void **state)
{
    (void)state;
    struct tgi_topology *t = open_topology("pack:1 core:2 pu:1");
    struct tg_error err;
    assert_int_equal(tgi_topology_bind(t, 0, &err), TG_E_TOPOLOGY);
    assert_int_equal(tgi_topology_bind(t, 2, &err), TG_E_INVALID);
    tgi_topology_close(t);
}

static void this_machine_binds_where_it_says(void **state)
{
    (void)state;
    cpu_set_t before, now;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    struct tgi_topology *t = open_topology(NULL);
    check(t);
    check_victims(t, t->n_cpus);
    assert_int_equal(t->n_cpus, CPU_COUNT(&before));
    if (t->is_this_machine) /* not where HWLOC_XMLFILE or the like is set */
        for (uint32_t i = 0; i < t->n_cpus; i++) {
            assert_true(CPU_ISSET(t->cpus[i].os_index, &before));
            assert_int_equal(tgi_topology_bind(t, i, NULL), 0);
            assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
            assert_int_equal(CPU_COUNT(&now), 1);
            assert_true(CPU_ISSET(t->cpus[i].os_index, &now));
        }
    tgi_topology_close(t);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void a_restricted_process_sees_its_own_processors_only(void **state)
{
    (void)state;
    cpu_set_t before;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        cpu_set_t one;
        if (!CPU_ISSET(cpu, &before))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
        struct tgi_topology *t = open_topology(NULL);
        check(t);
        assert_int_equal(t->n_cpus, 1);
        assert_int_equal(t->cpus[0].os_index, cpu);
        assert_int_equal(t->cpus[0].numa, 0);
        tgi_topology_close(t);
    }
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

/* Writes a synthetic machine, restricted to some processors, as XML. */
static void export_restricted(const char *description, const char *cpus, const char *path)
{
    hwloc_topology_t hw;
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    assert_non_null(set);
    assert_int_equal(hwloc_bitmap_list_sscanf(set, cpus), 0);
    assert_int_equal(hwloc_topology_init(&hw), 0);
    assert_int_equal(hwloc_topology_set_synthetic(hw, description), 0);
    assert_int_equal(hwloc_topology_load(hw), 0);
    assert_int_equal(hwloc_topology_restrict(hw, set, 0), 0);
    assert_int_equal(hwloc_topology_export_xml(hw, path, 0), 0);
    hwloc_topology_destroy(hw);
    hwloc_bitmap_free(set);
}

static void restricted_machines_get_dense_numbers(void **state)
{
    (void)state;
    char path[] = "/tmp/test-topology-XXXXXX.xml";
    int fd = mkstemps(path, 4);
    assert_true(fd >= 0);
    close(fd);
    /* One thread of a core of node 0, none of node 1, three cores of node 2, both threads of one. */
    export_restricted("pack:2 numa:2 core:4 pu:2", "3,16,18-19,23", path);
    struct tgi_topology *t = open_topology(path);
    check(t);
    assert_int_equal(t->n_cpus, 5);
    assert_int_equal(t->n_cores, 4);
    assert_int_equal(t->n_numa, 2);
    assert_int_equal(t->n_packages, 2);
    assert_int_equal(t->cpus[0].os_index, 3);
    assert_int_equal(t->cpus[4].os_index, 19);
    assert_int_equal(t->cpus[4].smt, 1);
    assert_int_equal(t->cpus[4].numa, 1);
    assert_int_equal(t->cpus[4].package, 1);
    assert_true(t->numa_bytes[1] > 0);
    check_victims(t, 5);
    check_victims(t, 11);
    tgi_topology_close(t);
    unlink(path);
}

static void what_cannot_be_read_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "core",
                                      "core:x",
                                      "core:0",
                                      "pack:2 nonsense:3",
                                      "/nonexistent/machine.xml",
                                      "/etc/passwd",
                                      "/dev/null",
                                      "pu:1 core:2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tgi_topology *t = NULL;
        struct tg_error err = {0};
        assert_int_equal(tgi_topology_open(bad[i], &t, &err), TG_E_TOPOLOGY);
        assert_null(t);
        assert_true(err.text[0]);
    }
    tgi_topology_close(NULL);
}

static void the_drawing_shows_nodes_caches_and_cores(void **state)
{
    (void)state;
    struct tgi_topology *t = open_topology("pack:2 numa:1(memory=4294967296) l3:1(size=1048576) core:2 pu:2");
    char *text = tgi_topology_text(t);
    assert_non_null(text);
    assert_string_equal(strchr(text, '\n') + 1, "  package 0\n"
                                                "    numa 0, 4 GiB\n"
                                                "      L3 cache, 1 MiB\n"
                                                "        core 0: cpu 0 1\n"
                                                "        core 1: cpu 2 3\n"
                                                "  package 1\n"
                                                "    numa 1, 4 GiB\n"
                                                "      L3 cache, 1 MiB\n"
                                                "        core 2: cpu 4 5\n"
                                                "        core 3: cpu 6 7\n");
    free(text);
    tgi_topology_close(t);
    t = open_topology("pu:2");
    text = tgi_topology_text(t);
    assert_non_null(text);
    assert_non_null(strstr(text, "    cpu 0\n    cpu 1\n"));
    free(text);
    tgi_topology_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synthetic_machines_are_counted),
        cmocka_unit_test(first_threads_of_all_cores_come_before_second_ones),
        cmocka_unit_test(victims_are_the_nearest_first),
        cmocka_unit_test(binding_never_claims_success_on_another_machine),
        cmocka_unit_test(this_machine_binds_where_it_says),
        cmocka_unit_test(a_restricted_process_sees_its_own_processors_only),
        cmocka_unit_test(restricted_machines_get_dense_numbers),
        cmocka_unit_test(what_cannot_be_read_is_refused),
        cmocka_unit_test(the_drawing_shows_nodes_caches_and_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
