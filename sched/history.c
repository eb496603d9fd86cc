/* See history.h. */
#include "sched/history.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "graph/environment.h"
#include "graph/error.h"
#include "graph/kernel_cache.h"
#include "graph/vec.h"

enum {
    N_KEPT = 16,  /* samples of a model */
    N_ASIDE = 6,  /* in a row: the model is wrong */
    N_RELIED = 8, /* samples until a median is relied on */
    VERSION = 1,
    N_NOTICES = 16
};
#define FAR_SPREADS 3.0  /* a sample that many spreads from the median */
#define FAR_SHARE 0.5    /* and that share of it is set aside */
#define DRIFT_SHARE 0.25 /* a median that has moved so far is announced */

/* As it is on disk. */
struct record {
    struct tgi_history_key key;
    uint64_t n_seen, n_set_aside;
    uint32_t n_drifts;
    uint16_t n_kept, next; /* of `kept`, a ring */
    uint16_t n_aside, is_relied;
    uint32_t day; /* of the last sample */
    float kept[N_KEPT], aside[N_ASIDE];
    float relied_ns; /* the median that was last announced or first relied on */
};

struct entry {
    struct record record;
    double median_ns, spread_ns;
    bool has_changed; /* since it was read */
};

struct tgi_history {
    pthread_mutex_t lock; /* all below */
    bool is_kept;
    bool has_changed;
    struct entry *entries;
    uint32_t n, cap;
    uint32_t *slots; /* entry + 1 by hash of the key; 0: free */
    uint32_t n_slots;
    char *notices[N_NOTICES];
    uint32_t n_notices;
};

struct header {
    uint32_t version, record_bytes, n_records, unused;
    char machine[128];
};
_Static_assert(sizeof(struct header) % _Alignof(struct record) == 0, "records follow it");

static void notice(struct tgi_history *h, const char *format, ...) TG_PRINTF(2, 3);
static void notice(struct tgi_history *h, const char *format, ...)
{
    va_list args;
    char *text;
    va_start(args, format);
    if (h->n_notices < N_NOTICES && vasprintf(&text, format, args) >= 0)
        h->notices[h->n_notices++] = text;
    va_end(args);
}

/* ---- Models -------------------------------------------------------------------------------*/

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void compute(struct entry *e)
{
    float sorted[N_KEPT];
    uint32_t n = e->record.n_kept;
    memcpy(sorted, e->record.kept, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_floats);
    e->median_ns = n == 0 ? 0 : n % 2 ? sorted[n / 2] : ((double)sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    e->spread_ns = n < 4 ? 0 : (double)sorted[3 * n / 4] - sorted[n / 4];
}

static bool is_far(const struct entry *e, double ns)
{
    double distance = fabs(ns - e->median_ns);
    return e->record.n_kept >= 4 && distance > FAR_SPREADS * e->spread_ns && distance > FAR_SHARE * e->median_ns;
}

static void keep(struct record *r, float ns)
{
    r->kept[r->next] = ns;
    r->next = (uint16_t)((r->next + 1) % N_KEPT);
    r->n_kept = (uint16_t)(r->n_kept < N_KEPT ? r->n_kept + 1 : N_KEPT);
    r->n_aside = 0;
}

static void announce(struct tgi_history *h, struct entry *e)
{
    struct record *r = &e->record;
    notice(h, "kernel \"%s\" (%s) on %s takes %.1f us now, %.1f us before", r->key.kernel, r->key.variant, r->key.device,
           e->median_ns / 1e3, (double)r->relied_ns / 1e3);
    r->n_drifts++;
    r->relied_ns = (float)e->median_ns;
}

/* What was set aside is right, and what was kept is not. */
static void start_again(struct record *r)
{
    memcpy(r->kept, r->aside, sizeof r->aside);
    r->n_kept = r->next = N_ASIDE;
    r->n_set_aside -= N_ASIDE;
    r->n_aside = 0;
}

static void add(struct tgi_history *h, struct entry *e, double ns, bool is_news)
{
    struct record *r = &e->record;
    r->n_seen++;
    if (is_far(e, ns)) {
        r->aside[r->n_aside++] = (float)ns;
        r->n_set_aside++;
        if (r->n_aside < N_ASIDE)
            return;
        start_again(r);
    } else {
        keep(r, (float)ns);
    }
    compute(e);
    if (!r->is_relied && r->n_kept >= N_RELIED) {
        r->is_relied = 1;
        r->relied_ns = (float)e->median_ns;
    }
    if (is_news && r->is_relied && fabs(e->median_ns - r->relied_ns) > DRIFT_SHARE * r->relied_ns)
        announce(h, e);
}

/* ---- Entries ------------------------------------------------------------------------------*/

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u;
}

