/* What each diagnostic means, at length. */
#ifndef TGI_IO_CLI_EXPLAIN_H
#define TGI_IO_CLI_EXPLAIN_H

struct tgi_explanation {
    int status;
    const char *name;    /* as in TG_STATUS_MAP */
    const char *meaning;
    const char *example; /* lines that cause it; NULL: none */
    const char *fix;
};

/* One for each status of TG_STATUS_MAP, in its order; ends with status 0. */
extern const struct tgi_explanation tgi_explanations[];

#endif
