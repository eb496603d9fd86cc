/* Runs another program to its end: no shell, a time limit, its output kept. */
#ifndef TGI_SCHED_PROCESS_H
#define TGI_SCHED_PROCESS_H

#include "graph/tgraph.h"

struct tgi_process {
    bool is_timed_out; /* it was killed */
    int wait_status;   /* of waitpid(); 0 also if the system would not tell */
    char *output;      /* stdout and stderr together, terminated, cut at 1 MiB; the caller frees it */
    size_t n_output;
};

/* argv[0] is looked up in PATH.  The program runs in `folder` (NULL: here) with LC_ALL=C, empty
 * input, a process group of its own and a bound on its memory; at the time limit the whole group is
 * killed.  Returns 0 if it ran, whatever its result; TG_E_OPEN if it cannot be started; TG_E_SYSTEM.
 * Any thread. */
int tgi_process_run(char *const *argv, const char *folder, uint32_t limit_ms, struct tgi_process *process_p,
                    struct tg_error *err);

#endif
