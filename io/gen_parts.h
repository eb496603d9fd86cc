/* Pieces of a synthetic graph that a document and JSON Lines have in common. */
#ifndef TGI_IO_GEN_PARTS_H
#define TGI_IO_GEN_PARTS_H

#include "io/gen_plan.h"
#include "io/text.h"

/* ,"name":..,"params":{..} */
void tgi_gen_add_title(struct tgi_text *out, const struct tgi_gen_plan *plan);
/* Members of the one buffer. */
void tgi_gen_add_buffer(struct tgi_text *out, const struct tgi_gen_plan *plan);
/* Kernels, each between `open`, whose %s is the name, and `close`. */
void tgi_gen_add_kernels(struct tgi_text *out, const struct tgi_gen_plan *plan, const char *open,
                         const char *close);
/* Members of a task object, without the braces around them.  For JSON Lines the backquotes stay. */
void tgi_gen_add_task_members(struct tgi_text *out, const struct tgi_gen_plan *plan,
                              const struct tgi_gen_statement *statement);
/* All tasks of a random graph, each between `open` and `close`. */
void tgi_gen_add_random_tasks(struct tgi_text *out, const struct tgi_gen_plan *plan, const char *open,
                              const char *close, const char *between);

#endif
