/* The page of a record in a browser: that it opens without a request, a message or an exception, that what it decodes is the
 * record, that names which try to break out stay names, and that clicks, wheel, search and tables do what they should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/recording_export.h"
#include "tests/browser.h"
#include "tests/hostile.h"

static struct tg_error err;
static struct browser browser;
static char path[] = "/tmp/tgraph-page.XXXXXX.html";

struct sample {
    struct tgi_recording r;
    struct tgi_recording_paths paths;
};

static struct sample make_sample(struct tg_graph *g)
{
    struct sample s;
    struct tgi_span *spans = calloc(g->n_tasks, sizeof(*spans));
    assert_non_null(spans);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        spans[t] = (struct tgi_span){.start_ns = t * 1000 + 500, .end_ns = t * 1000 + 1900 + t % 13, .worker = t % 3, .attempts = 1,
                                     .state = TG_TASK_DONE};
    struct tgi_recorded what = {.graph = g, .spans = spans, .n_workers = 3, .makespan_ns = g->n_tasks * 1000 + 2000, .outcome = "ok"};
    assert_int_equal(tgi_recording_create(&what, &s.r, &err), 0);
    assert_int_equal(tgi_recording_paths_create(&s.r, &s.paths, &err), 0);
    free(spans);
    tg_graph_destroy(g);
    return s;
}

static struct sample make_hostile(void)
{
    struct tg_graph *g = NULL;
    assert_int_equal(hostile_graph(&g, &err), 0);
    return make_sample(g);
}

static void free_sample(struct sample *s)
{
    tgi_recording_paths_fini(&s->paths);
    tgi_recording_fini(&s->r);
}

/* Writes the page and opens it. */
static void show(const struct sample *s)
{
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_int_equal(tgi_recording_write_html(&s->r, &s->paths, to, &err), 0);
    assert_int_equal(fclose(to), 0);
    assert_true(browser_show(&browser, path));
}

static double number(const char *expression)
{
    json_t *value = browser_evaluate(&browser, expression);
    assert_true(json_is_number(value) || json_is_boolean(value));
    double result = json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
    json_decref(value);
    return result;
}

static void assert_shown(const char *expression, const char *expected)
{
    json_t *value = browser_evaluate(&browser, expression);
    assert_true(json_is_string(value));
    assert_string_equal(json_string_value(value), expected);
    json_decref(value);
}

/* The page itself is the only thing that was asked for, and nothing was said about it. */
static void assert_quiet(void)
{
    assert_int_equal(browser_count(&browser, "Network.requestWillBeSent"), 1);
    assert_int_equal(browser_count(&browser, "Runtime.consoleAPICalled"), 0);
    assert_int_equal(browser_count(&browser, "Runtime.exceptionThrown"), 0);
    assert_int_equal(browser_count(&browser, "Log.entryAdded"), 0);
}

/* ---- What is in it ------------------------------------------------------------------------*/

static void columns_decode_to_the_record(void **state)
{
    struct sample s = make_hostile();
    (void)state;
    show(&s);
    json_t *all = browser_evaluate(&browser, "({start: [...run.start], end: [...run.end], ready: [...run.ready], slack: [...run.slack], "
                                             "lane: [...run.lane], waited: [...run.waited_for], first: [...run.first_pred], preds: [...run.preds], "
                                             "critical: [...criticalTasks], kernel: [...run.kernel]})");
    assert_int_equal(json_array_size(json_object_get(all, "start")), s.r.n_tasks);
    assert_int_equal(json_array_size(json_object_get(all, "preds")), s.r.n_preds);
    assert_int_equal(json_array_size(json_object_get(all, "critical")), s.paths.n_critical);
#define IS(key, i, expected) assert_int_equal(json_number_value(json_array_get(json_object_get(all, key), i)), expected)
    for (uint32_t t = 0; t < s.r.n_tasks; t++) {
        const struct tgi_recording_task *task = &s.r.tasks[t];
        IS("start", t, task->start_ns);
        IS("end", t, task->end_ns);
        IS("ready", t, task->ready_ns);
        IS("slack", t, s.paths.slack_ns[t]);
        IS("lane", t, task->lane);
        IS("kernel", t, task->kernel);
        IS("waited", t, task->waited_for == TG_NONE ? -1 : (int64_t)task->waited_for);
        IS("first", t, task->first_pred);
    }
    for (uint32_t i = 0; i < s.r.n_preds; i++)
        IS("preds", i, s.r.preds[i]);
    for (uint32_t i = 0; i < s.paths.n_critical; i++)
        IS("critical", i, s.paths.critical[i]);
#undef IS
    json_decref(all);
    assert_quiet();
    free_sample(&s);
}

