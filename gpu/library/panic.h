/* Panic: something has gone so wrong in an instance that its tasks should end.  The first to say so is recorded, with the
 * place in the source; the others only leave.
 *
 * Each instance has its own record, so others go on.  Nothing traps: bodies look at tgd_is_panicked() where they can leave, and
 * limits of waits take its word as their abort word (&record->code).
 *
 *     host:    a struct tgd_panic of zeros on the GPU
 *     bodies:  TGD_PANIC(record, worker, code, "text", a, b), all lanes of a warp or any of them; code is not 0
 *     host:    tgd_panic_read(), on a copy if need be, while the kernel runs or afterwards */
#ifndef TGD_PANIC_H
#define TGD_PANIC_H

#include "gpu/library/source.h"
#include "gpu/library/status.h"
#include "gpu/library/word.h"

struct tgd_panic {
    uint32_t code; /* written last, with release */
    uint32_t pad0[31];
    uint32_t is_claimed; /* who changes it from 0 writes the rest */
    uint32_t worker, line, pad1;
    uint64_t a, b;
    uint32_t file[TGD_FILE_BYTES / 4], text[TGD_TEXT_BYTES / 4];
};

struct tgd_panic_entry {
    uint32_t code, worker, line;
    uint64_t a, b;
    char file[TGD_FILE_BYTES + 1], text[TGD_TEXT_BYTES + 1];
};

/* Any lane. */
TGI_FN void tgi_panic_write(struct tgd_panic *p, uint32_t worker, uint32_t code, const struct tgi_source *s, uint64_t a,
                            uint64_t b)
{
    if (tgi_word_exchange_acq_rel(&p->is_claimed, 1))
        return;
    p->worker = worker;
    p->line = s->line;
    p->a = a;
    p->b = b;
    for (uint32_t i = 0; i < TGD_FILE_BYTES / 4; i++)
        p->file[i] = tgi_text_word(s->file, s->n_file, i);
    for (uint32_t i = 0; i < TGD_TEXT_BYTES / 4; i++)
        p->text[i] = tgi_text_word(s->text, s->n_text, i);
    TGI_DELAY(worker);
    tgi_word_store_release_system(&p->code, code); /* pairs with tgd_panic_read() */
}

#define TGD_PANIC(record, worker, code, text, a, b)                                              \
    do {                                                                                         \
        const struct tgi_source tgi_here = TGI_SOURCE(text);                                     \
        tgi_panic_write(record, worker, code, &tgi_here, (uint64_t)(a), (uint64_t)(b));          \
    } while (0)

/* relaxed: only that it is so. */
TGI_FN bool tgd_is_panicked(const struct tgd_panic *p) { return tgi_word_load_relaxed(&p->code) != 0; }

/* TGD_E_EMPTY: nobody has panicked, or the record is not written yet. */
TGI_FN int tgd_panic_read(const struct tgd_panic *p, struct tgd_panic_entry *e)
{
    uint32_t code = tgi_word_load_acquire(&p->code);
    if (code == 0)
        return TGD_E_EMPTY;
    e->code = code;
    e->worker = p->worker;
    e->line = p->line;
    e->a = p->a;
    e->b = p->b;
    for (uint32_t i = 0; i < TGD_FILE_BYTES; i++)
        e->file[i] = (char)(p->file[i / 4] >> 8 * (i % 4));
    for (uint32_t i = 0; i < TGD_TEXT_BYTES; i++)
        e->text[i] = (char)(p->text[i / 4] >> 8 * (i % 4));
    e->file[TGD_FILE_BYTES] = e->text[TGD_TEXT_BYTES] = 0;
    return TGD_OK;
}

#endif
