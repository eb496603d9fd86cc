/* The report as a page for browsers: one file that asks for nothing from outside.
 *
 * The page's own files are in io/html/, embedded.  Its policy (Content-Security-Policy) forbids every request, and every script
 * and style but these two, which it knows by their hashes; so even if a name became markup, nothing of it would run. */
#ifndef TGI_IO_PAGE_H
#define TGI_IO_PAGE_H

#include <stdio.h>

#include "io/text.h"

/* Writes the page around a JSON document.  Of json nothing can end the element it is in: < > and & are escaped, which in JSON
 * stand in strings only.  An error of the stream stays with the stream. */
int tgi_page_write(const char *json, size_t size, FILE *to, struct tg_error *err);

#endif
