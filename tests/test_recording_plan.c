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
#include "io/saved_plan.h"
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
            plan_task(g, kernel, 4, args, NAN, 16384, 10.3 + i);
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

/* How many ns a device had a busy lane. */
static uint64_t busy_of(const struct tgi_recording *r, uint32_t device)
{
    uint64_t n = 0;
    for (uint64_t at = 0; at < r->head.makespan_ns; at++)
        for (uint32_t t = 0; t < r->n_tasks; t++)
            if (r->lanes[r->tasks[t].lane].device == device && r->tasks[t].start_ns <= at && at < r->tasks[t].end_ns) {
                n++;
                break;
            }
    return n;
}

static void a_record_has_the_bounds_of_its_machine(void **state)
{
    (void)state;
    struct made k;
    struct tgi_bounds bounds;
    struct tgi_recording_paths paths;
    struct tg_error err;
    make(&k, true, "eager");
    for (uint32_t i = 0; i < k.m.n_memories; i++)
        k.m.memories[i].bytes_per_ns = 100;
    tgi_recording_fini(&k.r);
    MUST(tgi_recording_of_plan(k.w, k.plan, &k.r, &err));
    MUST(tgi_bounds_find(k.w, &bounds, &err));
    MUST(tgi_recording_paths_create(&k.r, &paths, &err));
    struct tgi_run_bounds b = tgi_recording_bounds(&k.r, &paths);
    assert_true(bounds.ns[TGI_BOUND_MEMORY] > 0 && bounds.ns[TGI_BOUND_LINKS] >= 0);
    assert_true(b.ns[TGI_BOUND_MEMORY] == bounds.ns[TGI_BOUND_MEMORY]);
    assert_true(b.ns[TGI_BOUND_LINKS] == bounds.ns[TGI_BOUND_LINKS]);
    assert_int_equal(b.ns[TGI_BOUND_AREA], (busy_of(&k.r, 0) + busy_of(&k.r, 1)) / 2);
    assert_true(tgi_run_bounds_share(&b) > 0 && tgi_run_bounds_share(&b) <= 1);
    tgi_recording_paths_fini(&paths);
    unmake(&k);
}

/* What binds is the largest that is known and was not beaten. */
static void bounds_of_runs_leave_out_what_is_not_known_or_was_beaten(void **state)
{
    (void)state;
    char *text;
    size_t size;
    struct tgi_run_bounds b = tgi_run_bounds(50, 40, &TGI_MACHINE_BOUNDS_NONE, 100);
    assert_int_equal(b.binding, TGI_BOUND_PATH);
    FILE *to = open_memstream(&text, &size);
    tgi_run_bounds_print(&b, to);
    fclose(to);
    assert_non_null(strstr(text, "50 % efficient; binding: critical path   of critical path 50.0 ns, area 40.0 ns\n"));
    assert_non_null(strstr(text, "bounds of memory and links are not known"));
    free(text);
    b = tgi_run_bounds(50, 40, &(struct tgi_machine_bounds){80, 120}, 100);
    assert_int_equal(b.binding, TGI_BOUND_MEMORY);
    to = open_memstream(&text, &size);
    tgi_run_bounds_print(&b, to);
    fclose(to);
    assert_non_null(strstr(text, "80 % efficient; binding: memory   of"));
    assert_non_null(strstr(text, "the run beat the bound of links"));
    assert_null(strstr(text, "not known"));
    free(text);
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
    MUST(tgi_plan_write(k.w, k.plan, &bounds, to, &err));
    fclose(to);
    assert_non_null(strstr(text, "\"schema\": \"tgraph.plan/1\""));
    assert_non_null(strstr(text, "\"n_tasks\": 72"));
    for (const char *at = text; (at = strstr(at, "\"device\": \"cpu:0\"")); at++)
        n++;
    assert_int_equal(n, N_STEPS * WIDTH);
    free(text);
    unmake(&k);
}

