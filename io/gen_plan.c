#include "io/gen_plan.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

const struct tgi_gen_pattern tgi_gen_patterns[] = {
    {"independent", "tasks without edges"},
    {"chain", "--width chains side by side"},
    {"tree", "every task starts --arity others"},
    {"wavefront", "a grid; each task follows its upper and its left neighbour"},
    {"random", "--in-edges edges from the --window tasks before"},
    {"stencil1d", "--steps rows; each task follows itself and both neighbours in the row before"},
    {"fft", "butterflies over a power of two"},
    {"sweep", "each task follows itself and its left neighbour in the row before"},
    {"spread", "--radix edges from all over the row before"},
    {"nearest", "--radix edges from the nearest tasks of the row before"},
    {"dom", "a grid in diagonals: a wave that grows, runs and shrinks"},
    {"cholesky", "tiled Cholesky factorisation; --width tiles of --tile along an edge"},
    {"lu", "tiled LU factorisation without pivoting"},
    {NULL, NULL}};

static void add_param(struct tgi_gen_plan *plan, const char *name, uint64_t value)
{
    assert(plan->n_params < TGI_GEN_MAX_PARAMS);
    plan->params[plan->n_params++] = (struct tgi_gen_param){name, (int64_t)value};
}

static void add_loop(struct tgi_gen_plan *plan, uint32_t depth, const char *variable, const char *from,
                     const char *to)
{
    assert(plan->n_statements < TGI_GEN_MAX_STATEMENTS);
    plan->statements[plan->n_statements++] =
        (struct tgi_gen_statement){.depth = depth, .variable = variable, .from = from, .to = to};
}

static struct tgi_gen_statement *add_task(struct tgi_gen_plan *plan, struct tgi_gen_statement task)
{
    assert(plan->n_statements < TGI_GEN_MAX_STATEMENTS);
    uint32_t n = 0;
    while (n < TGI_GEN_MAX_INPUTS && task.in[n])
        n++;
    if (n > plan->max_inputs)
        plan->max_inputs = n;
    plan->statements[plan->n_statements] = task;
    return &plan->statements[plan->n_statements++];
}

uint32_t tgi_gen_end_of(const struct tgi_gen_plan *plan, uint32_t loop)
{
    uint32_t i = loop + 1;
    while (i < plan->n_statements && plan->statements[i].depth > plan->statements[loop].depth)
        i++;
    return i;
}

/* ---- The patterns -------------------------------------------------------------------------*/

static void plan_independent(struct tgi_gen_plan *plan, uint64_t n)
{
    add_param(plan, "N", n);
    plan->tiles[0] = "N";
    add_loop(plan, 0, "i", "0", "N");
    add_task(plan, (struct tgi_gen_statement){.depth = 1, .id = "t[`i`]", .number = "i", .out = "x[`i`]"});
}

static void plan_tree(struct tgi_gen_plan *plan, uint64_t n)
{
    add_param(plan, "N", n);
    add_param(plan, "K", plan->options->arity ? plan->options->arity : 2);
    plan->tiles[0] = "N";
    add_task(plan, (struct tgi_gen_statement){.id = "t[0]", .number = "0", .out = "x[0]"});
    add_loop(plan, 0, "i", "1", "N");
    add_task(plan,
             (struct tgi_gen_statement){
                 .depth = 1, .id = "t[`i`]", .number = "i", .out = "x[`i`]", .in = {"x[`floordiv(i-1,K)`]"}});
}

static void plan_wavefront(struct tgi_gen_plan *plan, uint64_t height, uint64_t width)
{
    add_param(plan, "H", height);
    add_param(plan, "W", width);
    plan->tiles[0] = "H";
    plan->tiles[1] = "W";
    add_task(plan, (struct tgi_gen_statement){.id = "t[0,0]", .number = "0", .out = "x[0,0]"});
    add_loop(plan, 0, "j", "1", "W");
    add_task(plan, (struct tgi_gen_statement){
                       .depth = 1, .id = "t[0,`j`]", .number = "j", .out = "x[0,`j`]", .in = {"x[0,`j-1`]"}});
    add_loop(plan, 0, "i", "1", "H");
    add_task(plan,
             (struct tgi_gen_statement){
                 .depth = 1, .id = "t[`i`,0]", .number = "i*W", .out = "x[`i`,0]", .in = {"x[`i-1`,0]"}});
    add_loop(plan, 1, "j", "1", "W");
    add_task(plan, (struct tgi_gen_statement){.depth = 2,
                                              .id = "t[`i`,`j`]",
                                              .number = "i*W+j",
                                              .out = "x[`i`,`j`]",
                                              .in = {"x[`i-1`,`j`]", "x[`i`,`j-1`]"}});
}

