/* Programs whose workers are on several devices: one cooperative kernel on each, launched together, and edges between
 * devices that are words in the reader's memory, written over the link between them.
 *
 * Same tables everywhere.  The program is one (struct tgi_resident_program), its blocks numbered across the devices, and
 * every device has all its tables, of which it uses its own tasks' part.  So an index means the same on each device, and the
 * tables that are proved are those that are executed.
 *
 * Far edges.  A task with a predecessor on another device waits for far cells or for a far counter, and all who tell it,
 * those of its own device too, do so at the scope of the system.  Far words have tables of their own, so that no word is
 * written in two scopes.  The reader polls its own device's memory.
 *   far cell      12 bytes and the epoch in one 16-byte word, as a cell; no fence.  A task that leaves a line is told
 *                 by sixteen of them, one for each word of it.  An ancestor may leave lines in memory, since a line is read by
 *                 successors alone, each of which is told; nothing else (TGI_RESIDENT_LEAVES_MEMORY), as no cell orders it.
 *   far counter   producers write what the reader takes of them, a word or a line, to their own place in the reader's memory first
 *                 (TGI_FAR_PUSH), then add one with release, or store the epoch if there is one producer.  Whatever else lies behind
 *                 the producer is ordered by the same release and acquire, and is read where it is.
 *
 * Epochs.  All devices are launched with the same epoch, or count it themselves, each in its control block, which comes to the same
 * because each is launched once in each; and nobody is launched with the next before all have ended this
 * one: what is written in an epoch may still be read until then.  Whoever launches sees to that, with events or with the edges of
 * a graph.  All kernels of an epoch have to be able to start while the others wait: a cooperative launch makes the blocks of
 * one device resident together, so it is enough that nothing is in front of any of them that waits for another.
 *
 * Ends.  A worker that leaves early, whatever made it, writes the abort word of every device, so that one device does not
 * wait for another that has left.  A host that wants an end writes all of them.  After an abort the tables of all devices are zeroed
 * and epochs start again. */
#ifndef TGI_MEM_RESIDENT_PEERS_H
#define TGI_MEM_RESIDENT_PEERS_H

#include "mem/resident_program.h"

#define TGI_RESIDENT_MAX_DEVICES 16u
#define TGI_RESIDENT_PEERS_WARPS 16u /* of a block, at most: its workers need more registers than others */

/* The index part of a far word: whose memory, and what. */
#define TGI_FAR_LONE         (1u << 23) /* of a counter: there is no other producer */
#define TGI_FAR_PUSH         (1u << 24) /* of a counter: that device needs the producer's result, and line, as well */
#define TGI_FAR_LINE         (1u << 24) /* of a cell: the first of as many as a line has words */
#define TGI_FAR_MAX_LINES    4u         /* that a task waits for in cells */
#define TGI_FAR_MAX_INDEX    0x7fffffu
#define TGI_FAR(device, index) ((uint32_t)(device) << 25 | (index))
#define TGI_FAR_DEVICE(word) ((word) >> 25 & 15u)
#define TGI_FAR_INDEX(word)  ((word) & TGI_FAR_MAX_INDEX)
#define TGI_OUT_IS_FAR(word) (TGI_OUT_KIND(word) > TGI_OUT_NOBODY)

/* A device's tables at addresses that every other device can write. */
struct tgi_resident_peer {
    uint32_t *far_counters;
    struct tgi_cell *far_cells;
    uint64_t *results, *lines; /* the device's own, by slot; lines: NULL where no task leaves one */
    struct tgi_resident_control *control;
};

/* What a launch on one of the devices is given beside its view. */
struct tgi_resident_peers {
    struct tgi_resident_peer of[TGI_RESIDENT_MAX_DEVICES]; /* itself included */
    uint32_t n_devices, device;
    uint32_t first_worker; /* of this device */
};

#endif
