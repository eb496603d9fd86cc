/* The commands that a run replays as one CUDA graph (mem/program.h), by the names of its tasks and tiles: as DOT, in which each
 * device is a box, with one for each of its streams if it uses several, and as JSON ("tgraph.cuda-graph/1").  What a device decides about
 * stands in a box of its own; in JSON a decision has it as "body" and "body_else". */
#ifndef TGI_IO_PROGRAM_PICTURE_H
#define TGI_IO_PROGRAM_PICTURE_H

#include <stdio.h>

#include "graph/model.h"
#include "mem/program.h"

struct tgi_program_picture {
    const struct tg_graph *graph;
    const struct tgi_program *program;
    const uint32_t *tile;    /* by command, those of bodies included (tgi_program_body_base()): its tile's number in the space; TG_NONE:
                                none in particular */
    const struct tgi_devices *devices;
};

int tgi_program_write_dot(const struct tgi_program_picture *picture, FILE *to, struct tg_error *err);
int tgi_program_write_json(const struct tgi_program_picture *picture, FILE *to, struct tg_error *err);

#endif
