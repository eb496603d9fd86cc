/* What people call the tasks, lanes and memories of a record. */
#include <stdlib.h>
#include <string.h>

#include "graph/by_task.h"
#include "io/diagnostic.h"
#include "io/palette.h"
#include "io/recording.h"

#define MOST_COMPARED 100000 /* names, for a suggestion */
#define MOST_NESTED 64

/* A part of a name, as snprintf; never beyond size. */
static size_t append(char *text, size_t size, size_t used, const char *more)
{
    size_t length = strlen(more);
    if (used + 1 >= size)
        return used;
    length = length < size - used - 1 ? length : size - used - 1;
    memcpy(text + used, more, length);
    text[used + length] = '\0';
    return used + length;
}

const char *tgi_recording_task_name(const struct tgi_recording *r, uint32_t task, char *text, size_t size)
{
    uint32_t way[MOST_NESTED], n = 0;
    char number[32];
    size_t used = 0;
    text[0] = '\0';
    /* From the task outwards; the file's reader has made sure that a part comes after its parent. */
    for (uint32_t t = task; t != TG_NONE && n < MOST_NESTED; t = r->parts[r->tasks[t].part].parent)
        way[n++] = t;
    while (n-- > 0) {
        const struct tgi_recording_task *t = &r->tasks[way[n]];
        const struct tgi_recording_part *part = &r->parts[t->part];
        if (part->parent != TG_NONE) {
            snprintf(number, sizeof(number), ":%llu", (unsigned long long)part->number);
            used = append(text, size, used, number);
            if (way[n] + 1 == part->first) /* the gate is called as the round */
                break;
            used = append(text, size, used, "/");
        }
        snprintf(number, sizeof(number), "#%u", way[n] - part->first);
        used = append(text, size, used, t->name ? tgi_recording_string(r, t->name) : number);
    }
    return text;
}

const char *tgi_recording_lane_name(const struct tgi_recording *r, uint32_t lane, char *text, size_t size)
{
    if (lane >= r->n_lanes) {
        snprintf(text, size, "no lane");
    } else if (r->lanes[lane].device >= r->n_devices) {
        snprintf(text, size, "cpu:%u", r->lanes[lane].number);
    } else {
        const struct tgi_recording_device *d = &r->devices[r->lanes[lane].device];
        snprintf(text, size, "%.40s:%u %c%u", tgi_recording_string(r, d->kind), d->ordinal, r->lanes[lane].kind == TGI_LANE_RESIDENT ? 'w' : 's',
                 r->lanes[lane].number);
    }
    return text;
}

const char *tgi_recording_node_name(const struct tgi_recording *r, uint32_t node, char *text, size_t size)
{
    if (node == 0 || node > r->n_devices)
        snprintf(text, size, "host");
    else
        snprintf(text, size, "%.40s:%u", tgi_recording_string(r, r->devices[node - 1].kind), r->devices[node - 1].ordinal);
    return text;
}

const char *tgi_recording_kernel_name(const struct tgi_recording *r, uint32_t kernel)
{
    return kernel < r->n_kernels ? tgi_recording_string(r, r->kernels[kernel].name) : "?";
}

const char *tgi_recording_fill(const struct tgi_recording *r, uint32_t kernel)
{
    uint32_t n = 0;
    if (kernel >= r->n_kernels || !r->kernels[kernel].is_kernel)
        return TGI_PALETTE_RUNTIME;
    /* Kernels count among themselves, as in pictures of graphs. */
    for (uint32_t k = 0; k < kernel; k++)
        n += r->kernels[k].is_kernel != 0;
    return tgi_palette_colour(n);
}

bool tgi_recording_victim(const struct tgi_recording *r, uint32_t task, uint32_t *victim_p)
{
    uint64_t low = TGI_FIRST_OF_TASK(r->steals, r->n_steals, task);
    bool is_there = low < r->n_steals && r->steals[low].task == task;
    *victim_p = is_there ? r->steals[low].victim : TG_NONE;
    return is_there;
}

const struct tgi_recording_place *tgi_recording_places(const struct tgi_recording *r, uint32_t task, uint32_t *n_p)
{
    uint64_t low = TGI_FIRST_OF_TASK(r->places, r->n_places, task);
    for (*n_p = 0; low + *n_p < r->n_places && r->places[low + *n_p].task == task;)
        ++*n_p;
    return r->places + low;
}

const struct tgi_recording_offer *tgi_recording_offers(const struct tgi_recording *r, uint32_t task, uint32_t *n_p)
{
    uint64_t low = 0, high = r->n_offers;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (r->offers[middle].task < task)
            low = middle + 1;
        else
            high = middle;
    }
    for (*n_p = 0; low + *n_p < r->n_offers && r->offers[low + *n_p].task == task;)
        ++*n_p;
    return r->offers + low;
}

const char *tgi_recording_reason(uint32_t reason)
{
    switch (reason) {
    case TGI_WEIGHED_ONLY:
        return "the only device that can";
    case TGI_WEIGHED_WISH:
        return "as it asks";
    case TGI_WEIGHED_OWNER:
        return "where what it writes lives";
    case TGI_WEIGHED_ESTIMATE:
        return "where it was to be done first";
    case TGI_WEIGHED_PART:
        return "with its part of the graph, which was cut so that little crosses";
    default:
        return "for a reason this program does not know";
    }
}

uint32_t tgi_recording_find(const struct tgi_recording *r, const char *name, uint32_t *close_p)
{
    char text[TGI_RECORDING_NAME_SIZE];
    if (close_p)
        *close_p = TG_NONE;
    for (uint32_t t = 0; t < r->n_tasks; t++) {
        const struct tgi_recording_task *task = &r->tasks[t];
        /* Most tasks are of the outermost graph, and their names need no putting together. */
        bool is_whole = task->part == 0 && task->name;
        if (strcmp(is_whole ? tgi_recording_string(r, task->name) : tgi_recording_task_name(r, t, text, sizeof(text)), name) == 0)
            return t;
    }
    uint32_t n = r->n_tasks < MOST_COMPARED ? (uint32_t)r->n_tasks : MOST_COMPARED;
    const char **names = close_p ? malloc((n + 1) * sizeof(*names)) : NULL;
    if (!names)
        return TG_NONE;
    for (uint32_t t = 0; t < n; t++)
        names[t] = tgi_recording_string(r, r->tasks[t].name);
    const char *close = tgi_suggest(name, names, n);
    for (uint32_t t = 0; close && t < n && *close_p == TG_NONE; t++)
        if (names[t] == close)
            *close_p = t;
    free(names);
    return TG_NONE;
}
