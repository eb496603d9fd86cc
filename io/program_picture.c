/* See program_picture.h. */
#include "io/program_picture.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/dot.h"
#include "io/json_out.h"
#include "io/output.h"
#include "io/palette.h"
#include "io/units.h"
#include "mem/split.h"

enum { NAME_SIZE = 160 };

/* The program, or the body of a decision in it. */
struct scope {
    const struct tgi_program_picture *p;
    const struct tgi_program *program;
    uint32_t base; /* number of its first command, among those of all (tgi_program_body_base()) */
};

static struct scope whole(const struct tgi_program_picture *p) { return (struct scope){p, p->program, 0}; }

static struct scope body_of(const struct scope *s, uint32_t decision, bool is_else)
{
    const struct tgi_command *c = &s->program->commands[decision];
    return (struct scope){s->p, is_else ? c->decide.body_else : c->decide.body,
                          tgi_program_body_base(s->program, s->base, decision, is_else)};
}

/* Bodies that are empty are not there. */
static bool has_body(const struct tgi_command *c, bool is_else)
{
    const struct tgi_program *body = c->kind != TGI_COMMAND_DECIDE ? NULL : is_else ? c->decide.body_else : c->decide.body;
    return body && body->n;
}

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
static const char *tile_name(const struct scope *s, uint32_t id, char *text)
{
    uint32_t tile = s->p->tile[s->base + id];
    text[0] = '\0';
    if (tile == TG_NONE)
        return text;
    const struct tgi_buffer *b = tgi_space_buffer_of(s->p->graph->space, tile);
    if (b->n_tiles == 1)
        snprintf(text, NAME_SIZE, "%s", b->name ? b->name : "");
    else
        snprintf(text, NAME_SIZE, "%.*s[%u]", NAME_SIZE - 16, b->name ? b->name : "", tile - b->first_tile);
    return text;
}

/* A task that a command is for; graph NULL: none. */
struct owner {
    const struct tg_graph *graph; /* the outermost one or a body */
    uint32_t task;
};

/* As tgi_offload_owner() numbers them. */
static struct owner owner_of(const struct scope *s, uint32_t id)
{
    const struct tg_graph *g = s->p->graph;
    uint64_t owner = s->program->commands[id].owner, part = owner >> 32;
    if (owner == UINT64_MAX)
        return (struct owner){NULL, TG_NONE};
    if (part) {
        const struct tgi_op *op = &g->space->ops[(part - 1) / 2];
        g = (part - 1) % 2 ? op->body_else : op->body;
    }
    return (struct owner){g, (uint32_t)owner};
}

