/* The file describes itself: a directory of sections, with the size, number and fields of their records, then
 * the sections, each with a checksum.  Records are the structs of recording.h as they are in memory; a reader takes
 * the fields it knows by name, so that later versions can add fields and sections.
 *
 * Everything up to a cut can be read: strings and small tables come first, then tasks, then edges.
 * Nothing is allocated for a record that the file is too short to hold, and no number in it is used as an index before
 * recording_check.c has seen it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/checksum.h"
#include "io/live_log.h"
#include "io/output.h"
#include "io/recording.h"
#include "io/recording_check.h"
#include "io/source.h"

#define VERSION 1
#define MAX_FILE ((size_t)16 << 30)
#define MAX_SECTIONS 64u
#define MAX_FIELDS 64u
#define MAX_DIRECTORY 131072u
#define MAX_RECORD 4096u /* bytes */

static const char magic[8] = {'\x89', 't', 'g', 'r', '\r', '\n', '\x1a', '\n'};

/* As in the file; little-endian, as all machines are that tgraph runs on. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little-endian");
struct preamble {
    char magic[8];
    uint32_t version, n_sections;
    uint64_t directory_bytes;
    uint64_t checksum; /* of what stands before it here, and the directory */
};
struct section_entry {
    char name[16]; /* padded with NUL */
    uint32_t record_bytes, n_fields;
    uint64_t n_records;
};
enum field_type { UNSIGNED, SIGNED, FLOAT };
struct field_entry {
    char name[16];
    uint32_t offset;
    uint16_t size, type; /* enum field_type */
};

struct field {
    struct field_entry entry;
};
#define TYPE_OF(s, f) \
    _Generic(((struct s *)0)->f, double: FLOAT, int32_t: SIGNED, default: UNSIGNED)
#define FIELD(s, f) {{#f, offsetof(struct s, f), sizeof(((struct s *)0)->f), TYPE_OF(s, f)}}

static const struct field string_fields[] = {{{"byte", 0, 1, UNSIGNED}}};
static const struct field pred_fields[] = {{{"task", 0, 4, UNSIGNED}}};
#define H(f) FIELD(tgi_recording_head, f)
static const struct field head_fields[] = {
    H(makespan_ns), H(data_bytes), H(began_s), H(to_device_bytes), H(to_host_bytes), H(peer_bytes), H(spilled_bytes),
    H(n_copies), H(n_lost_rounds), H(name), H(file), H(policy), H(outcome), H(version), H(machine), H(n_tasks), H(n_workers),
    H(memory_ns), H(links_ns), H(has_data_bounds)};
#define K(f) FIELD(tgi_recording_kernel, f)
static const struct field kernel_fields[] = {K(name), K(variant), K(device_variant), K(is_kernel)};
#define D(f) FIELD(tgi_recording_device, f)
static const struct field device_fields[] = {D(kind), D(name), D(ordinal), D(in_bytes), D(out_bytes), D(peak_bytes),
                                             D(flop_per_s), D(byte_per_s)};
#define L(f) FIELD(tgi_recording_lane, f)
static const struct field lane_fields[] = {L(kind), L(device), L(number), L(n_steals), L(n_parks)};
#define P(f) FIELD(tgi_recording_part, f)
static const struct field part_fields[] = {P(first), P(n_tasks), P(parent), P(number)};
#define T(f) FIELD(tgi_recording_task, f)
static const struct field task_fields[] = {T(ready_ns), T(start_ns), T(end_ns), T(first_pred), T(flops), T(bytes), T(us),
                                           T(n_preds), T(waited_for), T(name), T(kernel), T(lane), T(part), T(priority),
                                           T(attempts), T(state), T(flags)};
