/* See program_picture.h. */
#include "io/program_picture.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/dot.h"
#include "io/json_out.h"
#include "io/palette.h"
#include "io/units.h"

enum { NAME_SIZE = 160 };

/* ---- Names --------------------------------------------------------------------------------*/

/* As people call them who know CUDA graphs. */
static const char *kind_name(const struct tgi_command *c)
{
    return c->kind == TGI_COMMAND_LAUNCH ? "kernel" : tgi_command_kind_name(c->kind);
}

static const char *lane_name(uint32_t lane, char *text)
{
    static const char *const copies[] = {"from the host",  "to the host",     "to a device",
                                         "to a device 2", "from the host 2", "to the host 2"};
    uint32_t which = lane % TGI_LANES_EACH;
    if (which < TGI_PLAIN_LANES)
        snprintf(text, NAME_SIZE, "stream %u", which);
    else if (which < TGI_COMPUTE_LANES)
        snprintf(text, NAME_SIZE, "urgent stream %u", which - TGI_PLAIN_LANES);
    else
        snprintf(text, NAME_SIZE, "copies %s", copies[which - TGI_COMPUTE_LANES]);
    return text;
}

static const char *node_name(const struct tgi_program_picture *p, uint32_t node, char *text)
{
    if (node == TGI_HOST_NODE)
        snprintf(text, NAME_SIZE, "host");
    else
        snprintf(text, NAME_SIZE, "%s:%u", p->devices->ops->kind, p->devices->ordinal[node - 1]);
    return text;
}

/* "A[3]"; empty: it is no tile in particular. */
static const char *tile_name(const struct tgi_program_picture *p, uint32_t id, char *text)
{
    text[0] = '\0';
    if (p->tile[id] == TG_NONE)
        return text;
    const struct tgi_buffer *b = tgi_space_buffer_of(p->graph->space, p->tile[id]);
    if (b->n_tiles == 1)
        snprintf(text, NAME_SIZE, "%s", b->name ? b->name : "");
    else
        snprintf(text, NAME_SIZE, "%.*s[%u]", NAME_SIZE - 16, b->name ? b->name : "", p->tile[id] - b->first_tile);
    return text;
}

/* The task that a command is for; TG_NONE: none of the outermost graph. */
static uint32_t task_of(const struct tgi_program_picture *p, uint32_t id)
{
    uint64_t owner = p->program->commands[id].owner;
    return owner < p->graph->n_tasks ? (uint32_t)owner : TG_NONE;
}

static const char *task_name(const struct tgi_program_picture *p, uint32_t id, char *text)
{
    char scratch[16];
    uint32_t task = task_of(p, id);
    snprintf(text, NAME_SIZE, "%s", task == TG_NONE ? "" : tgi_graph_task_name(p->graph, task, scratch));
    return text;
}

static uint64_t bytes_of(const struct tgi_command *c)
{
    switch (c->kind) {
    case TGI_COMMAND_COPY:
        return c->copy.bytes;
    case TGI_COMMAND_FILL:
        return c->fill.n_elems * tg_dtype_size(c->fill.dtype);
    case TGI_COMMAND_COLLECT:
        return c->collect.n_elems * tg_dtype_size(c->collect.dtype);
    default:
        return 0;
    }
}

/* ---- DOT ----------------------------------------------------------------------------------*/

static void write_title(const struct tgi_program_picture *p, FILE *to)
{
    const struct tgi_program *program = p->program;
    uint32_t n[TGI_N_COMMAND_KINDS] = {0};
    for (uint32_t i = 0; i < program->n; i++)
        n[program->commands[i].kind]++;
    fputs("  label=\"", to);
    tgi_dot_write_label(to, p->graph->name && p->graph->name[0] ? p->graph->name : "graph");
    fprintf(to, " as a CUDA graph: %u nodes, %u edges\\n", program->n, program->n_deps);
    bool is_first = true;
    for (int k = 0; k < TGI_N_COMMAND_KINDS; k++) {
        if (n[k])
            fprintf(to, "%s%u x %s", is_first ? "" : ", ", n[k], kind_name(&(struct tgi_command){.kind = (uint8_t)k}));
        is_first = is_first && !n[k];
    }
    fputs("\"\n", to);
}

static const char *shape_of(const struct tgi_command *c)
{
    static const char *const shapes[] = {"box", "ellipse", "note", "hexagon", "point"};
    return c->kind < sizeof shapes / sizeof *shapes ? shapes[c->kind] : "diamond";
}

