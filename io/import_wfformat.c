/* WfFormat 1.4 to 1.6, the JSON of WfCommons.
 *
 * 1.4 keeps a task's files and runtime in the task and lets tasks refer to each other by name; from
 * 1.5 on "specification" holds the structure, with references by id, and "execution" the runtimes.
 * 1.6 adds only optional summaries.  Either end of an edge may declare it. */
#include "io/import.h"

#include <ctype.h>
#include <string.h>

#include "graph/error.h"
#include "io/json_tree.h"

struct reader {
    struct tgi_workflow *w;
    struct tgi_json_tree tree;
    struct tgi_arena scratch;
    struct tg_error *err;
    bool by_name; /* 1.4 */
};

static const struct tgi_json_node *at(const struct reader *r, uint32_t node) { return &r->tree.nodes[node]; }

static uint32_t line_of(const struct reader *r, uint32_t node)
{
    uint32_t line, column;
    tgi_json_tree_position(&r->tree, at(r, node)->at, &line, &column);
    return line;
}

#define WRONG(r, node, ...) tgi_json_tree_error(&(r)->tree, node, (r)->err, TG_E_IMPORT_SYNTAX, __VA_ARGS__)

/* A member of the kind wanted; TG_NONE in *node_p if it is absent (or null) and optional. */
static int member(struct reader *r, uint32_t object, const char *key, enum tgi_json_kind kind,
                  bool is_required, uint32_t *node_p)
{
    static const char *const kinds[] = {"an object", "a list", "a string", "a number"};
    uint32_t node = tgi_json_tree_find(&r->tree, object, key);
    if (node != TG_NONE && at(r, node)->kind == TGI_JSON_NULL && !is_required)
        node = TG_NONE;
    if (node == TG_NONE && is_required)
        return WRONG(r, object, "\"%s\" is missing here", key);
    if (node != TG_NONE && at(r, node)->kind != kind)
        return WRONG(r, node, "\"%s\" must be %s", key, kinds[kind]);
    *node_p = node;
    return TG_OK;
}

/* The text of an optional string member; NULL if it is absent. */
static int text_member(struct reader *r, uint32_t object, const char *key, bool is_required,
                       const char **text_p)
{
    uint32_t node;
    int status = member(r, object, key, TGI_JSON_STRING, is_required, &node);
    *text_p = NULL;
    if (status != TG_OK || node == TG_NONE)
        return status;
    *text_p = tgi_json_tree_string(&r->tree, node, &r->scratch);
    return *text_p ? TG_OK : tgi_error_memory(r->err, "importing a workflow");
}

/* An optional amount, by either of two names; never negative. */
static int amount_member(struct reader *r, uint32_t object, const char *key, const char *older,
                         double *amount_p)
{
    uint32_t node;
    int status = member(r, object, key, TGI_JSON_NUMBER, false, &node);
    if (status == TG_OK && node == TG_NONE && older)
        status = member(r, object, older, TGI_JSON_NUMBER, false, &node);
    if (status != TG_OK || node == TG_NONE)
        return status;
    *amount_p = tgi_json_tree_number(&r->tree, node);
    return *amount_p >= 0 ? TG_OK : WRONG(r, node, "\"%s\" must not be negative", key);
}

/* "mProject_ID0000012" and "mProject_12" are of category "mProject". */
static const char *category_of(struct reader *r, const char *name)
{
    const char *end = name + strlen(name);
    while (end > name && isdigit((unsigned char)end[-1]))
        end--;
    if (end - name > 3 && memcmp(end - 3, "_ID", 3) == 0)
        end -= 3;
    else if (end - name > 1 && (end[-1] == '_' || end[-1] == '-'))
        end--;
    else if (end - name > 2 && memcmp(end - 2, "ID", 2) == 0)
        end -= 2;
    return end > name ? tgi_workflow_keep_start(r->w, name, (size_t)(end - name)) : NULL;
}

static int set_category(struct reader *r, uint32_t object, uint32_t task)
{
    const char *category;
    int status = text_member(r, object, "category", false, &category);
    uint32_t command = TG_NONE;
    if (status == TG_OK && !category)
        status = member(r, object, "command", TGI_JSON_OBJECT, false, &command);
    if (status == TG_OK && command != TG_NONE)
        status = text_member(r, command, "program", false, &category);
    if (status == TG_OK && category && *category)
        r->w->tasks[task].category = tgi_workflow_keep(r->w, category);
    return status;
}

/* ---- Files --------------------------------------------------------------------------------*/

