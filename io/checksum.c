#include "io/checksum.h"

#include <string.h>

/* Each step is a bijection, so two texts that differ in one word never have the same sum. */
uint64_t tgi_checksum(uint64_t sum, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (; bytes >= 8; p += 8, bytes -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    uint64_t rest = 0;
    if (bytes) {
        memcpy(&rest, p, bytes);
        sum = (sum ^ rest) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    return sum ^ bytes;
}
