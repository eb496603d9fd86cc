/* What a service has on its device: one reservation, so that one address and one size say what is its own.
 *
 * First what lasts (state, what waits, the programs' tables), then what is zero when a launch begins: teams, mails, and the seats, which
 * are alike, so that one address and the stride say where everything of a seat is. */
#include "sched/service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/fingerprint.h"

enum { PART_ALIGN = 256, LINE = 128 };

/* ---- The setup ----------------------------------------------------------------------------*/

static uint32_t head_of(const struct tgi_service_setup *setup)
{
    return setup->can_keep ? TGI_SERVICE_KEPT_HEAD(setup->programs[0].program->n_workers) : 0;
}
/* What one goes on with. */
static uint64_t kept_bytes_of(const struct tgi_service_setup *setup, const struct tgi_service_program *sp)
{
    return setup->can_keep ? head_of(setup) + sp->graph->seat_bytes : 0;
}

static int check_kept(const struct tgi_service_setup *setup, uint32_t program, uint32_t message_bytes, struct tg_error *err)
{
    const struct tgi_service_program *sp = &setup->programs[program];
    if (!setup->can_keep)
        return 0;
    if (!sp->graph)
        return tgi_error(err, TG_E_UNSUPPORTED, "instances of a service can be kept that are of graphs, and program %" PRIu32 " is of none", program);
    if (kept_bytes_of(setup, sp) > message_bytes)
        return tgi_error(err, TG_E_LIMIT, "an instance of program %" PRIu32 " that is kept has %" PRIu64 " bytes, in messages of %" PRIu32, program,
                         kept_bytes_of(setup, sp), message_bytes);
    return 0;
}

static int check_program(const struct tgi_service_program *sp, uint32_t message_bytes, struct tg_error *err)
{
    const struct tgi_resident_program *p = sp->program;
    if (p->width != TGI_RESIDENT_WARP)
        return tgi_error(err, TG_E_UNSUPPORTED, "a service executes programs whose tasks are a warp wide");
    if (p->n_workers_each >= TGI_SERVICE_MAX_WARPS)
        return tgi_error(err, TG_E_UNSUPPORTED, "a program with %" PRIu32 " workers in a block; a service has room for %" PRIu32,
                         p->n_workers_each, TGI_SERVICE_MAX_WARPS - 1);
    if (8ull * sp->n_inputs > message_bytes || 8ull * sp->n_outputs > message_bytes)
        return tgi_error(err, TG_E_LIMIT, "%" PRIu32 " words of input and %" PRIu32 " of output, in messages of %" PRIu32 " bytes",
                         sp->n_inputs, sp->n_outputs, message_bytes);
    for (uint32_t i = 0; !sp->graph && i < sp->n_outputs; i++)
        if (sp->outputs[i] >= p->n_tasks)
            return tgi_error(err, TG_E_INVALID, "output %" PRIu32 " is task %" PRIu32 ", which there is not", i, sp->outputs[i]);
    for (uint32_t slot = 0; slot < p->n_tasks; slot++) {
        uint32_t op = TGI_HEAD_OP(p->tasks[slot].head);
        if (op == TGI_RESIDENT_COPY || op == TGI_RESIDENT_POST || (op == TGI_RESIDENT_CALL && !sp->graph))
            return tgi_error(err, TG_E_UNSUPPORTED, "task %" PRIu32 " copies or calls a body, and its program is not made of a graph",
                             p->tasks[slot].id);
        if (op == TGI_RESIDENT_INPUT && p->args[slot] >= sp->n_inputs)
            return tgi_error(err, TG_E_INVALID, "task %" PRIu32 " takes input %" PRIu64 " of %" PRIu32, p->tasks[slot].id,
                             p->args[slot], sp->n_inputs);
    }
    return 0;
}

static int check_clients(const struct tgi_service_setup *setup, struct tg_error *err)
{
    if (setup->n_clients > TGI_TURN_MAX_CLIENTS)
        return tgi_error(err, TG_E_LIMIT, "%" PRIu32 " clients of a service; %" PRIu32 " are possible", setup->n_clients,
                         TGI_TURN_MAX_CLIENTS);
    for (uint32_t i = 0; i < setup->n_clients; i++)
        if (setup->clients[i].weight < 1 || setup->clients[i].weight > TGI_TURN_MAX_WEIGHT)
            return tgi_error(err, TG_E_INVALID, "client %" PRIu32 " of a service has the weight %" PRIu32 ": 1 to %" PRIu32 " are possible",
                             i, setup->clients[i].weight, TGI_TURN_MAX_WEIGHT);
    return 0;
}

