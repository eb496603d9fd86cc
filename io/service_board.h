/* Where services are shown: a folder of the user's with a file for each, $XDG_RUNTIME_DIR/tgraph or /tmp/tgraph-UID, mode 0700. */
#ifndef TGI_IO_SERVICE_BOARD_H
#define TGI_IO_SERVICE_BOARD_H

#include "io/service_sign.h"

/* ---- Who shows ----------------------------------------------------------------------------*/

/* A file that only this process replaces. */
struct tgi_service_place_on_board {
    int folder;    /* -1: not open */
    int file;      /* the one that is there now, locked; -1: none */
    char name[48], new_name[56];
};
/* Makes the folder if there is none. */
int tgi_service_board_open(struct tgi_service_place_on_board *place, struct tg_error *err);
/* Readers see the sign before or this one, nothing in between. */
int tgi_service_board_put(struct tgi_service_place_on_board *place, const struct tgi_service_sign *sign, struct tg_error *err);
/* Takes the file away. */
void tgi_service_board_close(struct tgi_service_place_on_board *place);

/* ---- Who looks ----------------------------------------------------------------------------*/

struct tgi_service_signs {
    struct tgi_service_sign *signs; /* by pid; the caller frees it */
    uint32_t n;
    uint32_t n_removed;    /* files of processes that have ended; they are gone now */
    uint32_t n_unreadable; /* files of processes that live, which are no signs */
};
/* No folder: there are none. */
int tgi_service_board_read(struct tgi_service_signs *signs_p, struct tg_error *err);

#endif