#define X(f) FIELD(tgi_recording_transfer, f)
static const struct field transfer_fields[] = {X(bytes), X(start_ns), X(end_ns), X(from), X(to), X(buffer), X(tile), X(task)};
#define B(f) FIELD(tgi_recording_buffer, f)
static const struct field buffer_fields[] = {B(tile_bytes), B(name), B(n_tiles)};
#define S(f) FIELD(tgi_recording_steal, f)
static const struct field steal_fields[] = {S(task), S(victim)};
#define W(f) FIELD(tgi_recording_place, f)
static const struct field place_fields[] = {W(busy_ns), W(move_ns), W(task), W(node), W(reason)};
#define O(f) FIELD(tgi_recording_offer, f)
static const struct field offer_fields[] = {O(ready_ns), O(move_ns), O(wait_ns), O(work_ns), O(contention_ns), O(after_ns), O(task),
                                            O(node)};
#define M(f) FIELD(tgi_recording_memory, f)
static const struct field memory_fields[] = {M(at_ns), M(bytes), M(node)};
#define R(f) FIELD(tgi_span, f)
static const struct field span_fields[] = {R(start_ns), R(end_ns), R(worker), R(victim), R(attempts), R(state)};
static const struct field log_fields[] = {{{"word", 0, 8, UNSIGNED}}};

/* Sums of the members: there is no padding whose contents would get into files. */
static_assert(sizeof(struct preamble) == 32 && sizeof(struct section_entry) == 32 && sizeof(struct field_entry) == 24, "");
static_assert(sizeof(struct tgi_recording_head) == 11 * 8 + 10 * 4, "");
static_assert(sizeof(struct tgi_recording_kernel) == 16 && sizeof(struct tgi_recording_device) == 56, "");
static_assert(sizeof(struct tgi_recording_lane) == 32 && sizeof(struct tgi_recording_part) == 24, "");
static_assert(sizeof(struct tgi_recording_task) == 7 * 8 + 7 * 4 + 4, "");
static_assert(sizeof(struct tgi_recording_transfer) == 48 && sizeof(struct tgi_recording_buffer) == 16, "");
static_assert(sizeof(struct tgi_recording_steal) == 8 && sizeof(struct tgi_recording_place) == 32, "");
static_assert(sizeof(struct tgi_recording_memory) == 24 && sizeof(struct tgi_recording_offer) == 56, "");

enum section_id { STRINGS, HEAD, KERNELS, DEVICES, LANES, BUFFERS, PARTS, TASKS, PREDS, TRANSFERS, STEALS, PLACES, OFFERS, MEMORY,
                  SPANS, LOG, N_SECTIONS };