/* 1.4: [{"link": "input", "name": "a.txt", "sizeInBytes": 3}, ..] in the task. */
static int read_task_files(struct reader *r, uint32_t object, uint32_t task)
{
    uint32_t list;
    int status = member(r, object, "files", TGI_JSON_ARRAY, false, &list);
    if (status != TG_OK || list == TG_NONE)
        return status;
    for (uint32_t i = at(r, list)->first; i != TG_NONE && status == TG_OK; i = at(r, i)->next) {
        const char *name, *link;
        double bytes = 0;
        uint32_t file;
        if (at(r, i)->kind != TGI_JSON_OBJECT)
            return WRONG(r, i, "a file must be an object");
        status = text_member(r, i, "name", tgi_json_tree_find(&r->tree, i, "id") == TG_NONE, &name);
        if (status == TG_OK && !name)
            status = text_member(r, i, "id", true, &name);
        if (status == TG_OK)
            status = text_member(r, i, "link", true, &link);
        if (status == TG_OK)
            status = amount_member(r, i, "sizeInBytes", "size", &bytes);
        if (status != TG_OK)
            return status;
        bool is_output = strcasecmp(link, "output") == 0;
        if (!is_output && strcasecmp(link, "input") != 0)
            return WRONG(r, i, "\"link\" must be \"input\" or \"output\", not \"%s\"", link);
        status = tgi_workflow_add_file(r->w, name, bytes, &file, r->err);
        if (status == TG_OK)
            status = tgi_workflow_add_use(r->w, task, file, is_output, bytes, r->err);
    }
    return status;
}

/* From 1.5 on: [{"id": "a.txt", "sizeInBytes": 3}, ..] for the whole workflow. */
static int read_files(struct reader *r, uint32_t specification)
{
    uint32_t list;
    int status = member(r, specification, "files", TGI_JSON_ARRAY, false, &list);
    if (status != TG_OK || list == TG_NONE)
        return status;
    for (uint32_t i = at(r, list)->first; i != TG_NONE && status == TG_OK; i = at(r, i)->next) {
        const char *id;
        double bytes = 0;
        uint32_t file;
        if (at(r, i)->kind != TGI_JSON_OBJECT)
            return WRONG(r, i, "a file must be an object");
        status = text_member(r, i, "id", true, &id);
        if (status == TG_OK)
            status = amount_member(r, i, "sizeInBytes", NULL, &bytes);
        if (status == TG_OK && tgi_workflow_find_file(r->w, id) != TG_NONE)
            return WRONG(r, i, "file \"%s\" exists already", id);
        if (status == TG_OK)
            status = tgi_workflow_add_file(r->w, id, bytes, &file, r->err);
    }
    return status;
}

static int read_uses(struct reader *r, uint32_t object, const char *key, uint32_t task, bool is_output)
{
    uint32_t list;
    int status = member(r, object, key, TGI_JSON_ARRAY, false, &list);
    if (status != TG_OK || list == TG_NONE)
        return status;
    for (uint32_t i = at(r, list)->first; i != TG_NONE && status == TG_OK; i = at(r, i)->next) {
        if (at(r, i)->kind != TGI_JSON_STRING)
            return WRONG(r, i, "a file's id must be a string");
        const char *id = tgi_json_tree_string(&r->tree, i, &r->scratch);
        if (!id)
            return tgi_error_memory(r->err, "importing a workflow");
        uint32_t file = tgi_workflow_find_file(r->w, id);
        if (file == TG_NONE)
            return WRONG(r, i, "there is no file \"%s\" in \"files\"", id);
        status = tgi_workflow_add_use(r->w, task, file, is_output, r->w->files[file].bytes, r->err);
    }
    return status;
}

/* ---- Tasks --------------------------------------------------------------------------------*/

static int read_task(struct reader *r, uint32_t object)
{
    const char *name, *id;
    uint32_t task = 0;
    if (at(r, object)->kind != TGI_JSON_OBJECT)
        return WRONG(r, object, "a task must be an object");
    int status = text_member(r, object, "name", true, &name);
    if (status == TG_OK)
        status = text_member(r, object, "id", !r->by_name, &id);
    if (status != TG_OK)
        return status;
    const char *key = r->by_name ? name : id, *other = r->by_name ? id : name;
    status = tgi_workflow_add_task(r->w, key, line_of(r, object), &task, r->err);
    if (status == TG_OK && other && r->by_name)
        status = tgi_workflow_add_alias(r->w, other, task, r->err);
    if (status != TG_OK)
        return status;
    r->w->tasks[task].category = category_of(r, name);
    if (!r->by_name) {
        status = read_uses(r, object, "inputFiles", task, false);
        return status == TG_OK ? read_uses(r, object, "outputFiles", task, true) : status;
    }
    status = set_category(r, object, task);
    if (status == TG_OK)
        status = amount_member(r, object, "runtimeInSeconds", "runtime", &r->w->tasks[task].seconds);
    return status == TG_OK ? read_task_files(r, object, task) : status;
}