static uint32_t hash_key(const struct tgi_history_key *k)
{
    uint64_t hash =
        hash_text(hash_text(hash_text(hash_text(0xcbf29ce484222325u, k->kernel), k->device), k->variant), k->sizes);
    return (uint32_t)(hash ^ hash >> 32);
}

static bool is_same(const struct tgi_history_key *a, const struct tgi_history_key *b)
{
    return strcmp(a->kernel, b->kernel) == 0 && strcmp(a->device, b->device) == 0 && strcmp(a->variant, b->variant) == 0 &&
           strcmp(a->sizes, b->sizes) == 0;
}

/* The slot of a key, or the free one it would take. */
static uint32_t *find_slot(const struct tgi_history *h, const struct tgi_history_key *key)
{
    uint32_t at = hash_key(key) & (h->n_slots - 1);
    while (h->slots[at] && !is_same(&h->entries[h->slots[at] - 1].record.key, key))
        at = (at + 1) & (h->n_slots - 1);
    return &h->slots[at];
}

static bool grow(struct tgi_history *h)
{
    if (2 * (h->n + 1) > h->n_slots) {
        uint32_t n = h->n_slots ? 2 * h->n_slots : 64, *slots = calloc(n, sizeof *slots);
        if (!slots)
            return false;
        free(h->slots);
        h->slots = slots;
        h->n_slots = n;
        for (uint32_t i = 0; i < h->n; i++)
            *find_slot(h, &h->entries[i].record.key) = i + 1;
    }
    return tgi_vec_reserve(&h->entries, &h->cap, (uint64_t)h->n + 1, sizeof *h->entries);
}

static uint32_t entry_locked(struct tgi_history *h, const struct tgi_history_key *key)
{
    if (h->n >= TGI_HISTORY_LIMIT || !grow(h))
        return h->n_slots && *find_slot(h, key) ? *find_slot(h, key) - 1 : TG_NONE;
    uint32_t *slot = find_slot(h, key);
    if (*slot)
        return *slot - 1;
    h->entries[h->n] = (struct entry){.record = {.key = *key}};
    *slot = ++h->n;
    return h->n - 1;
}

/* ---- The file -----------------------------------------------------------------------------*/

static uint32_t today(void) { return (uint32_t)(time(NULL) / 86400); }

static char machine_text[128];

static void find_machine(void)
{
    char line[256], model[64] = "unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(model, sizeof model, "%.*s", (int)sizeof model - 1, colon + 2);
        break;
    }
    if (f)
        fclose(f);
    snprintf(machine_text, sizeof machine_text, "%s, %ld processors", model, sysconf(_SC_NPROCESSORS_CONF));
}

const char *tgi_history_machine(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_machine);
    return machine_text;
}

/* One file for a machine and a version of the format. */
static void file_key(const char *machine, unsigned char *key)
{
    static const char what[] = "times of kernels";
    const uint32_t version = VERSION;
    struct tgi_sha256 sha;
    tgi_sha256_init(&sha);
    tgi_sha256_add(&sha, what, sizeof what);
    tgi_sha256_add(&sha, &version, sizeof version);
    tgi_sha256_add(&sha, machine, strlen(machine));
    tgi_sha256_finish(&sha, key);
}