static const struct section {
    const char *name;
    uint32_t record_bytes, n_fields;
    const struct field *fields;
    size_t items, count; /* offsets in struct tgi_recording; count 0: one record, there itself */
    uint64_t most;
} sections[N_SECTIONS] = {
#define SECTION(id, name, type, fields, member, most)                             \
    [id] = {name, sizeof(type), sizeof(fields) / sizeof(*(fields)), fields,       \
            offsetof(struct tgi_recording, member), offsetof(struct tgi_recording, n_##member), most}
    SECTION(STRINGS, "strings", char, string_fields, strings, (uint64_t)1 << 31),
    [HEAD] = {"head", sizeof(struct tgi_recording_head), sizeof(head_fields) / sizeof(*head_fields), head_fields,
              offsetof(struct tgi_recording, head), 0, 1},
    SECTION(KERNELS, "kernels", struct tgi_recording_kernel, kernel_fields, kernels, 1 << 24),
    SECTION(DEVICES, "devices", struct tgi_recording_device, device_fields, devices, 256),
    SECTION(LANES, "lanes", struct tgi_recording_lane, lane_fields, lanes, 1 << 20),
    SECTION(BUFFERS, "buffers", struct tgi_recording_buffer, buffer_fields, buffers, 1 << 24),
    SECTION(PARTS, "parts", struct tgi_recording_part, part_fields, parts, 1 << 24),
    SECTION(TASKS, "tasks", struct tgi_recording_task, task_fields, tasks, 1 << 26),
    SECTION(PREDS, "preds", uint32_t, pred_fields, preds, (uint64_t)1 << 31),
    SECTION(TRANSFERS, "transfers", struct tgi_recording_transfer, transfer_fields, transfers, 1 << 26),
    SECTION(STEALS, "steals", struct tgi_recording_steal, steal_fields, steals, 1 << 26),
    SECTION(PLACES, "places", struct tgi_recording_place, place_fields, places, 1 << 28),
    SECTION(OFFERS, "offers", struct tgi_recording_offer, offer_fields, offers, 1 << 28),
    SECTION(MEMORY, "memory", struct tgi_recording_memory, memory_fields, memory, 1 << 24),
    /* of a run under way, else not in the file */
    SECTION(SPANS, "spans", struct tgi_span, span_fields, spans, 1 << 26),
    SECTION(LOG, "log", uint64_t, log_fields, log, 1 << 26),
};

static uint64_t count_of(const struct tgi_recording *r, const struct section *s)
{
    return s->count ? *(const uint64_t *)((const char *)r + s->count) : 1;
}

static const void *items_of(const struct tgi_recording *r, const struct section *s)
{
    const char *member = (const char *)r + s->items;
    return s->count ? *(void *const *)member : member;
}

static uint64_t padding(uint64_t bytes) { return -bytes & 7; }

/* ---- Writing ------------------------------------------------------------------------------*/

/* A directory takes no more than this. */
struct directory {
    _Alignas(8) unsigned char bytes[(N_SECTIONS + 1) * (sizeof(struct section_entry) + MAX_FIELDS * sizeof(struct field_entry))];
    size_t size;
};

static void directory_add(struct directory *d, const void *data, size_t bytes)
{
    assert(d->size + bytes <= sizeof(d->bytes));
    memcpy(d->bytes + d->size, data, bytes);
    d->size += bytes;
}

static void write_section(const struct tgi_recording *r, const struct section *s, FILE *to)
{
    uint64_t bytes = count_of(r, s) * s->record_bytes, sum = tgi_checksum(0, items_of(r, s), bytes);
    static const char zeros[8];
    if (bytes)
        fwrite(items_of(r, s), 1, bytes, to);
    fwrite(zeros, 1, padding(bytes), to);
    fwrite(&sum, sizeof(sum), 1, to);
}

static int add_section(struct directory *d, const struct section *s, uint64_t n_records, struct tg_error *err)
{
    struct section_entry entry = {"", s->record_bytes, s->n_fields, n_records};
    strcpy(entry.name, s->name);
    if (n_records > s->most)
        return tgi_error(err, TG_E_LIMIT, "%llu %s are more than a record can hold", (unsigned long long)n_records, s->name);
    directory_add(d, &entry, sizeof(entry));
    for (uint32_t f = 0; f < s->n_fields; f++)
        directory_add(d, &s->fields[f].entry, sizeof(struct field_entry));
    return 0;
}

static void write_header(const struct directory *d, uint32_t n_sections, FILE *to)
{
    struct preamble p = {.version = VERSION, .n_sections = n_sections, .directory_bytes = d->size};
    memcpy(p.magic, magic, sizeof(magic));
    p.checksum = tgi_checksum(tgi_checksum(0, &p, offsetof(struct preamble, checksum)), d->bytes, d->size);
    fwrite(&p, sizeof(p), 1, to);
    fwrite(d->bytes, 1, d->size, to);
}

int tgi_recording_write(const struct tgi_recording *r, FILE *to, struct tg_error *err)
{
    struct directory d;
    d.size = 0;
    for (int i = 0; i < SPANS; i++) {
        int rc = add_section(&d, &sections[i], count_of(r, &sections[i]), err);
        if (rc)
            return rc;
    }
    write_header(&d, SPANS, to);
    for (int i = 0; i < SPANS; i++)
        write_section(r, &sections[i], to);
    return tgi_output_check(to, "the record of the run", err);
}

int tgi_recording_write_ahead(const struct tgi_recording *r, uint64_t n_log, FILE *to, uint64_t *spans_at_p, struct tg_error *err)
{
    static const unsigned char zeros[64 + 8];
    struct directory d;
    uint64_t at = 0, sum;
    int rc = 0;
    d.size = 0;
    for (int i = 0; i < SPANS && rc == 0; i++) {
        uint64_t bytes = count_of(r, &sections[i]) * sections[i].record_bytes;
        rc = add_section(&d, &sections[i], count_of(r, &sections[i]), err);
        at += bytes + padding(bytes) + sizeof(sum);
    }
    /* The checksum of the room is before the spans, too. */
    at += sizeof(struct preamble) + d.size + 3 * sizeof(struct section_entry) +
          (sections[SPANS].n_fields + sections[LOG].n_fields) * sizeof(struct field_entry) + sizeof(sum);
    struct section room = {.name = "room", .record_bytes = 1, .most = 64};
    uint64_t n_room = -at & 63;
    if (rc == 0)
        rc = add_section(&d, &room, n_room, err);
    if (rc == 0)
        rc = add_section(&d, &sections[SPANS], r->head.n_tasks, err);
    if (rc == 0)
        rc = add_section(&d, &sections[LOG], n_log, err);
    if (rc)
        return rc;
    write_header(&d, SPANS + 3, to);
    for (int i = 0; i < SPANS; i++)
        write_section(r, &sections[i], to);
    sum = tgi_checksum(0, zeros, n_room);
    fwrite(zeros, 1, n_room, to); /* a multiple of 8 */
    fwrite(&sum, sizeof(sum), 1, to);
    *spans_at_p = at + n_room;
    return tgi_output_check(to, "the record of the run", err);
}

/* ---- Reading ------------------------------------------------------------------------------*/

struct reading {
    const char *path;
    const unsigned char *data;
    size_t size;
    struct tgi_recording *r;
    struct tg_error *err;
    uint64_t n_expected[N_SECTIONS];
    bool is_known[N_SECTIONS];
};

static int damaged(const struct reading *k, const char *what)
{
    return tgi_error(k->err, TG_E_RECORD, "the record \"%s\" is damaged: %s", k->path, what);
}

/* One field of all records.  Both sizes are 1, 2, 4 or 8; a value that does not fit here is cut, and looked at by
 * check() like any other. */
static void convert_field(const unsigned char *from, const struct section_entry *layout, const struct field_entry *f,
                          unsigned char *to, uint32_t to_bytes, const struct field_entry *own, uint64_t n)
{
    if (f->type == FLOAT || own->type == FLOAT) {
        if (f->type != own->type || f->size != own->size)
            return;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t value = 0;
        memcpy(&value, from + i * layout->record_bytes + f->offset, f->size);
        if (f->type == SIGNED && f->size < 8 && value >> (8 * f->size - 1))
            value |= ~(uint64_t)0 << (8 * f->size);
        memcpy(to + i * to_bytes + own->offset, &value, own->size);
    }
}

static bool has_own_layout(const struct section_entry *layout, const struct field_entry *fields, const struct section *own)
{
    if (layout->record_bytes != own->record_bytes || layout->n_fields != own->n_fields)
        return false;
    for (uint32_t i = 0; i < own->n_fields; i++)
        if (memcmp(&fields[i], &own->fields[i].entry, sizeof(*fields)) != 0)
            return false;
    return true;
}

static int take_section(struct reading *k, int id, const struct section_entry *layout, const struct field_entry *fields,
                        const unsigned char *from, uint64_t n)
{
    const struct section *own = &sections[id];
    unsigned char *to = own->count ? calloc(n + 1, own->record_bytes) : (unsigned char *)&k->r->head;
    if (!to)
        return tgi_error_memory(k->err, "reading the record of a run");
    if (has_own_layout(layout, fields, own)) {
        memcpy(to, from, n * own->record_bytes);
    } else {
        for (uint32_t f = 0; f < layout->n_fields; f++)
            for (uint32_t o = 0; o < own->n_fields; o++)
                if (strncmp(fields[f].name, own->fields[o].entry.name, sizeof(fields[f].name)) == 0)
                    convert_field(from, layout, &fields[f], to, own->record_bytes, &own->fields[o].entry, n);
    }
    if (own->count) {
        void **items = (void **)((char *)k->r + own->items);
        free(*items);
        *items = to;
        *(uint64_t *)((char *)k->r + own->count) = n;
    }
    return 0;
}

static int find_section(const char name[16])
{
    for (int i = 0; i < N_SECTIONS; i++)
        if (strncmp(name, sections[i].name, 16) == 0)
            return i;
    return N_SECTIONS;
}

static int check_entry(const struct reading *k, const struct section_entry *s, const struct field_entry *fields)
{
    if (s->record_bytes == 0 || s->record_bytes > MAX_RECORD)
        return damaged(k, "the size of records");
    for (uint32_t f = 0; f < s->n_fields; f++) {
        uint16_t size = fields[f].size;
        if ((size != 1 && size != 2 && size != 4 && size != 8) || fields[f].offset > s->record_bytes ||
            size > s->record_bytes - fields[f].offset || fields[f].type > FLOAT)
            return damaged(k, "the description of fields");
    }
    return 0;
}

/* The payload of one section at *at_p; less than n_records of them if the file ends before.  Those that are written to while a run is under
 * way have no checksum, and the last of them ends where the file does. */
static int read_section(struct reading *k, const struct section_entry *s, const struct field_entry *fields, size_t *at_p)
{
    uint64_t bytes, left = k->size - *at_p, n = s->n_records, sum;
    int id = find_section(s->name);
    if (__builtin_mul_overflow(n, (uint64_t)s->record_bytes, &bytes) || bytes > MAX_FILE)
        return tgi_error(k->err, TG_E_LIMIT, "the record \"%s\" claims %llu records of %u bytes", k->path,
                         (unsigned long long)n, s->record_bytes);
    if (id < N_SECTIONS && n > sections[id].most)
        return tgi_error(k->err, TG_E_LIMIT, "the record \"%s\" claims %llu %s", k->path, (unsigned long long)n,
                         sections[id].name);
    if (id < N_SECTIONS && (k->is_known[id] || (id == HEAD && n != 1)))
        return damaged(k, "a section is there twice");
    const unsigned char *from = k->data + *at_p;
    bool is_live = id == SPANS || id == LOG, is_whole = !is_live && left >= bytes + padding(bytes) + sizeof(sum);
    if (is_whole) {
        memcpy(&sum, from + bytes + padding(bytes), sizeof(sum));
        if (sum != tgi_checksum(0, from, bytes))
            return damaged(k, "the checksum of a section does not match");
        *at_p += bytes + padding(bytes) + sizeof(sum);
    } else {
        k->r->is_cut = true;
        n = left / s->record_bytes < n ? left / s->record_bytes : n;
        *at_p = is_live ? *at_p + n * s->record_bytes : k->size;
    }
    if (id == N_SECTIONS)
        return 0;
    k->is_known[id] = true;
    k->n_expected[id] = s->n_records;
    /* Half a string would be a wrong one, half a head wrong numbers. */
    if (!is_whole && (id == STRINGS || (id == HEAD && n == 0)))
        return 0;
    return take_section(k, id, s, fields, from, n);
}

static int read_directory(struct reading *k)
{
    struct preamble p;
    if (k->size < sizeof(magic) || memcmp(k->data, magic, sizeof(magic)) != 0)
        return tgi_error(k->err, TG_E_RECORD, "\"%s\" is not the record of a run", k->path);
    if (k->size < sizeof(p))
        return damaged(k, "it ends within its header");
    memcpy(&p, k->data, sizeof(p));
    if (p.version > VERSION)
        return tgi_error(k->err, TG_E_VERSION,
                         "the record \"%s\" has version %u of the format, and this program knows %d; use a newer tgraph",
                         k->path, p.version, VERSION);
    if (p.version == 0 || p.n_sections > MAX_SECTIONS || p.directory_bytes > MAX_DIRECTORY)
        return damaged(k, "its header");
    if (k->size - sizeof(p) < p.directory_bytes)
        return damaged(k, "it ends within its header");
    if (p.checksum != tgi_checksum(tgi_checksum(0, &p, offsetof(struct preamble, checksum)), k->data + sizeof(p), p.directory_bytes))
        return damaged(k, "the checksum of its header does not match");

    size_t at = sizeof(p), end = sizeof(p) + p.directory_bytes, payload = end;
    for (uint32_t i = 0; i < p.n_sections; i++) {
        struct section_entry s;
        struct field_entry fields[MAX_FIELDS];
        if (end - at < sizeof(s))
            return damaged(k, "its directory");
        memcpy(&s, k->data + at, sizeof(s));
        at += sizeof(s);
        if (s.n_fields > MAX_FIELDS || end - at < s.n_fields * sizeof(*fields))
            return damaged(k, "its directory");
        memcpy(fields, k->data + at, s.n_fields * sizeof(*fields));
        at += s.n_fields * sizeof(*fields);
        int rc = check_entry(k, &s, fields);
        if (rc == 0)
            rc = read_section(k, &s, fields, &payload);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- The whole ----------------------------------------------------------------------------*/

/* Tables that the file lacks, or that were cut off, are empty. */
static bool fill_tables(struct tgi_recording *r)
{
    for (int i = 0; i < N_SECTIONS; i++) {
        void **items = (void **)((char *)r + sections[i].items);
        if (sections[i].count && !*items && !(*items = calloc(1, sections[i].record_bytes)))
            return false;
    }
    if (r->n_strings == 0)
        r->n_strings = 1; /* the empty one */
    return true;
}

/* Of a run that did not end. */
static int take_live(const struct reading *k)
{
    struct tgi_recording *r = k->r;
    r->n_steals = 0; /* nothing had run */
    int rc = tgi_recording_take_spans(r, 0, r->spans, r->n_spans < r->n_tasks ? r->n_spans : r->n_tasks, k->err);
    if (rc == 0)
        rc = tgi_live_log_take(r, k->err);
    return rc == 0 && !tgi_recording_is_sound(r) ? damaged(k, "its log") : rc;
}

static int check(const struct reading *k)
{
    struct tgi_recording *r = k->r;
    if (!fill_tables(r))
        return tgi_error_memory(k->err, "reading the record of a run");
    if (!r->is_cut && (!k->is_known[STRINGS] || !k->is_known[HEAD] || !k->is_known[TASKS] || !k->is_known[PARTS]))
        return damaged(k, "a section is missing");
    r->n_tasks_expected = k->is_known[TASKS] ? k->n_expected[TASKS] : r->n_tasks;
    if (r->strings[0] != '\0' || r->strings[r->n_strings - 1] != '\0')
        return damaged(k, "its strings do not end");
    if (r->is_cut)
        tgi_recording_forget_lost(r);
    if (!tgi_recording_is_sound(r))
        return damaged(k, "it refers to what is not in it");
    r->is_unfinished = k->n_expected[SPANS] > 0;
    int rc = r->is_unfinished ? take_live(k) : 0;
    free(r->spans);
    free(r->log);
    r->spans = NULL;
    r->log = NULL;
    r->n_spans = r->n_log = 0;
    return rc;
}

int tgi_recording_read(const char *path, struct tgi_recording *recording_p, struct tg_error *err)
{
    struct tgi_source source;
    struct tgi_recording r = {.strings = NULL};
    int rc = tgi_source_read(&source, path, MAX_FILE, err);
    if (rc)
        return rc;
    struct reading k = {.path = path, .data = (const unsigned char *)source.text, .size = source.size, .r = &r, .err = err};
    rc = read_directory(&k);
    if (rc == 0)
        rc = check(&k);
    tgi_source_fini(&source);
    if (rc)
        tgi_recording_fini(&r);
    else
        *recording_p = r;
    return rc;
}

bool tgi_recording_is_one(const char *path)
{
    char start[sizeof(magic)];
    FILE *from = strcmp(path, "-") == 0 ? NULL : fopen(path, "rbe");
    if (!from)
        return false;
    bool is_one = fread(start, 1, sizeof(start), from) == sizeof(start) && memcmp(start, magic, sizeof(magic)) == 0;
    fclose(from);
    return is_one;
}
