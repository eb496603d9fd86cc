#include "io/machine_json.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/json_out.h"
#include "io/json_tree.h"
#include "io/source.h"

enum { MAX_BYTES = 256 << 20 };

/* ---- Reading ------------------------------------------------------------------------------*/

struct reader {
    struct tgi_json_tree tree;
    struct tgi_arena arena;
    struct tgi_machine *m;
    struct tg_error *err;
};

static const char *const kinds[] = {"cpu", "cuda", "resident", NULL};
static const char *const shares[] = {"nothing", "link", "ports", "roots", NULL};

enum { ROOT = 0 }; /* the outermost value */

static const char *key_of(struct reader *r, uint32_t node)
{
    const char *key = tgi_json_tree_key(&r->tree, node, &r->arena);
    return key ? key : "";
}

/* The members of an object are all of `known`, a text with a space before and after each name, or start with "x-". */
static int check_members(struct reader *r, uint32_t node, const char *what, const char *known)
{
    char word[64];
    if (r->tree.nodes[node].kind != TGI_JSON_OBJECT)
        return tgi_json_tree_error(&r->tree, node, r->err, TG_E_WRONG_TYPE, "%s is not an object", what);
    for (uint32_t at = r->tree.nodes[node].first; at != TG_NONE; at = r->tree.nodes[at].next) {
        const char *key = key_of(r, at);
        snprintf(word, sizeof word, " %.60s ", key);
        if (strncmp(key, "x-", 2) != 0 && !strstr(known, word))
            return tgi_json_tree_error(&r->tree, at, r->err, TG_E_UNKNOWN_KEY, "unknown key \"%.60s\" in %s", key, what);
    }
    return 0;
}

static int find(struct reader *r, uint32_t node, const char *key, bool is_needed, uint32_t *member_p)
{
    *member_p = tgi_json_tree_find(&r->tree, node, key);
    if (*member_p != TG_NONE || !is_needed)
        return 0;
    return tgi_json_tree_error(&r->tree, node, r->err, TG_E_MISSING_KEY, "\"%s\" is missing", key);
}

static int take_text(struct reader *r, uint32_t node, const char *key, bool is_needed, char *text, size_t size)
{
    uint32_t member;
    int rc = find(r, node, key, is_needed, &member);
    if (rc || member == TG_NONE)
        return rc;
    if (r->tree.nodes[member].kind != TGI_JSON_STRING)
        return tgi_json_tree_error(&r->tree, member, r->err, TG_E_WRONG_TYPE, "\"%s\" is not a string", key);
    const char *value = tgi_json_tree_string(&r->tree, member, &r->arena);
    if (!value)
        return tgi_error_memory(r->err, "reading a machine");
    if (strlen(value) >= size)
        return tgi_json_tree_error(&r->tree, member, r->err, TG_E_LIMIT, "\"%s\" has %zu bytes, more than %zu", key,
                                   strlen(value), size - 1);
    snprintf(text, size, "%s", value);
    return 0;
}

/* In [least, most]; what is missing stays as it is. */
static int take_number(struct reader *r, uint32_t node, const char *key, bool is_needed, double least, double most,
                       double *value_p)
{
    uint32_t member;
    int rc = find(r, node, key, is_needed, &member);
    if (rc || member == TG_NONE)
        return rc;
    if (r->tree.nodes[member].kind != TGI_JSON_NUMBER)
        return tgi_json_tree_error(&r->tree, member, r->err, TG_E_WRONG_TYPE, "\"%s\" is not a number", key);
    double value = tgi_json_tree_number(&r->tree, member);
    if (!(value >= least && value <= most))
        return tgi_json_tree_error(&r->tree, member, r->err, TG_E_BAD_VALUE, "\"%s\" is %g; it must be from %g to %g", key,
                                   value, least, most);
    *value_p = value;
    return 0;
}

