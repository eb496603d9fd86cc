/* The first eight fills are Paul Tol's "light" scheme, which was made for dark text on coloured
 * cells and holds for all common kinds of colour blindness; the next eight are the same, darker,
 * for graphs of more than eight kernels. */
#include "io/palette.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

static const char *const fills[TGI_PALETTE_SIZE] = {
    "#77aadd", "#eedd88", "#44bb99", "#ffaabb", "#ee8866", "#99ddff", "#bbcc33", "#aaaa00",
    "#4f81bd", "#c9b23e", "#2f9378", "#d9798e", "#c4643f", "#66b3dd", "#93a31c", "#858500"};

int tgi_palette_create(const struct tgi_space *space, struct tgi_palette *palette, struct tg_error *err)
{
    *palette = (struct tgi_palette){calloc(space->n_ops + 1, sizeof(uint32_t)),
                                    calloc(space->n_ops + 1, sizeof(uint32_t)), 0};
    if (!palette->kind_of || !palette->op_of) {
        tgi_palette_fini(palette);
        return tgi_error_memory(err, "a table of colours");
    }
    for (uint32_t i = 0; i < space->n_ops; i++) {
        const struct tgi_op *op = &space->ops[i];
        uint32_t kind = palette->n_kinds;
        if (op->kind == TGI_OP_KERNEL && op->generic != TG_NONE) {
            kind = palette->kind_of[op->generic];
        } else if (op->kind != TGI_OP_KERNEL) {
            /* Every collective and control task has an op of its own: merge them by name. */
            for (kind = 0; kind < palette->n_kinds; kind++) {
                const struct tgi_op *other = &space->ops[palette->op_of[kind]];
                if (other->kind == op->kind && strcmp(other->name, op->name) == 0)
                    break;
            }
        }
        if (kind == palette->n_kinds)
            palette->op_of[palette->n_kinds++] = i;
        palette->kind_of[i] = kind;
    }
    return 0;
}

void tgi_palette_fini(struct tgi_palette *palette)
{
    free(palette->kind_of);
    free(palette->op_of);
    *palette = (struct tgi_palette){NULL, NULL, 0};
}

const char *tgi_palette_name(const struct tgi_space *space, const struct tgi_palette *palette, uint32_t kind)
{
    return space->ops[palette->op_of[kind]].name;
}

const char *tgi_palette_colour(uint32_t n) { return fills[n % TGI_PALETTE_SIZE]; }

const char *tgi_palette_fill(const struct tgi_space *space, const struct tgi_palette *palette, uint32_t kind)
{
    if (space->ops[palette->op_of[kind]].kind != TGI_OP_KERNEL)
        return TGI_PALETTE_RUNTIME;
    /* Kernels count among themselves, so that copies and barriers use no colour up. */
    uint32_t n = 0;
    for (uint32_t k = 0; k < kind; k++)
        n += space->ops[palette->op_of[k]].kind == TGI_OP_KERNEL;
    return tgi_palette_colour(n);
}
