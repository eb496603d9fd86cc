/* CUDA graphs from within: what the files gpu/graph*.c share.
 *
 * graph.c makes nodes of commands and graphs of those, graph_decide.c what a device decides about, graph_capture.c what only a
 * capture can tell, graph_chain.c kernels that are launched early, graph_time.c what tells the time, graph_flags.c what makes the graphs of several devices wait for each other. */
#ifndef TGI_GPU_GRAPH_BUILD_H
#define TGI_GPU_GRAPH_BUILD_H

#include "gpu/decide.h"
#include "gpu/flag.h"
#include "gpu/graph.h"

/* What decisions keep, as many as there are in a row on each device that has one.  A launch begins with none of them taken, and ends
 * with a copy of all to the host. */
struct tgi_cuda_kept {
    CUdeviceptr at; /* 0: this device has none */
    struct tgi_decided *host;
};

/* What commands of a device tell about when they are executed, and where its clock can be looked at. */
struct tgi_cuda_stamps {
    CUfunction kernel;
    CUdeviceptr at;  /* n + 1 numbers; 0: no command of the device is timed */
    uint64_t *host;  /* the same, as they were read last */
    uint32_t n, n_used;
};

/* A command between two kernels that look at the clock. */
struct tgi_cuda_timed {
    CUgraphNode node;
    uint32_t slot; /* of its device's stamps: two */
};

/* Of a split program (mem/split.h). */
struct tgi_cuda_flags {
    CUdeviceptr at[TGI_MAX_DEVICES]; /* 0: the device has none */
    uint32_t n[TGI_MAX_DEVICES], n_awaits;
    uint64_t *owner;                 /* by number of an await: of its command */
    struct tgi_flag_words *words;    /* pinned */
    struct tgi_event *begun, *ended[TGI_MAX_DEVICES]; /* of a launch: where it begins, and its parts' ends */
    bool is_clearing[TGI_MAX_DEVICES]; /* its flags are being cleared, or were when waiting for that failed */
    bool is_stale;                   /* an await has left early: flags are not what they were */
};

struct tgi_device_graph {
    CUgraph graph[TGI_MAX_DEVICES]; /* kept for their nodes, which updates name.  One for each device with commands, at its place, if there
                                       are flags, else the first one alone; others are NULL */
    CUgraphExec exec[TGI_MAX_DEVICES];
    struct tgi_cuda_flags *flags;   /* NULL: there are none */
    uint32_t pushes[TGI_MAX_DEVICES]; /* by device: to which others kernels of it copy what is small, a bit each */
    uint8_t *is_pulled; /* by command: a copy from the host that a kernel does; NULL: none is */
    CUgraphNode *node; /* by command; of one that is timed what others come after */
    uint32_t n;
    uint32_t n_early;  /* commands that are launched while the one before still runs */
    struct tgi_cuda_timed *timed; /* by command; NULL: none is timed */
    struct tgi_cuda_stamps stamps[TGI_MAX_DEVICES];
    uint64_t *times;   /* as graph_times tells */
    bool has_collectives;
    struct tgi_cuda_cluster **clusters; /* resident programs (cluster.h) */
    uint32_t n_clusters;
    uint32_t n_decisions;
    struct tgi_cuda_kept kept[TGI_MAX_DEVICES];
    uint64_t *rounds; /* as graph_rounds tells; NULL: there are no decisions */
};

/* A graph that is being made, with its bodies. */
struct tgi_cuda_build {
    struct tgi_cuda *cuda;
    struct tgi_device_graph *g;
    const struct tgi_program *whole;
    bool is_inserted;   /* it becomes part of the program's own graph */
    struct owned {
        CUgraphNode node;
        uint64_t owner;
    } * owned; /* all nodes */
    uint32_t n_owned, cap_owned;
    CUgraphNode *after; /* of the node at hand */
    uint32_t cap_after, n_after;
    uint64_t owner;     /* of the command at hand; UINT64_MAX: none */
    bool *is_early;     /* by command of the whole program (graph_chain.c); NULL: none is */
    uint32_t n_decided; /* decisions so far */
    uint32_t devices;   /* that have some: a bit each */
    CUgraphNode begin[TGI_MAX_DEVICES]; /* after which decisions of a device have room */
};

/* A program, or the body of a command, and what it becomes. */
struct tgi_cuda_part {
    const struct tgi_program *p;
    CUgraph graph;
    CUgraphNode *node; /* by command: what others come after */
};