static int take_word(struct reader *r, uint32_t node, const char *key, const char *const *words, uint32_t *index_p)
{
    char text[TGI_MACHINE_NAME] = "";
    int rc = take_text(r, node, key, true, text, sizeof text);
    for (*index_p = 0; rc == 0 && words[*index_p]; ++*index_p)
        if (strcmp(words[*index_p], text) == 0)
            return 0;
    return rc ? rc : tgi_json_tree_error(&r->tree, tgi_json_tree_find(&r->tree, node, key), r->err, TG_E_BAD_VALUE,
                                         "\"%s\" cannot be \"%s\"", key, text);
}

/* A name that something of the file has. */
static int take_reference(struct reader *r, uint32_t node, const char *key, bool is_needed,
                          uint32_t (*look_up)(const struct tgi_machine *, const char *), uint32_t *index_p)
{
    char text[TGI_MACHINE_NAME] = "";
    int rc = take_text(r, node, key, is_needed, text, sizeof text);
    if (rc || text[0] == '\0')
        return rc;
    *index_p = look_up(r->m, text);
    if (*index_p != TG_NONE)
        return 0;
    return tgi_json_tree_error(&r->tree, tgi_json_tree_find(&r->tree, node, key), r->err, TG_E_UNKNOWN_NAME,
                               "there is no %s \"%s\" in the machine", key, text);
}

static int read_class(struct reader *r, uint32_t node)
{
    struct tgi_machine_class c = {.kind = TGI_DEVICE_CPU};
    double flops = 0, lane = 0;
    uint32_t kind = 0;
    int rc = check_members(r, node, "a class", " name kind flops_per_s launch_ns lane_bytes_per_s event_ns alloc_ns ");
    if (rc == 0)
        rc = take_text(r, node, "name", true, c.name, sizeof c.name);
    if (rc == 0)
        rc = take_word(r, node, "kind", kinds, &kind);
    if (rc == 0)
        rc = take_number(r, node, "flops_per_s", false, 1, 1e21, &flops);
    if (rc == 0)
        rc = take_number(r, node, "launch_ns", false, 0, 1e12, &c.launch_ns);
    if (rc == 0)
        rc = take_number(r, node, "lane_bytes_per_s", false, 1, 1e18, &lane);
    if (rc == 0)
        rc = take_number(r, node, "event_ns", false, 0, 1e12, &c.event_ns);
    if (rc == 0)
        rc = take_number(r, node, "alloc_ns", false, 0, 1e12, &c.alloc_ns);
    if (rc == 0 && tgi_machine_find_class(r->m, c.name) != TG_NONE)
        rc = tgi_json_tree_error(&r->tree, node, r->err, TG_E_DUPLICATE_NAME, "two classes are called \"%s\"", c.name);
    c.kind = (enum tgi_device_kind)kind;
    c.flops_per_ns = flops / 1e9;
    c.lane_bytes_per_ns = lane / 1e9;
    return rc ? rc : tgi_machine_add_class(r->m, &c, r->err);
}

static int read_root(struct reader *r, uint32_t node)
{
    struct tgi_machine_root root = {"", 0};
    double rate = 0;
    int rc = check_members(r, node, "a root", " name bytes_per_s ");
    if (rc == 0)
        rc = take_text(r, node, "name", true, root.name, sizeof root.name);
    if (rc == 0)
        rc = take_number(r, node, "bytes_per_s", true, 1, 1e18, &rate);
    root.bytes_per_ns = rate / 1e9;
    return rc ? rc : tgi_machine_add_root(r->m, &root, r->err);
}

