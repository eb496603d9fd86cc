/* Files of the tree as text in the program: TGI_FILE_TEXT(symbol, "io/html/page.html") defines symbol and symbol_end.  Paths are relative
 * to the root of the tree, where the compiler is run; the Makefile names the files as prerequisites. */
#ifndef TGI_GRAPH_FILE_TEXT_H
#define TGI_GRAPH_FILE_TEXT_H

#define TGI_FILE_TEXT(symbol, path)                                \
    extern const char symbol[], symbol##_end[];                \
    __asm__(".pushsection .rodata\n"                           \
            ".globl " #symbol "\n"                             \
            ".globl " #symbol "_end\n"                         \
            ".hidden " #symbol "\n"                            \
            ".hidden " #symbol "_end\n" #symbol ":\n"          \
            ".incbin \"" path "\"\n" #symbol "_end:\n"         \
            ".byte 0\n"                                        \
            ".popsection\n")

#endif
