/* Order between the lanes of devices, kept with as few events as possible.
 *
 * A stamp names a point in a lane: everything up to its seq-th command.  Waiting for a stamp from
 * another lane records an event behind it, unless one is there, and makes the lane wait for it, unless
 * what the lane has waited for before implies it: each event keeps what its lane knew about the others
 * when it was recorded (vector clocks; Mattern 1989, Fidge 1988), and who waits for it knows that too.
 *
 * An event recorded late is correct but makes others wait for more than they need.  So before a command is
 * appended, the caller says whether somebody else may still want to wait for the one before it
 * (tgi_order_seal).
 *
 * One thread at a time. */
#ifndef TGI_MEM_ORDER_H
#define TGI_MEM_ORDER_H

#include "mem/device.h"

struct tgi_stamp {
    uint32_t lane; /* TG_NONE: nothing to wait for */
    uint64_t seq;  /* never comes round again: 32 bits would after some hours of small tasks */
};
#define TGI_STAMP_NONE ((struct tgi_stamp){TG_NONE, 0})

struct tgi_order;

struct tgi_recorder; /* recorder.h */

int tgi_order_create(struct tgi_devices *devices, struct tgi_order **order_p, struct tg_error *err);
/* An order of commands that are recorded: nothing of it is ever done or waited for, and a stamp stands for its command
 * alone. */
int tgi_order_create_recording(struct tgi_recorder *recorder, struct tgi_order **order_p, struct tg_error *err);
/* Every lane must be idle or lost. */
void tgi_order_destroy(struct tgi_order *order);

/* After a command has been enqueued: its stamp. */
struct tgi_stamp tgi_order_append(struct tgi_order *order, uint32_t lane);
/* The last command of the lane; while recording, a lane has none. */
struct tgi_stamp tgi_order_tail(const struct tgi_order *order, uint32_t lane);
bool tgi_order_is_tail(const struct tgi_order *order, struct tgi_stamp stamp);
/* Records an event behind the lane's last command, unless there is one. */
int tgi_order_seal(struct tgi_order *order, uint32_t lane, struct tg_error *err);
/* What the lane gets from now on comes after `stamp`. */
int tgi_order_wait(struct tgi_order *order, uint32_t lane, struct tgi_stamp stamp, struct tg_error *err);
/* The same for several at once, which may be reordered: those that others of them imply are left out.  Called before every
 * command, also with none: the lane comes after what was followed as well. */
int tgi_order_wait_all(struct tgi_order *order, uint32_t lane, struct tgi_stamp *stamps, uint32_t n, struct tg_error *err);
/* Of two stamps of one lane: one that stands for both. */
struct tgi_stamp tgi_order_both(struct tgi_order *order, struct tgi_stamp a, struct tgi_stamp b);
/* For somebody outside who waits for all of these: leaves out what is done and what others of them imply; how many are left. */
uint32_t tgi_order_reduce(struct tgi_order *order, struct tgi_stamp *stamps, uint32_t n);
/* Whether the lane comes after `stamp` already. */
bool tgi_order_knows(const struct tgi_order *order, uint32_t lane, struct tgi_stamp stamp);

/* An event that somebody else has recorded, in a stream of his own: what lanes get from now on comes after it.  It lasts until
 * it is forgotten, when nobody needs it any more. */
int tgi_order_follow(struct tgi_order *order, struct tgi_event *event, struct tg_error *err);
void tgi_order_forget(struct tgi_order *order, const struct tgi_event *event);

/* Asks the device how far the lane has come; a seal is needed for it to be seen. */
int tgi_order_poll(struct tgi_order *order, uint32_t lane, struct tg_error *err);
/* As of the last poll. */
bool tgi_order_is_done(const struct tgi_order *order, struct tgi_stamp stamp);
/* Commands of the lane not known to be done. */
uint64_t tgi_order_n_pending(const struct tgi_order *order, uint32_t lane);
/* Blocks until the stamp is done; seals its lane if need be. */
int tgi_order_synchronize(struct tgi_order *order, struct tgi_stamp stamp, struct tg_error *err);

/* Whoever waited for the whole device says so: everything the lane has got is done. */
void tgi_order_drained(struct tgi_order *order, uint32_t lane);

struct tgi_order_stats {
    uint64_t n_records, n_waits, n_implied; /* implied: waits that were not needed */
};
void tgi_order_stats(const struct tgi_order *order, struct tgi_order_stats *stats_p);

#endif
