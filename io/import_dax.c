/* Pegasus DAX: the XML of abstract workflows.
 *
 * Expat parses, loaded at run time: it is small, keeps line numbers and works in one pass.  A document
 * type declaration is refused, so there are no entities to expand, and so is deep nesting.
 *
 *     <adag name="montage">
 *       <job id="ID1" name="mProject" runtime="13.4">
 *         <uses file="a.fits" link="input" size="4222080"/> ..
 *       </job> ..
 *       <child ref="ID2"><parent ref="ID1"/></child> ..
 *     </adag> */
#include "io/import.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/foreign.h"

#define MAX_DEPTH 32

/* What is used of expat.h; these have not changed since Expat 2.0. */
struct XML_ParserStruct;
typedef struct XML_ParserStruct *parser;
typedef void (*start_fn)(void *user, const char *name, const char **attributes);
typedef void (*end_fn)(void *user, const char *name);
typedef void (*text_fn)(void *user, const char *text, int size);
typedef void (*doctype_fn)(void *user, const char *name, const char *sysid, const char *pubid,
                           int has_subset);
static struct {
    parser (*create)(const char *encoding);
    void (*free)(parser);
    void (*set_user)(parser, void *);
    void (*set_element)(parser, start_fn, end_fn);
    void (*set_text)(parser, text_fn);
    void (*set_doctype)(parser, doctype_fn);
    int (*parse)(parser, const char *, int, int);
    int (*stop)(parser, unsigned char);
    unsigned long (*line)(parser);
    int (*error)(parser);
    const char *(*error_text)(int);
} expat;

static int load(struct tg_error *err)
{
    const struct tgi_foreign_function functions[] = {
        {"XML_ParserCreate", (void **)&expat.create},
        {"XML_ParserFree", (void **)&expat.free},
        {"XML_SetUserData", (void **)&expat.set_user},
        {"XML_SetElementHandler", (void **)&expat.set_element},
        {"XML_SetCharacterDataHandler", (void **)&expat.set_text},
        {"XML_SetStartDoctypeDeclHandler", (void **)&expat.set_doctype},
        {"XML_Parse", (void **)&expat.parse},
        {"XML_StopParser", (void **)&expat.stop},
        {"XML_GetCurrentLineNumber", (void **)&expat.line},
        {"XML_GetErrorCode", (void **)&expat.error},
        {"XML_ErrorString", (void **)&expat.error_text},
        {NULL, NULL}};
    return tgi_foreign_load("libexpat.so.1", "libexpat1", functions, err);
}

/* An edge whose parent may not have come yet. */
struct pending {
    const char *parent, *child;
    uint32_t line;
};
struct reader {
    struct tgi_workflow *w;
    parser parser;
    struct tg_error *err;
    int status; /* the first failure; parsing stops there */
    uint32_t depth;
    uint32_t job;      /* being read; TG_NONE: none */
    const char *child; /* of the <child> being read; NULL: none */
    bool is_runtime;   /* inside <profile key="runtime"> */
    char digits[40];
    size_t n_digits;
    struct pending *pending;
    uint32_t n_pending, cap_pending;
};

static uint32_t line_of(const struct reader *r) { return (uint32_t)expat.line(r->parser); }

static void stop(struct reader *r, int status)
{
    if (r->status == TG_OK)
        r->status = status;
    expat.stop(r->parser, 0);
}

static const char *attribute(const char **attributes, const char *name)
{
    for (; attributes[0]; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    return NULL;
}

static const char *required(struct reader *r, const char *element, const char **attributes, const char *name)
{
    const char *value = attribute(attributes, name);
    if (!value || !*value) {
        stop(r, tgi_workflow_error(r->w, line_of(r), r->err, "<%s> needs a \"%s\"", element, name));
        return NULL;
    }
    return value;
}

/* false: stopped. */
static bool amount(struct reader *r, const char *what, const char *text, double *value_p)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value < 1e18)) {
        stop(r, tgi_workflow_error(r->w, line_of(r), r->err, "\"%.60s\" is no %s", text, what));
        return false;
    }
    *value_p = value;
    return true;
}

static void start_job(struct reader *r, const char **attributes)
{
    const char *id = required(r, "job", attributes, "id");
    if (!id)
        return;
    uint32_t task;
    int status = tgi_workflow_add_task(r->w, id, line_of(r), &task, r->err);
    if (status != TG_OK) {
        stop(r, status);
        return;
    }
    const char *name = attribute(attributes, "name"), *runtime = attribute(attributes, "runtime");
    if (name)
        r->w->tasks[task].category = tgi_workflow_keep(r->w, name);
    if (runtime && !amount(r, "runtime", runtime, &r->w->tasks[task].seconds))
        return;
    r->job = task;
}

static void start_uses(struct reader *r, const char **attributes)
{
    const char *file = attribute(attributes, "file"), *size = attribute(attributes, "size");
    if (!file)
        file = required(r, "uses", attributes, "name");
    const char *link = file ? required(r, "uses", attributes, "link") : NULL;
    double bytes = 0;
    if (!link || (size && !amount(r, "size", size, &bytes)))
        return;
    bool is_in = strcasecmp(link, "input") == 0 || strcasecmp(link, "inout") == 0;
    bool is_out = strcasecmp(link, "output") == 0 || strcasecmp(link, "inout") == 0;
    /* Executables and checkpoints are linked in other ways; they are no data of the workflow. */
    if (!is_in && !is_out)
        return;
    uint32_t index;
    int status = tgi_workflow_add_file(r->w, file, bytes, &index, r->err);
    if (status == TG_OK && is_in)
        status = tgi_workflow_add_use(r->w, r->job, index, false, bytes, r->err);
    if (status == TG_OK && is_out)
        status = tgi_workflow_add_use(r->w, r->job, index, true, bytes, r->err);
    if (status != TG_OK)
        stop(r, status);
}

