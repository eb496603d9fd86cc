/* A synthetic graph as JSON Lines, in memory for one line. */
#ifndef TGI_IO_GEN_LINES_H
#define TGI_IO_GEN_LINES_H

#include "io/gen_plan.h"

int tgi_gen_write_lines(FILE *to, const struct tgi_gen_plan *plan, struct tg_error *err);

#endif
