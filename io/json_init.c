/* Initial contents: zero, none, fill, iota, random, spd, or a file, which is looked at now and read
 * when a run starts. */
#include "io/json_init.h"

#include <string.h>

#include "graph/error.h"
#include "io/npy.h"

static int read_file_init(struct tgi_reader *r, uint32_t file_node, uint32_t offset_node,
                          struct tg_buffer_spec *spec)
{
    struct tg_error err;
    struct tgi_file_init *init;
    int64_t offset = 0;
    int rc = tgi_expect(r, file_node, TGI_TAPE_STRING, "\"file\"");
    if (rc == 0 && offset_node != TGI_TAPE_ABSENT)
        rc = tgi_take_int(r, offset_node, "\"offset\"", 0, INT64_MAX / 2, &offset);
    if (rc != 0)
        return rc;
    if (tgi_file_init_create(r->graph->space->folder, tgi_node_string(r, file_node), (uint64_t)offset, spec,
                             &init, &err) != 0)
        return tgi_report_error(r, file_node, &err);
    spec->init = TG_INIT_CALL;
    spec->init_call = tgi_file_init_tile;
    spec->init_user = init;
    return 0;
}

enum { I_FILL, I_RANDOM, I_IOTA, I_SPD, I_FILE, I_OFFSET, N_I };
static const char *const init_keys[N_I] = {"fill", "random", "iota", "spd", "file", "offset"};

static int read_seed(struct tgi_reader *r, uint32_t node, const char *what, uint64_t *seed_p)
{
    static const char *const keys[] = {"seed"};
    uint32_t v[1];
    int64_t seed = 0;
    int rc = tgi_object_take(r, node, what, keys, 1, v);
    if (rc == 0 && v[0] != TGI_TAPE_ABSENT)
        rc = tgi_take_int(r, v[0], "\"seed\"", INT64_MIN, INT64_MAX, &seed);
    *seed_p = (uint64_t)seed;
    return rc;
}

static int read_iota(struct tgi_reader *r, uint32_t node)
{
    uint32_t v[1];
    if (tgi_node_type(r, node) == TGI_TAPE_TRUE)
        return 0;
    if (tgi_node_type(r, node) == TGI_TAPE_OBJECT)
        return tgi_object_take(r, node, "\"iota\"", NULL, 0, v);
    return tgi_report(r, node, NULL, TG_E_BAD_VALUE, "write {\"iota\": true}");
}

int tgi_read_init(struct tgi_reader *r, uint32_t node, struct tg_buffer_spec *spec)
{
    static const char *const words[] = {"none", "zero"};
    uint32_t v[N_I], word, n = 0;
    int rc;
    if (tgi_node_type(r, node) == TGI_TAPE_STRING) {
        rc = tgi_take_word(r, node, "\"init\"", words, 2, &word);
        spec->init = word == 1 ? TG_INIT_ZERO : TG_INIT_NONE;
        return rc;
    }
    if ((rc = tgi_object_take(r, node, "\"init\"", init_keys, N_I, v)) != 0)
        return rc;
    for (uint32_t k = 0; k < I_OFFSET; k++)
        n += v[k] != TGI_TAPE_ABSENT;
    if (n != 1 || (v[I_OFFSET] != TGI_TAPE_ABSENT && v[I_FILE] == TGI_TAPE_ABSENT))
        return tgi_report(
            r, node, NULL, TG_E_BAD_VALUE,
            "\"init\" is \"zero\", \"none\" or one of fill, random, iota, spd, file (with offset)");
    if (v[I_FILE] != TGI_TAPE_ABSENT)
        return read_file_init(r, v[I_FILE], v[I_OFFSET], spec);
    if (v[I_FILL] != TGI_TAPE_ABSENT) {
        spec->init = TG_INIT_FILL;
        return tgi_take_double(r, v[I_FILL], "\"fill\"", &spec->init_value);
    }
    if (v[I_IOTA] != TGI_TAPE_ABSENT) {
        spec->init = TG_INIT_IOTA;
        return read_iota(r, v[I_IOTA]);
    }
    spec->init = v[I_SPD] != TGI_TAPE_ABSENT ? TG_INIT_SPD : TG_INIT_RANDOM;
    word = v[I_SPD] != TGI_TAPE_ABSENT ? I_SPD : I_RANDOM;
    return read_seed(r, v[word], word == I_SPD ? "\"spd\"" : "\"random\"", &spec->init_seed);
}
