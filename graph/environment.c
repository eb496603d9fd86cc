/* See environment.h. */
#include "graph/environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

enum { ACCEPTED_SIZE = 256 };

/* NULL: it says nothing. */
static const char *said(const char *variable)
{
    const char *text = getenv(variable);
    return text && *text ? text : NULL;
}

static int refuse(const char *variable, const char *text, const char *accepted, struct tg_error *err)
{
    return tgi_error(err, TG_E_INVALID, "%s is \"%.40s\", and can be %s", variable, text, accepted);
}

/* "driver, flags or auto" */
static void list(const char *const *words, char text[ACCEPTED_SIZE])
{
    size_t used = 0;
    for (int i = 0; words[i] && used < ACCEPTED_SIZE; i++)
        used += (size_t)snprintf(text + used, ACCEPTED_SIZE - used, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
}

int tgi_environment_word(const char *variable, const char *const *words, int usual, struct tg_error *err)
{
    const char *text = said(variable);
    char accepted[ACCEPTED_SIZE];
    if (!text)
        return usual;
    for (int i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    list(words, accepted);
    return refuse(variable, text, accepted, err);
}

int tgi_environment_switch(const char *variable, int usual, struct tg_error *err)
{
    static const char *const words[] = {"on", "off", NULL};
    int at = tgi_environment_word(variable, words, !usual, err);
    return at < 0 ? at : !at;
}

int tgi_environment_number(const char *variable, uint64_t most, uint64_t *number_p, struct tg_error *err)
{
    const char *text = said(variable);
    char *end, accepted[ACCEPTED_SIZE];
    if (!text)
        return 0;
    errno = 0;
    unsigned long long number = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    if (number == 0 || errno || *end || number > most) {
        snprintf(accepted, sizeof accepted, "a whole number from 1 to %llu", (unsigned long long)most);
        return refuse(variable, text, accepted, err);
    }
    *number_p = number;
    return 0;
}