/* S rows of W tasks; `in` says where a task of row s looks in row s-1. */
static void plan_rows(struct tgi_gen_plan *plan, uint64_t steps, uint64_t width, const char *const *in)
{
    add_param(plan, "S", steps);
    add_param(plan, "W", width);
    plan->tiles[0] = "S";
    plan->tiles[1] = "W";
    add_loop(plan, 0, "i", "0", "W");
    add_task(plan,
             (struct tgi_gen_statement){.depth = 1, .id = "t[0,`i`]", .number = "i", .out = "x[0,`i`]"});
    add_loop(plan, 0, "s", "1", "S");
    add_loop(plan, 1, "i", "0", "W");
    struct tgi_gen_statement task = {.depth = 2, .id = "t[`s`,`i`]", .number = "s*W+i", .out = "x[`s`,`i`]"};
    for (uint32_t k = 0; k < TGI_GEN_MAX_INPUTS && in[k]; k++)
        task.in[k] = in[k];
    add_task(plan, task);
}

/* Cell (r, c) of a grid of R = S-W+1 rows and W columns is task (s, i) = (r+c, c), so the active
 * columns of step s are those with 0 <= s-i < R. */
static void plan_dom(struct tgi_gen_plan *plan, uint64_t steps, uint64_t width)
{
    plan->is_sparse = true;
    add_param(plan, "S", steps);
    add_param(plan, "W", width);
    plan->tiles[0] = "S";
    plan->tiles[1] = "W";
    add_task(plan, (struct tgi_gen_statement){.id = "t[0,0]", .number = "0", .out = "x[0,0]"});
    add_loop(plan, 0, "s", "1", "S");
    add_loop(plan, 1, "i", "max(0,s+W-S)", "min(W,s+1)");
    add_task(plan, (struct tgi_gen_statement){.depth = 2,
                                              .id = "t[`s`,`i`]",
                                              .number = "s*W+i",
                                              .out = "x[`s`,`i`]",
                                              .in = {"x[`s-1`,`max(i-1,0)`]", "x[`s-1`,`min(i,s-1)`]"}});
}

static int plan_radix(struct tgi_gen_plan *plan, uint64_t steps, uint64_t width, bool is_spread,
                      struct tg_error *err)
{
    uint32_t radix = plan->options->radix ? plan->options->radix : 5;
    if (radix > 7)
        return tgi_error(err, TG_E_USAGE, "--radix is at most 7");
    const char *in[TGI_GEN_MAX_INPUTS] = {NULL};
    for (uint32_t k = 0; k < radix; k++) {
        char text[80];
        int offset = (int)k - (int)(radix / 2);
        if (!is_spread && offset == 0)
            snprintf(text, sizeof(text), "x[`s-1`,`i`]");
        else if (!is_spread)
            snprintf(text, sizeof(text), offset < 0 ? "x[`s-1`,`max(i-%d,0)`]" : "x[`s-1`,`min(i+%d,W-1)`]",
                     abs(offset));
        else if (k == 0)
            snprintf(text, sizeof(text), "x[`s-1`,`i`]");
        else
            snprintf(text, sizeof(text), "x[`s-1`,`(i+s+%u*max(floordiv(W,%u),1))%%W`]", k, radix);
        in[k] = tgi_arena_strdup(&plan->arena, text);
        if (!in[k])
            return tgi_error_memory(err, "generating a graph");
    }
    plan_rows(plan, steps, width, in);
    return TG_OK;
}

static void plan_cholesky(struct tgi_gen_plan *plan, uint64_t n_tiles, uint64_t tile)
{
    add_param(plan, "NT", n_tiles);
    add_param(plan, "B", tile);
    plan->tiles[0] = plan->tiles[1] = "NT";
    plan->is_factorisation = plan->is_lower = true;
    add_loop(plan, 0, "k", "0", "NT");
    add_task(plan, (struct tgi_gen_statement){.depth = 1,
                                              .id = "potrf[`k`]",
                                              .kernel = "potrf",
                                              .priority = "3*(NT-k)",
                                              .args = {"n", "`B`", "a", "A[`k`,`k`]"}});
    add_loop(plan, 1, "m", "k+1", "NT");
    add_task(plan, (struct tgi_gen_statement){.depth = 2,
                                              .id = "trsm[`m`,`k`]",
                                              .kernel = "trsm",
                                              .priority = "2*(NT-k)",
                                              .args = {"n", "`B`", "l", "A[`k`,`k`]", "b", "A[`m`,`k`]"}});
    add_loop(plan, 1, "m", "k+1", "NT");
    add_task(plan, (struct tgi_gen_statement){.depth = 2,
                                              .id = "syrk[`m`,`k`]",
                                              .kernel = "syrk",
                                              .priority = "NT-k",
                                              .args = {"n", "`B`", "a", "A[`m`,`k`]", "c", "A[`m`,`m`]"}});
    add_loop(plan, 2, "n", "k+1", "m");
    add_task(plan, (struct tgi_gen_statement){
                       .depth = 3,
                       .id = "gemm[`m`,`n`,`k`]",
                       .kernel = "gemm",
                       .args = {"n", "`B`", "a", "A[`m`,`k`]", "b", "A[`n`,`k`]", "c", "A[`m`,`n`]"}});
}

