#include "sched/header_text.h"

#include "graph/tgraph.h" /* only so that a change of it rebuilds this file */

/* The path is relative to the root of the tree, where the compiler is run. */
__asm__(".pushsection .rodata\n"
        ".globl tgi_header_text\n"
        ".globl tgi_header_text_end\n"
        ".hidden tgi_header_text\n"
        ".hidden tgi_header_text_end\n"
        "tgi_header_text:\n"
        ".incbin \"graph/tgraph.h\"\n"
        "tgi_header_text_end:\n"
        ".byte 0\n"
        ".popsection\n");
