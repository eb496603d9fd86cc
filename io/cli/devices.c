/* tgraph devices: what graphs can run on here. */
#include "io/cli/devices.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/driver.h"
#include "io/cli/document.h"
#include "io/units.h"
#include "io/utf8.h"
#include "sched/topology.h"

/* ---- CPUs ---------------------------------------------------------------------------------*/

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
}

static void put_json(const struct tgi_topology *t, struct tgi_json *json)
{
    tgi_json_object(json, "cpu");
    tgi_json_uint(json, "threads", t->n_cpus);
    tgi_json_uint(json, "cores", t->n_cores);
    tgi_json_uint(json, "packages", t->n_packages);
    tgi_json_uint(json, "numa_nodes", t->n_numa);
    tgi_json_uint(json, "l3_caches", t->n_l3);
    tgi_json_bool(json, "is_this_machine", t->is_this_machine);
    tgi_json_flat_array(json, "numa_bytes");
    for (uint32_t n = 0; n < t->n_numa; n++)
        tgi_json_uint(json, NULL, t->numa_bytes ? t->numa_bytes[n] : 0);
    tgi_json_end(json);
    tgi_json_array(json, "processors");
    for (uint32_t i = 0; i < t->n_cpus; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_uint(json, "worker", i);
        tgi_json_uint(json, "os_index", t->cpus[i].os_index);
        tgi_json_uint(json, "core", t->cpus[i].core);
        tgi_json_uint(json, "smt", t->cpus[i].smt);
        tgi_json_uint(json, "l3", t->cpus[i].l3);
        tgi_json_uint(json, "numa", t->cpus[i].numa);
        tgi_json_uint(json, "package", t->cpus[i].package);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    tgi_json_end(json);
}

/* ---- CUDA devices -------------------------------------------------------------------------*/

/* n_devices 0: there is none, and `why` says so. */
struct cuda {
    const struct tgi_cuda_api *api; /* NULL: no driver */
    struct tgi_cuda_machine machine;
    struct tg_error why;
};

/* A topology from elsewhere says nothing about the devices of this machine. */
static void find_cuda(struct cuda *c, bool is_here)
{
    *c = (struct cuda){0};
    if (!is_here) {
        c->why.status = TG_E_NO_DEVICE;
        snprintf(c->why.text, sizeof(c->why.text), "the topology is not this machine's");
        return;
    }
    int rc = tgi_cuda_retain(&c->api, &c->why);
    if (rc)
        c->api = NULL;
    else if (tgi_cuda_machine_init(c->api, &c->machine, &c->why))
        c->machine = (struct tgi_cuda_machine){0};
}

static void forget_cuda(struct cuda *c)
{
    tgi_cuda_machine_fini(&c->machine);
    if (c->api)
        tgi_cuda_release();
}

static const char *link_text(const struct tgi_cuda_machine *m, int from, int to)
{
    return from == to ? "-" : tgi_cuda_link_name(m->link[from * m->n_devices + to]);
}

/* From the row's device to the column's. */
static void print_links(const struct tgi_cuda_machine *m)
{
    char name[32];
    printf("\n  %-10s", "reaches");
    for (int i = 0; i < m->n_devices; i++) {
        snprintf(name, sizeof(name), "cuda:%d", i);
        printf(" %8s", name);
    }
    putchar('\n');
    for (int i = 0; i < m->n_devices; i++) {
        snprintf(name, sizeof(name), "cuda:%d", i);
        printf("  %-10s", name);
        for (int k = 0; k < m->n_devices; k++)
            printf(" %8s", link_text(m, i, k));
        putchar('\n');
    }
}

static void print_cuda(const struct cuda *c)
{
    const struct tgi_cuda_machine *m = &c->machine;
    if (m->n_devices == 0) {
        printf("\ncuda  %s: ", c->why.status == TG_E_NO_LIBRARY ? "no driver" : "no devices");
        tgi_utf8_print(stdout, c->why.text);
        putchar('\n');
        return;
    }
    printf("\ncuda  %d device%s, driver for CUDA %d.%d\n", m->n_devices, m->n_devices == 1 ? "" : "s",
           c->api->version / 1000, c->api->version % 1000 / 10);
    int width = 6;
    for (int i = 0; i < m->n_devices; i++)
        width = (int)strlen(m->device[i].name) > width ? (int)strlen(m->device[i].name) : width;
    printf("\n  %-8s %-*s %10s %5s %10s %5s  %s\n", "device", width, "name", "compute", "SMs", "memory", "NUMA", "PCI");
    for (int i = 0; i < m->n_devices; i++) {
        const struct tgi_cuda_device_info *d = &m->device[i];
        char name[32], cc[32], numa[16] = "-", memory[TGI_UNITS_SIZE];
        snprintf(name, sizeof(name), "cuda:%d", d->ordinal);
        snprintf(cc, sizeof(cc), "%d.%d", d->cc_major, d->cc_minor);
        if (d->numa_node >= 0)
            snprintf(numa, sizeof(numa), "%d", d->numa_node);
        printf("  %-8s %-*s %10s %5d %10s %5s  %s\n", name, width, d->name, cc, d->n_sms,
               tgi_format_bytes((double)d->memory_bytes, memory, sizeof(memory)), numa, d->pci_id);
    }
    if (m->n_devices > 1)
        print_links(m);
}

static void format_uuid(const CUuuid *uuid, char *text)
{
    for (int i = 0, at = 0; i < 16; i++)
        at += sprintf(text + at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", (unsigned char)uuid->bytes[i]);
}

static void put_cuda(const struct cuda *c, struct tgi_json *json)
{
    const struct tgi_cuda_machine *m = &c->machine;
    char text[64];
    tgi_json_array(json, "cuda");
    for (int i = 0; i < m->n_devices; i++) {
        const struct tgi_cuda_device_info *d = &m->device[i];
        tgi_json_object(json, NULL);
        tgi_json_int(json, "device", d->ordinal);
        tgi_json_string(json, "name", d->name);
        format_uuid(&d->uuid, text);
        tgi_json_string(json, "uuid", text);
        snprintf(text, sizeof(text), "%d.%d", d->cc_major, d->cc_minor);
        tgi_json_string(json, "compute_capability", text);
        tgi_json_int(json, "multiprocessors", d->n_sms);
        tgi_json_uint(json, "memory_bytes", d->memory_bytes);
        tgi_json_int(json, "l2_bytes", d->l2_bytes);
        tgi_json_int(json, "copy_engines", d->n_copy_engines);
        if (d->numa_node >= 0)
            tgi_json_int(json, "numa_node", d->numa_node);
        else
            tgi_json_null(json, "numa_node");
        tgi_json_string(json, "pci_id", d->pci_id);
        tgi_json_flat_array(json, "reaches"); /* by device; null: itself */
        for (int k = 0; k < m->n_devices; k++)
            tgi_json_string(json, NULL, i == k ? NULL : link_text(m, i, k));
        tgi_json_end(json);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    if (c->api) {
        snprintf(text, sizeof(text), "%d.%d", c->api->version / 1000, c->api->version % 1000 / 10);
        tgi_json_string(json, "cuda_driver", text);
    } else {
        tgi_json_null(json, "cuda_driver");
    }
    tgi_json_string(json, "cuda_absent", m->n_devices ? NULL : c->why.text); /* why there are none */
}

/* ---- Both ---------------------------------------------------------------------------------*/

static void show(const struct tgi_cli *cli, const struct tgi_topology *t)
{
    struct cuda cuda;
    find_cuda(&cuda, !tgi_cli_has(cli, "topology"));
    if (cli->format == TGI_FORMAT_JSON) {
        struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "devices");
        put_json(t, &json);
        put_cuda(&cuda, &json);
        tgi_json_end(&json);
    } else {
        print_text(t);
        print_cuda(&cuda);
    }
    forget_cuda(&cuda);
}

int tgi_cli_devices(struct tgi_cli *cli)
{
    struct tgi_topology *topology;
    struct tg_error err;
    int rc = 0;
    bool needs_machine = tgi_cli_has(cli, "matrix") || tgi_cli_has(cli, "output");
    if (needs_machine && (tgi_cli_has(cli, "topology") || tgi_cli_has(cli, "tree")))
        return tgi_cli_usage(cli, "--matrix and -o are of this machine or of --machine, without --topology and --tree");
    if (tgi_cli_has(cli, "machine") && !needs_machine)
        return tgi_cli_usage(cli, "--machine goes with --matrix");
    if (needs_machine)
        return tgi_cli_devices_machine(cli);
    if (tgi_topology_open(tgi_cli_text(cli, "topology", NULL), &topology, &err))
        return tgi_cli_error(cli, &err);
    if (cli->format == TGI_FORMAT_TEXT && tgi_cli_has(cli, "tree")) {
        char *text = tgi_topology_text(topology);
        if (text)
            fputs(text, stdout);
        else
            rc = tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory to draw the topology");
        free(text);
    } else {
        show(cli, topology);
    }
    tgi_topology_close(topology);
    return rc;
}