/* "copy A[3]", and below it "host to cuda:1" */
static void write_what(const struct tgi_program_picture *p, uint32_t id, FILE *to)
{
    const struct tgi_command *c = &p->program->commands[id];
    char name[NAME_SIZE], from[NAME_SIZE], dest[NAME_SIZE];
    uint32_t task = task_of(p, id);
    switch (c->kind) {
    case TGI_COMMAND_COPY:
        fputs("copy ", to);
        tgi_dot_write_label(to, tile_name(p, id, name));
        fprintf(to, "\\n%s to %s", node_name(p, c->copy.from_node, from), node_name(p, c->copy.to_node, dest));
        return;
    case TGI_COMMAND_FILL:
        fputs("fill ", to);
        tgi_dot_write_label(to, tile_name(p, id, name));
        return;
    case TGI_COMMAND_COLLECT:
        tgi_dot_write_label(to, task_name(p, id, name));
        fprintf(to, "\\n%u ranks", c->collect.n_ranks);
        return;
    case TGI_COMMAND_NOTHING:
        return;
    default:
        tgi_dot_write_label(to, task_name(p, id, name));
        fputs("\\n", to);
        tgi_dot_write_label(to, task == TG_NONE ? kind_name(c) : tgi_graph_op(p->graph, task)->name);
    }
}

static void write_node(const struct tgi_program_picture *p, const struct tgi_palette *palette, uint32_t id, FILE *to)
{
    const struct tgi_command *c = &p->program->commands[id];
    char name[NAME_SIZE], bytes[TGI_UNITS_SIZE];
    uint32_t task = task_of(p, id);
    bool is_kernel = c->kind == TGI_COMMAND_LAUNCH && task != TG_NONE;
    fprintf(to, "      n%u [shape=%s fillcolor=\"%s\" label=\"", id, shape_of(c),
            is_kernel ? tgi_palette_fill(p->graph->space, palette, tgi_palette_kind(p->graph, palette, task)) : TGI_PALETTE_RUNTIME);
    write_what(p, id, to);
    fprintf(to, "\" tooltip=\"node %u: %s", id, kind_name(c));
    if (task_name(p, id, name)[0]) {
        fputs(", for ", to);
        tgi_dot_write_label(to, name);
    }
    if (bytes_of(c))
        fprintf(to, ", %s", tgi_format_bytes((double)bytes_of(c), bytes, sizeof bytes));
    if (c->kind == TGI_COMMAND_LAUNCH)
        fprintf(to, ", grid %u x %u x %u, block %u x %u x %u", c->launch.shape.grid[0], c->launch.shape.grid[1],
                c->launch.shape.grid[2], c->launch.shape.block[0], c->launch.shape.block[1], c->launch.shape.block[2]);
    fputs("\"]\n", to);
}

/* Streams matter to what shares something of them, as calls of a library do; where there is one, it says nothing. */
static void write_lane(const struct tgi_program_picture *p, const struct tgi_palette *palette, uint32_t lane, bool is_only,
                       const uint32_t *members, uint32_t n, FILE *to)
{
    char name[NAME_SIZE];
    if (!is_only)
        fprintf(to, "    subgraph cluster_lane%u {\n      label=\"%s\" color=\"#bbbbbb\" style=rounded\n", lane, lane_name(lane, name));
    for (uint32_t i = 0; i < n; i++)
        write_node(p, palette, members[i], to);
    if (!is_only)
        fputs("    }\n", to);
}

/* Commands of a lane, in the program's order: members[first[lane] ..). */
static void sort_by_lane(const struct tgi_program *p, uint32_t n_lanes, uint32_t *first, uint32_t *members)
{
    memset(first, 0, ((size_t)n_lanes + 2) * sizeof *first);
    for (uint32_t i = 0; i < p->n; i++)
        first[p->commands[i].lane + 2]++;
    for (uint32_t lane = 2; lane < n_lanes + 2; lane++)
        first[lane] += first[lane - 1];
    for (uint32_t i = 0; i < p->n; i++)
        members[first[p->commands[i].lane + 1]++] = i;
}