static int read_memory(struct reader *r, uint32_t node)
{
    struct tgi_machine_memory memory = {"", 0, 0, 0, TG_NONE};
    double bytes = 0, rate = 0, port = 0;
    int rc = check_members(r, node, "a memory", " name bytes bytes_per_s port_bytes_per_s root ");
    if (rc == 0)
        rc = take_text(r, node, "name", true, memory.name, sizeof memory.name);
    if (rc == 0)
        rc = take_number(r, node, "bytes", false, 0, 1e18, &bytes);
    if (rc == 0)
        rc = take_number(r, node, "bytes_per_s", false, 1, 1e18, &rate);
    if (rc == 0)
        rc = take_number(r, node, "port_bytes_per_s", false, 1, 1e18, &port);
    if (rc == 0)
        rc = take_reference(r, node, "root", false, tgi_machine_find_root, &memory.root);
    if (rc == 0 && tgi_machine_find_memory(r->m, memory.name) != TG_NONE)
        rc = tgi_json_tree_error(&r->tree, node, r->err, TG_E_DUPLICATE_NAME, "two memories are called \"%s\"", memory.name);
    memory.bytes = (uint64_t)bytes;
    memory.bytes_per_ns = rate / 1e9;
    memory.port_bytes_per_ns = port / 1e9;
    return rc ? rc : tgi_machine_add_memory(r->m, &memory, r->err);
}

static int read_device(struct reader *r, uint32_t node)
{
    struct tgi_machine_device device = {"", 0, 0, 0};
    double lanes = 1;
    int rc = check_members(r, node, "a device", " name class memory lanes ");
    if (rc == 0)
        rc = take_text(r, node, "name", true, device.name, sizeof device.name);
    if (rc == 0)
        rc = take_reference(r, node, "class", true, tgi_machine_find_class, &device.class);
    if (rc == 0)
        rc = take_reference(r, node, "memory", true, tgi_machine_find_memory, &device.memory);
    if (rc == 0)
        rc = take_number(r, node, "lanes", false, 1, 65536, &lanes);
    device.n_lanes = (uint32_t)lanes;
    return rc ? rc : tgi_machine_add_device(r->m, &device, r->err);
}

static int check_end(struct reader *r, uint32_t node, const char *key, const char *name)
{
    if (strcmp(name, "*") == 0 || tgi_machine_find_memory(r->m, name) != TG_NONE ||
        tgi_machine_find_class(r->m, name) != TG_NONE)
        return 0;
    return tgi_json_tree_error(&r->tree, tgi_json_tree_find(&r->tree, node, key), r->err, TG_E_UNKNOWN_NAME,
                               "there is no memory or class \"%s\" in the machine", name);
}

static int read_link(struct reader *r, uint32_t node)
{
    struct tgi_machine_link link = {"", "", 0, 0, TGI_SHARE_LINK};
    double rate = 0;
    uint32_t share = 0;
    int rc = check_members(r, node, "a link", " from to latency_ns bytes_per_s shares ");
    if (rc == 0)
        rc = take_text(r, node, "from", true, link.from, sizeof link.from);
    if (rc == 0)
        rc = take_text(r, node, "to", true, link.to, sizeof link.to);
    if (rc == 0)
        rc = check_end(r, node, "from", link.from);
    if (rc == 0)
        rc = check_end(r, node, "to", link.to);
    if (rc == 0)
        rc = take_number(r, node, "latency_ns", false, 0, 1e12, &link.latency_ns);
    if (rc == 0)
        rc = take_number(r, node, "bytes_per_s", true, 1, 1e18, &rate);
    if (rc == 0)
        rc = take_word(r, node, "shares", shares, &share);
    link.bytes_per_ns = rate / 1e9;
    link.share = (enum tgi_machine_share)share;
    return rc ? rc : tgi_machine_add_link(r->m, &link, r->err);
}

