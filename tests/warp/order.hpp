// gpu/resident/order.h for the 32 lanes of lanes.hpp: the order of memory is that of one lane, what lanes say to each other is here.
#ifndef TEST_WARP_ORDER_HPP
#define TEST_WARP_ORDER_HPP

#include "tests/warp/lanes.hpp"

#define tgi_lane        one_lane
#define tgi_warp_sync   one_sync
#define tgi_warp_any    one_any
#define tgi_warp_first  one_first
#define tgi_warp_ballot one_ballot
#define tgi_warp_get    one_get
#define tgi_warp_sum    one_sum
#define tgi_warp_total  one_total
#include "gpu/resident/order.h"
#undef tgi_lane
#undef tgi_warp_sync
#undef tgi_warp_any
#undef tgi_warp_first
#undef tgi_warp_ballot
#undef tgi_warp_get
#undef tgi_warp_sum
#undef tgi_warp_total
#undef TGI_LANES
#define TGI_LANES 32u
static inline uint32_t tgi_lane() { return (uint32_t)lanes::me; }
static inline void tgi_warp_sync() { lanes::meet(); }
static inline bool tgi_warp_any(bool x) { return __any_sync(~0u, x) != 0; }
static inline uint64_t tgi_warp_first(uint64_t x) { return __shfl_sync(~0u, x, 0); }
static inline uint32_t tgi_warp_ballot(bool x) { return __ballot_sync(~0u, x); }
static inline uint32_t tgi_warp_get(uint32_t x, uint32_t lane) { return __shfl_sync(~0u, x, (int)lane); }
static inline uint64_t tgi_warp_xor(uint64_t x, uint32_t bits) { return __shfl_xor_sync(~0u, x, (int)bits); }

#endif
