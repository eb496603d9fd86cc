/* The writing half of machine_json.h. */
#include "io/json_out.h"
#include "io/machine_json.h"

/* Zero stands for "no limit", which is a member that is missing. */
static void put_rate(struct tgi_json *json, const char *key, double per_ns)
{
    if (per_ns > 0)
        tgi_json_double(json, key, per_ns * 1e9);
}

static void put_known(struct tgi_json *json, const char *key, double value)
{
    if (value > 0)
        tgi_json_double(json, key, value);
}

static void put_origin(const struct tgi_machine_origin *o, struct tgi_json *json)
{
    if (o->cpu[0] == '\0')
        return;
    tgi_json_flat_object(json, "measured_on");
    tgi_json_string(json, "cpu", o->cpu);
    tgi_json_uint(json, "cores", o->n_cores);
    tgi_json_uint(json, "numa_nodes", o->n_numa);
    if (o->n_gpus)
        tgi_json_string(json, "gpu", o->gpu);
    tgi_json_uint(json, "gpus", o->n_gpus);
    tgi_json_uint(json, "at_s", o->measured_s);
    tgi_json_end(json);
}

static void put_parts(const struct tgi_machine *m, struct tgi_json *json)
{
    tgi_json_array(json, "classes");
    for (uint32_t i = 0; i < m->n_classes; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "name", m->classes[i].name);
        tgi_json_string(json, "kind", tgi_machine_kinds[m->classes[i].kind]);
        put_rate(json, "flops_per_s", m->classes[i].flops_per_ns);
        tgi_json_double(json, "launch_ns", m->classes[i].launch_ns);
        put_rate(json, "lane_bytes_per_s", m->classes[i].lane_bytes_per_ns);
        put_known(json, "event_ns", m->classes[i].event_ns);
        put_known(json, "alloc_ns", m->classes[i].alloc_ns);
        put_known(json, "node_ns", m->classes[i].node_ns);
        put_known(json, "chain_ns", m->classes[i].chain_ns);
        put_known(json, "stamp_ns", m->classes[i].stamp_ns);
        put_known(json, "resident_start_ns", m->classes[i].resident_start_ns);
        put_known(json, "resident_task_ns", m->classes[i].resident_task_ns);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    tgi_json_array(json, "roots");
    for (uint32_t i = 0; i < m->n_roots; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "name", m->roots[i].name);
        put_rate(json, "bytes_per_s", m->roots[i].bytes_per_ns);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    tgi_json_array(json, "memories");
    for (uint32_t i = 0; i < m->n_memories; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "name", m->memories[i].name);
        tgi_json_uint(json, "bytes", m->memories[i].bytes);
        put_rate(json, "bytes_per_s", m->memories[i].bytes_per_ns);
        put_rate(json, "port_bytes_per_s", m->memories[i].port_bytes_per_ns);
        if (m->memories[i].root != TG_NONE)
            tgi_json_string(json, "root", m->roots[m->memories[i].root].name);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_devices(const struct tgi_machine *m, struct tgi_json *json)
{
    tgi_json_array(json, "devices");
    for (uint32_t i = 0; i < m->n_devices; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "name", m->devices[i].name);
        tgi_json_string(json, "class", m->classes[m->devices[i].class].name);
        tgi_json_string(json, "memory", m->memories[m->devices[i].memory].name);
        tgi_json_uint(json, "lanes", m->devices[i].n_lanes);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    tgi_json_array(json, "links");
    for (uint32_t i = 0; i < m->n_links; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "from", m->links[i].from);
        tgi_json_string(json, "to", m->links[i].to);
        tgi_json_double(json, "latency_ns", m->links[i].latency_ns);
        put_rate(json, "bytes_per_s", m->links[i].bytes_per_ns);
        tgi_json_string(json, "shares", tgi_machine_shares[m->links[i].share]);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_times(const struct tgi_machine *m, struct tgi_json *json)
{
    tgi_json_array(json, "kernels");
    for (uint32_t i = 0; i < m->n_times; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "kernel", m->times[i].kernel);
        tgi_json_string(json, "class", m->classes[m->times[i].class].name);
        tgi_json_string(json, "arguments", m->times[i].arguments);
        tgi_json_double(json, "median_ns", m->times[i].median_ns);
        tgi_json_double(json, "spread_ns", m->times[i].spread_ns);
        tgi_json_uint(json, "samples", m->times[i].n_samples);
        put_known(json, "together_ns", m->times[i].together_ns);
        put_known(json, "together", m->times[i].n_together);
        put_known(json, "beside_ns", m->times[i].beside_ns);
        put_known(json, "enqueue_ns", m->times[i].enqueue_ns);
        put_known(json, "move_ns", m->times[i].move_ns);
        put_known(json, "mark_ns", m->times[i].mark_ns);
        put_known(json, "see_ns", m->times[i].see_ns);
        put_known(json, "graph_ns", m->times[i].graph_ns);
        put_known(json, "graph_part", m->times[i].graph_part);
        put_known(json, "copy_launch_ns", m->times[i].copy_launch_ns);
        if (m->times[i].shares_lane)
            tgi_json_bool(json, "shares_lane", true);
        put_known(json, "flops", m->times[i].flops);
        put_known(json, "bytes", m->times[i].bytes);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_copies(const struct tgi_machine *m, struct tgi_json *json)
{
    if (m->n_copies == 0)
        return;
    tgi_json_array(json, "copies");
    for (uint32_t i = 0; i < m->n_copies; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "from", m->copies[i].from);
        tgi_json_string(json, "to", m->copies[i].to);
        tgi_json_uint(json, "bytes", m->copies[i].bytes);
        tgi_json_uint(json, "at_once", m->copies[i].n_at_once);
        tgi_json_double(json, "median_ns", m->copies[i].median_ns);
        tgi_json_double(json, "spread_ns", m->copies[i].spread_ns);
        tgi_json_uint(json, "samples", m->copies[i].n_samples);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_replays(const struct tgi_machine *m, struct tgi_json *json)
{
    if (m->n_replays == 0)
        return;
    tgi_json_array(json, "graphs");
    for (uint32_t i = 0; i < m->n_replays; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "class", m->classes[m->replays[i].class].name);
        tgi_json_uint(json, "tasks", m->replays[i].n_tasks);
        for (int k = 0; k < TGI_N_REPLAY_COSTS; k++)
            put_known(json, tgi_machine_replay_keys[k], m->replays[i].ns[k]);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

void tgi_machine_write(const struct tgi_machine *m, FILE *to)
{
    struct tgi_json json = tgi_json_begin(to, TGI_JSON_PRETTY);
    tgi_json_object(&json, NULL);
    tgi_json_int(&json, "tgraph_machine", TGI_MACHINE_VERSION);
    tgi_json_string(&json, "name", m->name);
    tgi_json_bool(&json, "is_rough", m->is_rough);
    put_origin(&m->origin, &json);
    put_parts(m, &json);
    put_devices(m, &json);
    put_times(m, &json);
    put_copies(m, &json);
    put_replays(m, &json);
    tgi_json_end(&json);
}
