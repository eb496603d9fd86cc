// The same numbers for the same seed.
#ifndef TEST_WARP_DICE_HPP
#define TEST_WARP_DICE_HPP

#include <stdint.h>

static uint64_t dice;
static uint32_t roll(uint32_t n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((dice >> 33) % n);
}

#endif
