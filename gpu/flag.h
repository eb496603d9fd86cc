/* Flags between the graphs of several devices (mem/split.h): the arguments of the kernels that set them and wait for them, in the
 * module of decide.h.  Those have one thread, but for small copies that a signal comes after.
 *
 * A flag is 32 bits in memory of the device that waits, which the device that signals reaches: 0, or 1 from the signal to the
 * await's end.  An await looks at its flags until all are 1, then makes them 0.
 *
 * An await leaves early, and its flags as they are, in two cases, which the host's word tells, in pinned memory: the launch is given
 * up, or the host has been about to launch all parts for longer than the limit: a call of the driver's that another thread
 * makes may wait for this device, and the launch of another part for that call.  The await leaves its number then, and the run fails.
 * There is no limit once all parts are launched: split.h has the proof that they end, and how long the rest of them takes is nobody's
 * business here.
 *
 * What comes after an await that has left is executed all the same, with data that is not there, so cancelling a run makes
 * none leave: it is over as early as a graph of one device would be. */
#ifndef TGI_GPU_FLAG_H
#define TGI_GPU_FLAG_H

#include <stdint.h>

#define TGI_SIGNAL_KERNEL "tgi_signal"
#define TGI_AWAIT_KERNEL  "tgi_await"
#define TGI_PUSH_KERNEL   "tgi_push"

enum {
    TGI_MAX_SIGNALS = 16,  /* devices */
    TGI_PUSH_THREADS = 512,
    TGI_PUSH_EACH = 16 << 10,   /* bytes for one block of a push, until there are TGI_PUSH_BLOCKS */
    TGI_PUSH_BLOCKS = 64,
    TGI_PUSH_BYTES = 1 << 20,   /* at most; more are the driver's to copy */
    TGI_PUSH_SIGNAL = 32 << 10, /* at most, where one block does it, and sets flags as well */
};

enum tgi_launching {
    TGI_LAUNCHED,  /* all parts are, or none is */
    TGI_LAUNCHING, /* some may be */
    TGI_GIVEN_UP   /* one could not be */
};

/* In pinned memory, for all devices of a graph. */
struct tgi_flag_words {
    uint32_t launching; /* of enum tgi_launching; the host writes it */
    uint32_t missed;    /* 1 + the number of an await whose time was up; 0: none.  Awaits write it; the host, between launches */
};

/* The one argument of a signal. */
typedef struct tgi_signal_args {
    uint32_t *flag[TGI_MAX_SIGNALS]; /* one on each device that waits */
    uint32_t n;
} tgi_signal_args;

/* The one argument of a push, a small copy to another device: the host enqueues a copy node between devices at every launch of its graph, and
 * kernels not.  With one block it may do what the signal after it would. */
typedef struct tgi_push_args {
    unsigned char *to;
    const unsigned char *from;
    uint64_t bytes;
    tgi_signal_args signal; /* n 0: it sets none */
} tgi_push_args;

/* The one argument of an await. */
typedef struct tgi_await_args {
    uint32_t *flags; /* n in a row */
    struct tgi_flag_words *words;
    uint64_t limit_ns;
    uint32_t n, number; /* of the command */
} tgi_await_args;

#endif
