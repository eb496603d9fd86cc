/* How long kernels took on this machine, kept from one process to the next.
 *
 * An entry is a kernel on a kind of device, in one variant, with arguments of some sizes.  It keeps the last samples, of
 * which the median and the spread are its model.  A sample far from the others is set aside; when several in a row are, it
 * is the entry that is wrong: it starts again from them, which is a drift, and announced.  So is a median that has crept
 * away from what it was when it was first relied on.
 *
 * On disk each machine (processor, number of them) has a file of its own in the cache folder, with a version in front and
 * verified as a whole (graph/kernel_cache.h): what is damaged, or was another machine's, is not read, and said so in a notice.
 * A file appears by rename; what other processes have written meanwhile is kept, but for the entries that this one has
 * changed.
 *
 * Any thread may call anything. */
#ifndef TGI_SCHED_HISTORY_H
#define TGI_SCHED_HISTORY_H

#include "graph/tgraph.h"

enum { TGI_HISTORY_TEXT = 64, TGI_HISTORY_SIZES = 96, TGI_HISTORY_LIMIT = 1024 };

/* Longer texts are cut. */
struct tgi_history_key {
    char kernel[TGI_HISTORY_TEXT], device[TGI_HISTORY_TEXT], variant[TGI_HISTORY_TEXT], sizes[TGI_HISTORY_SIZES];
};
struct tgi_history_model {
    double median_ns, spread_ns; /* between the quartiles */
    uint32_t n_samples;          /* the model is made of */
    uint64_t n_seen, n_set_aside;
    uint32_t n_drifts;
};

struct tgi_history;

/* In memory alone. */
int tgi_history_create(struct tgi_history **history_p, struct tg_error *err);
/* With what this machine's file has; TGRAPH_HISTORY=off: without, and nothing will be kept.  A file that is not usable is
 * a notice, no error.  TG_E_INVALID: TGRAPH_HISTORY is neither off nor on. */
int tgi_history_open(struct tgi_history **history_p, struct tg_error *err);
/* Keeps what has changed, if the history was opened and the system lets us.  NULL: nothing. */
void tgi_history_close(struct tgi_history *history);

/* The entry of a key, a new one if need be; TG_NONE: there are too many, or no memory. */
uint32_t tgi_history_entry(struct tgi_history *history, const struct tgi_history_key *key);
/* TG_NONE: there is none. */
uint32_t tgi_history_find(const struct tgi_history *history, const struct tgi_history_key *key);
void tgi_history_note(struct tgi_history *history, uint32_t entry, double ns);
/* Of a task beside others on its device: such times go up and down with the company, which is no drift. */
void tgi_history_note_beside(struct tgi_history *history, uint32_t entry, double ns);
/* False: nothing was measured yet, or entry is TG_NONE. */
bool tgi_history_model(const struct tgi_history *history, uint32_t entry, struct tgi_history_model *model_p);
uint32_t tgi_history_n(const struct tgi_history *history);
void tgi_history_key(const struct tgi_history *history, uint32_t entry, struct tgi_history_key *key_p);
/* The next thing people should know, once: a drift, a file that was not read.  False: nothing. */
bool tgi_history_take_notice(struct tgi_history *history, char *text, size_t size);
/* "AMD EPYC 9554, 64 processors" */
const char *tgi_history_machine(void);

#endif
