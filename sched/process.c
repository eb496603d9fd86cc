/* The child writes into a pipe that is read until its end; a descriptor for the process itself tells
 * when it is over, so that a child which closes its output and stays is noticed as well. */
#include "sched/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "graph/error.h"

#define MAX_OUTPUT ((size_t)1 << 20)
#define MAX_MEMORY ((rlim_t)8 << 30)
#define MAX_FILE   ((rlim_t)1 << 30)

extern char **environ;

/* The environment with LC_ALL=C: messages are read by programs.  Shares the strings. */
static char **make_environment(void)
{
    static char locale[] = "LC_ALL=C";
    size_t n = 0, kept = 0;
    while (environ && environ[n])
        n++;
    char **copy = calloc(n + 2, sizeof *copy);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "LC_ALL=", 7) != 0)
            copy[kept++] = environ[i];
    copy[kept] = locale;
    return copy;
}

static int configure(posix_spawnattr_t *attr, posix_spawn_file_actions_t *actions, const char *folder,
                     int output)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    int rc = posix_spawnattr_setflags(attr,
                                      POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attr, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (rc == 0 && folder)
        rc = posix_spawn_file_actions_addchdir_np(actions, folder);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, output, STDERR_FILENO);
    return rc;
}

static int spawn(char *const *argv, const char *folder, int output, pid_t *pid_p, struct tg_error *err)
{
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t actions;
    char **environment = make_environment();
    if (!environment)
        return tgi_error_memory(err, "starting a program");
    int rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = posix_spawn_file_actions_init(&actions);
        if (rc == 0) {
            rc = configure(&attr, &actions, folder, output);
            if (rc == 0)
                rc = posix_spawnp(pid_p, argv[0], &actions, &attr, argv, environment);
            posix_spawn_file_actions_destroy(&actions);
        }
        posix_spawnattr_destroy(&attr);
    }
    free(environment);
    return rc ? tgi_error_errno(err, TG_E_OPEN, rc, "cannot start \"%s\"", argv[0]) : 0;
}

/* A source can make its compiler read without end (#include "/dev/zero").  Set from outside, just
 * after the start and long before the compiler proper. */
static void limit(pid_t pid)
{
    struct rlimit memory = {MAX_MEMORY, MAX_MEMORY}, file = {MAX_FILE, MAX_FILE}, core = {0, 0};
    prlimit(pid, RLIMIT_AS, &memory, NULL);
    prlimit(pid, RLIMIT_FSIZE, &file, NULL);
    prlimit(pid, RLIMIT_CORE, &core, NULL);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Appends what there is to read; false at the end of the stream. */
static bool drain(int fd, char *output, size_t *n_output)
{
    char spill[4096];
    bool is_full = *n_output == MAX_OUTPUT;
    ssize_t n =
        read(fd, is_full ? spill : output + *n_output, is_full ? sizeof spill : MAX_OUTPUT - *n_output);
    if (n > 0 && !is_full)
        *n_output += (size_t)n;
    return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Returns false at the deadline.  Output that a grandchild still holds open is not waited for. */
static bool follow(int fd, int process, int64_t deadline, char *output, size_t *n_output)
{
    bool is_open = true, is_alive = true;
    while (is_alive || is_open) {
        int64_t left = deadline - now_ms();
        if (left <= 0)
            return false;
        /* poll() skips negative descriptors */
        struct pollfd on[2] = {{is_open ? fd : -1, POLLIN, 0}, {is_alive ? process : -1, POLLIN, 0}};
        int n = poll(on, 2, is_alive ? (int)(left < 60000 ? left : 60000) : 0);
        if (n < 0 && errno != EINTR)
            return false;
        if (n == 0 && !is_alive)
            break;
        if (n > 0 && on[0].revents)
            is_open = drain(fd, output, n_output);
        if (n > 0 && on[1].revents)
            is_alive = false;
        if (process < 0 && !is_open) /* no descriptor for processes: the end of the output must do */
            is_alive = false;
    }
    return true;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0; /* the program ignores SIGCHLD and the system keeps no status */
    return status;
}

int tgi_process_run(char *const *argv, const char *folder, uint32_t limit_ms, struct tgi_process *process_p,
                    struct tg_error *err)
{
    int pipe_of[2];
    pid_t pid;
    struct tgi_process result = {false, 0, NULL, 0};
    result.output = malloc(MAX_OUTPUT + 1);
    if (!result.output)
        return tgi_error_memory(err, "starting a program");
    if (pipe2(pipe_of, O_CLOEXEC) != 0) {
        int rc = tgi_error_errno(err, TG_E_SYSTEM, errno, "cannot make a pipe to \"%s\"", argv[0]);
        free(result.output);
        return rc;
    }
    int rc = spawn(argv, folder, pipe_of[1], &pid, err);
    close(pipe_of[1]);
    if (rc) {
        close(pipe_of[0]);
        free(result.output);
        return rc;
    }
    limit(pid);
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    result.is_timed_out = !follow(pipe_of[0], process, now_ms() + limit_ms, result.output, &result.n_output);
    if (result.is_timed_out)
        kill(-pid, SIGKILL);
    result.wait_status = wait_for(pid);
    if (process >= 0)
        close(process);
    close(pipe_of[0]);
    result.output[result.n_output] = '\0';
    *process_p = result;
    return 0;
}