int tgi_service_check_setup(const struct tgi_service_setup *setup, uint32_t message_bytes, struct tg_error *err)
{
    uint32_t n_teams = setup->n_teams ? setup->n_teams : 1, n_ahead = setup->n_ahead ? setup->n_ahead : 1;
    if (setup->n_programs < 1 || setup->n_programs > TGI_TURN_MAX_PROGRAMS)
        return tgi_error(err, TG_E_LIMIT, "%" PRIu32 " programs of a service; 1 to %" PRIu32 " are possible", setup->n_programs,
                         TGI_TURN_MAX_PROGRAMS);
    if (n_ahead > TGI_SERVICE_MAX_AHEAD || (n_ahead & (n_ahead - 1)))
        return tgi_error(err, TG_E_INVALID, "%" PRIu32 " instances under way in a team: 1, 2, 4 or 8 are possible", n_ahead);
    if (n_teams > TGI_SERVICE_MAX_SEATS / n_ahead)
        return tgi_error(err, TG_E_LIMIT, "%" PRIu32 " teams with %" PRIu32 " instances each; a service has at most %" PRIu32 " seats",
                         n_teams, n_ahead, TGI_SERVICE_MAX_SEATS);
    int rc = check_clients(setup, err);
    for (uint32_t i = 0; rc == 0 && i < setup->n_programs; i++) {
        const struct tgi_resident_program *p = setup->programs[i].program, *first = setup->programs[0].program;
        rc = check_program(&setup->programs[i], message_bytes, err);
        if (rc == 0)
            rc = check_kept(setup, i, message_bytes, err);
        if (rc == 0 && (p->n_blocks != first->n_blocks || p->n_workers_each != first->n_workers_each))
            rc = tgi_error(err, TG_E_UNSUPPORTED, "program %" PRIu32 " has %" PRIu32 " blocks of %" PRIu32 " workers, the first one %" PRIu32
                           " of %" PRIu32 "; a service's are alike", i, p->n_blocks, p->n_workers_each, first->n_blocks,
                           first->n_workers_each);
    }
    return rc;
}

static bool has_lines(const struct tgi_resident_program *p)
{
    for (uint32_t slot = 0; slot < p->n_tasks; slot++)
        if (TGI_RESIDENT_HAS_LINE(TGI_HEAD_OP(p->tasks[slot].head)))
            return true;
    return false;
}

void tgi_service_tables_describe(struct tg_service *s, const struct tgi_service_setup *setup)
{
    struct tgi_service_view *v = &s->view;
    if (!setup)
        return;
    const struct tgi_resident_program *first = setup->programs[0].program;
    v->n_programs = setup->n_programs;
    v->n_teams = setup->n_teams ? setup->n_teams : 1;
    v->n_ahead = setup->n_ahead ? setup->n_ahead : 1;
    v->n_blocks_each = first->n_blocks;
    v->n_workers_each = first->n_workers_each;
    v->n_workers = first->n_workers;
    s->tables.head_bytes = head_of(setup);
    for (uint32_t i = 0; i < setup->n_programs; i++) {
        const struct tgi_service_program *sp = &setup->programs[i];
        struct tgi_service_program_view *to = &v->programs[i];
        to->n_inputs = sp->n_inputs + s->tables.head_bytes / 8;
        to->n_kept = (uint32_t)(kept_bytes_of(setup, sp) / 8);
        to->n_outputs = sp->n_outputs;
        to->n_tasks = sp->program->n_tasks;
        to->cells_at = v->n_cells;
        to->counters_at = v->n_counters;
        to->view.limit_ns = s->options.limit_ns;
        to->view.n_workers_each = v->n_workers_each;
        to->n_words = sp->words ? sp->words->n : 0;
        v->n_cells += sp->program->n_shared_cells;
        v->n_counters += sp->program->n_shared_counters;
    }
}

/* ---- Memory -------------------------------------------------------------------------------*/

/* Gives out parts of the reservation; with memory 0, counts only. */
struct layout {
    uint64_t memory, at;
};

