/* "init" of a buffer: what it holds when a run starts. */
#ifndef TGI_IO_JSON_INIT_H
#define TGI_IO_JSON_INIT_H

#include "io/json_reader.h"

/* Fills in the spec, whose type and extents are there already.  With TG_INIT_CALL, init_user is to be
 * destroyed with tgi_file_init_destroy(). */
int tgi_read_init(struct tgi_reader *r, uint32_t node, struct tg_buffer_spec *spec);

#endif