static void start_parent(struct reader *r, const char **attributes)
{
    const char *ref = required(r, "parent", attributes, "ref");
    if (!ref)
        return;
    if (r->n_pending == r->cap_pending) {
        uint32_t cap = r->cap_pending ? r->cap_pending * 2 : 256;
        struct pending *grown = realloc(r->pending, cap * sizeof(*grown));
        if (!grown) {
            stop(r, tgi_error_memory(r->err, "importing a workflow"));
            return;
        }
        r->pending = grown;
        r->cap_pending = cap;
    }
    const char *kept = tgi_workflow_keep(r->w, ref);
    if (!kept)
        stop(r, tgi_error_memory(r->err, "importing a workflow"));
    else
        r->pending[r->n_pending++] = (struct pending){kept, r->child, line_of(r)};
}

static void start_element(void *user, const char *name, const char **attributes)
{
    struct reader *r = user;
    if (r->status != TG_OK)
        return;
    if (++r->depth > MAX_DEPTH) {
        stop(r, tgi_workflow_error(r->w, line_of(r), r->err, "elements are nested too deeply"));
        return;
    }
    if (r->depth == 1 && strcmp(name, "adag") != 0) {
        stop(r, tgi_workflow_error(r->w, line_of(r), r->err, "this is <%s>, not the <adag> of a DAX", name));
    } else if (r->depth == 1) {
        const char *title = attribute(attributes, "name");
        r->w->name = title ? tgi_workflow_keep(r->w, title) : NULL;
    } else if (strcmp(name, "job") == 0 && r->depth == 2) {
        start_job(r, attributes);
    } else if (strcmp(name, "uses") == 0 && r->job != TG_NONE) {
        start_uses(r, attributes);
    } else if (strcmp(name, "profile") == 0 && r->job != TG_NONE) {
        const char *key = attribute(attributes, "key");
        r->is_runtime = key && strcmp(key, "runtime") == 0;
        r->n_digits = 0;
    } else if (strcmp(name, "child") == 0 && r->depth == 2) {
        const char *ref = required(r, "child", attributes, "ref");
        if (ref && !(r->child = tgi_workflow_keep(r->w, ref)))
            stop(r, tgi_error_memory(r->err, "importing a workflow"));
    } else if (strcmp(name, "parent") == 0 && r->child) {
        start_parent(r, attributes);
    }
}

static void end_element(void *user, const char *name)
{
    struct reader *r = user;
    if (r->status != TG_OK)
        return;
    r->depth--;
    if (strcmp(name, "job") == 0 && r->depth == 1)
        r->job = TG_NONE;
    if (strcmp(name, "child") == 0 && r->depth == 1)
        r->child = NULL;
    if (strcmp(name, "profile") == 0 && r->is_runtime) {
        r->is_runtime = false;
        r->digits[r->n_digits] = '\0';
        amount(r, "runtime", r->digits, &r->w->tasks[r->job].seconds);
    }
}

static void add_text(void *user, const char *text, int size)
{
    struct reader *r = user;
    for (int i = 0; r->is_runtime && i < size; i++)
        if (r->n_digits + 1 < sizeof(r->digits) && text[i] > ' ')
            r->digits[r->n_digits++] = text[i];
}

static void refuse_doctype(void *user, const char *name, const char *sysid, const char *pubid, int has_subset)
{
    struct reader *r = user;
    (void)name, (void)sysid, (void)pubid, (void)has_subset;
    stop(r,
         tgi_workflow_error(r->w, line_of(r), r->err, "a document type declaration is not allowed in a DAX"));
}

static int resolve(struct reader *r)
{
    for (uint32_t i = 0; i < r->n_pending; i++) {
        const struct pending *p = &r->pending[i];
        uint32_t parent = tgi_workflow_find_task(r->w, p->parent),
                 child = tgi_workflow_find_task(r->w, p->child);
        if (parent == TG_NONE || child == TG_NONE)
            return tgi_workflow_error(r->w, p->line, r->err, "there is no job \"%s\"",
                                      parent == TG_NONE ? p->parent : p->child);
        int status = tgi_workflow_add_edge(r->w, parent, child, p->line, r->err);
        if (status != TG_OK)
            return status;
    }
    return TG_OK;
}

static int parse(struct reader *r, const char *text, size_t size)
{
    expat.set_user(r->parser, r);
    expat.set_element(r->parser, start_element, end_element);
    expat.set_text(r->parser, add_text);
    expat.set_doctype(r->parser, refuse_doctype);
    for (size_t at = 0; r->status == TG_OK;) {
        size_t piece = size - at < 1 << 20 ? size - at : 1 << 20;
        bool is_last = at + piece == size;
        /* XML_STATUS_ERROR is 0; after a stop of ours the error is ours already. */
        if (expat.parse(r->parser, text + at, (int)piece, is_last) == 0 && r->status == TG_OK)
            return tgi_workflow_error(r->w, line_of(r), r->err, "not valid XML: %s",
                                      expat.error_text(expat.error(r->parser)));
        at += piece;
        if (is_last)
            break;
    }
    return r->status;
}

int tgi_import_dax(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err)
{
    int status = load(err);
    if (status != TG_OK)
        return status;
    struct reader r = {.w = w, .err = err, .job = TG_NONE, .parser = expat.create(NULL)};
    if (!r.parser)
        return tgi_error_memory(err, "importing a workflow");
    status = parse(&r, text, size);
    if (status == TG_OK)
        status = resolve(&r);
    expat.free(r.parser);
    free(r.pending);
    return status;
}
