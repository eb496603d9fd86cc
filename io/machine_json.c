#include "io/machine_json.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/json_tree.h"
#include "io/source.h"

enum { MAX_BYTES = 256 << 20 };

struct reader {
    struct tgi_json_tree tree;
    struct tgi_arena arena;
    struct tgi_machine *m;
    struct tg_error *err;
};

const char *const tgi_machine_kinds[] = {"cpu", "cuda", "resident", NULL};
const char *const tgi_machine_replay_keys[TGI_N_REPLAY_COSTS] = {"record_ns", "instantiate_ns", "update_ns", "launch_ns", "submit_ns", "copy_ns",
                                                                   "on_streams_ns", "as_graph_ns"};
const char *const tgi_machine_shares[] = {"nothing", "link", "ports", "roots", NULL};

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
    int rc = check_members(r, node, "a class", " name kind flops_per_s launch_ns lane_bytes_per_s event_ns alloc_ns node_ns chain_ns stamp_ns"
                                                   " resident_start_ns resident_task_ns ");
    if (rc == 0)
        rc = take_text(r, node, "name", true, c.name, sizeof c.name);
    if (rc == 0)
        rc = take_word(r, node, "kind", tgi_machine_kinds, &kind);
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
    if (rc == 0)
        rc = take_number(r, node, "node_ns", false, 0, 1e12, &c.node_ns);
    if (rc == 0)
        rc = take_number(r, node, "chain_ns", false, 0, 1e12, &c.chain_ns);
    if (rc == 0)
        rc = take_number(r, node, "stamp_ns", false, 0, 1e12, &c.stamp_ns);
    if (rc == 0)
        rc = take_number(r, node, "resident_start_ns", false, 0, 1e12, &c.resident_start_ns);
    if (rc == 0)
        rc = take_number(r, node, "resident_task_ns", false, 0, 1e12, &c.resident_task_ns);
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
        rc = take_word(r, node, "shares", tgi_machine_shares, &share);
    link.bytes_per_ns = rate / 1e9;
    link.share = (enum tgi_machine_share)share;
    return rc ? rc : tgi_machine_add_link(r->m, &link, r->err);
}

static bool is_true(const struct reader *r, uint32_t node, const char *key)
{
    uint32_t value = tgi_json_tree_find(&r->tree, node, key);
    return value != TG_NONE && r->tree.nodes[value].kind == TGI_JSON_TRUE;
}

static int read_time(struct reader *r, uint32_t node)
{
    struct tgi_machine_time time = {.n_samples = 0};
    double samples = 1, together = 0;
    int rc = check_members(r, node, "a kernel", " kernel class arguments median_ns spread_ns samples together_ns together beside_ns enqueue_ns move_ns mark_ns see_ns graph_ns graph_part copy_launch_ns shares_lane flops bytes ");
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
        rc = take_number(r, node, "beside_ns", false, 0, 1e18, &time.beside_ns);
    if (rc == 0)
        rc = take_number(r, node, "enqueue_ns", false, 0, 1e18, &time.enqueue_ns);
    if (rc == 0)
        rc = take_number(r, node, "move_ns", false, 0, 1e18, &time.move_ns);
    if (rc == 0)
        rc = take_number(r, node, "mark_ns", false, 0, 1e18, &time.mark_ns);
    if (rc == 0)
        rc = take_number(r, node, "see_ns", false, 0, 1e18, &time.see_ns);
    if (rc == 0)
        rc = take_number(r, node, "graph_ns", false, 0, 1e18, &time.graph_ns);
    if (rc == 0)
        rc = take_number(r, node, "graph_part", time.graph_ns > 0, 0, 1, &time.graph_part);
    if (rc == 0)
        rc = take_number(r, node, "copy_launch_ns", false, 0, 1e18, &time.copy_launch_ns);
    time.shares_lane = is_true(r, node, "shares_lane");
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

static int read_replay(struct reader *r, uint32_t node)
{
    struct tgi_machine_replay replay = {.class = TG_NONE};
    double tasks = 0;
    int rc = check_members(r, node, "a graph", " class tasks record_ns instantiate_ns update_ns launch_ns submit_ns copy_ns on_streams_ns as_graph_ns ");
    if (rc == 0)
        rc = take_reference(r, node, "class", true, tgi_machine_find_class, &replay.class);
    if (rc == 0)
        rc = take_number(r, node, "tasks", true, 1, 1e12, &tasks);
    for (int i = 0; rc == 0 && i < TGI_N_REPLAY_COSTS; i++)
        rc = take_number(r, node, tgi_machine_replay_keys[i], false, 0, 1e12, &replay.ns[i]);
    replay.n_tasks = (uint64_t)tasks;
    return rc ? rc : tgi_machine_add_replay(r->m, &replay, r->err);
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
                           " tgraph_machine name is_rough classes memories roots devices links kernels copies graphs measured_on ");
    if (rc == 0)
        rc = take_number(r, ROOT, "tgraph_machine", true, 0, 1e9, &version);
    if (rc == 0 && version != TGI_MACHINE_VERSION)
        rc = tgi_json_tree_error(&r->tree, tgi_json_tree_find(&r->tree, ROOT, "tgraph_machine"), r->err, TG_E_VERSION,
                                 "machine files of version %g are not known; this is version %d", version,
                                 TGI_MACHINE_VERSION);
    r->m->is_rough = is_true(r, ROOT, "is_rough");
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
                 {"copies", false, read_copy},
                 {"graphs", false, read_replay}};
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
