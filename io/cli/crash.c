/* Everything here that runs in the handler is safe there: no allocation, no locks, no stdio.  The first
 * thread that crashes speaks; others wait for the end that it brings. */
#include "io/cli/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/cli/progress.h"
#include "io/output.h"

#define SIGNAL_STACK_BYTES 65536
/* How far beyond the end of a stack an access still means that it has overflowed: a frame may be large. */
#define BEYOND_STACK_BYTES 65536

static const struct crash {
    int number;
    const char *name;
} crashes[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGABRT, "SIGABRT"}};
enum { N_CRASHES = sizeof(crashes) / sizeof(*crashes) };

static enum tgi_diagnostic_format format;
static bool is_coloured;
static atomic_int has_crashed;                       /* exchanged by the first thread that does */
static __thread uintptr_t stack_low, stack_guard_low; /* of the thread; 0: unknown */

/* ---- Text ---------------------------------------------------------------------------------*/

struct line {
    char *text;
    size_t size, n;
};

static void put(struct line *line, const char *text)
{
    for (; *text && line->n + 1 < line->size; text++)
        line->text[line->n++] = *text;
    line->text[line->n] = '\0';
}

/* A name from the graph: quotes and control characters could be taken for something else. */
static void put_name(struct line *line, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char one[3] = {(char)(c < 0x20 || c == 0x7f ? '?' : c), '\0', '\0'};
        put(line, one);
    }
}

static void put_number(struct line *line, uintptr_t number, unsigned base)
{
    char digits[32];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do
        digits[--at] = "0123456789abcdef"[number % base];
    while ((number /= base) != 0);
    put(line, digits + at);
}

static void put_task(struct line *line, const struct tg_thread_task *task)
{
    put(line, "task \"");
    if (task->name) {
        put_name(line, task->name);
    } else {
        put(line, "#");
        put_number(line, task->task, 10);
    }
    put(line, "\" (kernel \"");
    put_name(line, task->kernel);
    put(line, "\")");
}

bool tgi_cli_running_task(char *text, size_t size)
{
    struct tg_thread_task task;
    struct line line = {text, size, 0};
    text[0] = '\0';
    bool is_running = tg_thread_task(0, &task);
    if (is_running)
        put_task(&line, &task);
    return is_running;
}

static void put_cause(struct line *line, const struct crash *crash, const siginfo_t *info)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    bool has_address = info->si_code > 0 && (crash->number == SIGSEGV || crash->number == SIGBUS);
    put(line, crash->name);
    if (has_address && stack_low && at >= stack_guard_low - BEYOND_STACK_BYTES && at < stack_low) {
        put(line, ", its stack has overflowed");
    } else if (has_address) {
        put(line, ", access to address 0x");
        put_number(line, at, 16);
    } else if (crash->number == SIGFPE && (info->si_code == FPE_INTDIV || info->si_code == FPE_INTOVF)) {
        put(line, ", integer division by zero or out of range");
    } else if (crash->number == SIGABRT) {
        put(line, ", abort() or a failed assertion");
    }
}

static void put_message(struct line *line, const struct crash *crash, const siginfo_t *info)
{
    struct tg_thread_task task;
    bool has_task = tg_thread_task(0, &task);
    if (has_task)
        put_task(line, &task);
    else
        put(line, "tgraph");
    put(line, " crashed: ");
    put_cause(line, crash, info);
    if (!has_task)
        put(line, "; no task was running on this thread");
    for (uint32_t depth = 1; has_task && tg_thread_task(depth, &task); depth++) {
        put(line, "; the thread was also waiting in ");
        put_task(line, &task);
    }
}

/* As message.c and diagnostic.c would. */
static void speak(const struct crash *crash, const siginfo_t *info)
{
    static char message[2048], text[8192];
    struct tg_thread_task task;
    struct line m = {message, sizeof(message), 0}, line = {text, sizeof(text), 0};
    const char *code = tg_thread_task(0, &task) ? "TG0701" : "TG0003";
    put_message(&m, crash, info);
    if (format == TGI_DIAGNOSTIC_JSON) {
        put(&line, "{\"severity\": \"error\", \"code\": \"");
        put(&line, code);
        put(&line, "\", \"message\": \"");
        for (const char *p = message; *p; p++) {
            char one[3] = {*p == '"' || *p == '\\' ? '\\' : *p, *p == '"' || *p == '\\' ? *p : '\0', '\0'};
            put(&line, one);
        }
        put(&line, "\"}\n");
    } else {
        put(&line, is_coloured ? "\033[1;31merror[" : "error[");
        put(&line, code);
        put(&line, is_coloured ? "]\033[0m: \033[1m" : "]: ");
        put(&line, message);
        put(&line, is_coloured ? "\033[0m\n" : "\n");
    }
    tgi_cli_progress_erase();
    (void)!write(STDERR_FILENO, text, line.n);
}

/* ---- Signals ------------------------------------------------------------------------------*/

static void on_crash(int number, siginfo_t *info, void *context)
{
    const struct crash *crash = crashes;
    (void)context;
    while (crash->number != number)
        crash++;
    if (atomic_exchange(&has_crashed, 1))
        for (;;)
            pause();
    /* Sent by another process: no task's fault. */
    bool is_sent = info->si_code <= 0 && info->si_pid != getpid();
    tgi_output_abandon_all();
    if (!is_sent)
        speak(crash, info);
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigemptyset(&standard.sa_mask);
    sigaction(number, &standard, NULL);
    sigset_t this_one;
    sigemptyset(&this_one);
    sigaddset(&this_one, number);
    pthread_sigmask(SIG_UNBLOCK, &this_one, NULL);
    raise(number);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static bool is_sanitized(void) { return true; }
#else
static bool is_sanitized(void) { return false; }
#endif

static void find_stack(void)
{
    pthread_attr_t attr;
    void *low;
    size_t bytes, guard = 0;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    if (pthread_attr_getstack(&attr, &low, &bytes) == 0) {
        pthread_attr_getguardsize(&attr, &guard);
        stack_low = (uintptr_t)low + 4096; /* the access may straddle the end */
        stack_guard_low = (uintptr_t)low - guard;
    }
    pthread_attr_destroy(&attr);
}

void tgi_cli_prepare_thread(void *user)
{
    (void)user;
    if (is_sanitized())
        return;
    /* Never given back: a thread's stack must outlive the thread, and there are as many as workers. */
    void *memory = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return; /* a stack that overflows then ends the program without a word, as it did before */
    stack_t stack = {.ss_sp = memory, .ss_size = SIGNAL_STACK_BYTES};
    sigaltstack(&stack, NULL);
    find_stack();
}

void tgi_cli_name_crashes(const struct tgi_cli *cli)
{
    if (is_sanitized())
        return;
    format = cli->error_format;
    is_coloured = cli->color_err;
    tgi_cli_prepare_thread(NULL);
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_CRASHES; i++)
        sigaddset(&action.sa_mask, crashes[i].number);
    for (int i = 0; i < N_CRASHES; i++)
        sigaction(crashes[i].number, &action, NULL);
}
