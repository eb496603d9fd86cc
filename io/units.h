/* Numbers as people read them.  Each writes at most `size` bytes, terminated, and returns text. */
#ifndef TGI_IO_UNITS_H
#define TGI_IO_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define TGI_UNITS_SIZE 32 /* enough for any of them */

char *tgi_format_count(uint64_t n, char *text, size_t size);      /* 5,984 */
char *tgi_format_time(double ns, char *text, size_t size);        /* 71.3 ms */
char *tgi_format_bytes(double bytes, char *text, size_t size);    /* 4.10 GiB */
char *tgi_format_scaled(double value, const char *unit, char *text, size_t size); /* 164 Gflop */
char *tgi_format_short(double value, char *text, size_t size);    /* 83.9k */
/* A round distance, 1, 2 or 5 times a power of ten from 1 on, that is in `span` at most ten times: for axes. */
double tgi_round_step(double span);
/* The shortest digits that give the same number back; nan and inf as printf has them. */
char *tgi_format_exact(double value, char *text, size_t size);    /* 0.1 */

#endif