static void write_devices(const struct tgi_program_picture *p, const struct tgi_palette *palette, const uint32_t *first,
                          const uint32_t *members, FILE *to)
{
    char name[NAME_SIZE];
    for (uint32_t d = 0; d < p->devices->n_devices; d++) {
        uint32_t from = d * TGI_LANES_EACH, end = from + TGI_LANES_EACH;
        if (first[from] == first[end])
            continue;
        fprintf(to, "  subgraph cluster_device%u {\n    label=\"%s, ", d, node_name(p, d + 1, name));
        tgi_dot_write_label(to, p->devices->info[d].name);
        fputs("\" color=\"#888888\"\n", to);
        for (uint32_t lane = from; lane < end; lane++) {
            uint32_t n = first[lane + 1] - first[lane];
            if (n)
                write_lane(p, palette, lane, n == first[end] - first[from], members + first[lane], n, to);
        }
        fputs("  }\n", to);
    }
}

int tgi_program_write_dot(const struct tgi_program_picture *p, FILE *to, struct tg_error *err)
{
    const struct tgi_program *program = p->program;
    struct tgi_palette palette;
    uint32_t *first = malloc(((size_t)p->devices->n_lanes + 2 + program->n) * sizeof *first);
    if (!first)
        return tgi_error_memory(err, "drawing a CUDA graph");
    int rc = tgi_palette_create(p->graph->space, &palette, err);
    if (rc) {
        free(first);
        return rc;
    }
    uint32_t *members = first + p->devices->n_lanes + 2;
    sort_by_lane(program, p->devices->n_lanes, first, members);
    fputs("digraph cuda_graph {\n  labelloc=t fontname=\"sans-serif\" newrank=true\n"
          "  node [style=filled fontname=\"sans-serif\" fontsize=10]\n  edge [arrowsize=0.6 color=\"#555555\"]\n", to);
    write_title(p, to);
    write_devices(p, &palette, first, members, to);
    for (uint32_t i = 0; i < program->n; i++)
        for (uint32_t k = 0; k < program->commands[i].n_deps; k++)
            fprintf(to, "  n%u -> n%u\n", program->deps[program->commands[i].first_dep + k], i);
    fputs("}\n", to);
    tgi_palette_fini(&palette);
    free(first);
    return ferror(to) ? tgi_error(err, TG_E_WRITE, "cannot write the picture") : 0;
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_command(const struct tgi_program_picture *p, uint32_t id, struct tgi_json *json)
{
    const struct tgi_command *c = &p->program->commands[id];
    char text[NAME_SIZE];
    uint32_t task = task_of(p, id);
    tgi_json_flat_object(json, NULL);
    tgi_json_uint(json, "id", id);
    tgi_json_string(json, "kind", kind_name(c));
    tgi_json_string(json, "device", node_name(p, tgi_lane_device(c->lane) + 1, text));
    tgi_json_string(json, "stream", lane_name(c->lane, text));
    tgi_json_string(json, "task", task == TG_NONE ? NULL : task_name(p, id, text));
    if (c->kind == TGI_COMMAND_LAUNCH && task != TG_NONE)
        tgi_json_string(json, "kernel", tgi_graph_op(p->graph, task)->name);
    if (p->tile[id] != TG_NONE)
        tgi_json_string(json, "tile", tile_name(p, id, text));
    if (c->kind == TGI_COMMAND_COPY) {
        tgi_json_string(json, "from", node_name(p, c->copy.from_node, text));
        tgi_json_string(json, "to", node_name(p, c->copy.to_node, text));
    }
    if (c->kind == TGI_COMMAND_COLLECT)
        tgi_json_uint(json, "ranks", c->collect.n_ranks);
    if (bytes_of(c))
        tgi_json_uint(json, "bytes", bytes_of(c));
    tgi_json_flat_array(json, "after");
    for (uint32_t k = 0; k < c->n_deps; k++)
        tgi_json_uint(json, NULL, p->program->deps[c->first_dep + k]);
    tgi_json_end(json);
    tgi_json_end(json);
}

int tgi_program_write_json(const struct tgi_program_picture *p, FILE *to, struct tg_error *err)
{
    struct tgi_json json = tgi_json_begin(to, TGI_JSON_PRETTY);
    tgi_json_object(&json, NULL);
    tgi_json_string(&json, "schema", "tgraph.cuda-graph/1");
    tgi_json_string(&json, "name", p->graph->name);
    tgi_json_uint(&json, "edges", p->program->n_deps);
    tgi_json_array(&json, "nodes");
    for (uint32_t i = 0; i < p->program->n; i++)
        put_command(p, i, &json);
    tgi_json_end(&json);
    tgi_json_end(&json);
    return ferror(to) ? tgi_error(err, TG_E_WRITE, "cannot write the graph") : 0;
}
