/* What is verified is a copy in memory, and that copy is what gets loaded: nobody can exchange the
 * file between the two.  No fsync: an entry that a crash tears fails its checksum. */
#include "graph/kernel_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/error.h"

#define MAX_ENTRY ((off_t)1 << 30)
static const char magic[8] = "tgcache1";

struct trailer {
    char magic[8];
    unsigned char digest[TGI_SHA256_BYTES];
};

static void entry_name(const unsigned char *key, char name[2 * TGI_SHA256_BYTES + 1])
{
    for (int i = 0; i < TGI_SHA256_BYTES; i++)
        snprintf(name + 2 * i, 3, "%02x", key[i]);
}

static void entry_digest(const unsigned char *key, const void *data, size_t bytes, unsigned char *digest)
{
    struct tgi_sha256 sha;
    tgi_sha256_init(&sha);
    tgi_sha256_add(&sha, key, TGI_SHA256_BYTES);
    tgi_sha256_add(&sha, data, bytes);
    tgi_sha256_finish(&sha, digest);
}

/* ---- The folder ---------------------------------------------------------------------------*/

int tgi_cache_folder(char *path, size_t size, struct tg_error *err)
{
    const char *own = getenv("TGRAPH_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (own && own[0])
        n = snprintf(path, size, "%s", own);
    else if (xdg && xdg[0] == '/') /* the specification tells to ignore relative ones */
        n = snprintf(path, size, "%s/tgraph", xdg);
    else if (home && home[0])
        n = snprintf(path, size, "%s/.cache/tgraph", home);
    else
        return tgi_error(err, TG_E_SYSTEM,
                         "no cache folder: none of TGRAPH_CACHE_DIR, XDG_CACHE_HOME, HOME is set");
    if (n < 0 || (size_t)n >= size)
        return tgi_error(err, TG_E_SYSTEM, "the path of the cache folder is too long");
    return 0;
}

/* Makes all folders of a path; those that exist are left as they are. */
static bool make_folders(char *path)
{
    for (char *p = path + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            int rc = mkdir(path, 0700);
            *p = '/';
            if (rc != 0 && errno != EEXIST)
                return false;
        }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static bool is_private(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 && s.st_uid == geteuid() && (s.st_mode & 077) == 0;
}

void tgi_kernel_cache_open(struct tgi_kernel_cache *cache, const char *name)
{
    char path[PATH_MAX];
    cache->folder = -1;
    if (tgi_cache_folder(path, sizeof path, NULL) != 0)
        return;
    size_t length = strlen(path);
    int n = snprintf(path + length, sizeof path - length, "/%s", name);
    if (n < 0 || (size_t)n >= sizeof path - length || !make_folders(path))
        return;
    cache->folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (cache->folder >= 0 && !is_private(cache->folder))
        tgi_kernel_cache_close(cache);
}

void tgi_kernel_cache_close(struct tgi_kernel_cache *cache)
{
    if (cache->folder >= 0)
        close(cache->folder);
    cache->folder = -1;
}

/* ---- Entries ------------------------------------------------------------------------------*/

static bool read_all(int fd, unsigned char *to, size_t bytes)
{
    while (bytes) {
        ssize_t n = read(fd, to, bytes);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        if (n > 0) {
            to += n;
            bytes -= (size_t)n;
        }
    }
    return true;
}

static bool write_all(int fd, const unsigned char *from, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, from, bytes);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            from += n;
            bytes -= (size_t)n;
        }
    }
    return true;
}

static unsigned char *read_verified(int fd, const unsigned char *key, size_t *bytes_p)
{
    struct stat s;
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || s.st_uid != geteuid() || (s.st_mode & 022) != 0 ||
        s.st_size <= (off_t)sizeof(struct trailer) || s.st_size > MAX_ENTRY)
        return NULL;
    size_t total = (size_t)s.st_size, bytes = total - sizeof(struct trailer);
    unsigned char *data = malloc(total), digest[TGI_SHA256_BYTES];
    if (!data)
        return NULL;
    if (read_all(fd, data, total)) {
        struct trailer trailer;
        memcpy(&trailer, data + bytes, sizeof trailer);
        entry_digest(key, data, bytes, digest);
        if (memcmp(trailer.magic, magic, sizeof magic) == 0 &&
            memcmp(trailer.digest, digest, sizeof digest) == 0) {
            *bytes_p = bytes;
            return data;
        }
    }
    free(data);
    return NULL;
}

unsigned char *tgi_kernel_cache_get(const struct tgi_kernel_cache *cache,
                                    const unsigned char key[TGI_SHA256_BYTES], size_t *bytes_p)
{
    char name[2 * TGI_SHA256_BYTES + 1];
    if (cache->folder < 0)
        return NULL;
    entry_name(key, name);
    /* O_NONBLOCK: a planted pipe must not hold us up */
    int fd = openat(cache->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    unsigned char *data = read_verified(fd, key, bytes_p);
    close(fd);
    return data; /* what is there but no entry is replaced when the new one is put */
}

bool tgi_kernel_cache_has(const struct tgi_kernel_cache *cache, const unsigned char key[TGI_SHA256_BYTES])
{
    char name[2 * TGI_SHA256_BYTES + 1];
    entry_name(key, name);
    return cache->folder >= 0 && faccessat(cache->folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool tgi_kernel_cache_put(const struct tgi_kernel_cache *cache, const unsigned char key[TGI_SHA256_BYTES],
                          const void *data, size_t bytes)
{
    char name[2 * TGI_SHA256_BYTES + 1], temp[64];
    struct trailer trailer;
    unsigned long long number;
    if (cache->folder < 0 || getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return false;
    entry_name(key, name);
    snprintf(temp, sizeof temp, ".new-%016llx", number);
    memcpy(trailer.magic, magic, sizeof magic);
    entry_digest(key, data, bytes, trailer.digest);
    int fd = openat(cache->folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool is_written = write_all(fd, data, bytes) && write_all(fd, (unsigned char *)&trailer, sizeof trailer);
    is_written = close(fd) == 0 && is_written;
    if (is_written && renameat(cache->folder, temp, cache->folder, name) == 0)
        return true;
    unlinkat(cache->folder, temp, 0);
    return false;
}