static int read_time(struct reader *r, uint32_t node)
{
    struct tgi_machine_time time = {.n_samples = 0};
    double samples = 1, together = 0;
    int rc = check_members(r, node, "a kernel", " kernel class arguments median_ns spread_ns samples together_ns together flops bytes ");
    if (rc == 0)
        rc = take_text(r, node, "kernel", true, time.kernel, sizeof time.kernel);
    if (rc == 0)
        rc = take_reference(r, node, "class", true, tgi_machine_find_class, &time.class);
    if (rc == 0)
        rc = take_text(r, node, "arguments", true, time.arguments, sizeof time.arguments);
    if (rc == 0)
        rc = take_number(r, node, "median_ns", true, 0, 1e18, &time.median_ns);
    if (rc == 0)
        rc = take_number(r, node, "spread_ns", false, 0, 1e18, &time.spread_ns);
    if (rc == 0)
        rc = take_number(r, node, "samples", false, 1, 1e9, &samples);
    if (rc == 0)
        rc = take_number(r, node, "together_ns", false, 0, 1e18, &time.together_ns);
    if (rc == 0)
        rc = take_number(r, node, "together", time.together_ns > 0, 1, 1e6, &together);
    time.n_together = (uint32_t)together;
    if (rc == 0)
        rc = take_number(r, node, "flops", false, 0, 1e21, &time.flops);
    if (rc == 0)
        rc = take_number(r, node, "bytes", false, 0, 1e21, &time.bytes);
    time.n_samples = (uint32_t)samples;
    return rc ? rc : tgi_machine_add_time(r->m, &time, r->err);
}

static int read_copy(struct reader *r, uint32_t node)
{
    struct tgi_machine_copy copy = {.n_samples = 0};
    double bytes = 0, at_once = 1, samples = 1;
    int rc = check_members(r, node, "a copy", " from to bytes at_once median_ns spread_ns samples ");
    if (rc == 0)
        rc = take_text(r, node, "from", true, copy.from, sizeof copy.from);
    if (rc == 0)
        rc = take_text(r, node, "to", true, copy.to, sizeof copy.to);
    if (rc == 0)
        rc = take_number(r, node, "bytes", true, 0, 1e18, &bytes);
    if (rc == 0)
        rc = take_number(r, node, "at_once", false, 1, 1e6, &at_once);
    if (rc == 0)
        rc = take_number(r, node, "median_ns", true, 0, 1e18, &copy.median_ns);
    if (rc == 0)
        rc = take_number(r, node, "spread_ns", false, 0, 1e18, &copy.spread_ns);
    if (rc == 0)
        rc = take_number(r, node, "samples", false, 1, 1e9, &samples);
    copy.bytes = (uint64_t)bytes;
    copy.n_at_once = (uint32_t)at_once;
    copy.n_samples = (uint32_t)samples;
    return rc ? rc : tgi_machine_add_copy(r->m, &copy, r->err);
}

static int read_origin(struct reader *r)
{
    struct tgi_machine_origin *o = &r->m->origin;
    double cores = 0, numa = 0, gpus = 0, at_s = 0;
    uint32_t node = tgi_json_tree_find(&r->tree, ROOT, "measured_on");
    if (node == TG_NONE)
        return 0;
    int rc = check_members(r, node, "\"measured_on\"", " cpu cores numa_nodes gpu gpus at_s ");
    if (rc == 0)
        rc = take_text(r, node, "cpu", true, o->cpu, sizeof o->cpu);
    if (rc == 0)
        rc = take_number(r, node, "cores", true, 1, 1e6, &cores);
    if (rc == 0)
        rc = take_number(r, node, "numa_nodes", true, 1, 1e6, &numa);
    if (rc == 0)
        rc = take_text(r, node, "gpu", false, o->gpu, sizeof o->gpu);
    if (rc == 0)
        rc = take_number(r, node, "gpus", false, 0, 1e6, &gpus);
    if (rc == 0)
        rc = take_number(r, node, "at_s", false, 0, 1e15, &at_s);
    o->n_cores = (uint32_t)cores;
    o->n_numa = (uint32_t)numa;
    o->n_gpus = (uint32_t)gpus;
    o->measured_s = (uint64_t)at_s;
    return rc;
}