static bool is_text(const char *text, size_t size) { return memchr(text, '\0', size) != NULL; }

/* The file is whole, but a version of ours with other limits may have written it. */
static bool is_sound(const struct record *r)
{
    return is_text(r->key.kernel, sizeof r->key.kernel) && is_text(r->key.device, sizeof r->key.device) &&
           is_text(r->key.variant, sizeof r->key.variant) && is_text(r->key.sizes, sizeof r->key.sizes) &&
           r->n_kept <= N_KEPT && r->next < N_KEPT && r->n_aside < N_ASIDE;
}

static bool is_ours(const struct header *header, size_t n_bytes, const char *machine)
{
    return header->version == VERSION && header->record_bytes == sizeof(struct record) &&
           header->n_records <= TGI_HISTORY_LIMIT && is_text(header->machine, sizeof header->machine) &&
           strcmp(header->machine, machine) == 0 &&
           n_bytes == sizeof *header + (size_t)header->n_records * sizeof(struct record);
}

/* Entries of the file, but for those that have changed here; false: there is a file, and it is of no use. */
static bool read_file(struct tgi_history *h, const struct tgi_kernel_cache *cache, const char *machine)
{
    unsigned char key[TGI_SHA256_BYTES];
    struct header header;
    size_t n_bytes;
    file_key(machine, key);
    unsigned char *bytes = tgi_kernel_cache_get(cache, key, &n_bytes);
    if (!bytes)
        return !tgi_kernel_cache_has(cache, key);
    bool ok = n_bytes >= sizeof header;
    if (ok)
        memcpy(&header, bytes, sizeof header);
    ok = ok && is_ours(&header, n_bytes, machine);
    for (uint32_t i = 0; ok && i < header.n_records; i++) {
        struct record r;
        memcpy(&r, bytes + sizeof header + i * sizeof r, sizeof r);
        uint32_t at = is_sound(&r) ? entry_locked(h, &r.key) : TG_NONE;
        if (at != TG_NONE && !h->entries[at].has_changed) {
            h->entries[at].record = r;
            compute(&h->entries[at]);
        }
    }
    free(bytes);
    return ok;
}

static int compare_days(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    return x->day > y->day ? -1 : x->day < y->day;
}

/* Those used last; a quarter of the room is left to new ones. */
static void write_file(struct tgi_history *h, const struct tgi_kernel_cache *cache, const char *machine)
{
    const uint32_t most = TGI_HISTORY_LIMIT / 4 * 3;
    unsigned char key[TGI_SHA256_BYTES], *bytes = malloc(sizeof(struct header) + h->n * sizeof(struct record));
    struct header header = {VERSION, sizeof(struct record), h->n < most ? h->n : most, 0, {0}};
    struct record *records = (struct record *)(bytes + sizeof header);
    if (!bytes)
        return;
    snprintf(header.machine, sizeof header.machine, "%s", machine);
    memcpy(bytes, &header, sizeof header);
    for (uint32_t i = 0; i < h->n; i++)
        memcpy(&records[i], &h->entries[i].record, sizeof *records);
    qsort(records, h->n, sizeof *records, compare_days);
    file_key(machine, key);
    tgi_kernel_cache_put(cache, key, bytes, sizeof header + header.n_records * sizeof *records);
    free(bytes);
}

/* ---- Life ---------------------------------------------------------------------------------*/

int tgi_history_create(struct tgi_history **history_p, struct tg_error *err)
{
    struct tgi_history *h = calloc(1, sizeof *h);
    if (!h)
        return tgi_error_memory(err, "keeping times of kernels");
    pthread_mutex_init(&h->lock, NULL);
    *history_p = h;
    return 0;
}

int tgi_history_open(struct tgi_history **history_p, struct tg_error *err)
{
    struct tgi_kernel_cache cache;
    const char *machine = tgi_history_machine();
    int is_wanted = tgi_environment_switch("TGRAPH_HISTORY", 1, err);
    int rc = is_wanted < 0 ? is_wanted : tgi_history_create(history_p, err);
    if (rc || !is_wanted)
        return rc;
    (*history_p)->is_kept = true;
    tgi_kernel_cache_open(&cache, "history");
    if (!read_file(*history_p, &cache, machine))
        notice(*history_p, "the file with times of kernels in the cache folder is damaged or not of this machine and"
                           " version; it is replaced");
    tgi_kernel_cache_close(&cache);
    return 0;
}

