/* Programs in parts, one for each device, that wait for each other by flags.
 *
 * Between two devices of one graph the driver needs 4.9 us, a flag in the waiting device's memory that the other one sets 1.2.  So a
 * program over several devices may be split: no command of what comes out depends on one of another device.  Where one did, a
 * SIGNAL after the earlier command sets a flag, and an AWAIT before the later one, on its device, waits for it.  A backend turns the
 * commands of each device into a graph of their own and launches all of them together.
 *
 * Flags.  Each device has flags, numbered from 0, in its own memory.  A flag belongs to one signal and one await: it is 0 between
 * launches, the signal makes it 1, the await makes it 0 again.  Nothing is reset and no parameter changed from launch to launch.
 * What several commands of a device need of one elsewhere is one flag, and what one command needs of several elsewhere is one await.
 *
 * Progress.  An await that runs occupies a place that a device has for kernels, and nobody knows in which order a driver takes what is
 * ready, nor what else it keeps waiting meanwhile.  It does not matter, by two rules about the order of the split program:
 *   1. whatever a command depends on stands before it, and a signal stands before its await;
 *   2. an await depends, perhaps by others, on all signals of its own device that stand before it.
 * Then no launch comes to a halt, even on devices that execute one command at a time, in whatever order dependencies allow.  Proof:
 * let S be the first signal of the whole program that is never sent, and d its device.  What S depends on on d are commands that end by
 * themselves, and awaits before S, whose signals stand before them (1), so before S, and are sent: they end.  So S becomes ready
 * unless d is occupied for good, which only an await W can do whose signal is never sent: that one is S or stands behind S, so
 * W stands behind S (1), and depends on S (2): it has not begun.  So S is sent, against what was supposed; with all signals sent all
 * awaits end.  It holds with kernels that fill a device or need all of their blocks at once, as they end without other devices.
 * Everything that narrowing (program.h) or a bound on awaits adds leads from an earlier to a later command, which is all that the
 * proof asks of dependencies.
 *
 * What the rules cost: an await also comes after signals that its command does not need.  So that these are few, it stands as early as it
 * can, right behind the last signal that it waits for: before its command it would come after signals of all that is recorded
 * between the two, as of the first kernel of the row that it belongs to.  Where there is more than one way from device to device at a time one
 * graph may still be faster (docs/PERFORMANCE.md).
 *
 * Memory.  A signal is a kernel behind the command it tells of, which has ended then, copies to the other device's memory
 * included: what it wrote happens before the release in the signal, that before the await's acquire, and that before
 * the kernels and copies after it.  A copy between two devices is a command of the one that makes it, and so ordered on both sides. */
#ifndef TGI_MEM_SPLIT_H
#define TGI_MEM_SPLIT_H

#include "mem/program.h"

/* *why_p: why a program has to stay whole, a constant: a device decides about its rounds, it has collectives, a resident program is on several devices, one device reads what another
 * copies to the host (the flag may be there before the data, as they take different ways), one cannot set flags of another, or
 * nothing crosses devices.  NULL: it can be split.  Fails where a device cannot be asked. */
int tgi_program_whole(struct tgi_devices *ds, const struct tgi_program *program, const char **why_p, struct tg_error *err);

/* How many edges between devices the longest way through the program has; *n_flags_p: how many flags there are if it is split. */
uint32_t tgi_program_hops(const struct tgi_program *program, uint32_t *n_flags_p);

/* The same commands in the same order, with signals and awaits.  At most TGI_MAX_AWAITS of them are without an order between them
 * on a device.  `to` is empty.  TG_E_NO_MEMORY. */
enum { TGI_MAX_AWAITS = 16 };
int tgi_program_split(const struct tgi_program *program, struct tgi_program *to, struct tg_error *err);

/* Flags that a device's commands wait for; 0 on all devices: the program is whole. */
uint32_t tgi_program_flags(const struct tgi_program *program, uint32_t device);

/* A word of a signal: a flag of a device. */
static inline uint64_t tgi_flag_of(uint32_t device, uint32_t flag) { return (uint64_t)device << 32 | flag; }
static inline uint32_t tgi_flag_device(uint64_t word) { return (uint32_t)(word >> 32); }
static inline uint32_t tgi_flag_number(uint64_t word) { return (uint32_t)word; }

#endif