static const char *task_name(struct owner o, char *text)
{
    char scratch[16];
    snprintf(text, NAME_SIZE, "%s", o.graph ? tgi_graph_task_name(o.graph, o.task, scratch) : "");
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

static void count_kinds(const struct tgi_program *program, uint32_t *n, uint32_t *n_edges_p)
{
    if (!program)
        return;
    *n_edges_p += program->n_deps;
    for (uint32_t i = 0; i < program->n; i++) {
        const struct tgi_command *c = &program->commands[i];
        n[c->kind]++;
        if (c->kind != TGI_COMMAND_DECIDE)
            continue;
        count_kinds(c->decide.body, n, n_edges_p);
        count_kinds(c->decide.body_else, n, n_edges_p);
    }
}

static void write_title(const struct tgi_program_picture *p, FILE *to)
{
    uint32_t n[TGI_N_COMMAND_KINDS] = {0}, n_edges = 0;
    count_kinds(p->program, n, &n_edges);
    fputs("  label=\"", to);
    tgi_dot_write_label(to, p->graph->name && p->graph->name[0] ? p->graph->name : "graph");
    fprintf(to, " as a CUDA graph: %u nodes, %u edges\\n", tgi_program_size(p->program), n_edges);
    bool is_first = true;
    for (int k = 0; k < TGI_N_COMMAND_KINDS; k++) {
        if (n[k])
            fprintf(to, "%s%u x %s", is_first ? "" : ", ", n[k], kind_name(&(struct tgi_command){.kind = (uint8_t)k}));
        is_first = is_first && !n[k];
    }
    fputs("\"\n", to);
}

/* "copy A[3]", and below it "host to cuda:1" */
static void write_what(const struct scope *s, uint32_t id, FILE *to)
{
    const struct tgi_command *c = &s->program->commands[id];
    char name[NAME_SIZE], from[NAME_SIZE], dest[NAME_SIZE];
    struct owner o = owner_of(s, id);
    switch (c->kind) {
    case TGI_COMMAND_COPY:
        fputs("copy ", to);
        tgi_dot_write_label(to, tile_name(s, id, name));
        fprintf(to, "\\n%s to %s", node_name(s->p, c->copy.from_node, from), node_name(s->p, c->copy.to_node, dest));
        return;
    case TGI_COMMAND_FILL:
        fputs("fill ", to);
        tgi_dot_write_label(to, tile_name(s, id, name));
        return;
    case TGI_COMMAND_COLLECT:
        tgi_dot_write_label(to, task_name(o, name));
        fprintf(to, "\\n%u ranks", c->collect.n_ranks);
        return;
    case TGI_COMMAND_SIGNAL:
    case TGI_COMMAND_AWAIT:
        fprintf(to, "%s, %u flag%s", kind_name(c), c->flags.n, c->flags.n == 1 ? "" : "s");
        return;
    case TGI_COMMAND_NOTHING:
        return;
    default:
        tgi_dot_write_label(to, task_name(o, name));
        fputs("\\n", to);
        tgi_dot_write_label(to, o.graph ? tgi_graph_op(o.graph, o.task)->name : kind_name(c));
    }
}

static void write_body(const struct scope *s, const struct tgi_palette *palette, uint32_t decision, bool is_else, FILE *to);

static void write_node(const struct scope *s, const struct tgi_palette *palette, uint32_t id, FILE *to)
{
    static const char *const shapes[TGI_N_COMMAND_KINDS] = {"box", "ellipse", "note", "hexagon", "diamond", "point", "box3d", "cds", "cds"};
    const struct tgi_command *c = &s->program->commands[id];
    const struct tgi_space *space = s->p->graph->space;
    char name[NAME_SIZE], bytes[TGI_UNITS_SIZE];
    struct owner o = owner_of(s, id);
    bool is_kernel = c->kind == TGI_COMMAND_LAUNCH && o.graph;
    fprintf(to, "      n%u [shape=%s fillcolor=\"%s\" label=\"", s->base + id, shapes[c->kind],
            is_kernel ? tgi_palette_fill(space, palette, tgi_palette_kind(o.graph, palette, o.task)) : TGI_PALETTE_RUNTIME);
    write_what(s, id, to);
    fprintf(to, "\" tooltip=\"node %u: %s", s->base + id, kind_name(c));
    if (task_name(o, name)[0]) {
        fputs(", for ", to);
        tgi_dot_write_label(to, name);
    }
    if (bytes_of(c))
        fprintf(to, ", %s", tgi_format_bytes((double)bytes_of(c), bytes, sizeof bytes));
    if (c->kind == TGI_COMMAND_LAUNCH)
        fprintf(to, ", grid %u x %u x %u, block %u x %u x %u", c->launch.shape.grid[0], c->launch.shape.grid[1],
                c->launch.shape.grid[2], c->launch.shape.block[0], c->launch.shape.block[1], c->launch.shape.block[2]);
    fputs("\"]\n", to);
    for (int is_else = 0; is_else < 2; is_else++)
        if (has_body(c, is_else))
            write_body(s, palette, id, is_else, to);
}

/* What the device executes as often as it decides: the nodes of a graph inside the node. */
static void write_body(const struct scope *s, const struct tgi_palette *palette, uint32_t decision, bool is_else, FILE *to)
{
    const struct tgi_command *c = &s->program->commands[decision];
    struct scope body = body_of(s, decision, is_else);
    char name[NAME_SIZE];
    fprintf(to, "      subgraph cluster_body%u {\n      label=\"", body.base);
    tgi_dot_write_label(to, task_name(owner_of(s, decision), name));
    if (c->decide.n_rounds)
        fprintf(to, ": a round, of %llu at most\"", (unsigned long long)c->decide.n_rounds);
    else
        fprintf(to, ": %s\"", is_else ? "else" : "then");
    fputs(" color=\"#888888\" style=dashed\n", to);
    for (uint32_t i = 0; i < body.program->n; i++)
        write_node(&body, palette, i, to);
    fputs("      }\n", to);
}

static void write_edges(const struct scope *s, FILE *to)
{
    const struct tgi_program *p = s->program;
    for (uint32_t i = 0; i < p->n; i++) {
        for (uint32_t k = 0; k < p->commands[i].n_deps; k++)
            fprintf(to, "  n%u -> n%u\n", s->base + p->deps[p->commands[i].first_dep + k], s->base + i);
        for (int is_else = 0; is_else < 2; is_else++)
            if (has_body(&p->commands[i], is_else)) {
                struct scope body = body_of(s, i, is_else);
                fprintf(to, "  n%u -> n%u [style=dashed lhead=cluster_body%u]\n", s->base + i, body.base, body.base);
                write_edges(&body, to);
            }
    }
}

/* From what sets a flag to what waits for it; devices have their flags one after the other in `awaits`. */
static int write_flags(const struct tgi_program_picture *p, FILE *to, struct tg_error *err)
{
    const struct tgi_program *program = p->program;
    uint32_t first[TGI_MAX_DEVICES + 1] = {0}, n_devices = p->devices->n_devices;
    for (uint32_t d = 0; d < n_devices; d++)
        first[d + 1] = first[d] + tgi_program_flags(program, d);
    uint32_t *awaits = calloc((size_t)first[n_devices] + 1, sizeof *awaits);
    if (!awaits)
        return tgi_error_memory(err, "drawing a CUDA graph");
    for (uint32_t i = 0; i < program->n; i++) {
        const struct tgi_command *c = &program->commands[i];
        for (uint32_t k = 0; c->kind == TGI_COMMAND_AWAIT && k < c->flags.n; k++)
            awaits[first[tgi_lane_device(c->lane)] + c->flags.first + k] = i;
    }
    for (uint32_t i = 0; i < program->n; i++) {
        const struct tgi_command *c = &program->commands[i];
        for (uint32_t k = 0; c->kind == TGI_COMMAND_SIGNAL && k < c->flags.n; k++) {
            uint64_t word = program->words[c->flags.first + k];
            fprintf(to, "  n%u -> n%u [style=dashed]\n", i, awaits[first[tgi_flag_device(word)] + tgi_flag_number(word)]);
        }
    }
    free(awaits);
    return 0;
}

/* Streams matter to what shares something of them, as calls of a library do; where there is one, it says nothing. */
static void write_lane(const struct scope *s, const struct tgi_palette *palette, uint32_t lane, bool is_only,
                       const uint32_t *members, uint32_t n, FILE *to)
{
    char name[NAME_SIZE];
    if (!is_only)
        fprintf(to, "    subgraph cluster_lane%u {\n      label=\"%s\" color=\"#bbbbbb\" style=rounded\n", lane, lane_name(lane, name));
    for (uint32_t i = 0; i < n; i++)
        write_node(s, palette, members[i], to);
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
    struct scope s = whole(p);
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
                write_lane(&s, palette, lane, n == first[end] - first[from], members + first[lane], n, to);
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
    fputs("digraph cuda_graph {\n  labelloc=t fontname=\"sans-serif\" newrank=true compound=true\n"
          "  node [style=filled fontname=\"sans-serif\" fontsize=10]\n  edge [arrowsize=0.6 color=\"#555555\"]\n", to);
    write_title(p, to);
    write_devices(p, &palette, first, members, to);
    struct scope s = whole(p);
    write_edges(&s, to);
    rc = write_flags(p, to, err);
    fputs("}\n", to);
    tgi_palette_fini(&palette);
    free(first);
    return rc ? rc : tgi_output_check(to, "the picture", err);
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_commands(const struct scope *s, const char *key, struct tgi_json *json);

static void put_decision(const struct scope *s, uint32_t id, struct tgi_json *json)
{
    const struct tgi_command *c = &s->program->commands[id];
    if (c->kind == TGI_COMMAND_DECIDE && c->decide.n_rounds)
        tgi_json_uint(json, "most_rounds", c->decide.n_rounds);
    for (int is_else = 0; is_else < 2; is_else++)
        if (has_body(c, is_else)) {
            struct scope body = body_of(s, id, is_else);
            put_commands(&body, is_else ? "body_else" : "body", json);
        }
}

static void put_command(const struct scope *s, uint32_t id, struct tgi_json *json)
{
    const struct tgi_program_picture *p = s->p;
    const struct tgi_command *c = &s->program->commands[id];
    char text[NAME_SIZE];
    struct owner o = owner_of(s, id);
    (has_body(c, false) || has_body(c, true) ? tgi_json_object : tgi_json_flat_object)(json, NULL);
    tgi_json_uint(json, "id", s->base + id);
    tgi_json_string(json, "kind", kind_name(c));
    tgi_json_string(json, "device", node_name(p, tgi_lane_device(c->lane) + 1, text));
    tgi_json_string(json, "stream", lane_name(c->lane, text));
    tgi_json_string(json, "task", o.graph ? task_name(o, text) : NULL);
    if (c->kind == TGI_COMMAND_LAUNCH && o.graph)
        tgi_json_string(json, "kernel", tgi_graph_op(o.graph, o.task)->name);
    if (p->tile[s->base + id] != TG_NONE)
        tgi_json_string(json, "tile", tile_name(s, id, text));
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
        tgi_json_uint(json, NULL, s->base + s->program->deps[c->first_dep + k]);
    tgi_json_end(json);
    put_decision(s, id, json);
    tgi_json_end(json);
}

static void put_commands(const struct scope *s, const char *key, struct tgi_json *json)
{
    tgi_json_array(json, key);
    for (uint32_t i = 0; i < s->program->n; i++)
        put_command(s, i, json);
    tgi_json_end(json);
}

int tgi_program_write_json(const struct tgi_program_picture *p, FILE *to, struct tg_error *err)
{
    struct tgi_json json = tgi_json_begin(to, TGI_JSON_PRETTY);
    struct scope s = whole(p);
    uint32_t n[TGI_N_COMMAND_KINDS] = {0}, n_edges = 0;
    count_kinds(p->program, n, &n_edges);
    tgi_json_object(&json, NULL);
    tgi_json_string(&json, "schema", "tgraph.cuda-graph/1");
    tgi_json_string(&json, "name", p->graph->name);
    tgi_json_uint(&json, "edges", n_edges);
    put_commands(&s, "nodes", &json);
    tgi_json_end(&json);
    return tgi_output_check(to, "the graph", err);
}