/* graph.c */
/* Of a new node: whose it is. */
int tgi_cuda_build_note(struct tgi_cuda_build *b, CUgraphNode node, struct tg_error *err);
/* After an error b->owner is whose command it was. */
int tgi_cuda_build_nodes(struct tgi_cuda_build *b, struct tgi_cuda_part *part, struct tg_error *err);

/* graph_chain.c */
/* Before all nodes: b->is_early, unless TGRAPH_PDL is off. */
int tgi_cuda_build_chains(struct tgi_cuda_build *b, const struct tgi_program *whole, struct tg_error *err);
/* The node of a command that is early, after b->after. */
int tgi_cuda_build_early(struct tgi_cuda_build *b, const struct tgi_cuda_part *part, const CUDA_KERNEL_NODE_PARAMS *kernel,
                         CUgraphNode *node_p, struct tg_error *err);

/* graph_time.c */
/* Before all other nodes; nothing where nothing is timed. */
int tgi_cuda_build_stamps(struct tgi_cuda_build *b, const struct tgi_program *whole, struct tg_error *err);
/* Before the node of a command that is timed is added, and after that: the nodes around it, of which b->after becomes the first, and
 * part->node[id] the last.  The command's device is current afterwards. */
int tgi_cuda_build_time_begin(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err);
int tgi_cuda_build_time_end(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err);
void tgi_cuda_graph_forget_times(struct tgi_cuda *cuda, struct tgi_device_graph *graph);

/* graph_flags.c */
/* Which graph the commands of a lane are in. */
static inline uint32_t tgi_cuda_graph_part(const struct tgi_device_graph *graph, uint32_t lane)
{
    return graph->flags ? tgi_lane_device(lane) : 0;
}
/* Before all nodes: g->flags, if the program has some. */
int tgi_cuda_build_flags(struct tgi_cuda_build *b, const struct tgi_program *whole, struct tg_error *err);
/* Before all nodes: g->pushes and g->is_pulled; none of the latter if TGRAPH_PULL is off. */
int tgi_cuda_build_pushes(struct tgi_cuda_build *b, const struct tgi_program *whole, struct tg_error *err);
/* Whether a command is a copy from one device to another, or from the host, that a kernel does; and that kernel sets flags, too: the next command
 * is the signal after it, which has the same node. */
bool tgi_cuda_is_push(const struct tgi_device_graph *graph, const struct tgi_program *program, uint32_t id);
bool tgi_cuda_push_signals(const struct tgi_device_graph *graph, const struct tgi_program *program, uint32_t id);
/* Whether a kernel that copies from the host can do so from where the command says; true of all other commands. */
bool tgi_cuda_can_pull(struct tgi_cuda *cuda, const struct tgi_device_graph *graph, const struct tgi_program *program, uint32_t id);
/* Of its kernel; args_p and pointer_p are what they point to. */
int tgi_cuda_push_node(struct tgi_cuda *cuda, const struct tgi_device_graph *graph, const struct tgi_program *program, uint32_t id,
                       tgi_push_args *args_p, void **pointer_p, CUDA_KERNEL_NODE_PARAMS *node_p, struct tg_error *err);
/* Signals and awaits, after b->after; their device is current. */
int tgi_cuda_build_flag(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err);
/* All parts, as one command of the lane. */
int tgi_cuda_flags_launch(struct tgi_cuda *cuda, struct tgi_device_graph *graph, uint32_t lane, struct tg_error *err);
/* As graph_fault of device.h. */
int tgi_cuda_flags_fault(struct tgi_device_graph *graph, uint64_t *owner_p, struct tg_error *err);
void tgi_cuda_graph_forget_flags(struct tgi_cuda *cuda, struct tgi_device_graph *graph);

/* graph_decide.c */
/* b->after has what the command comes after, and room for one more. */
int tgi_cuda_build_decision(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, CUcontext ctx, struct tg_error *err);
/* Before all other nodes, and after them; nothing where nothing is decided. */
int tgi_cuda_build_begin(struct tgi_cuda_build *b, const struct tgi_cuda_part *whole, struct tg_error *err);
int tgi_cuda_build_end(struct tgi_cuda_build *b, const struct tgi_cuda_part *whole, struct tg_error *err);
void tgi_cuda_graph_forget(struct tgi_cuda *cuda, struct tgi_device_graph *graph);

#endif