void tgi_history_close(struct tgi_history *h)
{
    struct tgi_kernel_cache cache;
    const char *machine = tgi_history_machine();
    if (!h)
        return;
    if (h->is_kept && h->has_changed) {
        tgi_kernel_cache_open(&cache, "history");
        read_file(h, &cache, machine); /* what others have written meanwhile */
        write_file(h, &cache, machine);
        tgi_kernel_cache_close(&cache);
    }
    for (uint32_t i = 0; i < h->n_notices; i++)
        free(h->notices[i]);
    free(h->entries);
    free(h->slots);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* ---- Use ----------------------------------------------------------------------------------*/

uint32_t tgi_history_entry(struct tgi_history *h, const struct tgi_history_key *key)
{
    pthread_mutex_lock(&h->lock);
    uint32_t entry = entry_locked(h, key);
    pthread_mutex_unlock(&h->lock);
    return entry;
}

uint32_t tgi_history_find(const struct tgi_history *history, const struct tgi_history_key *key)
{
    struct tgi_history *h = (struct tgi_history *)history;
    pthread_mutex_lock(&h->lock);
    uint32_t slot = h->n_slots ? *find_slot(h, key) : 0;
    pthread_mutex_unlock(&h->lock);
    return slot ? slot - 1 : TG_NONE;
}

static void note(struct tgi_history *h, uint32_t entry, double ns, bool is_news)
{
    if (entry == TG_NONE || !(ns > 0))
        return;
    pthread_mutex_lock(&h->lock);
    add(h, &h->entries[entry], ns, is_news);
    h->entries[entry].record.day = today();
    h->entries[entry].has_changed = h->has_changed = true;
    pthread_mutex_unlock(&h->lock);
}

void tgi_history_note(struct tgi_history *h, uint32_t entry, double ns) { note(h, entry, ns, true); }

void tgi_history_note_beside(struct tgi_history *h, uint32_t entry, double ns) { note(h, entry, ns, false); }

bool tgi_history_model(const struct tgi_history *history, uint32_t entry, struct tgi_history_model *model_p)
{
    struct tgi_history *h = (struct tgi_history *)history;
    if (entry == TG_NONE)
        return false;
    pthread_mutex_lock(&h->lock);
    const struct entry *e = &h->entries[entry];
    const struct record *r = &e->record;
    *model_p = (struct tgi_history_model){e->median_ns, e->spread_ns, r->n_kept, r->n_seen, r->n_set_aside, r->n_drifts};
    pthread_mutex_unlock(&h->lock);
    return model_p->n_samples > 0;
}

uint32_t tgi_history_n(const struct tgi_history *history)
{
    struct tgi_history *h = (struct tgi_history *)history;
    pthread_mutex_lock(&h->lock);
    uint32_t n = h->n;
    pthread_mutex_unlock(&h->lock);
    return n;
}

void tgi_history_key(const struct tgi_history *history, uint32_t entry, struct tgi_history_key *key_p)
{
    struct tgi_history *h = (struct tgi_history *)history;
    pthread_mutex_lock(&h->lock);
    *key_p = h->entries[entry].record.key;
    pthread_mutex_unlock(&h->lock);
}

bool tgi_history_take_notice(struct tgi_history *h, char *text, size_t size)
{
    pthread_mutex_lock(&h->lock);
    bool has_any = h->n_notices > 0;
    if (has_any) {
        snprintf(text, size, "%s", h->notices[0]);
        free(h->notices[0]);
        memmove(h->notices, h->notices + 1, --h->n_notices * sizeof *h->notices);
    }
    pthread_mutex_unlock(&h->lock);
    return has_any;
}
