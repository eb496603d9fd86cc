/* tgraph devices: what graphs can run on here. */
#include "io/cli/cli.h"

#include <stdlib.h>

#include "io/json_out.h"
#include "io/units.h"
#include "sched/topology.h"

static void print_text(const struct tgi_topology *t)
{
    char text[TGI_UNITS_SIZE];
    printf("cpu   %u hardware thread%s on %u core%s, %u package%s, %u NUMA node%s, %u L3 cache%s%s\n",
           t->n_cpus, t->n_cpus == 1 ? "" : "s", t->n_cores, t->n_cores == 1 ? "" : "s", t->n_packages,
           t->n_packages == 1 ? "" : "s", t->n_numa, t->n_numa == 1 ? "" : "s", t->n_l3,
           t->n_l3 == 1 ? "" : "s", t->is_this_machine ? "" : " (not this machine)");
    printf("\n  %-6s %6s %9s %9s %10s\n", "NUMA", "cores", "threads", "L3", "memory");
    for (uint32_t n = 0; n < t->n_numa; n++) {
        uint32_t n_threads = 0, n_cores = 0, n_l3 = 0, last_l3 = UINT32_MAX;
        for (uint32_t i = 0; i < t->n_cpus; i++) {
            if (t->cpus[i].numa != n)
                continue;
            n_threads++;
            n_cores += t->cpus[i].smt == 0;
            n_l3 += t->cpus[i].smt == 0 && t->cpus[i].l3 != last_l3;
            last_l3 = t->cpus[i].smt == 0 ? t->cpus[i].l3 : last_l3;
        }
        uint64_t bytes = t->numa_bytes ? t->numa_bytes[n] : 0;
        printf("  %-6u %6u %9u %9u %10s\n", n, n_cores, n_threads, n_l3,
               bytes ? tgi_format_bytes((double)bytes, text, sizeof(text)) : "unknown");
    }
    printf("\ncuda  none: this build runs graphs on CPUs\n");
}

static void print_json(const struct tgi_topology *t)
{
    struct tgi_json json = tgi_json_begin(stdout, TGI_JSON_PRETTY);
    tgi_json_object(&json, NULL);
    tgi_json_string(&json, "schema", "tgraph.report/1");
    tgi_json_string(&json, "command", "devices");
    tgi_json_object(&json, "cpu");
    tgi_json_uint(&json, "threads", t->n_cpus);
    tgi_json_uint(&json, "cores", t->n_cores);
    tgi_json_uint(&json, "packages", t->n_packages);
    tgi_json_uint(&json, "numa_nodes", t->n_numa);
    tgi_json_uint(&json, "l3_caches", t->n_l3);
    tgi_json_bool(&json, "is_this_machine", t->is_this_machine);
    tgi_json_flat_array(&json, "numa_bytes");
    for (uint32_t n = 0; n < t->n_numa; n++)
        tgi_json_uint(&json, NULL, t->numa_bytes ? t->numa_bytes[n] : 0);
    tgi_json_end(&json);
    tgi_json_array(&json, "processors");
    for (uint32_t i = 0; i < t->n_cpus; i++) {
        tgi_json_flat_object(&json, NULL);
        tgi_json_uint(&json, "worker", i);
        tgi_json_uint(&json, "os_index", t->cpus[i].os_index);
        tgi_json_uint(&json, "core", t->cpus[i].core);
        tgi_json_uint(&json, "smt", t->cpus[i].smt);
        tgi_json_uint(&json, "l3", t->cpus[i].l3);
        tgi_json_uint(&json, "numa", t->cpus[i].numa);
        tgi_json_uint(&json, "package", t->cpus[i].package);
        tgi_json_end(&json);
    }
    tgi_json_end(&json);
    tgi_json_end(&json);
    tgi_json_array(&json, "cuda");
    tgi_json_end(&json);
    tgi_json_end(&json);
}

int tgi_cli_devices(struct tgi_cli *cli)
{
    struct tgi_topology *topology;
    struct tg_error err;
    int rc = 0;
    if (tgi_topology_open(tgi_cli_text(cli, "topology", NULL), &topology, &err))
        return tgi_cli_error(cli, &err);
    if (cli->format == TGI_FORMAT_JSON) {
        print_json(topology);
    } else if (tgi_cli_has(cli, "tree")) {
        char *text = tgi_topology_text(topology);
        if (text)
            fputs(text, stdout);
        else
            rc = tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory to draw the topology");
        free(text);
    } else {
        print_text(topology);
    }
    tgi_topology_close(topology);
    return rc;
}
