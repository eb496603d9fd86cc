/* What a service has on its device: one reservation, so that one address and one size say what is its own.
 *
 * First what lasts (state, the program's tables), then what is zero when a launch begins: work, control, mails, counters, cells. */
#include "sched/service.h"

#include <inttypes.h>
#include <string.h>

#include "graph/error.h"

enum { PART_ALIGN = 256, MAX_WORKERS_EACH = 31 };

int tgi_service_check_program(const struct tgi_service_program *sp, uint32_t message_bytes, struct tg_error *err)
{
    const struct tgi_resident_program *p = sp->program;
    if (p->width != TGI_RESIDENT_WARP)
        return tgi_error(err, TG_E_UNSUPPORTED, "a service executes programs whose tasks are a warp wide");
    if (p->n_workers_each > MAX_WORKERS_EACH)
        return tgi_error(err, TG_E_UNSUPPORTED, "a program with %" PRIu32 " workers in a block leaves no room for the service's own",
                         p->n_workers_each);
    if (8ull * sp->n_inputs > message_bytes || 8ull * sp->n_outputs > message_bytes)
        return tgi_error(err, TG_E_LIMIT, "%" PRIu32 " words of input and %" PRIu32 " of output, in messages of %" PRIu32 " bytes",
                         sp->n_inputs, sp->n_outputs, message_bytes);
    for (uint32_t i = 0; i < sp->n_outputs; i++)
        if (sp->outputs[i] >= p->n_tasks)
            return tgi_error(err, TG_E_INVALID, "output %" PRIu32 " is task %" PRIu32 ", which there is not", i, sp->outputs[i]);
    for (uint32_t slot = 0; slot < p->n_tasks; slot++) {
        uint32_t op = TGI_HEAD_OP(p->tasks[slot].head);
        if (op == TGI_RESIDENT_COPY)
            return tgi_error(err, TG_E_UNSUPPORTED, "task %" PRIu32 " copies, which a service does not yet", p->tasks[slot].id);
        if (op == TGI_RESIDENT_INPUT && p->args[slot] >= sp->n_inputs)
            return tgi_error(err, TG_E_INVALID, "task %" PRIu32 " takes input %" PRIu64 " of %" PRIu32, p->tasks[slot].id,
                             p->args[slot], sp->n_inputs);
    }
    return 0;
}

static bool has_lines(const struct tgi_resident_program *p)
{
    for (uint32_t slot = 0; slot < p->n_tasks; slot++)
        if (TGI_RESIDENT_HAS_LINE(TGI_HEAD_OP(p->tasks[slot].head)))
            return true;
    return false;
}

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

static void lay_out(struct tg_service *s, const struct tgi_service_program *sp, struct layout *l)
{
    static const struct tgi_resident_program none;
    const struct tgi_resident_program *p = sp ? sp->program : &none;
    struct tgi_service_view *v = &s->view;
    struct tgi_resident_view *r = &v->program;
    uint64_t n = p->n_tasks;
    v->state = PART(l, sizeof *v->state);
    if (sp) {
        r->tasks = PART(l, n * sizeof *p->tasks);
        r->first = PART(l, (p->n_workers + 1ull) * 4);
        r->outs = PART(l, p->n_outs * 4ull);
        r->ins = PART(l, p->n_ins * 4ull);
        r->args = p->args ? PART(l, n * 8) : NULL;
        r->results = PART(l, n * 8);
        r->lines = has_lines(p) ? PART(l, n * 8 * TGI_RESIDENT_LINE_WORDS) : NULL;
        r->progress = PART(l, p->n_workers * 4ull);
        v->inputs = PART(l, sp->n_inputs * 8ull);
        v->outputs = PART(l, sp->n_outputs * 4ull);
        r->inputs = v->inputs;
    }
    s->tables.zero_at = l->memory + l->at;
    v->work = PART(l, sizeof *v->work);
    r->control = PART(l, sizeof *r->control);
    v->mails = PART(l, (uint64_t)v->n_mails * v->mail_stride);
    if (sp) {
        r->counters = PART(l, p->n_counters * 4ull);
        r->cells = PART(l, p->n_cells * (uint64_t)sizeof(struct tgi_cell));
    }
    s->tables.zero_bytes = l->memory + l->at - s->tables.zero_at;
}

static void describe(struct tg_service *s, const struct tgi_service_program *sp, uint32_t n_blocks)
{
    struct tgi_service_view *v = &s->view;
    uint32_t line = 128;
    v->n_mails = n_blocks - 1 < TGI_SERVICE_MAX_MAILS ? n_blocks - 1 : TGI_SERVICE_MAX_MAILS;
    v->mail_stride = (uint32_t)(sizeof(struct tgi_service_mail) + (s->options.message_bytes + line - 1) / line * line);
    if (!sp)
        return;
    v->n_inputs = sp->n_inputs;
    v->n_outputs = sp->n_outputs;
    v->n_workers = sp->program->n_workers;
    v->program.n_workers_each = sp->program->n_workers_each;
    v->program.n_shared_cells = sp->program->n_shared_cells;
    v->program.n_shared_counters = sp->program->n_shared_counters;
}

int tgi_service_tables_reserve(struct tg_service *s, const struct tgi_service_program *sp, uint32_t n_blocks,
                               struct tg_error *err)
{
    struct layout count = {0, 0};
    describe(s, sp, n_blocks);
    lay_out(s, sp, &count);
    int rc = s->devices->ops->reserve(s->devices, 0, count.at, &s->tables.memory, err);
    if (rc)
        return rc;
    s->tables.bytes = count.at;
    lay_out(s, sp, &(struct layout){s->tables.memory, 0});
    s->view.memory = s->tables.memory;
    s->view.memory_bytes = s->tables.bytes;
    return 0;
}

int tgi_service_tables_upload(struct tg_service *s, const struct tgi_service_program *sp, struct tg_error *err)
{
    const struct tgi_stay_ops *ops = tgi_service_ops(s);
    const struct tgi_resident_view *r = &s->view.program;
    int rc = ops->zero(s->devices, s->kernel, s->tables.memory, s->tables.bytes, err);
    if (rc || !sp)
        return rc;
    const struct tgi_resident_program *p = sp->program;
    const struct {
        const void *to, *from;
        uint64_t bytes;
    } parts[] = {{r->tasks, p->tasks, p->n_tasks * (uint64_t)sizeof *p->tasks},
                 {r->first, p->first, (p->n_workers + 1ull) * 4},
                 {r->outs, p->outs, p->n_outs * 4ull},
                 {r->ins, p->ins, p->n_ins * 4ull},
                 {r->args, p->args, p->args ? p->n_tasks * 8ull : 0}};
    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++)
        rc = ops->upload(s->devices, s->kernel, (uint64_t)(uintptr_t)parts[i].to, parts[i].from, parts[i].bytes, err);
    for (uint32_t i = 0; rc == 0 && i < sp->n_outputs; i++)
        rc = ops->upload(s->devices, s->kernel, (uint64_t)(uintptr_t)(s->view.outputs + i), &p->slot_of[sp->outputs[i]], 4, err);
    return rc;
}
