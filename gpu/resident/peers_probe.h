/* What one hop between two devices costs, by the bare instructions that far edges are made of: the limits that
 * programs on several devices are measured against.
 *
 * A warp on each device hands a number to and fro, n_rounds times; a hop is half a round.  The host launches the kernel, of one
 * block of 32 threads, on both. */
#ifndef TGI_GPU_RESIDENT_PEERS_PROBE_H
#define TGI_GPU_RESIDENT_PEERS_PROBE_H

#include <stdint.h>

enum tgi_peers_probe_form {
    TGI_PEERS_FLAG,  /* st.relaxed, ld.relaxed, nothing behind it */
    TGI_PEERS_CELL,  /* 16 bytes with the data in them */
    TGI_PEERS_LINE,  /* sixteen of them, a lane each */
    TGI_PEERS_PUSH,  /* a line written there, st.release, ld.acquire, the line read at home */
    TGI_PEERS_PULL,  /* a line written at home, st.release, ld.acquire, the line read there */
    TGI_PEERS_N_FORMS
};

struct tgi_peers_probe {
    uint32_t form, n_rounds, is_first;
    uint64_t limit_ns;      /* of all rounds; then *ns_p stays as it is */
    uint64_t *mine, *other; /* 1 KiB of zeros on this device, and on the other */
    uint64_t *ns_p;         /* for all rounds, by the first */
};

#endif
