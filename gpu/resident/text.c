/* See text.h.  NVRTC has no headers of a C library: what the sources use of them stands here. */
#include "gpu/resident/text.h"

#include "graph/file_text.h"

/* symbol, file, name by which it is included */
#define FILES(X) \
    X(run, "gpu/resident/run.cuh", "gpu/resident/run.cuh") \
    X(run_dynamic, "gpu/resident/run_dynamic.cuh", "gpu/resident/run_dynamic.cuh") \
    X(run_spread, "gpu/resident/run_spread.cuh", "gpu/resident/run_spread.cuh") \
    X(enter, "gpu/resident/enter.cuh", "gpu/resident/enter.cuh") \
    X(far, "gpu/resident/far.h", "gpu/resident/far.h") \
    X(peers, "mem/resident_peers.h", "mem/resident_peers.h") \
    X(family, "gpu/resident/family.h", "gpu/resident/family.h") \
    X(scheduler, "gpu/resident/scheduler.h", "gpu/resident/scheduler.h") \
    X(ring, "gpu/resident/ring.h", "gpu/resident/ring.h") \
    X(spawn, "gpu/library/spawn.h", "gpu/library/spawn.h") \
    X(status, "gpu/library/status.h", "gpu/library/status.h") \
    X(word, "gpu/library/word.h", "gpu/library/word.h") \
    X(dynamic, "mem/resident_dynamic.h", "mem/resident_dynamic.h") \
    X(call, "gpu/resident/call.cuh", "gpu/resident/call.cuh") \
    X(service_bodies, "gpu/service/bodies.cuh", "gpu/service/bodies.cuh") \
    X(service, "gpu/service/service.cu", "gpu/service/service.cu") \
    X(service_controller, "gpu/service/controller.h", "gpu/service/controller.h") \
    X(service_seating, "gpu/service/seating.h", "gpu/service/seating.h") \
    X(service_answer, "gpu/service/answer.h", "gpu/service/answer.h") \
    X(service_worker, "gpu/service/worker.h", "gpu/service/worker.h") \
    X(service_view, "mem/service_view.h", "mem/service_view.h") \
    X(service_ring, "mem/service_ring.h", "mem/service_ring.h") \
    X(service_turn, "mem/service_turn.h", "mem/service_turn.h") \
    X(user, "gpu/resident/user.cuh", "gpu/resident/user.cuh") \
    X(worker, "gpu/resident/worker.h", "gpu/resident/worker.h") \
    X(body, "gpu/resident/body.h", "gpu/resident/body.h") \
    X(ways, "gpu/resident/ways.h", "gpu/resident/ways.h") \
    X(post, "gpu/resident/post.h", "gpu/resident/post.h") \
    X(block, "gpu/resident/block.h", "gpu/resident/block.h") \
    X(edge, "gpu/resident/edge.h", "gpu/resident/edge.h") \
    X(order, "gpu/resident/order.h", "gpu/resident/order.h") \
    X(program, "mem/resident_program.h", "mem/resident_program.h") \
    X(list, "kernels/resident.h", "kernels/resident.h") \
    X(cut, "kernels/resident/cut.h", "kernels/resident/cut.h") \
    X(warp, "kernels/resident/warp.cuh", "kernels/resident/warp.cuh") \
    X(elements, "kernels/resident/elements.cuh", "kernels/resident/elements.cuh") \
    X(hash, "kernels/resident/hash.cuh", "kernels/resident/hash.cuh") \
    X(stencil, "kernels/resident/stencil.cuh", "kernels/resident/stencil.cuh") \
    X(reduce, "kernels/resident/reduce.cuh", "kernels/resident/reduce.cuh") \
    X(rows, "kernels/resident/rows.cuh", "kernels/resident/rows.cuh") \
    X(spin, "kernels/resident/spin.cuh", "kernels/resident/spin.cuh") \
    X(moves, "kernels/resident/moves.cuh", "kernels/resident/moves.cuh") \
    X(dense, "kernels/resident/dense.cuh", "kernels/resident/dense.cuh") \
    X(sparse, "kernels/resident/sparse.cuh", "kernels/resident/sparse.cuh") \
    X(align, "kernels/resident/align.cuh", "kernels/resident/align.cuh") \
    X(attention, "kernels/resident/attention.cuh", "kernels/resident/attention.cuh") \
    X(of_pack, "kernels/pack.cuh", "kernels/pack.cuh") \
    X(of_layer, "kernels/layer.cuh", "kernels/layer.cuh") \
    X(of_hash, "kernels/hash.cuh", "kernels/hash.cuh") \
    X(of_reduce, "kernels/reduce.cuh", "kernels/reduce.cuh") \
    X(of_spin, "kernels/spin.cuh", "kernels/spin.cuh") \
    X(of_team, "kernels/team.cuh", "kernels/team.cuh") \
    X(of_matvec, "kernels/matvec.cuh", "kernels/matvec.cuh") \
    X(of_dense, "kernels/dense.cuh", "kernels/dense.cuh") \
    X(of_trsv, "kernels/trsv.cuh", "kernels/trsv.cuh") \
    X(of_align, "kernels/align.cuh", "kernels/align.cuh") \
    X(of_attention, "kernels/attention.cuh", "kernels/attention.cuh") \
    X(of_users, "graph/tgraph_resident.h", "tgraph_resident.h")

#define EMBED(symbol, path, name) TGI_FILE_TEXT(tgi_resident_text_##symbol, path);
FILES(EMBED)
#undef EMBED

static const char ints[] = "#ifndef TGI_STDINT\n"
                           "#define TGI_STDINT\n"
                           "typedef signed char int8_t;\n"
                           "typedef unsigned char uint8_t;\n"
                           "typedef short int16_t;\n"
                           "typedef unsigned short uint16_t;\n"
                           "typedef int int32_t;\n"
                           "typedef unsigned int uint32_t;\n"
                           "typedef long int64_t;\n"
                           "typedef unsigned long uint64_t, uintptr_t;\n"
                           "#define INT32_MAX  2147483647\n"
                           "#define INT32_MIN  (-INT32_MAX - 1)\n"
                           "#define UINT32_MAX 4294967295u\n"
                           "#define INT64_MAX  9223372036854775807l\n"
                           "#define INT64_MIN  (-INT64_MAX - 1)\n"
                           "#define UINT64_MAX 18446744073709551615ul\n"
                           "#define UINT64_C(x) x##ul\n"
                           "#endif\n";
static const char numbers[] = "#ifndef INFINITY\n"
                              "#define INFINITY  __int_as_float(0x7f800000)\n"
                              "#define NAN       __int_as_float(0x7fffffff)\n"
                              "#define M_SQRT1_2 0.70710678118654752440\n"
                              "#endif\n";

const struct tgi_nvrtc_header *tgi_resident_headers(int *n_p)
{
#define HEADER(symbol, path, name) {name, tgi_resident_text_##symbol},
    static const struct tgi_nvrtc_header headers[] = {FILES(HEADER) {"stdint.h", ints}, {"math.h", numbers}, {"string.h", ""}, {"stddef.h", ""}, {"stdbool.h", ""}};
#undef HEADER
    *n_p = (int)(sizeof headers / sizeof *headers);
    return headers;
}