static void tasks_that_did_not_run_are_told_apart(void **state)
{
    struct tg_graph *g = NULL;
    (void)state;
    assert_int_equal(hostile_graph(&g, &err), 0);
    struct sample s = make_sample(g);
    uint32_t last = (uint32_t)s.r.n_tasks - 1;
    s.r.tasks[last].start_ns = s.r.tasks[last].end_ns = 0;
    s.r.tasks[last].lane = s.r.tasks[last].waited_for = TG_NONE;
    s.r.tasks[last].state = TG_TASK_SKIPPED;
    show(&s);
    assert_int_equal(number("run.lane[run.n - 1]"), -1);
    assert_int_equal(number("run.waited_for[run.n - 1]"), -1);
    assert_int_equal(number("hasWork(run.n - 1)"), 0);
    assert_shown("stateOf(run.n - 1)", "not run");
    assert_shown("choose(run.n - 1, true), document.querySelector('#why dt').textContent", "ready");
    assert_int_equal(number("tasksOf.reduce((n, list) => n + list.length, 0)"), last);
    assert_quiet();
    free_sample(&s);
}

/* ---- Names --------------------------------------------------------------------------------*/

static void names_stay_names(void **state)
{
    struct sample s = make_hostile();
    (void)state;
    show(&s);
    /* Everything that shows names is shown: hits, tables, the panel. */
    assert_int_equal(number("TABLES.tasks().rows.length"), s.r.n_tasks);
    json_decref(browser_evaluate(&browser, "search('<'), ['lanes', 'kernels', 'tasks'].forEach(showTable), choose(10, true), draw(), 0"));
    assert_int_equal(number("document.scripts.length"), 2);
    assert_int_equal(number("document.querySelectorAll('img, iframe, object, embed, link, base, form, svg, b b, [style*=url]').length"), 0);
    assert_int_equal(number("[...document.querySelectorAll('a')].filter(a => a.hasAttribute('href')).length"), 0);
    assert_int_equal(number("[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length"), 0);
    for (size_t i = 0; i < N_HOSTILE; i++) {
        char expression[64];
        if (hostile_names[i][0] == '\xff' || strcmp(hostile_names[i], "#3") == 0)
            continue; /* bytes that no page can hold; a name that a number has as well */
        snprintf(expression, sizeof(expression), "nameOf(%zu)", 2 * i);
        assert_shown(expression, hostile_names[i]);
    }
    assert_shown("document.title", hostile_names[4]);
    assert_quiet();
    free_sample(&s);
}

/* What a name would have to do if it did become markup. */
static void the_policy_lets_nothing_else_run(void **state)
{
    struct sample s = make_hostile();
    (void)state;
    show(&s);
    assert_quiet();
    assert_int_equal(number("(() => { const e = document.createElement('script'); e.textContent = 'window.evil = 1'; "
                            "document.body.append(e); return window.evil === undefined; })()"), 1);
    assert_int_equal(number("(() => { const e = document.createElement('p'); e.setAttribute('onclick', 'window.evil = 1'); "
                            "document.body.append(e); e.click(); return window.evil === undefined; })()"), 1);
    assert_shown("fetch('file:///etc/hostname').then(() => 'sent', () => 'refused')", "refused");
    assert_shown("new Promise(done => { const e = new Image(); e.onload = () => done('loaded'); e.onerror = () => done('refused'); "
                 "e.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='; })", "refused");
    free_sample(&s);
}

/* ---- What it does -------------------------------------------------------------------------*/

static void a_click_on_a_task_says_why(void **state)
{
    struct sample s = make_hostile();
    (void)state;
    show(&s);
    json_decref(browser_evaluate(&browser, "byId('lanes').scrollIntoView(), 0"));
    double left = number("byId('lanes').getBoundingClientRect().left"), top = number("byId('lanes').getBoundingClientRect().top");
    double x = left + number("LABELS + (widthOf(lanesCanvas) - LABELS) * (run.start[7] + run.end[7]) / 2 / lastEnd");
    double y = top + number("rowTop(rowOf.get(run.lane[7])) + rowHeight / 2");
    browser_mouse(&browser, "mousePressed", x, y, 0, 0);
    browser_mouse(&browser, "mouseReleased", x, y, 0, 0);
    assert_int_equal(number("marked.task"), 7);
    assert_int_equal(number("byId('why').hidden"), 0);
    assert_int_equal(number("byId('why').textContent.includes(nameOf(7)) && byId('why').textContent.includes('slack')"), 1);

    /* Its link to what it waited for leads there. */
    assert_int_equal(number("document.querySelector('#why a.task').click(), marked.task === run.waited_for[7]"), 1);
    assert_quiet();
    free_sample(&s);
}