static int read_list(struct reader *r, const char *key, bool is_needed, int (*read)(struct reader *, uint32_t))
{
    uint32_t list;
    int rc = find(r, ROOT, key, is_needed, &list);
    if (rc || list == TG_NONE)
        return rc;
    if (r->tree.nodes[list].kind != TGI_JSON_ARRAY)
        return tgi_json_tree_error(&r->tree, list, r->err, TG_E_WRONG_TYPE, "\"%s\" is not an array", key);
    for (uint32_t at = r->tree.nodes[list].first; rc == 0 && at != TG_NONE; at = r->tree.nodes[at].next)
        rc = read(r, at);
    return rc;
}

static int read_head(struct reader *r)
{
    double version = 0;
    int rc = check_members(r, ROOT, "a machine",
                           " tgraph_machine name is_rough classes memories roots devices links kernels copies measured_on ");
    if (rc == 0)
        rc = take_number(r, ROOT, "tgraph_machine", true, 0, 1e9, &version);
    if (rc == 0 && version != TGI_MACHINE_VERSION)
        rc = tgi_json_tree_error(&r->tree, tgi_json_tree_find(&r->tree, ROOT, "tgraph_machine"), r->err, TG_E_VERSION,
                                 "machine files of version %g are not known; this is version %d", version,
                                 TGI_MACHINE_VERSION);
    uint32_t rough = tgi_json_tree_find(&r->tree, ROOT, "is_rough");
    r->m->is_rough = rough != TG_NONE && r->tree.nodes[rough].kind == TGI_JSON_TRUE;
    return rc ? rc : take_text(r, ROOT, "name", false, r->m->name, sizeof r->m->name);
}

static int read_machine(struct reader *r)
{
    static const struct {
        const char *key;
        bool is_needed;
        int (*read)(struct reader *, uint32_t);
    } lists[] = {{"classes", true, read_class}, {"roots", false, read_root},  {"memories", true, read_memory},
                 {"devices", true, read_device}, {"links", false, read_link}, {"kernels", false, read_time},
                 {"copies", false, read_copy}};
    int rc = read_head(r);
    if (rc == 0)
        rc = read_origin(r);
    for (size_t i = 0; rc == 0 && i < sizeof lists / sizeof lists[0]; i++)
        rc = read_list(r, lists[i].key, lists[i].is_needed, lists[i].read);
    if (rc == 0 && (rc = tgi_machine_finish(r->m, r->err)))
        tgi_error_set_position(r->err, r->tree.file, 1, 1);
    return rc;
}

int tgi_machine_read(struct tgi_machine *m, const char *path, struct tg_error *err)
{
    struct tgi_source source;
    struct reader r = {.m = m, .err = err};
    *m = (struct tgi_machine){0};
    int rc = tgi_source_read(&source, path, MAX_BYTES, err);
    if (rc)
        return rc;
    rc = tgi_json_tree_parse(&r.tree, source.text, source.size, path, 1, err);
    if (rc == 0)
        rc = read_machine(&r);
    if (rc)
        tgi_machine_fini(m);
    tgi_json_tree_fini(&r.tree);
    tgi_arena_fini(&r.arena);
    tgi_source_fini(&source);
    return rc;
}

/* ---- Writing ------------------------------------------------------------------------------*/

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
        tgi_json_string(json, "kind", kinds[m->classes[i].kind]);
        put_rate(json, "flops_per_s", m->classes[i].flops_per_ns);
        tgi_json_double(json, "launch_ns", m->classes[i].launch_ns);
        put_rate(json, "lane_bytes_per_s", m->classes[i].lane_bytes_per_ns);
        put_known(json, "event_ns", m->classes[i].event_ns);
        put_known(json, "alloc_ns", m->classes[i].alloc_ns);
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
        tgi_json_string(json, "shares", shares[m->links[i].share]);
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
    tgi_json_end(&json);
}