/* Machine: a CPU of three lanes and two other devices; the offers of a task stand together, the one it took first. */
static void a_record_of_a_plan_tells_what_tasks_had_to_choose_from(void **state)
{
    (void)state;
    static const char *const policies[] = {"heft", "bandwidth"};
    for (int i = 0; i < 2; i++) {
        struct made k;
        struct tgi_offers offers;
        struct tg_error err;
        make(&k, true, policies[i]);
        MUST(tgi_plan_explain(k.w, policies[i], 0, &offers, &err));
        assert_int_equal(offers.n, 3 * k.g->n_tasks);
        for (uint32_t o = 0; o < offers.n; o++) {
            const struct tgi_offer *x = &offers.list[o], *taken = &offers.list[o - o % 3];
            assert_true(x->move_ns >= 0 && x->wait_ns >= 0 && x->contention_ns >= 0 && x->after_ns >= 0);
            assert_true(fabs(x->work_ns - tgi_workload_ns(k.w, x->task, x->device)) < 1e-6);
            assert_int_equal(x->task, taken->task);
            assert_true(tgi_offer_ns(taken) + taken->after_ns <= tgi_offer_ns(x) + x->after_ns + 1e-3);
            assert_true(x == taken || x->device != taken->device);
        }
        uint32_t n_other = 0, n, chosen_plans = strcmp(k.plan->chosen, policies[i]) == 0;
        for (uint32_t t = 0; t < k.r.n_tasks && chosen_plans; t++) {
            const struct tgi_recording_offer *o = tgi_recording_offers(&k.r, t, &n);
            assert_int_equal(n, 3);
            assert_true(o[0].task == t && o[0].node <= 2);
            uint32_t device = k.r.lanes[k.r.tasks[t].lane].device;
            assert_int_equal(o[0].node, device == TG_NONE ? 0 : device + 1); /* the plan was followed */
            n_other += o[0].node != 0;
        }
        assert_true(!chosen_plans || n_other > 0);
        tgi_offers_fini(&offers);
        unmake(&k);
    }
    struct made k;
    uint32_t n;
    make(&k, true, "steal"); /* which decides as it goes */
    tgi_recording_offers(&k.r, 0, &n);
    assert_int_equal(n, 0);
    unmake(&k);
}

/* ---- Plans that are read back ---------------------------------------------------------------*/

static char *text_of_plan(const struct made *k)
{
    struct tgi_bounds bounds;
    struct tg_error err;
    char *text;
    size_t size;
    MUST(tgi_bounds_find(k->w, &bounds, &err));
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    MUST(tgi_plan_write(k->w, k->plan, &bounds, to, &err));
    fclose(to);
    return text;
}

static int read_text(const char *text, struct tgi_saved_plan *p, struct tg_error *err)
{
    char path[] = "/tmp/tgraph-test-plan-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    bool is_one = tgi_saved_plan_is_one(path);
    assert_int_equal(is_one, strncmp(text, "{\n  \"schema\": \"tgraph.plan/", 27) == 0);
    int rc = tgi_saved_plan_read(p, path, err);
    unlink(path);
    return rc;
}

static void a_plan_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    for (int is_mixed = 0; is_mixed < 2; is_mixed++) {
        struct made k;
        struct tgi_saved_plan p;
        struct tg_error err;
        make(&k, is_mixed, "steal");
        char *text = text_of_plan(&k);
        MUST(read_text(text, &p, &err));
        MUST(tgi_saved_plan_check(&p, k.g, &err));
        assert_int_equal(p.n_tasks, k.g->n_tasks);
        assert_int_equal(p.n_preds, k.g->nodes[k.g->n_tasks].succ);
        assert_string_equal(p.policy, "steal");
        for (uint32_t t = 0; t < p.n_tasks; t++) {
            assert_string_equal(p.devices[p.device[t]], k.m.devices[k.plan->device[t]].name);
            assert_true(p.start[t] == k.plan->start[t] && p.end[t] == k.plan->end[t]);
            for (uint64_t e = p.pred_at[t]; e < p.pred_at[t + 1]; e++) {
                bool is_succ = false;
                for (uint32_t s = k.g->nodes[p.pred[e]].succ; s < k.g->nodes[p.pred[e] + 1].succ; s++)
                    is_succ |= k.g->succ[s] == t;
                assert_true(is_succ);
            }
        }
        tgi_saved_plan_fini(&p);
        free(text);
        unmake(&k);
    }
}

