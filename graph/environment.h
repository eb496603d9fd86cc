/* What environment variables of ours say.  One that is not set, or is empty, says nothing; one that says what it cannot is an error,
 * TG_E_INVALID, that names it and what it can be.  Each call looks anew.  Any thread, while nobody changes the environment. */
#ifndef TGI_GRAPH_ENVIRONMENT_H
#define TGI_GRAPH_ENVIRONMENT_H

#include "graph/tgraph.h"

/* Which of the words, of which there are two or more, the last followed by NULL: its index; `usual` if the variable says nothing; else the
 * (negative) status. */
int tgi_environment_word(const char *variable, const char *const *words, int usual, struct tg_error *err);
/* "on" or "off": 1 or 0, `usual`, or the status. */
int tgi_environment_switch(const char *variable, int usual, struct tg_error *err);
/* A whole number from 1 to `most`; *number_p stays as it is if the variable says nothing. */
int tgi_environment_number(const char *variable, uint64_t most, uint64_t *number_p, struct tg_error *err);

#endif
