/* Machine files: a machine (sched/machine.h) as JSON, portable and with a version.
 *
 *     {"tgraph_machine": 1, "name": "node", "is_rough": true,
 *      "classes": [{"name": "cuda", "kind": "cuda", "flops_per_s": 6e13, "launch_ns": 3000}],
 *      "memories": [{"name": "host", "bytes_per_s": 1e11}, {"name": "cuda:0", "bytes": 150323855360, "root": "pcie:0"}],
 *      "roots": [{"name": "pcie:0", "bytes_per_s": 5.5e10}],
 *      "devices": [{"name": "cuda:0", "class": "cuda", "memory": "cuda:0", "lanes": 1}],
 *      "links": [{"from": "host", "to": "cuda", "latency_ns": 6000, "bytes_per_s": 5.5e10, "shares": "roots"}],
 *      "kernels": [{"kernel": "gemm", "class": "cuda", "arguments": "*", "median_ns": 42900, "spread_ns": 600, "samples": 90}]}
 *
 * What `tgraph calibrate` adds: of the machine "measured_on", which says where and when; of a class "lane_bytes_per_s",
 * "event_ns" and "alloc_ns", and of nodes of graphs "node_ns", "chain_ns" and "stamp_ns"; of a kernel "together_ns", "beside_ns",
 * "graph_ns" and "graph_part", "copy_launch_ns" (what a copy from the host adds to launching the graph), "shares_lane" if it is a library's call in graphs, "flops" and "bytes", and what such a task on streams takes the
 * host: "enqueue_ns" to enqueue it, "move_ns" each copy for it, "see_ns" to see its end and for whatever else, "mark_ns" to mark when it runs, where the run is recorded;
 * the copies that links were derived from; and what runs of about that many tasks took as graphs, and on streams ("submit_ns"), each command
 * or task, and in graphs small copies from the host ("copy_ns"), and what begins and ends a run of either kind ("on_streams_ns", "as_graph_ns"):
 *
 *      "measured_on": {"cpu": "AMD EPYC", "cores": 2, "numa_nodes": 1, "gpu": "NVIDIA H200", "gpus": 4, "at_s": 1795737600},
 *      "copies": [{"from": "host", "to": "cuda:0", "bytes": 1048576, "at_once": 1, "median_ns": 25000, "spread_ns": 90, "samples": 9}],
 *      "graphs": [{"class": "cuda", "tasks": 1000, "record_ns": 900, "instantiate_ns": 2000, "launch_ns": 90, "submit_ns": 2500, "copy_ns": 6000}]
 *
 * flops_per_s is of one lane.  Members whose name starts with "x-" are ignored; others that are unknown are errors. */
#ifndef TGI_IO_MACHINE_JSON_H
#define TGI_IO_MACHINE_JSON_H

#include <stdio.h>

#include "sched/machine.h"

enum { TGI_MACHINE_VERSION = 1 };

/* As in files, by enum; the first two end with NULL. */
extern const char *const tgi_machine_kinds[], *const tgi_machine_shares[], *const tgi_machine_replay_keys[TGI_N_REPLAY_COSTS];

/* "-": standard input.  The machine is finished.  TG_E_OPEN, TG_E_READ, TG_E_JSON_SYNTAX, TG_E_VERSION, TG_E_BAD_VALUE and
 * others, with the position in the file. */
int tgi_machine_read(struct tgi_machine *m, const char *path, struct tg_error *err);
/* Write errors stay with the stream. */
void tgi_machine_write(const struct tgi_machine *m, FILE *to);

#endif
