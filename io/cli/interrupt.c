/* One state machine: nothing watched -> a signal ends the program; a run watched -> the first
 * signal cancels it, the second ends the program.
 *
 * The handler may run on any thread, also on a worker of the run that is being watched, while the
 * main thread ends watching in order to destroy the run.  So ending waits for handlers that may
 * have seen the run. */
#include "io/cli/interrupt.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "io/cli/cli.h"
#include "io/cli/progress.h"
#include "io/output.h"

static _Atomic(struct tg_run *) watched; /* written by the main thread; read by handlers */
static atomic_int n_handlers;            /* handlers between reading `watched` and using it */
static atomic_int seen;                  /* written by the first handler; 0: none */

static bool has_terminal;                /* written before the handler is installed */

/* Running tasks may take long, and nothing else would be seen to happen. */
static void tell(void)
{
    static const char text[] = "stopping when the running tasks have ended; once more leaves now\n";
    tgi_cli_progress_erase();
    if (has_terminal)
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

static void on_signal(int number)
{
    /* seq_cst on the count, on `watched` here and in tgi_cli_watch(): forbids that the handler
     * reads the old run and the main thread reads a count without it. */
    atomic_fetch_add(&n_handlers, 1);
    struct tg_run *run = atomic_load(&watched);
    int none = 0;
    if (run && atomic_compare_exchange_strong(&seen, &none, number)) {
        tg_run_cancel(run);
        tell();
        atomic_fetch_sub(&n_handlers, 1);
        return;
    }
    tgi_output_abandon_all();
    tgi_cli_progress_erase();
    if (run)
        _exit(128 + number);
    /* Dying of the signal tells a shell loop to stop as well. */
    signal(number, SIG_DFL);
    atomic_fetch_sub(&n_handlers, 1);
    raise(number);
}

void tgi_cli_install_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    has_terminal = isatty(STDERR_FILENO);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

void tgi_cli_watch(struct tg_run *run)
{
    atomic_store(&watched, run);
    while (atomic_load(&n_handlers) > 0)
        sched_yield();
}

int tgi_cli_signal(void)
{
    return atomic_load(&seen);
}

/* Workers inherit the mask. */
int tgi_cli_runtime_create(const struct tg_runtime_options *options, struct tg_runtime **runtime_p, struct tg_error *err)
{
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    int rc = tg_runtime_create(options, runtime_p, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}