static int read_relatives(struct reader *r, uint32_t object, uint32_t task, bool are_parents)
{
    uint32_t list;
    int status = member(r, object, are_parents ? "parents" : "children", TGI_JSON_ARRAY, false, &list);
    if (status != TG_OK || list == TG_NONE)
        return status;
    for (uint32_t i = at(r, list)->first; i != TG_NONE && status == TG_OK; i = at(r, i)->next) {
        if (at(r, i)->kind != TGI_JSON_STRING)
            return WRONG(r, i, "a task must be named by a string");
        const char *name = tgi_json_tree_string(&r->tree, i, &r->scratch);
        if (!name)
            return tgi_error_memory(r->err, "importing a workflow");
        uint32_t other = tgi_workflow_find_task(r->w, name);
        if (other == TG_NONE)
            return WRONG(r, i, "task \"%s\" has an unknown %s \"%s\"", r->w->tasks[task].name,
                         are_parents ? "parent" : "child", name);
        status = tgi_workflow_add_edge(r->w, are_parents ? other : task, are_parents ? task : other,
                                       line_of(r, i), r->err);
    }
    return status;
}

/* Tasks may name tasks that come later, so edges are read when all tasks are known. */
static int read_tasks(struct reader *r, uint32_t list)
{
    int status = TG_OK;
    for (uint32_t i = at(r, list)->first; i != TG_NONE && status == TG_OK; i = at(r, i)->next)
        status = read_task(r, i);
    uint32_t task = 0;
    for (uint32_t i = at(r, list)->first; i != TG_NONE && status == TG_OK; i = at(r, i)->next, task++) {
        status = read_relatives(r, i, task, true);
        if (status == TG_OK)
            status = read_relatives(r, i, task, false);
    }
    return status;
}

static int read_execution(struct reader *r, uint32_t workflow)
{
    uint32_t execution, list = TG_NONE;
    int status = member(r, workflow, "execution", TGI_JSON_OBJECT, false, &execution);
    if (status == TG_OK && execution != TG_NONE)
        status = member(r, execution, "tasks", TGI_JSON_ARRAY, false, &list);
    if (status != TG_OK || list == TG_NONE)
        return status;
    for (uint32_t i = at(r, list)->first; i != TG_NONE && status == TG_OK; i = at(r, i)->next) {
        const char *id;
        if (at(r, i)->kind != TGI_JSON_OBJECT)
            return WRONG(r, i, "a task must be an object");
        status = text_member(r, i, "id", true, &id);
        if (status != TG_OK)
            return status;
        uint32_t task = tgi_workflow_find_task(r->w, id);
        if (task == TG_NONE)
            return WRONG(r, i, "\"execution\" names task \"%s\", which \"specification\" lacks", id);
        status = amount_member(r, i, "runtimeInSeconds", NULL, &r->w->tasks[task].seconds);
        if (status == TG_OK)
            status = set_category(r, i, task);
    }
    return status;
}

static int read_workflow(struct reader *r)
{
    uint32_t workflow, specification, list;
    const char *version, *name;
    uint32_t own = tgi_json_tree_find(&r->tree, 0, "tgraph");
    if (own != TG_NONE)
        return WRONG(r, own, "this is a graph of tgraph's own; it can be run as it is");
    int status = text_member(r, 0, "schemaVersion", true, &version);
    if (status != TG_OK)
        return status;
    r->by_name = strcmp(version, "1.4") == 0;
    if (!r->by_name && strcmp(version, "1.5") != 0 && strcmp(version, "1.6") != 0)
        return WRONG(r, tgi_json_tree_find(&r->tree, 0, "schemaVersion"),
                     "WfFormat %s is not supported; 1.4, 1.5 and 1.6 are", version);
    status = text_member(r, 0, "name", false, &name);
    if (status == TG_OK && name)
        r->w->name = tgi_workflow_keep(r->w, name);
    if (status == TG_OK)
        status = member(r, 0, "workflow", TGI_JSON_OBJECT, true, &workflow);
    if (status == TG_OK && r->by_name) {
        status = member(r, workflow, "tasks", TGI_JSON_ARRAY, true, &list);
        return status == TG_OK ? read_tasks(r, list) : status;
    }
    if (status == TG_OK)
        status = member(r, workflow, "specification", TGI_JSON_OBJECT, true, &specification);
    if (status == TG_OK)
        status = read_files(r, specification);
    if (status == TG_OK)
        status = member(r, specification, "tasks", TGI_JSON_ARRAY, true, &list);
    if (status == TG_OK)
        status = read_tasks(r, list);
    return status == TG_OK ? read_execution(r, workflow) : status;
}

int tgi_import_wfformat(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err)
{
    struct reader r = {.w = w, .err = err};
    int status = tgi_json_tree_parse(&r.tree, text, size, w->path, 1, err);
    if (status == TG_OK)
        status = read_workflow(&r);
    tgi_json_tree_fini(&r.tree);
    tgi_arena_fini(&r.scratch);
    return status;
}
