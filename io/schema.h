/* The JSON Schema of graph files, as "tgraph schema" prints it. */
#ifndef TGI_IO_SCHEMA_H
#define TGI_IO_SCHEMA_H

#include <stddef.h>

extern const char tgi_schema_text[]; /* terminated */

#endif
