/* Simulated runs as records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "io/plan_json.h"
#include "io/recording_plan.h"
#include "tests/plan_graph.h"

enum { N_STEPS = 12, WIDTH = 6 };

/* A stencil: every step reads its neighbours of the step before. */
static struct tg_graph *stencil(void)
{
    struct tg_graph *g = plan_graph();
    struct tg_error err;
    tg_buffer_id b[2][WIDTH];
    tg_kernel_id kernel = plan_kernel_of(g, "step", 1, 3);
    for (uint32_t i = 0; i < 2 * WIDTH; i++)
        b[i / WIDTH][i % WIDTH] = plan_buffer(g, i, 4096);
    for (uint32_t s = 0; s < N_STEPS; s++)
        for (uint32_t i = 0; i < WIDTH; i++) {
            const tg_buffer_id args[] = {b[(s + 1) % 2][i], b[s % 2][i ? i - 1 : 0], b[s % 2][i], b[s % 2][i + 1 < WIDTH ? i + 1 : i]};
            plan_task(g, kernel, 4, args, NAN, NAN, 10.3 + i);
        }
    MUST(tg_graph_freeze(g, &err));
    return g;
}

/* A CPU of three lanes, and two devices of another kind with memories of their own. */
static void mixed(struct tgi_machine *m)
{
    *m = (struct tgi_machine){.name = "mixed"};
    plan_add_devices(m, "cpu", 1, 3, 1, 0);
    plan_add_devices(m, "gpu", 2, 1, 1, 0);
    plan_join(m, 100, 10, TGI_SHARE_LINK);
}

struct made {
    struct tg_graph *g;
    struct tgi_machine m;
    struct tgi_workload *w;
    struct tgi_plan *plan;
    struct tgi_recording r;
};

static void make(struct made *k, bool is_mixed, const char *policy)
{
    struct tg_error err;
    k->g = stencil();
    if (is_mixed) {
        mixed(&k->m);
    } else {
        k->m = (struct tgi_machine){.name = "plain"};
        plan_add_devices(&k->m, "cpu", 1, 3, 1, 0);
        MUST(tgi_machine_finish(&k->m, &err));
    }
    k->w = workload_of(k->g, &k->m);
    k->plan = plan_of(k->w, policy);
    if (is_mixed) /* from here on, as the kernel has a variant for CPUs alone */
        k->m.classes[1].kind = TGI_DEVICE_CUDA;
    MUST(tgi_recording_of_plan(k->w, k->plan, &k->r, &err));
}

static void unmake(struct made *k)
{
    tgi_recording_fini(&k->r);
    tgi_plan_destroy(k->plan);
    tgi_workload_destroy(k->w);
    tgi_machine_fini(&k->m);
    tg_graph_destroy(k->g);
}

/* No lane has two tasks at once, and none starts before those it waits for have ended. */
static void check_schedule(const struct made *k)
{
    const struct tgi_recording *r = &k->r;
    for (uint32_t a = 0; a < r->n_tasks; a++) {
        const struct tgi_recording_task *x = &r->tasks[a];
        assert_true(x->lane < r->n_lanes && x->end_ns > x->start_ns && x->state == TG_TASK_DONE);
        assert_true(fabs((double)x->start_ns - k->plan->start[a]) <= 0.5);
        for (uint32_t b = 0; b < a; b++)
            if (r->tasks[b].lane == x->lane && r->tasks[b].start_ns < x->end_ns && x->start_ns < r->tasks[b].end_ns)
                fail_msg("tasks %u and %u are both on lane %u", a, b, x->lane);
        for (uint32_t e = 0; e < x->n_preds; e++)
            assert_true(r->tasks[r->preds[x->first_pred + e]].end_ns <= x->start_ns);
    }
}

static void lanes_have_a_task_at_a_time(void **state)
{
    (void)state;
    struct made k;
    make(&k, false, "steal");
    assert_int_equal(k.r.n_tasks, N_STEPS * WIDTH);
    assert_int_equal(k.r.n_lanes, 3);
    assert_int_equal(k.r.head.n_workers, 3);
    assert_true(fabs((double)k.r.head.makespan_ns - k.plan->makespan_ns) <= 0.5);
    check_schedule(&k);
    unmake(&k);
}

static void other_devices_have_streams_and_bytes(void **state)
{
    (void)state;
    struct made k;
    char name[64];
    make(&k, true, "eager");
    check_schedule(&k);
    assert_int_equal(k.r.n_devices, 2);
    assert_int_equal(k.r.head.n_workers, 3);
    assert_int_equal(k.r.n_lanes, 5);
    assert_string_equal(tgi_recording_lane_name(&k.r, 2, name, sizeof name), "cpu:2");
    assert_string_equal(tgi_recording_lane_name(&k.r, 4, name, sizeof name), "gpu:1 s0");
    uint64_t in = 0, n_on_devices = 0;
    for (uint32_t i = 0; i < 2; i++)
        in += k.r.devices[i].in_bytes;
    for (uint32_t t = 0; t < k.r.n_tasks; t++)
        n_on_devices += k.m.devices[k.plan->device[t]].class == 1;
    assert_true(n_on_devices > 0 && in > 0);
    assert_int_equal(in, k.r.head.to_device_bytes + k.r.head.peer_bytes);
    unmake(&k);
}

static void a_record_of_a_plan_is_a_file_like_any_other(void **state)
{
    (void)state;
    struct made k;
    struct tgi_recording again;
    struct tg_error err;
    char path[] = "/tmp/tgraph-test-plan-XXXXXX";
    make(&k, true, "steal");
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "wb");
    assert_non_null(f);
    MUST(tgi_recording_write(&k.r, f, &err));
    fclose(f);
    MUST(tgi_recording_read(path, &again, &err));
    assert_int_equal(unlink(path), 0);
    assert_string_equal(tgi_recording_string(&again, again.head.outcome), "simulated");
    assert_string_equal(tgi_recording_string(&again, again.head.policy), "steal");
    assert_string_equal(tgi_recording_string(&again, again.head.machine), "mixed");
    assert_int_equal(again.n_tasks, k.r.n_tasks);
    assert_memory_equal(again.tasks, k.r.tasks, again.n_tasks * sizeof *again.tasks);
    tgi_recording_fini(&again);
    unmake(&k);
}

static void a_plan_that_is_written_has_every_task(void **state)
{
    (void)state;
    struct made k;
    struct tgi_bounds bounds;
    struct tg_error err;
    char *text;
    size_t size;
    uint32_t n = 0;
    make(&k, false, "steal");
    MUST(tgi_bounds_find(k.w, &bounds, &err));
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    tgi_plan_write(k.w, k.plan, &bounds, to);
    fclose(to);
    assert_non_null(strstr(text, "\"schema\": \"tgraph.plan/1\""));
    assert_non_null(strstr(text, "\"n_tasks\": 72"));
    for (const char *at = text; (at = strstr(at, "\"device\": \"cpu:0\"")); at++)
        n++;
    assert_int_equal(n, N_STEPS * WIDTH);
    free(text);
    unmake(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_have_a_task_at_a_time),
        cmocka_unit_test(other_devices_have_streams_and_bytes),
        cmocka_unit_test(a_record_of_a_plan_is_a_file_like_any_other),
        cmocka_unit_test(a_plan_that_is_written_has_every_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
