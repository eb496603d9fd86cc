/* Properties of element types that the library itself needs. */
#ifndef TGI_GRAPH_DTYPE_H
#define TGI_GRAPH_DTYPE_H

#include "graph/tgraph.h"

/* TG_N_DTYPES if there is none of that name. */
enum tg_dtype tgi_dtype_parse(const char *name, size_t length);
bool tgi_dtype_is_integer(enum tg_dtype dtype);
/* Range of an integer type; false if value is outside. */
bool tgi_dtype_holds(enum tg_dtype dtype, int64_t value);
/* A float as an IEEE half and a bfloat16, rounded to nearest even. */
uint16_t tgi_f16_from_float(float value);
float tgi_f16_to_float(uint16_t bits);
uint16_t tgi_bf16_from_float(float value);
float tgi_bf16_to_float(uint16_t bits);

#endif
