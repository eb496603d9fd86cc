#include "io/schema.h"

/* The assembler finds the file from the root of the tree, where the compiler runs. */
__asm__(".pushsection .rodata\n"
        ".global tgi_schema_text\n"
        ".type tgi_schema_text, %object\n"
        ".hidden tgi_schema_text\n"
        "tgi_schema_text:\n"
        ".incbin \"io/schema.json\"\n"
        ".byte 0\n"
        ".size tgi_schema_text, . - tgi_schema_text\n"
        ".popsection\n");
