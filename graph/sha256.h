/* SHA-256 (FIPS 180-4), for naming and checking cache entries. */
#ifndef TGI_GRAPH_SHA256_H
#define TGI_GRAPH_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define TGI_SHA256_BYTES 32

struct tgi_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    unsigned char block[64]; /* the n_bytes % 64 bytes not mixed in yet */
};

void tgi_sha256_init(struct tgi_sha256 *sha);
void tgi_sha256_add(struct tgi_sha256 *sha, const void *data, size_t bytes);
void tgi_sha256_finish(struct tgi_sha256 *sha, unsigned char digest[TGI_SHA256_BYTES]);

#endif
