/* Where the tiles of buffers are at home, by what a graph says of each buffer: a place, "cuda:{i}" or "cyclic:{i+j}". */
#ifndef TGI_SCHED_HOME_H
#define TGI_SCHED_HOME_H

#include "graph/model.h"
#include "mem/device.h"

#define TGI_NO_HOME 0xffu

/* owner: by tile of the space, the caller's; set to the node of its home, TGI_NO_HOME where there is none or where it is on a device that is
 * not in use. */
void tgi_homes_find(const struct tgi_devices *devices, const struct tgi_space *space, uint8_t *owner);

#endif