static void wheel_and_drag_move_the_view(void **state)
{
    struct sample s = make_hostile();
    (void)state;
    show(&s);
    json_decref(browser_evaluate(&browser, "byId('lanes').scrollIntoView(), 0"));
    double x = number("byId('lanes').getBoundingClientRect().left") + 600, y = number("byId('lanes').getBoundingClientRect().top") + 40;
    double whole = number("view.to - view.from"), under = number("timeAt(600, widthOf(lanesCanvas))");
    browser_mouse(&browser, "mouseWheel", x, y, 2, -60);
    assert_true(number("view.to - view.from") < whole);
    char expression[128];
    snprintf(expression, sizeof(expression), "Math.abs(timeAt(600, widthOf(lanesCanvas)) - %.17g) < 2", under);
    assert_int_equal(number(expression), 1); /* what is under the pointer stays there */
    double from = number("view.from");
    browser_mouse(&browser, "mousePressed", x, y, 0, 0);
    browser_mouse(&browser, "mouseMoved", x - 80, y, 0, 0);
    browser_mouse(&browser, "mouseReleased", x - 80, y, 0, 0);
    assert_true(number("view.from") > from);
    assert_int_equal(number("byId('zoom-all').click(), view.from === 0 && view.to === lastEnd"), 1);
    assert_quiet();
    free_sample(&s);
}

static void search_and_tables_agree(void **state)
{
    struct sample s = make_hostile();
    (void)state;
    show(&s);
    assert_int_equal(number("(() => { byId('search').value = 'GRAPH'; byId('search').dispatchEvent(new Event('input')); "
                            "return byId('hits').children.length; })()"), 3); /* graph, digraph, subgraph */
    assert_int_equal(number("showTable('tasks'), byId('table').querySelectorAll('tbody tr').length"), 3);
    assert_int_equal(number("search(''), byId('table').querySelectorAll('tbody tr').length"), s.r.n_tasks);
    assert_int_equal(number("(() => { const took = () => [...byId('table').querySelectorAll('tbody tr')].map(r => r.children[3].textContent); "
                            "byId('table').querySelectorAll('th')[3].click(); const down = took(); "
                            "byId('table').querySelectorAll('th')[3].click(); const up = took(); "
                            "return down[0] === up[up.length - 1] && down[0] !== up[0]; })()"), 1);
    assert_quiet();
    free_sample(&s);
}

/* ---- Size ---------------------------------------------------------------------------------*/

/* Where tasks are narrower than pixels a frame paints columns, not tasks. */
static void a_hundred_thousand_tasks_are_few_rectangles(void **state)
{
    struct tg_graph *g;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    (void)state;
    assert_int_equal(tg_graph_create("many", &g, &err), 0);
    kernel.name = "spin";
    kernel.builtin = "spin";
    struct tg_arg arg = tg_arg_float(1);
    assert_int_equal(tg_graph_add_kernel(g, &kernel, &task.kernel, &err), 0);
    task.args = &arg;
    task.n_args = 1;
    for (int i = 0; i < 100000; i++)
        assert_int_equal(tg_graph_add_task(g, &task, NULL, &err), 0);
    assert_int_equal(tg_graph_freeze(g, &err), 0);
    struct sample s = make_sample(g);
    show(&s);
    assert_int_equal(number("run.n"), 100000);
    double painted = number("(() => { let n = 0; const fill = CanvasRenderingContext2D.prototype.fillRect; "
                            "CanvasRenderingContext2D.prototype.fillRect = function(...a) { n++; return fill.apply(this, a); }; "
                            "draw(); CanvasRenderingContext2D.prototype.fillRect = fill; return n; })()");
    double pixels = number("(widthOf(lanesCanvas) - LABELS) * (lanesShown.length + tracks.length + 2)");
    assert_true(painted > 0 && painted < pixels);
    printf("a frame of 100,000 tasks takes %.1f ms here, one of 1,000 of them %.1f ms\n",
           number("(() => { const t = performance.now(); for (let i = 0; i < 10; i++) drawLanes(); return (performance.now() - t) / 10; })()"),
           number("(() => { setView(lastEnd / 2, lastEnd / 2 + lastEnd / 100); const t = performance.now(); "
                  "for (let i = 0; i < 10; i++) drawLanes(); return (performance.now() - t) / 10; })()"));
    assert_quiet();
    free_sample(&s);
}

static int start(void **state)
{
    (void)state;
    int fd = mkstemps(path, 5);
    return fd < 0 || close(fd) || !browser_open(&browser) ? -1 : 0;
}

static int stop(void **state)
{
    (void)state;
    browser_close(&browser);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_decode_to_the_record),
        cmocka_unit_test(tasks_that_did_not_run_are_told_apart),
        cmocka_unit_test(names_stay_names),
        cmocka_unit_test(the_policy_lets_nothing_else_run),
        cmocka_unit_test(a_click_on_a_task_says_why),
        cmocka_unit_test(wheel_and_drag_move_the_view),
        cmocka_unit_test(search_and_tables_agree),
        cmocka_unit_test(a_hundred_thousand_tasks_are_few_rectangles),
    };
    if (!browser_path()) {
        puts("there is no Chromium to open the page in");
        return 77;
    }
    return cmocka_run_group_tests(tests, start, stop);
}
