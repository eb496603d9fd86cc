#include "io/workflow.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

/* Names to numbers: open addressing, a power of two of slots, at most half full. */
struct tgi_workflow_map {
    struct entry {
        const char *name; /* NULL: free */
        uint32_t id;
    } * entries;
    uint32_t n_slots, n_used;
};

static uint64_t hash_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h ^ h >> 31;
}

static struct entry *entry_of(const struct tgi_workflow_map *map, const char *name)
{
    uint32_t mask = map->n_slots - 1;
    uint32_t i = (uint32_t)hash_of(name) & mask;
    while (map->entries[i].name && strcmp(map->entries[i].name, name) != 0)
        i = (i + 1) & mask;
    return &map->entries[i];
}

static uint32_t map_find(const struct tgi_workflow_map *map, const char *name)
{
    if (!map || map->n_slots == 0)
        return TG_NONE;
    const struct entry *entry = entry_of(map, name);
    return entry->name ? entry->id : TG_NONE;
}

static bool map_grow(struct tgi_workflow_map *map)
{
    struct tgi_workflow_map grown = {.n_slots = map->n_slots ? map->n_slots * 2 : 64, .n_used = map->n_used};
    grown.entries = calloc(grown.n_slots, sizeof(*grown.entries));
    if (!grown.entries)
        return false;
    for (uint32_t i = 0; i < map->n_slots; i++)
        if (map->entries[i].name)
            *entry_of(&grown, map->entries[i].name) = map->entries[i];
    free(map->entries);
    *map = grown;
    return true;
}

/* `name` must stay; entering a name again changes nothing. */
static bool map_insert(struct tgi_workflow_map **map_p, const char *name, uint32_t id)
{
    if (!*map_p && !(*map_p = calloc(1, sizeof(**map_p))))
        return false;
    struct tgi_workflow_map *map = *map_p;
    if ((map->n_used + 1) * 2 > map->n_slots && !map_grow(map))
        return false;
    struct entry *entry = entry_of(map, name);
    if (!entry->name) {
        *entry = (struct entry){name, id};
        map->n_used++;
    }
    return true;
}

static void map_destroy(struct tgi_workflow_map *map)
{
    if (map)
        free(map->entries);
    free(map);
}

/* ---- Filling in ---------------------------------------------------------------------------*/

void tgi_workflow_init(struct tgi_workflow *w, const char *path) { *w = (struct tgi_workflow){.path = path}; }

void tgi_workflow_fini(struct tgi_workflow *w)
{
    free(w->tasks);
    free(w->files);
    free(w->uses);
    free(w->edges);
    map_destroy(w->task_map);
    map_destroy(w->file_map);
    tgi_arena_fini(&w->strings);
    *w = (struct tgi_workflow){0};
}

int tgi_workflow_error(const struct tgi_workflow *w, uint32_t line, struct tg_error *err, const char *format,
                       ...)
{
    char text[sizeof(((struct tg_error *)NULL)->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tgi_error(err, TG_E_IMPORT_SYNTAX, "%s", text);
    tgi_error_set_position(err, w->path, line, 0);
    return TG_E_IMPORT_SYNTAX;
}

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "importing a workflow"); }

const char *tgi_workflow_keep(struct tgi_workflow *w, const char *text)
{
    return tgi_workflow_keep_start(w, text, strlen(text));
}

const char *tgi_workflow_keep_start(struct tgi_workflow *w, const char *text, size_t size)
{
    const char *kept = tgi_arena_strndup(&w->strings, text, size);
    if (!kept)
        w->is_out_of_memory = true;
    return kept;
}

uint32_t tgi_workflow_find_task(const struct tgi_workflow *w, const char *name)
{
    return map_find(w->task_map, name);
}

uint32_t tgi_workflow_find_file(const struct tgi_workflow *w, const char *name)
{
    return map_find(w->file_map, name);
}

int tgi_workflow_add_task(struct tgi_workflow *w, const char *name, uint32_t line, uint32_t *task_p,
                          struct tg_error *err)
{
    uint32_t other = tgi_workflow_find_task(w, name);
    if (other != TG_NONE)
        return tgi_workflow_error(w, line, err, "task \"%s\" exists already (line %u)", name,
                                  w->tasks[other].line);
    const char *kept = tgi_workflow_keep(w, name);
    if (!kept || !tgi_vec_reserve(&w->tasks, &w->cap_tasks, (uint64_t)w->n_tasks + 1, sizeof(*w->tasks)) ||
        !map_insert(&w->task_map, kept, w->n_tasks))
        return no_memory(err);
    w->tasks[w->n_tasks] = (struct tgi_workflow_task){.name = kept, .line = line};
    *task_p = w->n_tasks++;
    return TG_OK;
}

int tgi_workflow_add_alias(struct tgi_workflow *w, const char *name, uint32_t task, struct tg_error *err)
{
    const char *kept = tgi_workflow_keep(w, name);
    return kept && map_insert(&w->task_map, kept, task) ? TG_OK : no_memory(err);
}

int tgi_workflow_add_file(struct tgi_workflow *w, const char *name, double bytes, uint32_t *file_p,
                          struct tg_error *err)
{
    uint32_t file = tgi_workflow_find_file(w, name);
    if (file == TG_NONE) {
        const char *kept = tgi_workflow_keep(w, name);
        if (!kept ||
            !tgi_vec_reserve(&w->files, &w->cap_files, (uint64_t)w->n_files + 1, sizeof(*w->files)) ||
            !map_insert(&w->file_map, kept, w->n_files))
            return no_memory(err);
        file = w->n_files++;
        w->files[file] = (struct tgi_workflow_file){.name = kept};
    }
    if (bytes > w->files[file].bytes)
        w->files[file].bytes = bytes;
    *file_p = file;
    return TG_OK;
}

int tgi_workflow_add_use(struct tgi_workflow *w, uint32_t task, uint32_t file, bool is_output, double bytes,
                         struct tg_error *err)
{
    if (!tgi_vec_reserve(&w->uses, &w->cap_uses, (uint64_t)w->n_uses + 1, sizeof(*w->uses)))
        return no_memory(err);
    w->uses[w->n_uses++] = (struct tgi_workflow_use){task, file, is_output, bytes};
    return TG_OK;
}

int tgi_workflow_add_edge(struct tgi_workflow *w, uint32_t parent, uint32_t child, uint32_t line,
                          struct tg_error *err)
{
    if (parent == child)
        return tgi_workflow_error(w, line, err, "task \"%s\" depends on itself", w->tasks[child].name);
    if (!tgi_vec_reserve(&w->edges, &w->cap_edges, (uint64_t)w->n_edges + 1, sizeof(*w->edges)))
        return no_memory(err);
    w->edges[w->n_edges++] = (struct tgi_workflow_edge){parent, child, line};
    return TG_OK;
}