static uint64_t part(struct layout *l, uint64_t bytes)
{
    uint64_t address = l->memory + l->at;
    l->at += (bytes + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN;
    return address;
}
#define PART(l, bytes) ((void *)(uintptr_t)part((l), (bytes)))

static void lay_out_program(struct tg_service *s, const struct tgi_service_program *sp, struct tgi_service_program_view *to, struct layout *l)
{
    const struct tgi_resident_program *p = sp->program;
    struct tgi_resident_view *r = &to->view;
    r->tasks = PART(l, p->n_tasks * (uint64_t)sizeof *p->tasks);
    r->first = PART(l, (p->n_workers + 1ull) * 4);
    r->outs = PART(l, p->n_outs * 4ull);
    r->ins = PART(l, p->n_ins * 4ull);
    r->args = p->args ? PART(l, p->n_tasks * 8ull) : NULL;
    to->outputs = PART(l, sp->n_outputs * 4ull);
    if (sp->graph) {
        r->words = PART(l, (uint64_t)s->view.n_teams * s->view.n_ahead * to->n_words * 8);
        s->tables.shared_at[to - s->view.programs] = part(l, sp->graph->shared_bytes);
    }
}

/* What an instance has for itself, in the first seat. */
static void lay_out_seat(const struct tg_service *s, const struct tgi_service_program *sp, struct tgi_service_program_view *to, struct layout *l)
{
    const struct tgi_resident_program *p = sp->program;
    struct tgi_resident_view *r = &to->view;
    uint64_t n = p->n_tasks;
    r->counters = PART(l, p->n_counters * 4ull);
    r->cells = PART(l, p->n_cells * (uint64_t)sizeof(struct tgi_cell));
    r->results = PART(l, n * 8);
    r->lines = has_lines(p) ? PART(l, n * 8 * TGI_RESIDENT_LINE_WORDS) : NULL;
    r->progress = PART(l, p->n_workers * 4ull);
    to->inputs = PART(l, sp->graph ? s->tables.head_bytes + sp->graph->seat_bytes : sp->n_inputs * 8ull);
    r->inputs = to->inputs;
}

static void lay_out(struct tg_service *s, const struct tgi_service_setup *setup, struct layout *l)
{
    struct tgi_service_view *v = &s->view;
    uint32_t n_seats = v->n_teams * v->n_ahead;
    v->state = PART(l, sizeof *v->state);
    v->entries = PART(l, s->options.queue_capacity * (uint64_t)sizeof *v->entries);
    for (uint32_t i = 0; i < v->n_programs; i++)
        lay_out_program(s, &setup->programs[i], &v->programs[i], l);
    s->tables.zero_at = l->memory + l->at;
    v->teams = PART(l, (v->n_teams + 1) * (uint64_t)sizeof *v->teams);
    v->mails = PART(l, (uint64_t)v->n_mails * v->mail_stride);
    uint64_t seats_at = l->at;
    v->seats = PART(l, sizeof(struct tgi_service_seat));
    v->programs[0].view.control = &((struct tgi_service_seat *)v->seats)->control;
    for (uint32_t i = 0; i < v->n_programs; i++)
        lay_out_seat(s, &setup->programs[i], &v->programs[i], l);
    v->seat_stride = l->at - seats_at;
    if (n_seats)
        l->at += (n_seats - 1) * v->seat_stride;
    s->tables.zero_bytes = l->memory + l->at - s->tables.zero_at;
}

int tgi_service_tables_reserve(struct tg_service *s, const struct tgi_service_setup *setup, uint32_t n_blocks,
                               struct tg_error *err)
{
    struct layout count = {0, 0};
    struct tgi_service_view *v = &s->view;
    v->n_mails = n_blocks - 1 < TGI_SERVICE_MAX_MAILS ? n_blocks - 1 : TGI_SERVICE_MAX_MAILS;
    v->mail_stride = (uint32_t)(sizeof(struct tgi_service_mail) + (s->options.message_bytes + LINE - 1) / LINE * LINE);
    lay_out(s, setup, &count);
    int rc = s->devices->ops->reserve(s->devices, 0, count.at, &s->tables.memory, err);
    if (rc)
        return rc;
    s->tables.bytes = count.at;
    lay_out(s, setup, &(struct layout){s->tables.memory, 0});
    v->memory = s->tables.memory;
    v->memory_bytes = s->tables.bytes;
    return 0;
}

/* ---- Bringing it there --------------------------------------------------------------------*/

static int upload(struct tg_service *s, const void *to, const void *from, uint64_t bytes, struct tg_error *err)
{
    return tgi_service_ops(s)->upload(s->devices, s->kernel, (uint64_t)(uintptr_t)to, from, bytes, err);
}

/* Tiles of a seat lie behind its results, so a word of one is counted from there as a result is. */
static int upload_outputs(struct tg_service *s, const struct tgi_service_program *sp, const struct tgi_service_program_view *to,
                          struct tg_error *err)
{
    uint32_t *slots = malloc((sp->n_outputs + 1ul) * sizeof *slots);
    uint64_t tiles = (uint64_t)(to->inputs - to->view.results) + s->tables.head_bytes / 8;
    int rc = slots ? 0 : tgi_error_memory(err, "bringing a program to a service");
    for (uint32_t i = 0; rc == 0 && i < sp->n_outputs; i++)
        if (!sp->graph)
            slots[i] = sp->program->slot_of[sp->outputs[i]];
        else if (tiles + sp->outputs[i] <= UINT32_MAX)
            slots[i] = (uint32_t)tiles + sp->outputs[i];
        else
            rc = tgi_error(err, TG_E_LIMIT, "outputs of a service's program lie beyond 32 GiB of what an instance has");
    if (rc == 0)
        rc = upload(s, to->outputs, slots, sp->n_outputs * 4ull, err);
    free(slots);
    return rc;
}

/* Two services that have the same can go on with each other's instances: the graph, what it begins with, and who executes what when. */
static uint64_t key_of(const struct tgi_service_program *sp, const unsigned char *shared)
{
    const struct tgi_resident_program *p = sp->program;
    unsigned char digest[TGI_SHA256_BYTES];
    struct tgi_sha256 sha;
    uint64_t key;
    tgi_graph_fingerprint(sp->graph->graph, digest);
    tgi_sha256_init(&sha);
    tgi_sha256_add(&sha, digest, sizeof digest);
    tgi_sha256_add(&sha, shared, sp->graph->shared_bytes);
    tgi_sha256_add(&sha, p->tasks, p->n_tasks * sizeof *p->tasks);
    tgi_sha256_add(&sha, p->first, (p->n_workers + 1ul) * sizeof *p->first);
    tgi_sha256_add(&sha, sp->words->words, sp->words->n * sizeof *sp->words->words);
    tgi_sha256_add(&sha, sp->words->home, sp->words->n * sizeof *sp->words->home);
    tgi_sha256_finish(&sha, digest);
    memcpy(&key, digest, sizeof key);
    return key;
}

/* What the tasks of a graph are given, in each seat, and what all share. */
static int upload_data(struct tg_service *s, const struct tgi_service_program *sp, const struct tgi_service_program_view *to,
                       struct tg_error *err)
{
    uint32_t n = sp->words->n, n_seats = s->view.n_teams * s->view.n_ahead;
    uint64_t shared_at = s->tables.shared_at[to - s->view.programs];
    unsigned char *shared = calloc(sp->graph->shared_bytes + 1, 1);
    uint64_t *words = malloc((n + 1ul) * sizeof *words);
    int rc = shared && words ? tgi_service_graph_fill(sp->graph, shared, err) : tgi_error_memory(err, "bringing a program to a service");
    if (rc == 0 && s->tables.head_bytes)
        s->tables.key[to - s->view.programs] = key_of(sp, shared);
    if (rc == 0)
        rc = upload(s, (void *)(uintptr_t)shared_at, shared, sp->graph->shared_bytes, err);
    for (uint32_t k = 0; rc == 0 && k < n_seats; k++) {
        tgi_service_words_locate(sp->words, (uint64_t)(uintptr_t)to->inputs + k * s->view.seat_stride + s->tables.head_bytes, shared_at, words);
        rc = upload(s, to->view.words + (uint64_t)k * n, words, n * 8ull, err);
    }
    free(shared);
    free(words);
    return rc;
}

static int upload_program(struct tg_service *s, const struct tgi_service_program *sp, const struct tgi_service_program_view *to,
                          struct tg_error *err)
{
    const struct tgi_resident_view *r = &to->view;
    const struct tgi_resident_program *p = sp->program;
    int rc = upload(s, r->tasks, p->tasks, p->n_tasks * (uint64_t)sizeof *p->tasks, err);
    if (rc == 0)
        rc = upload(s, r->first, p->first, (p->n_workers + 1ull) * 4, err);
    if (rc == 0)
        rc = upload(s, r->outs, p->outs, p->n_outs * 4ull, err);
    if (rc == 0)
        rc = upload(s, r->ins, p->ins, p->n_ins * 4ull, err);
    if (rc == 0)
        rc = upload(s, r->args, p->args, p->args ? p->n_tasks * 8ull : 0, err);
    if (rc == 0)
        rc = upload_outputs(s, sp, to, err);
    return rc || !sp->graph ? rc : upload_data(s, sp, to, err);
}

int tgi_service_tables_upload(struct tg_service *s, const struct tgi_service_setup *setup, struct tg_error *err)
{
    struct tgi_service_state state = {0};
    uint32_t n_seats = s->view.n_teams * s->view.n_ahead;
    for (uint32_t i = 0; i < s->n_clients; i++) {
        uint32_t most = s->clients[i].most_running;
        tgi_turn_add_client(&state.turns, s->clients[i].weight, most && most < n_seats ? most : n_seats);
    }
    int rc = tgi_service_ops(s)->zero(s->devices, s->kernel, s->tables.memory, s->tables.bytes, err);
    if (rc == 0)
        rc = upload(s, s->view.state, &state, sizeof state, err);
    for (uint32_t i = 0; rc == 0 && i < s->view.n_programs; i++)
        rc = upload_program(s, &setup->programs[i], &s->view.programs[i], err);
    return rc;
}
