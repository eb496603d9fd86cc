/* tgraph cache: what is kept of kernels, compiled and measured. */
#include "io/cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/cli/document.h"
#include "io/units.h"
#include "io/utf8.h"
#include "graph/kernel_cache.h"
#include "sched/history.h"

struct walk {
    const struct tgi_cli *cli;
    bool removes;
    struct tgi_json *json; /* NULL: text */
    uint64_t n_files, n_bytes, n_failed, n_times;
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
    static const char *const kinds[] = {"cpu", "cuda", "history"};
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno == ENOENT ? 0 : errno;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        walk_kind(w, folder, kinds[i]);
    close(folder);
    return 0;
}

/* This machine's times of kernels.  Other machines' files are listed as such. */
static void list_times(struct walk *w, struct tgi_history *history)
{
    char time[TGI_UNITS_SIZE], spread[TGI_UNITS_SIZE];
    if (w->json)
        tgi_json_array(w->json, "times");
    else if (w->cli->is_verbose && tgi_history_n(history))
        printf("times on %s: kernel, variant, device, sizes of arguments, median and spread, samples\n", tgi_history_machine());
    for (uint32_t i = 0; i < tgi_history_n(history); i++) {
        struct tgi_history_key key;
        struct tgi_history_model model;
        tgi_history_key(history, i, &key);
        if (!tgi_history_model(history, i, &model))
            continue;
        w->n_times++;
        if (w->json) {
            tgi_json_flat_object(w->json, NULL);
            tgi_json_string(w->json, "kernel", key.kernel);
            tgi_json_string(w->json, "variant", key.variant);
            tgi_json_string(w->json, "device", key.device);
            tgi_json_string(w->json, "sizes", key.sizes);
            tgi_json_double(w->json, "median_ns", model.median_ns);
            tgi_json_double(w->json, "spread_ns", model.spread_ns);
            tgi_json_uint(w->json, "samples", model.n_seen);
            tgi_json_uint(w->json, "set_aside", model.n_set_aside);
            tgi_json_uint(w->json, "drifts", model.n_drifts);
            tgi_json_end(w->json);
        } else if (w->cli->is_verbose) {
            const char *const texts[] = {key.kernel, key.variant, key.device, key.sizes};
            for (int k = 0; k < 4; k++) {
                tgi_utf8_print(stdout, texts[k]);
                fputs("  ", stdout);
            }
            printf("%s ± %s  %llu\n", tgi_format_time(model.median_ns, time, sizeof(time)),
                   tgi_format_time(model.spread_ns, spread, sizeof(spread)), (unsigned long long)model.n_seen);
        }
    }
    if (w->json)
        tgi_json_end(w->json);
}

int tgi_cli_cache(struct tgi_cli *cli)
{
    char path[4096], files[TGI_UNITS_SIZE], bytes[TGI_UNITS_SIZE], times[TGI_UNITS_SIZE];
    struct tg_error err;
    struct walk walk = {.cli = cli};
    struct tgi_history *history = NULL;
    const char *action = cli->n_operands > 0 ? cli->operands[0] : "list";
    if (strcmp(action, "list") != 0 && strcmp(action, "clear") != 0)
        return tgi_cli_usage(cli, "cache: \"%s\" is neither list nor clear", action);
    walk.removes = strcmp(action, "clear") == 0;
    if (tgi_cache_folder(path, sizeof(path), &err) || (!walk.removes && tgi_history_open(&history, &err)))
        return tgi_cli_error(cli, &err);

    struct tgi_json json = tgi_json_begin(stdout, TGI_JSON_PRETTY);
    if (cli->format == TGI_FORMAT_JSON) {
        walk.json = &json;
        json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "cache");
        tgi_json_string(&json, "folder", path);
        tgi_json_array(&json, walk.removes ? "removed" : "entries");
    }
    int number = walk_all(&walk, path);
    if (walk.json)
        tgi_json_end(&json);
    if (!walk.removes && number == 0)
        list_times(&walk, history);
    tgi_history_close(history);
    if (walk.json) {
        tgi_json_uint(&json, "size_bytes", walk.n_bytes);
        tgi_json_end(&json);
    }
    if (number)
        return tgi_cli_fail(cli, TG_E_OPEN, "cannot open folder \"%s\": %s", path, strerror(number));
    if (!walk.json)
        printf("%s: %s%s files of compiled kernels and times, %s%s%s\n", path, walk.removes ? "removed " : "",
               tgi_format_count(walk.n_files, files, sizeof(files)),
               tgi_format_bytes((double)walk.n_bytes, bytes, sizeof(bytes)), walk.n_times ? "; times of kernels here: " : "",
               walk.n_times ? tgi_format_count(walk.n_times, times, sizeof(times)) : "");
    if (walk.n_failed > 0)
        return tgi_cli_fail(cli, TG_E_WRITE, "%llu files could not be removed",
                            (unsigned long long)walk.n_failed);
    return 0;
}
