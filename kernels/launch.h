/* How a built-in kernel is launched on a GPU: from its arguments to grid, block and shared memory.
 *
 * The expressions of an entry are compiled once per kernel and element type; evaluating them is what a
 * launch costs.  Needs no GPU. */
#ifndef TGI_KERNELS_LAUNCH_H
#define TGI_KERNELS_LAUNCH_H

#include "graph/builtin.h"
#include "graph/expr.h"

/* What entries are made of.  A grid has at least one block, also for sizes of 0: reductions still write
 * their result.  Kernels go on with what a smaller grid leaves over. */
#define TGI_GRID(blocks) "min(2147483647,max(1," blocks "))"
/* A block for each 16 KiB of a tile, as in map.cuh. */
#define TGI_MAP_GRID(n) TGI_GRID("ceildiv((" n ")*sizeof(T),16384)")
/* One team, as in team.cuh. */
#define TGI_TEAM_GRID "8"
/* The rule of gemm.cu. */
#define TGI_GEMM_GRID TGI_GRID("(m*n>=3300000 ? ceildiv(m,128)*ceildiv(n,128) : ceildiv(m,64)*ceildiv(n,64))")

struct tgi_launch {
    uint32_t grid, block;  /* along x; 1 along y and z */
    uint32_t shared_bytes; /* dynamic */
};

/* For expressions over the integer scalars of `builtin`, a struct tgi_builtin: a name's slot is the number of the parameter. */
struct tgi_expr_name tgi_launch_resolve(void *builtin, const char *name, size_t length);

struct tgi_launcher;

/* For the element type `type`; of kernels without a type parameter it is ignored.  TG_E_NO_MEMORY, or
 * TG_E_NO_VARIANT if the kernel has none for GPUs and that type. */
int tgi_launcher_create(const struct tgi_builtin *builtin, enum tg_dtype type, struct tgi_launcher **launcher_p);
void tgi_launcher_destroy(struct tgi_launcher *launcher);
/* "tgk_axpy_f32"; lives as long as the launcher. */
const char *tgi_launcher_symbol(const struct tgi_launcher *launcher);
/* For these arguments.  Several threads may ask at once.  TG_E_EXPR_VALUE: sizes so large that the arithmetic
 * overflows. */
int tgi_launcher_size(const struct tgi_launcher *launcher, void *const *args, struct tgi_launch *launch_p);

/* The embedded module of all kernels, a fat binary for cuModuleLoadData(); NULL and 0 in a build without. */
const void *tgi_kernels_fatbin(size_t *length_p);

#endif
