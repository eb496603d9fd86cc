/* The text of graph/tgraph.h, part of the binary: kernels compiled at run time include it, wherever
 * the program is installed. */
#ifndef TGI_SCHED_HEADER_TEXT_H
#define TGI_SCHED_HEADER_TEXT_H

extern const char tgi_header_text[], tgi_header_text_end[];

#endif
