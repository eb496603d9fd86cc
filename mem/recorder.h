/* Devices that write down what they are given: commands go into a program (program.h) with exactly those that each has to come
 * after.
 *
 * A lane of a recorder has no order of its own.  What it is told to wait for is what its next command comes after, and a stamp
 * stands for that command alone, or for several: stamps of one lane are joined where order between real lanes would let the
 * later one stand for both.  So a program has the order that the graph and its data ask for and none that comes from
 * having few lanes.  An order that records (order.h) hands over to this.
 *
 * Copies from the host that wait for nothing are the exception: those of a lane follow each other, in the order in which they were
 * asked for.
 *
 * Launches that share something of their lane, as libraries' do a workspace, come one after the other: such a launch takes the
 * lane whose last one it comes after anyway, else the one that has rested longest. */
#ifndef TGI_MEM_RECORDER_H
#define TGI_MEM_RECORDER_H

#include "mem/order.h"
#include "mem/program.h"

struct tgi_recorder;
struct tgi_recorder_body; /* what is around a body */

/* devices: what is recorded is for; both last as long as this. */
int tgi_recorder_create(struct tgi_devices *devices, struct tgi_program *program, struct tgi_recorder **recorder_p,
                        struct tg_error *err);
void tgi_recorder_destroy(struct tgi_recorder *recorder);

/* Where commands are enqueued to be recorded: launch, copy, fill and collect are there, nothing else. */
struct tgi_devices *tgi_recorder_devices(struct tgi_recorder *recorder);
/* What comes is for `owner`; a launch has n_args arguments. */
void tgi_recorder_set_owner(struct tgi_recorder *recorder, uint64_t owner, uint32_t n_args);
/* What comes is timed, or with 0 is not; points never are. */
void tgi_recorder_set_step(struct tgi_recorder *recorder, uint32_t step);

/* Bodies of a command that decides.  Between begin and end commands go into a program of their own; what stamps from outside
 * stand for counts as done there, so that whoever decides comes after all of it, and inside copies are those of one device.  Stamps
 * from inside mean nothing outside.  end: *body_p is the caller's.  decide: appends the command, whose bodies are the recorder's also
 * after an error. */
int tgi_recorder_begin_body(struct tgi_recorder *recorder, struct tg_error *err);
void tgi_recorder_end_body(struct tgi_recorder *recorder, struct tgi_program **body_p);
int tgi_recorder_decide(struct tgi_recorder *recorder, uint32_t lane, struct tgi_command *command, struct tg_error *err);

/* As the functions of order.h that they are called by.  Memory that is missing shows at the next command. */
struct tgi_stamp tgi_recorder_append(struct tgi_recorder *recorder, uint32_t lane);
struct tgi_stamp tgi_recorder_join(struct tgi_recorder *recorder, struct tgi_stamp a, struct tgi_stamp b);
void tgi_recorder_wait(struct tgi_recorder *recorder, uint32_t lane, struct tgi_stamp stamp);
/* Everything is recorded; TG_E_NO_MEMORY: some of it is not. */
int tgi_recorder_finish(struct tgi_recorder *recorder, struct tg_error *err);

#endif