static void plan_lu(struct tgi_gen_plan *plan, uint64_t n_tiles, uint64_t tile)
{
    add_param(plan, "NT", n_tiles);
    add_param(plan, "B", tile);
    plan->tiles[0] = plan->tiles[1] = "NT";
    plan->is_factorisation = true;
    add_loop(plan, 0, "k", "0", "NT");
    add_task(plan, (struct tgi_gen_statement){.depth = 1,
                                              .id = "getrf[`k`]",
                                              .kernel = "getrf",
                                              .priority = "3*(NT-k)",
                                              .args = {"n", "`B`", "a", "A[`k`,`k`]"}});
    add_loop(plan, 1, "j", "k+1", "NT");
    add_task(plan, (struct tgi_gen_statement){
                       .depth = 2,
                       .id = "row[`k`,`j`]",
                       .kernel = "row",
                       .priority = "2*(NT-k)",
                       .args = {"n", "`B`", "l", "A[`k`,`k`]", "b", "A[`k`,`j`]", "unit", "1"}});
    add_loop(plan, 1, "i", "k+1", "NT");
    add_task(plan, (struct tgi_gen_statement){.depth = 2,
                                              .id = "column[`i`,`k`]",
                                              .kernel = "column",
                                              .priority = "2*(NT-k)",
                                              .args = {"n", "`B`", "u", "A[`k`,`k`]", "b", "A[`i`,`k`]"}});
    add_loop(plan, 2, "j", "k+1", "NT");
    add_task(plan, (struct tgi_gen_statement){
                       .depth = 3,
                       .id = "gemm[`i`,`j`,`k`]",
                       .kernel = "gemm",
                       .args = {"n", "`B`", "a", "A[`i`,`k`]", "b", "A[`k`,`j`]", "c", "A[`i`,`j`]"}});
}

/* ---- From options to a plan ---------------------------------------------------------------*/

static uint64_t square_root(uint64_t n)
{
    uint64_t r = (uint64_t)sqrt((double)n);
    while (r > 0 && r * r > n)
        r--;
    return r ? r : 1;
}

/* What --tasks, --width and --steps leave open. */
static void choose_extent(const struct tgi_gen_options *o, uint64_t *steps_p, uint64_t *width_p)
{
    uint64_t n = o->n_tasks ? o->n_tasks : 1000;
    uint64_t width = o->width ? o->width : o->steps ? (n + o->steps - 1) / o->steps : square_root(n);
    *steps_p = o->steps ? o->steps : (n + width - 1) / width;
    *width_p = width;
}

/* The most tiles whose factorisation has at most n tasks. */
static uint64_t choose_tiles(const struct tgi_gen_options *o, bool is_lu)
{
    if (o->width)
        return o->width;
    uint64_t n = o->n_tasks ? o->n_tasks : 1000, t = 1;
    for (;; t++) {
        uint64_t next = t + 1, tasks = next * (next + 1) / 2 * (is_lu ? 2 * next + 1 : next + 2) / 3;
        if (tasks > n)
            return t;
    }
}

static int plan_fft(struct tgi_gen_plan *plan, uint64_t steps, uint64_t width, struct tg_error *err)
{
    const struct tgi_gen_options *o = plan->options;
    if (!o->width) {
        /* The largest transform that --tasks has room for. */
        uint64_t n = o->n_tasks ? o->n_tasks : 1000, levels = 1;
        while (o->steps ? (2u << levels) * o->steps <= n : (2u << levels) * (levels + 2) <= n)
            levels++;
        width = (uint64_t)1 << levels;
    }
    if (width < 2 || (width & (width - 1)) != 0)
        return tgi_error(err, TG_E_USAGE, "fft needs a --width that is a power of two, at least 2");
    uint64_t levels = (uint64_t)__builtin_ctzll(width);
    if (!o->steps)
        steps = o->width && o->n_tasks ? (o->n_tasks + width - 1) / width : levels + 1;
    static const char *const in[] = {"x[`s-1`,`i`]", "x[`s-1`,`i+(1<<(s-1)%L)*(1-2*((i>>(s-1)%L)%2))`]",
                                     NULL};
    plan_rows(plan, steps, width, in);
    add_param(plan, "L", levels);
    return TG_OK;
}

