/* The device library: what bodies of tasks inside a resident kernel may use (docs/LIBRARY.md).
 *
 *   memory         arena.h, slab.h, region.h
 *   messages       channel.h, broadcast.h
 *   together       gang.h: barrier, reduce, scan, broadcast; wait.h: words that are waited for
 *   numbers        atomic.h: float, vector, minimum, maximum
 *   tasks          spawn.h: tasks that bodies make, in dynamic programs
 *   telling        log.h, panic.h, metrics.h
 *
 * The same text compiles for GPUs (nvcc) and CPUs (C11), where a warp is a thread; tests and sanitizers see what GPUs run.
 *
 * Conventions, stated once.  Functions answer 0 or a negative enum tgd_status, or how many; nothing traps, nothing waits
 * without a limit.  Outputs are written on success only.  "All lanes" is a whole warp, converged, with the same arguments
 * unless a function says that each lane has its own; "one lane" is any.  Messages and results that several lanes fill lie in
 * shared or global memory.  Objects are made as images on the host, hold no addresses, and are copied to where they shall
 * be; who owns that memory owns the object.  tgd_ is for programs, tgi_ is not. */
#ifndef TGRAPH_DEVICE_H
#define TGRAPH_DEVICE_H

#include "gpu/library/arena.h"
#include "gpu/library/atomic.h"
#include "gpu/library/broadcast.h"
#include "gpu/library/channel.h"
#include "gpu/library/gang.h"
#include "gpu/library/log.h"
#include "gpu/library/metrics.h"
#include "gpu/library/panic.h"
#include "gpu/library/region.h"
#include "gpu/library/slab.h"
#include "gpu/library/spawn.h"
#include "gpu/library/wait.h"

#endif
