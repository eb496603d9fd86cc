/* A browser without a window, for tests of pages: Chromium, driven by its DevTools protocol through a pipe.  What it reports
 * on its own (console, requests, exceptions) is kept, so that a test can say that there was none. */
#ifndef TESTS_BROWSER_H
#define TESTS_BROWSER_H

#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BROWSER_PATIENCE_MS 120000 /* for one answer, on a machine that others load */

struct browser {
    pid_t pid;
    int to, from;
    char folder[64];     /* its profile */
    char *text;          /* read, not taken yet: messages end with NUL */
    size_t n_text, cap_text;
    int last_id;
    char *session;
    json_t *events;      /* array of messages without id */
};

/* Its path; NULL: there is none. */
static inline const char *browser_path(void)
{
    static const char *const paths[] = {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

/* The next message, which the caller releases; NULL: none in time, or the browser is gone. */
static inline json_t *browser_read(struct browser *b)
{
    for (;;) {
        char *end = b->n_text ? memchr(b->text, '\0', b->n_text) : NULL;
        if (end) {
            json_t *message = json_loads(b->text, 0, NULL);
            size_t size = (size_t)(end + 1 - b->text);
            memmove(b->text, end + 1, b->n_text -= size);
            return message;
        }
        if (b->cap_text - b->n_text < 65536)
            b->text = realloc(b->text, b->cap_text = 2 * b->cap_text + 65536);
        struct pollfd fd = {b->from, POLLIN, 0};
        ssize_t n = poll(&fd, 1, BROWSER_PATIENCE_MS) == 1 ? read(b->from, b->text + b->n_text, b->cap_text - b->n_text) : 0;
        if (n <= 0)
            return NULL;
        b->n_text += (size_t)n;
    }
}

/* Takes params; returns the result, which the caller releases.  NULL: it was refused (printed), or the browser is gone. */
static inline json_t *browser_call(struct browser *b, const char *method, json_t *params)
{
    int id = ++b->last_id;
    json_t *call = json_pack("{s:i,s:s,s:o}", "id", id, "method", method, "params", params ? params : json_object());
    if (b->session)
        json_object_set_new(call, "sessionId", json_string(b->session));
    char *text = json_dumps(call, JSON_COMPACT);
    bool is_sent = write(b->to, text, strlen(text) + 1) == (ssize_t)strlen(text) + 1;
    free(text);
    json_decref(call);
    for (json_t *m; is_sent && (m = browser_read(b));) {
        json_t *number = json_object_get(m, "id"), *result = json_object_get(m, "result");
        if (!number) {
            json_array_append_new(b->events, m);
            continue;
        }
        if (json_integer_value(number) == id && !result)
            json_dumpf(m, stderr, 0);
        result = json_integer_value(number) == id ? json_incref(result) : NULL;
        json_decref(m);
        return result;
    }
    return NULL;
}

/* false: it does not start. */
static inline bool browser_open(struct browser *b)
{
    int down[2], up[2];
    *b = (struct browser){.folder = "/tmp/tgraph-browser.XXXXXX", .events = json_array()};
    char profile[96];
    if (!mkdtemp(b->folder) || pipe(down) || pipe(up))
        return false;
    snprintf(profile, sizeof(profile), "--user-data-dir=%s", b->folder);
    b->pid = fork();
    if (b->pid == 0) {
        /* It reads from 3 and writes to 4; both pipes may have one of these numbers now. */
        int in = dup(down[0]), out = dup(up[1]);
        in = in <= 4 ? dup2(in, 60) : in;
        out = out <= 4 ? dup2(out, 61) : out;
        dup2(in, 3);
        dup2(out, 4);
        for (int fd = 5; fd < 64; fd++)
            close(fd);
        setpgid(0, 0);
        if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(127);
        execl(browser_path(), "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
              "--disable-background-networking", "--no-first-run", "--hide-scrollbars", "--window-size=1200,1000", profile,
              "--remote-debugging-pipe", "about:blank", NULL);
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    b->to = down[1];
    b->from = up[0];
    json_t *target = browser_call(b, "Target.createTarget", json_pack("{s:s}", "url", "about:blank"));
    json_t *session = target ? browser_call(b, "Target.attachToTarget", json_pack("{s:O,s:b}", "targetId",
                                            json_object_get(target, "targetId"), "flatten", 1)) : NULL;
    const char *name = json_string_value(json_object_get(session, "sessionId"));
    b->session = name ? strdup(name) : NULL;
    json_decref(target);
    json_decref(session);
    static const char *const domains[] = {"Page.enable", "Runtime.enable", "Log.enable", "Network.enable"};
    for (size_t i = 0; b->session && i < sizeof(domains) / sizeof(*domains); i++)
        json_decref(browser_call(b, domains[i], NULL));
    return b->session != NULL;
}

static inline void browser_close(struct browser *b)
{
    char command[128];
    if (b->pid > 0) {
        kill(-b->pid, SIGKILL);
        kill(b->pid, SIGKILL);
        waitpid(b->pid, NULL, 0);
    }
    close(b->to);
    close(b->from);
    snprintf(command, sizeof(command), "rm -rf '%s'", b->folder);
    if (b->folder[0] == '/' && system(command) != 0)
        fprintf(stderr, "%s is left behind\n", b->folder);
    json_decref(b->events);
    free(b->session);
    free(b->text);
}

/* How many events of a kind there were. */
static inline size_t browser_count(const struct browser *b, const char *method)
{
    size_t i, n = 0;
    json_t *event;
    json_array_foreach(b->events, i, event)
        n += strcmp(json_string_value(json_object_get(event, "method")), method) == 0;
    return n;
}

static inline bool browser_wait(struct browser *b, const char *method)
{
    while (browser_count(b, method) == 0) {
        json_t *m = browser_read(b);
        if (!m)
            return false;
        json_array_append_new(b->events, m);
    }
    return true;
}

/* Opens a file; events from before are forgotten. */
static inline bool browser_show(struct browser *b, const char *path)
{
    char url[512];
    snprintf(url, sizeof(url), "file://%s", path);
    json_array_clear(b->events);
    json_t *result = browser_call(b, "Page.navigate", json_pack("{s:s}", "url", url));
    bool is_shown = result && !json_object_get(result, "errorText");
    json_decref(result);
    return is_shown && browser_wait(b, "Page.loadEventFired");
}

/* The value of an expression, which the caller releases; NULL: it threw. */
static inline json_t *browser_evaluate(struct browser *b, const char *expression)
{
    json_t *result = browser_call(b, "Runtime.evaluate", json_pack("{s:s,s:b,s:b}", "expression", expression, "returnByValue", 1,
                                                                   "awaitPromise", 1));
    json_t *value = json_object_get(result, "exceptionDetails") ? NULL : json_incref(json_object_get(json_object_get(result, "result"), "value"));
    if (!value && result)
        json_dumpf(result, stderr, JSON_INDENT(1));
    json_decref(result);
    return value;
}

/* type "mousePressed", "mouseReleased", "mouseMoved", "mouseWheel"; modifiers 2: Ctrl. */
static inline void browser_mouse(struct browser *b, const char *type, double x, double y, int modifiers, double wheel)
{
    json_decref(browser_call(b, "Input.dispatchMouseEvent",
                             json_pack("{s:s,s:f,s:f,s:s,s:i,s:i,s:f,s:f}", "type", type, "x", x, "y", y, "button",
                                       strcmp(type, "mouseWheel") == 0 || strcmp(type, "mouseMoved") == 0 ? "none" : "left", "clickCount", 1,
                                       "modifiers", modifiers, "deltaX", 0.0, "deltaY", wheel)));
}

#endif