static int plan_shape(struct tgi_gen_plan *plan, struct tg_error *err)
{
    static const char *const straight[] = {"x[`s-1`,`i`]", NULL};
    static const char *const stencil[] = {"x[`s-1`,`max(i-1,0)`]", "x[`s-1`,`i`]", "x[`s-1`,`min(i+1,W-1)`]",
                                          NULL};
    static const char *const sweep[] = {"x[`s-1`,`max(i-1,0)`]", "x[`s-1`,`i`]", NULL};
    const struct tgi_gen_options *o = plan->options;
    const char *name = o->pattern;
    uint64_t n = o->n_tasks ? o->n_tasks
                 : o->width ? o->width
                            : 1000,
             steps, width, tile = o->tile ? o->tile : 128;
    choose_extent(o, &steps, &width);
    if (strcmp(name, "independent") == 0) {
        plan_independent(plan, n);
    } else if (strcmp(name, "chain") == 0) {
        width = o->width ? o->width : 1;
        steps = o->steps ? o->steps : ((o->n_tasks ? o->n_tasks : 1000) + width - 1) / width;
        plan_rows(plan, steps, width, straight);
    } else if (strcmp(name, "tree") == 0) {
        plan_tree(plan, n);
    } else if (strcmp(name, "wavefront") == 0) {
        plan_wavefront(plan, steps, width);
    } else if (strcmp(name, "random") == 0) {
        plan->is_random = true;
        plan->n_tasks = n;
        plan->max_inputs = o->in_edges ? o->in_edges : 4;
        add_param(plan, "N", n);
        plan->tiles[0] = "N";
        if (plan->max_inputs > 7)
            return tgi_error(err, TG_E_USAGE, "--in-edges is at most 7");
    } else if (strcmp(name, "stencil1d") == 0) {
        plan_rows(plan, steps, width, stencil);
    } else if (strcmp(name, "fft") == 0) {
        return plan_fft(plan, steps, width, err);
    } else if (strcmp(name, "sweep") == 0) {
        plan_rows(plan, steps, width, sweep);
    } else if (strcmp(name, "spread") == 0 || strcmp(name, "nearest") == 0) {
        return plan_radix(plan, steps, width, name[0] == 's', err);
    } else if (strcmp(name, "dom") == 0) {
        /* A wave over a grid takes as many more steps as the grid is wide, less one. */
        if (!o->steps)
            steps += width - 1;
        if (steps < width)
            return tgi_error(err, TG_E_USAGE, "dom needs at least as many --steps as --width");
        plan_dom(plan, steps, width);
    } else if (strcmp(name, "cholesky") == 0) {
        plan_cholesky(plan, choose_tiles(o, false), tile);
    } else if (strcmp(name, "lu") == 0) {
        plan_lu(plan, choose_tiles(o, true), tile);
    } else {
        return tgi_error(err, TG_E_USAGE, "there is no pattern \"%s\"", name);
    }
    return TG_OK;
}

#define NOMINAL_BYTES_PER_US 1e4 /* 10 GB/s */

static int plan_payload(struct tgi_gen_plan *plan, struct tg_error *err)
{
    const struct tgi_gen_options *o = plan->options;
    bool is_timed = o->us > 0 || o->ccr > 0;
    if (plan->is_factorisation) {
        if (o->payload != TGI_GEN_AUTO || is_timed || o->bytes)
            return tgi_error(err, TG_E_USAGE,
                             "%s has kernels of its own; --kernel, --us, --ccr and --bytes do not apply",
                             o->pattern);
        return TG_OK;
    }
    plan->payload = o->payload != TGI_GEN_AUTO ? o->payload : is_timed ? TGI_GEN_SPIN : TGI_GEN_HASH;
    if (is_timed && plan->payload != TGI_GEN_SPIN)
        return tgi_error(err, TG_E_USAGE, "--us and --ccr are for --kernel spin");
    plan->us = o->us > 0 ? o->us : o->ccr > 0 ? 10 : 0;
    double bytes = o->bytes ? (double)o->bytes : o->ccr * plan->us * NOMINAL_BYTES_PER_US;
    if (bytes > 1e15)
        return tgi_error(err, TG_E_USAGE, "a task would write more than 1e15 bytes");
    plan->bytes = (uint64_t)bytes;
    plan->words = plan->bytes > 8 ? (plan->bytes + 7) / 8 : 1;
    return TG_OK;
}

int tgi_gen_plan_make(struct tgi_gen_plan *plan, const struct tgi_gen_options *options, struct tg_error *err)
{
    *plan = (struct tgi_gen_plan){.options = options};
    int status = plan_shape(plan, err);
    return status == TG_OK ? plan_payload(plan, err) : status;
}

void tgi_gen_plan_fini(struct tgi_gen_plan *plan) { tgi_arena_fini(&plan->arena); }