static void a_saved_plan_is_a_record_like_that_of_the_simulated_run(void **state)
{
    (void)state;
    struct made k;
    struct tgi_saved_plan p;
    struct tgi_recording r;
    struct tg_error err;
    make(&k, true, "steal");
    char *text = text_of_plan(&k);
    MUST(read_text(text, &p, &err));
    MUST(tgi_saved_plan_record(&p, &r, &err));
    assert_int_equal(r.n_tasks, k.r.n_tasks);
    assert_int_equal(r.n_devices, 2);
    assert_int_equal(r.head.makespan_ns, k.r.head.makespan_ns);
    assert_true(r.head.n_workers >= 1 && r.head.n_workers <= 3);
    for (uint32_t a = 0; a < r.n_tasks; a++) {
        const struct tgi_recording_task *x = &r.tasks[a], *y = &k.r.tasks[a];
        assert_true(x->start_ns == y->start_ns && x->end_ns == y->end_ns && x->ready_ns == y->ready_ns);
        assert_int_equal(x->n_preds, y->n_preds);
        assert_true(x->lane < r.n_lanes);
        assert_int_equal(r.lanes[x->lane].device, k.r.lanes[y->lane].device);
        for (uint32_t b = 0; b < a; b++)
            if (r.tasks[b].lane == x->lane)
                assert_true(r.tasks[b].end_ns <= x->start_ns || x->end_ns <= r.tasks[b].start_ns);
    }
    tgi_recording_fini(&r);
    tgi_saved_plan_fini(&p);
    free(text);
    unmake(&k);
}

/* The first occurrence of `from` becomes `to`. */
static char *changed(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *made;
    assert_non_null(at);
    assert_true(asprintf(&made, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) >= 0);
    return made;
}

static void plans_that_contradict_themselves_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        int status;
    } cases[] = {
        {"tgraph.plan/1", "tgraph.plan/2", TG_E_VERSION},
        {"\"schema\"", "\"shema\"", TG_E_MISSING_KEY},
        {"\"n_tasks\": 72", "\"n_tasks\": 71", TG_E_BAD_VALUE},
        {"\"n_tasks\": 72", "\"n_tasks\": 4294967295", TG_E_BAD_VALUE},
        {"\"n_tasks\": 72", "\"n_tasks\": -1", TG_E_BAD_VALUE},
        {"\"devices\": [\"cpu:0\"]", "\"devices\": [7]", TG_E_WRONG_TYPE},
        {"\"device\": \"cpu:0\"", "\"device\": \"cpu:1\"", TG_E_UNKNOWN_NAME},
        {"\"device\": \"cpu:0\", ", "", TG_E_MISSING_KEY},
        {"\"start_ns\": 0", "\"start_ns\": 1e30", TG_E_BAD_VALUE},
        {"\"start_ns\": 0", "\"start_ns\": 1e12", TG_E_BAD_VALUE},
        {"\"after\": []", "\"after\": [72]", TG_E_BAD_VALUE},
        {"\"after\": []", "\"after\": [0.5]", TG_E_BAD_VALUE},
        {"\"after\": []", "\"after\": [71]", TG_E_BAD_VALUE},
        {"\"after\": []", "\"after\": 3", TG_E_WRONG_TYPE},
        {"\"tasks\": [", "\"tasks\": [[", TG_E_JSON_SYNTAX},
    };
    struct made k;
    struct tgi_saved_plan p;
    struct tg_error err;
    make(&k, false, "steal");
    char *text = text_of_plan(&k);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *other = changed(text, cases[i].from, cases[i].to);
        int rc = read_text(other, &p, &err);
        if (rc != cases[i].status)
            fail_msg("case %zu: status %d, not %d", i, rc, cases[i].status);
        assert_true(err.text[0] != '\0');
        free(other);
    }
    for (size_t n = strlen(text) - 2; n > 140; n -= 97) { /* cut off anywhere */
        text[n] = '\0';
        assert_int_equal(read_text(text, &p, &err), TG_E_JSON_SYNTAX);
    }
    free(text);
    unmake(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_have_a_task_at_a_time),
        cmocka_unit_test(other_devices_have_streams_and_bytes),
        cmocka_unit_test(a_record_has_the_bounds_of_its_machine),
        cmocka_unit_test(bounds_of_runs_leave_out_what_is_not_known_or_was_beaten),
        cmocka_unit_test(a_record_of_a_plan_is_a_file_like_any_other),
        cmocka_unit_test(a_plan_that_is_written_has_every_task),
        cmocka_unit_test(a_record_of_a_plan_tells_what_tasks_had_to_choose_from),
        cmocka_unit_test(a_plan_is_read_back_as_it_was_written),
        cmocka_unit_test(a_saved_plan_is_a_record_like_that_of_the_simulated_run),
        cmocka_unit_test(plans_that_contradict_themselves_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
