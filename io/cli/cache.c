/* tgraph cache: the compiled kernels that are kept. */
#include "io/cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/json_out.h"
#include "io/units.h"
#include "graph/kernel_cache.h"

struct walk {
    const struct tgi_cli *cli;
    bool removes;
    struct tgi_json *json; /* NULL: text */
    uint64_t n_files, n_bytes, n_failed;
};

/* The kinds of cache are folders inside; entries are files in these.  Nothing else is touched. */
static void walk_kind(struct walk *w, int folder, const char *kind)
{
    int fd = openat(folder, kind, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (!entries) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        struct stat info;
        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
            continue;
        if (w->removes && unlinkat(fd, entry->d_name, 0) != 0) {
            w->n_failed++;
            continue;
        }
        w->n_files++;
        w->n_bytes += (uint64_t)info.st_size;
        if (w->json) {
            tgi_json_flat_object(w->json, NULL);
            tgi_json_string(w->json, "kind", kind);
            tgi_json_string(w->json, "entry", entry->d_name);
            tgi_json_uint(w->json, "size_bytes", (uint64_t)info.st_size);
            tgi_json_end(w->json);
        } else if (!w->removes && w->cli->is_verbose) {
            printf("%s/%s  %lld bytes\n", kind, entry->d_name, (long long)info.st_size);
        }
    }
    closedir(entries);
}

static int walk_all(struct walk *w, const char *path)
{
    static const char *const kinds[] = {"cpu", "cuda"};
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno == ENOENT ? 0 : errno;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        walk_kind(w, folder, kinds[i]);
    close(folder);
    return 0;
}

int tgi_cli_cache(struct tgi_cli *cli)
{
    char path[4096], files[TGI_UNITS_SIZE], bytes[TGI_UNITS_SIZE];
    struct tg_error err;
    struct walk walk = {.cli = cli};
    const char *action = cli->n_operands > 0 ? cli->operands[0] : "list";
    if (strcmp(action, "list") != 0 && strcmp(action, "clear") != 0)
        return tgi_cli_usage(cli, "cache: \"%s\" is neither list nor clear", action);
    walk.removes = strcmp(action, "clear") == 0;
    if (tgi_cache_folder(path, sizeof(path), &err))
        return tgi_cli_error(cli, &err);

    struct tgi_json json = tgi_json_begin(stdout, TGI_JSON_PRETTY);
    if (cli->format == TGI_FORMAT_JSON) {
        walk.json = &json;
        tgi_json_object(&json, NULL);
        tgi_json_string(&json, "schema", "tgraph.report/1");
        tgi_json_string(&json, "command", "cache");
        tgi_json_string(&json, "folder", path);
        tgi_json_array(&json, walk.removes ? "removed" : "entries");
    }
    int number = walk_all(&walk, path);
    if (walk.json) {
        tgi_json_end(&json);
        tgi_json_uint(&json, "size_bytes", walk.n_bytes);
        tgi_json_end(&json);
    }
    if (number)
        return tgi_cli_fail(cli, TG_E_OPEN, "cannot open folder \"%s\": %s", path, strerror(number));
    if (!walk.json)
        printf("%s: %s%s compiled kernels, %s\n", path, walk.removes ? "removed " : "",
               tgi_format_count(walk.n_files, files, sizeof(files)),
               tgi_format_bytes((double)walk.n_bytes, bytes, sizeof(bytes)));
    if (walk.n_failed > 0)
        return tgi_cli_fail(cli, TG_E_WRITE, "%llu files could not be removed",
                            (unsigned long long)walk.n_failed);
    return 0;
}
